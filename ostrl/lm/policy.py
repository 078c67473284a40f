"""A language model as a policy: it writes answers token by token, and says how likely any answer was."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ostrl import checks
from ostrl.batch import Answers
from ostrl.lm import text
from ostrl.lm.sampler import (
    Rows,
    check_architecture,
    draw_tokens,
    log_softmax,
    rectangle,
    run,
    shared_past,
    until_end,
)

SETTINGS = ("temperature", "max_new_tokens", "top_k", "top_p", "micro_batch_size", "padding_side", "autocast")
"""What ``LanguageModelPolicy.at`` can change."""


class LanguageModelPolicy(nn.Module):
    """A causal language model of Hugging Face and its tokenizer, with the methods of any other policy.

    A prompt becomes tokens by the tokenizer's chat template if it has one (one turn of the user, then the model's
    turn begins), otherwise as it is, with the special tokens that the tokenizer puts in front. Dropout stays off, in
    training too: an answer is scored by the model that wrote it.

    Args:
        model: a causal language model, as ``AutoModelForCausalLM`` gives it.
        tokenizer: its tokenizer, as ``AutoTokenizer`` gives it.
        temperature: of sampling and of scoring, which are one; 0 takes the most likely token and has no scores.
        max_new_tokens: most tokens of an answer, the end token counted; a longer one is cut and is complete as it is.
        top_k: if set, answers are drawn from the k most likely tokens only. Such answers are not the policy's own:
            they are labeled ``OLD``, and ``behavior_log_prob`` says how likely they were.
        top_p: if set, from the most likely tokens that hold this share only; otherwise as ``top_k``.
        micro_batch_size: most answers in one forward or backward pass; ``None`` for all at once. It changes memory,
            not results.
        padding_side: where shorter sequences are padded in scoring. ``"left"`` runs each prompt once for all of its
            answers; ``"right"`` runs every prompt and answer in one piece. It changes speed, not results. The sampler
            pads on the left.
        end_ids: the tokens that end an answer; ``None`` takes those that the model and the tokenizer name.
        autocast: the precision of matrix products, such as ``torch.bfloat16``; ``None`` for that of the weights. The
            log-sum-exp is taken in float32 or better whatever this is.

    Raises:
        TypeError: for a wrong kind of argument.
        ValueError: for settings out of range, no end token, or a tokenizer that knows more tokens than the model.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        temperature: float = 1.0,
        max_new_tokens: int = 64,
        top_k: int | None = None,
        top_p: float | None = None,
        micro_batch_size: int | None = None,
        padding_side: str = "left",
        end_ids: list[int] | None = None,
        autocast: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        checks.instance("model", model, nn.Module, "; for example ostrl.lm.load() makes a whole policy")
        check_architecture(model)
        self.model = model
        self.tokenizer = tokenizer
        self.vocab_size = int(model.get_input_embeddings().num_embeddings)
        text.check_tokenizer(tokenizer, self.vocab_size)
        self.end_ids = text.end_tokens(model, tokenizer, self.vocab_size, end_ids)
        self._set(temperature, max_new_tokens, top_k, top_p, micro_batch_size, padding_side, autocast)
        self.eval()

    def _set(
        self,
        temperature: float,
        max_new_tokens: int,
        top_k: int | None,
        top_p: float | None,
        micro_batch_size: int | None,
        padding_side: str,
        autocast: torch.dtype | None,
    ) -> None:
        if checks.number("temperature", temperature) < 0:
            raise ValueError(f"temperature must not be negative, got {temperature}")
        checks.positive_int("max_new_tokens", max_new_tokens)
        for name, value in {"top_k": top_k, "micro_batch_size": micro_batch_size}.items():
            if value is not None:
                checks.positive_int(name, value)
        if top_p is not None and not 0 < checks.number("top_p", top_p) <= 1:
            raise ValueError(f"top_p must be greater than 0 and at most 1, got {top_p}")
        if padding_side not in ("left", "right"):
            raise ValueError(f'padding_side must be "left" or "right", got {padding_side!r}')
        if autocast not in (None, torch.bfloat16, torch.float16):
            raise ValueError(f"autocast must be torch.bfloat16, torch.float16 or None, got {autocast!r}")
        self.temperature, self.max_new_tokens, self.top_k, self.top_p = temperature, max_new_tokens, top_k, top_p
        self.micro_batch_size, self.padding_side, self.autocast = micro_batch_size, padding_side, autocast

    def at(self, **changes: Any) -> LanguageModelPolicy:
        """The same model, weights included, with other settings: ``policy.at(temperature=0.5)``.

        Raises:
            TypeError: for a setting that does not exist.
            ValueError: as the constructor.
        """
        for name in changes:
            if name not in SETTINGS:
                raise TypeError(f"{name!r} is no setting that can be changed; those are {', '.join(SETTINGS)}")
        other = copy.copy(self)
        other._set(**({name: getattr(self, name) for name in SETTINGS} | changes))
        return other

    def train(self, mode: bool = True) -> LanguageModelPolicy:
        """Stay without dropout, whatever the mode."""
        super().train(False)
        return self

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.parameters()).device

    @property
    def truncated(self) -> bool:
        """Whether answers are drawn from fewer tokens than the policy has (``top_k``, ``top_p``)."""
        few = self.top_k is not None and self.top_k < self.vocab_size
        return few or (self.top_p is not None and self.top_p < 1)

    def sample(
        self,
        prompts: list[str],
        group_size: int,
        generator: torch.Generator,
        temperature: float | None = None,
        max_new_tokens: int | None = None,
    ) -> Answers:
        """Draw ``group_size`` independent answers to each prompt.

        Args:
            prompts: B strings.
            group_size: G, at least 1.
            generator: the source of randomness, on the policy's device.
            temperature: ``None`` for the policy's; a number becomes the policy's, so that :meth:`log_prob` goes on to
                score what was sampled. To look at another temperature in passing, use :meth:`at`.
            max_new_tokens: ``None`` for the policy's.

        Returns:
            ``(actions, mask)``, each ``[B, G, T]``, T the longest answer drawn; the mask holds all tokens up to and
            with the first end token.

        Raises:
            TypeError: for prompts that are not strings, or a missing generator.
            ValueError: for no prompts, prompts that the tokenizer cannot write or that leave no room for an answer,
                or settings out of range.
        """
        given = {"temperature": temperature, "max_new_tokens": max_new_tokens}
        asked = self.at(**{name: value for name, value in given.items() if value is not None})
        checks.positive_int("group_size", group_size)
        checks.generator(generator, self.device)
        sequences = text.prompt_tokens(self.tokenizer, prompts, self.end_ids)
        self._check_room(max(map(len, sequences)) + asked.max_new_tokens)
        self.temperature = asked.temperature
        shape = (len(sequences), group_size, asked.max_new_tokens)
        uniform = torch.rand(shape, dtype=torch.float64, generator=generator, device=self.device)
        actions = torch.empty(shape, dtype=torch.long, device=self.device)
        rows = self.micro_batch_size or len(sequences) * group_size
        height, width = max(1, rows // group_size), min(rows, group_size)  # prompts, and answers to each, in one pass
        for top, left in itertools.product(range(0, len(sequences), height), range(0, group_size, width)):
            actions[top : top + height, left : left + width] = draw_tokens(
                self.model,
                rectangle(sequences[top : top + height], "left", self.device),
                uniform[top : top + height, left : left + width],
                temperature=self.temperature,
                end_ids=self.end_ids,
                top_k=self.top_k,
                top_p=self.top_p,
                autocast=self.autocast,
            )
        mask = until_end(actions, self.end_ids)
        longest = int(mask.any(0).any(0).sum())
        return Answers(actions[..., :longest], mask[..., :longest])

    def log_prob(
        self, prompts: list[str], actions: Int[Tensor, "B G T"], mask: Bool[Tensor, "B G T"]
    ) -> Float[Tensor, "B G T"]:
        """Log-probability (nats) of every token given the prompt and the tokens before, at the policy's temperature.

        Args:
            prompts: B strings.
            actions: G answers to each, as tokens.
            mask: which tokens count, in every answer the first so many.

        Returns:
            ``[B, G, T]``, with a graph, 0 where masked; its sum over the counted tokens is the answer's. Implements
            ``eq-chain-rule``.

        Raises:
            TypeError: for arguments of another kind.
            ValueError: for shapes that do not fit, tokens out of range, a mask with holes, or temperature 0.
        """
        return self._score(prompts, actions, mask, None, None)

    def behavior_log_prob(
        self, prompts: list[str], actions: Int[Tensor, "B G T"], mask: Bool[Tensor, "B G T"]
    ) -> Float[Tensor, "B G T"]:
        """As :meth:`log_prob`, under what :meth:`sample` draws from: with ``top_k`` and ``top_p``; no graph."""
        with torch.no_grad():
            return self._score(prompts, actions, mask, self.top_k, self.top_p)

    def _score(
        self, prompts: list[str], actions: Tensor, mask: Tensor, top_k: int | None, top_p: float | None
    ) -> Tensor:
        sequences = text.prompt_tokens(self.tokenizer, prompts, self.end_ids)
        actions = self._check_answers(actions, mask)
        if len(actions) != len(sequences):
            raise ValueError(f"actions must have one group a prompt: got {len(actions)} for {len(sequences)} prompts")
        if not checks.holds(mask[..., 1:] <= mask[..., :-1]):
            raise ValueError("mask must hold the first so many tokens of every answer, got one with a hole")
        if self.temperature == 0:
            raise ValueError("temperature must be greater than 0 to score answers: at 0 there is no distribution")
        length = max(1, int(mask.any(0).any(0).sum()))
        self._check_room(max(map(len, sequences)) + length)
        tokens, real = actions[..., :length].flatten(0, 1), mask[..., :length].flatten(0, 1)
        group, step = actions.shape[1], self.micro_batch_size or len(tokens)
        scores = torch.cat([
            self._score_rows(
                [sequences[row // group] for row in range(start, min(start + step, len(tokens)))],
                tokens[start : start + step],
                real[start : start + step],
                top_k,
                top_p,
            )
            for start in range(0, len(tokens), step)
        ])  # fmt: skip
        return nn.functional.pad(scores, (0, actions.shape[-1] - length)).unflatten(0, (-1, group))

    def _score_rows(
        self, sequences: list[list[int]], tokens: Tensor, real: Tensor, top_k: int | None, top_p: float | None
    ) -> Tensor:
        """The scores ``[N, T]`` of N answers, each after its prompt."""
        logits = (self._shared_logits if self.padding_side == "left" else self._whole_logits)(sequences, tokens, real)
        logits = torch.where(real[..., None], logits, 0.0)  # before the log-sum-exp: nothing masked reaches a gradient
        scores = log_softmax(logits, self.temperature, top_k, top_p)
        return torch.where(real, scores.gather(-1, tokens.where(real, 0)[..., None]).squeeze(-1), 0.0)

    def _shared_logits(self, sequences: list[list[int]], tokens: Tensor, real: Tensor) -> Tensor:
        """The logits ``[N, T, V]`` of every answer's tokens; each prompt goes through the model once, for all of them.

        Keys and values carry the graph, so the gradient is that of the whole sequences.
        """
        places: dict[tuple[int, ...], int] = {}
        owner = [places.setdefault(tuple(sequence), len(places)) for sequence in sequences]
        index = torch.tensor(owner, device=self.device)
        prompts = rectangle([list(sequence) for sequence in places], "left", self.device)
        output = run(self.model, prompts, self.autocast, use_cache=True, logits_to_keep=1)
        first = output.logits[:, -1:][index]
        if tokens.shape[1] == 1:
            return first
        cache = shared_past(self.model, output, index)
        before, tokens, real = prompts.real[index], tokens[:, :-1], real[:, :-1]  # the last token predicts nothing
        positions = before.sum(1, keepdim=True) + torch.arange(tokens.shape[1], device=tokens.device)
        rows = Rows(tokens.where(real, 0), torch.cat([before, real], 1), positions)
        return torch.cat([first, run(self.model, rows, self.autocast, past_key_values=cache, use_cache=True).logits], 1)

    def _whole_logits(self, sequences: list[list[int]], tokens: Tensor, real: Tensor) -> Tensor:
        """The same from whole sequences, prompt and answer in one piece and padding behind."""
        count, length = tokens.shape
        prompts = rectangle(sequences, "right", self.device)
        columns = prompts.real.sum(1, keepdim=True) + torch.arange(length, device=tokens.device)
        written = prompts._replace(
            tokens=nn.functional.pad(prompts.tokens, (0, length)).scatter(1, columns, tokens.where(real, 0)),
            real=nn.functional.pad(prompts.real, (0, length)).scatter(1, columns, real),
        )
        rows = written._replace(positions=(written.real.long().cumsum(1) - 1).clamp_min(0))
        logits = run(self.model, rows, self.autocast, use_cache=False).logits
        return logits[torch.arange(count, device=tokens.device)[:, None], columns - 1]

    def decode(self, actions: Int[Tensor, "B G T"], mask: Bool[Tensor, "B G T"]) -> list[list[str]]:
        """The answers as text, without the token that ends them; other special tokens show as what they are."""
        actions = self._check_answers(actions, mask)
        counted = mask & torch.isin(actions, torch.tensor(self.end_ids, device=actions.device), invert=True)
        rows = zip(actions.flatten(0, 1).tolist(), counted.flatten(0, 1).tolist(), strict=True)
        kept = [[token for token, counts in zip(row, real, strict=True) if counts] for row, real in rows]
        texts = self.tokenizer.batch_decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        size = actions.shape[1]
        return [texts[start : start + size] for start in range(0, len(texts), size)]

    def encode(self, answers: list[list[str]]) -> Answers:
        """Texts as tokens, each with an end token behind it, padded to the longest: ``[B, G, T]``.

        Raises:
            TypeError: for answers that are not strings.
            ValueError: for groups of different sizes, or a text that the tokenizer cannot write.
        """
        sizes = {len(group) for group in answers}
        if len(sizes) != 1 or 0 in sizes:
            raise ValueError(f"answers must be groups of one size, at least 1, got sizes {sorted(sizes)}")
        texts = [answer for group in answers for answer in group]
        rows = rectangle(text.answer_tokens(self.tokenizer, texts, self.end_ids), "right", self.device)
        actions = rows.tokens.where(rows.real, self.end_ids[0])
        return Answers(actions.unflatten(0, (-1, *sizes)), rows.real.unflatten(0, (-1, *sizes)))

    def _check_answers(self, actions: Tensor, mask: Tensor) -> Tensor:
        actions = checks.indices("actions", actions, self.vocab_size, "tokens")
        checks.ndim("actions", actions, 3, "[B, G, T]")
        checks.shape("mask", checks.tensor("mask", mask), tuple(actions.shape), "that of actions,")
        if mask.dtype != torch.bool:
            raise TypeError(f"mask must be boolean, got {mask.dtype}")
        return actions

    def _check_room(self, tokens: int) -> None:
        room = getattr(self.model.config, "max_position_embeddings", None)
        if room is not None and tokens > room:
            raise ValueError(
                f"prompts or max_new_tokens must be shorter: prompt and answer may need {tokens} tokens, and the model "
                f"reads at most {room}"
            )
