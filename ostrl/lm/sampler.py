"""Drawing answers from a causal language model, token by token, with a cache of keys and values."""

from __future__ import annotations

import contextlib
import inspect
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from ostrl.policies import real_tokens


class Rows(NamedTuple):
    """Token sequences of different lengths as one rectangle."""

    tokens: Int[Tensor, "N L"]
    """The sequences' token ids, padded."""
    real: Bool[Tensor, "N L"]
    """Which of them are tokens."""
    positions: Int[Tensor, "N L"]
    """The place of each in its own sequence, counted from 0."""


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


def check_architecture(model: Any) -> None:
    """Require a model that takes what padding and caching need.

    Raises:
        TypeError: for one without a cache of keys and values, or one that counts positions from the padding on.
    """
    if not hasattr(model, "get_input_embeddings") or not hasattr(model, "config"):
        raise TypeError(f"model must be a causal language model of transformers, got {type(model).__name__}")
    takes = _arguments(model)
    distances = getattr(model.config, "model_type", None) in ("bloom", "mpt")  # ALiBi: no positions, only distances
    if takes is not None and not ({"attention_mask", "past_key_values", "position_ids"} <= takes or distances):
        raise TypeError(
            "model must take attention_mask, past_key_values and position_ids, as decoders of transformers do: "
            f"{type(model).__name__} does not"
        )


def _arguments(model: Any) -> set[str] | None:
    """What a model's forward pass takes; ``None`` for a wrapper that passes on whatever it is given."""
    parameters = inspect.signature(model.forward).parameters
    passes_on = any(p.kind is p.VAR_KEYWORD for p in parameters.values()) and "use_cache" not in parameters
    return None if passes_on and not isinstance(model, PreTrainedModel) else set(parameters)


def run(model: Any, rows: Rows, autocast: torch.dtype | None, **more: Any) -> Any:
    """The model's forward pass with the positions said, so that padding moves no token.

    ``autocast`` is the precision of matrix products, or ``None`` for the weights' own.
    """
    takes = _arguments(model)
    inputs = {"attention_mask": rows.real.long(), "position_ids": rows.positions, **more}
    inputs = {name: value for name, value in inputs.items() if takes is None or name in takes}
    device = rows.tokens.device.type
    with torch.autocast(device, autocast) if autocast else contextlib.nullcontext():
        return model(input_ids=rows.tokens, **inputs)


def log_softmax(
    logits: Float[Tensor, "*batch V"], temperature: float, top_k: int | None = None, top_p: float | None = None
) -> Float[Tensor, "*batch V"]:
    """``log π`` (nats) of every next token at a temperature; the log-sum-exp is taken in float32 or better.

    Implements ``eq-temperature``.

    ``top_k`` keeps the k most likely tokens, ``top_p`` the fewest most likely ones that hold at least a share p, and
    the rest gets ``-inf``: another distribution than the model's.
    """
    scores = (logits if logits.dtype == torch.float64 else logits.float()) / temperature
    if top_k is not None and top_k < scores.shape[-1]:
        scores = scores.masked_fill(scores < scores.topk(top_k, dim=-1).values[..., -1:], -torch.inf)
    if top_p is not None and top_p < 1:
        ranked, order = scores.softmax(-1).sort(dim=-1, descending=True)
        ahead = ranked.cumsum(-1) - ranked  # the share of the tokens before; the first always stays
        cut = torch.zeros_like(order, dtype=torch.bool).scatter(-1, order, ahead >= top_p)
        scores = scores.masked_fill(cut, -torch.inf)
    return scores.log_softmax(-1)


def until_end(tokens: Int[Tensor, "*batch T"], end_ids: list[int]) -> Bool[Tensor, "*batch T"]:
    """Which tokens belong to their answer: all up to and with the first end token."""
    return real_tokens(torch.isin(tokens, torch.tensor(end_ids, device=tokens.device), invert=True))


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
        prompts: B prompts, padded on the left.
        uniform: random numbers in [0, 1), float64.
        temperature: 0 takes the most likely token.
        end_ids: the tokens that end an answer.
        top_k: if set, draw from the k most likely tokens only.
        top_p: if set, draw from the most likely tokens that hold this share.
        autocast: as in :func:`run`.

    Raises:
        TypeError: for a model whose memory of the prompt cannot be shared.
        ValueError: if the model gives NaN.
    """
    device = prompts.tokens.device
    _, group_size, budget = uniform.shape
    uniform = uniform.flatten(0, 1)
    answers = torch.full(uniform.shape, end_ids[0], device=device)
    ends = torch.tensor(end_ids, device=device)
    output = run(model, prompts, autocast, use_cache=True, logits_to_keep=1)
    owner = torch.arange(len(answers), device=device) // group_size
    logits, cache, real = output.logits[:, -1][owner], shared_past(model, output, owner), prompts.real[owner]
    position = real.sum(1)
    running = torch.arange(len(answers), device=device)
    broken = torch.zeros((), dtype=torch.bool, device=device)
    for place in range(budget):
        if temperature == 0:
            token = logits.argmax(-1)
            broken |= logits.isnan().any()
        else:
            below = log_softmax(logits, temperature, top_k, top_p).double().exp().cumsum(-1)
            token = torch.searchsorted(below / below[:, -1:], uniform[running, place, None], right=True).squeeze(1)
            token = token.clamp_max(logits.shape[-1] - 1)  # where there is NaN
            broken |= below[:, -1].isnan().any()
        answers[running, place] = token
        stay = torch.isin(token, ends, invert=True).nonzero().squeeze(1)
        if place + 1 == budget or not len(stay):
            break
        if len(stay) < len(running):
            cache.batch_select_indices(stay)
            token, real, position, running = token[stay], real[stay], position[stay], running[stay]
        real = torch.cat([real, real.new_ones(len(real), 1)], 1)
        rows = Rows(token[:, None], real, position[:, None])
        logits = run(model, rows, autocast, past_key_values=cache, use_cache=True).logits[:, -1]
        position = position + 1
    if broken:
        raise ValueError(
            "the model's logits are NaN: its weights are damaged, or its training diverged (or it is in float64 with "
            'the attention "eager", which then gives NaN where prompts are padded: "sdpa" does not)'
        )
    return answers.unflatten(0, (-1, group_size))


def shared_past(model: Any, output: Any, owner: Int[Tensor, "N"]) -> Any:
    """The keys and values of the prompts, for each of N answers those of the prompt that it belongs to.

    Raises:
        TypeError: for a model that keeps its past in another form.
    """
    cache = getattr(output, "past_key_values", None)
    try:
        cache.batch_select_indices(owner)  # type: ignore[union-attr]
    except AttributeError as error:
        raise TypeError(
            f"model must keep its past as keys and values, which a group of answers can share: "
            f"{type(model).__name__} does not"
        ) from error
    return cache
