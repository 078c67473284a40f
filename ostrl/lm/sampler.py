"""Drawing answers from a causal language model, token by token, with a cache of keys and values."""

from __future__ import annotations

import contextlib
import inspect
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Rows(NamedTuple):
    """Token sequences of different lengths as one rectangle.

    Attributes:
        tokens: ``[N, L]``, padded.
        real: which of them are tokens, ``[N, L]``.
        positions: the place of each in its own sequence, counted from 0, ``[N, L]``.
    """

    tokens: Int[Tensor, "N L"]
    real: Bool[Tensor, "N L"]
    positions: Int[Tensor, "N L"]


def rectangle(sequences: list[list[int]], padding_side: str, device: torch.device) -> Rows:
    """Pad token sequences on the left or on the right. Padding is token 0; ``real`` says which that is."""
    longest = max(map(len, sequences))
    tokens = torch.zeros(len(sequences), longest, dtype=torch.long)
    real = torch.zeros(len(sequences), longest, dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        place = slice(longest - len(sequence), None) if padding_side == "left" else slice(len(sequence))
        tokens[row, place] = torch.tensor(sequence)
        real[row, place] = True
    positions = (real.long().cumsum(1) - 1).clamp_min(0)
    return Rows(tokens.to(device), real.to(device), positions.to(device))


def run(model: Any, rows: Rows, autocast: torch.dtype | None, **more: Any) -> Any:
    """The model's forward pass with the positions said, so that padding moves no token.

    ``autocast`` is the precision of matrix products, or ``None`` for the weights' own.
    """
    known = inspect.signature(model.forward).parameters
    inputs = {"attention_mask": rows.real.long(), "position_ids": rows.positions, **more}
    device = rows.tokens.device.type
    with torch.autocast(device, autocast) if autocast else contextlib.nullcontext():
        return model(input_ids=rows.tokens, **{name: value for name, value in inputs.items() if name in known})


def log_softmax(
    logits: Float[Tensor, "*batch V"], temperature: float, top_k: int | None = None, top_p: float | None = None
) -> Float[Tensor, "*batch V"]:
    """``log π`` (nats) of every next token at a temperature; the log-sum-exp is taken in float32 or better.

    ``top_k`` keeps the k most likely tokens, ``top_p`` the fewest most likely ones that hold at least a share p, and
    the rest gets ``-inf``: another distribution than the model's.
    """
    scores = (logits if logits.dtype == torch.float64 else logits.float()) / temperature
    if top_k is not None and top_k < scores.shape[-1]:
        scores = scores.masked_fill(scores < scores.topk(top_k, dim=-1).values[..., -1:], -torch.inf)
    if top_p is not None:
        ranked, order = scores.softmax(-1).sort(dim=-1, descending=True)
        ahead = ranked.cumsum(-1) - ranked  # the share of the tokens before; the first always stays
        cut = torch.zeros_like(order, dtype=torch.bool).scatter(-1, order, ahead >= top_p)
        scores = scores.masked_fill(cut, -torch.inf)
    return scores.log_softmax(-1)


def until_end(tokens: Int[Tensor, "*batch T"], end_ids: list[int]) -> Bool[Tensor, "*batch T"]:
    """Which tokens belong to their answer: all up to and with the first end token.

    It goes by the position of the first end token, never by ``token == padding``: the end token is a token, and often
    the padding, too.
    """
    ends = torch.isin(tokens, torch.tensor(end_ids, device=tokens.device)).long()
    return ends.cumsum(-1) - ends == 0


@torch.no_grad()
def draw_tokens(
    model: Any,
    prompts: Rows,
    uniform: Float[Tensor, "B G T"],
    *,
    temperature: float,
    end_ids: list[int],
    top_k: int | None = None,
    top_p: float | None = None,
    autocast: torch.dtype | None = None,
) -> Int[Tensor, "B G T"]:
    """Draw G answers to each prompt, of at most T tokens; what follows an answer's first end token is an end token.

    The prompts go through the model once and their keys and values are shared by the group; an answer that has ended
    leaves the batch. Every token has a random number of its own, so an answer does not depend on what else is drawn
    beside it.

    Args:
        model: a causal language model of transformers.
        prompts: B prompts, padded on either side.
        uniform: random numbers in [0, 1), float64.
        temperature: 0 takes the most likely token.
        end_ids: the tokens that end an answer.
        top_k: if set, draw from the k most likely tokens only.
        top_p: if set, draw from the most likely tokens that hold this share.
        autocast: as in :func:`run`.
    """
    device = prompts.tokens.device
    _, group_size, budget = uniform.shape
    uniform = uniform.flatten(0, 1)
    answers = torch.full(uniform.shape, end_ids[0], device=device)
    ends = torch.tensor(end_ids, device=device)
    output = run(model, prompts, autocast, use_cache=True)
    lengths = prompts.real.sum(1)
    last = torch.where(prompts.real, torch.arange(prompts.real.shape[1], device=device), 0).amax(1)
    logits = output.logits[torch.arange(len(last), device=device), last].repeat_interleave(group_size, 0)
    cache = output.past_key_values
    cache.batch_repeat_interleave(group_size)
    real, position = prompts.real.repeat_interleave(group_size, 0), lengths.repeat_interleave(group_size)
    running = torch.arange(len(answers), device=device)
    for place in range(budget):
        if temperature == 0:
            token = logits.argmax(-1)
        else:
            below = log_softmax(logits, temperature, top_k, top_p).double().exp().cumsum(-1)
            token = torch.searchsorted(below / below[:, -1:], uniform[running, place, None], right=True).squeeze(1)
        answers[running, place] = token
        going = torch.isin(token, ends, invert=True)
        if place + 1 == budget or not bool(going.any()):
            return answers[:, : place + 1].unflatten(0, (-1, group_size))
        if not bool(going.all()):
            stay = going.nonzero().squeeze(1)
            cache.batch_select_indices(stay)
            token, real, position, running = token[stay], real[stay], position[stay], running[stay]
        real = torch.cat([real, real.new_ones(len(real), 1)], 1)
        rows = Rows(token[:, None], real, position[:, None])
        logits = run(model, rows, autocast, past_key_values=cache, use_cache=True).logits[:, -1]
        position = position + 1
    raise ValueError("an answer must have room for at least one token")
