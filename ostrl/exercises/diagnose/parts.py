"""What a coefficient is made of besides the weight: ratio, tokens, normalizer and score, each with its options."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ostrl.exercises.diagnose.cases import Case
from ostrl.exercises.diagnose.grading import over_batch, share


def _log_ratio(c: Case) -> Tensor:
    x: Tensor = c.fields["log_prob"] - c.fields["behavior_log_prob"]
    return x if x.shape[:2] == c.rewards.shape else x[None]


def _log_prob(c: Case, name: str = "log_prob") -> Tensor:
    x: Tensor = c.fields[name]
    return x if x.shape[:2] == c.rewards.shape else x[None]


def spread(w: Tensor, like: Tensor) -> Tensor:
    """Weights of answers, over their tokens if there are any."""
    return w[..., None] if like.ndim == 3 and w.ndim == 2 else w


def _answer(x: Tensor, c: Case) -> Tensor:
    """Summed over the tokens that count: ``[B, G]``."""
    return torch.where(mask(c), x, 0.0).sum(2) if x.ndim == 3 else x


def mask(c: Case) -> Tensor:
    """Which tokens count: ``[B, G, T]``."""
    x: Tensor = c.fields["mask"]
    return x if x.ndim == 3 else x[None]


def length(c: Case) -> Tensor:
    """Tokens that count: ``[B, G]``."""
    return mask(c).sum(2)


def _times(f: Callable[[Case], Tensor]) -> Callable[[Tensor, Case], Tensor]:
    def multiply(w: Tensor, c: Case) -> Tensor:
        factor = f(c)
        return spread(w, factor) * factor

    return multiply


def _active(w: Tensor, c: Case, both: bool) -> Tensor:
    rho, clip = _log_ratio(c).exp(), c.fields["clip"]
    w = spread(w, rho).expand_as(rho)
    high, low = rho > 1 + clip, rho < 1 - clip
    return torch.where((high & ((w > 0) | both)) | (low & ((w < 0) | both)), 0.0, rho * w)


NO_RATIO = "no ratio"

POWERS: dict[str, Callable[[Tensor, Case], Tensor]] = {
    NO_RATIO: lambda w, c: w,
    "π itself (exp(log_prob), not divided by anything)": _times(lambda c: _log_prob(c).exp()),
    "1/π": _times(lambda c: (-_log_prob(c)).exp()),
    "log π": _times(_log_prob),
    "1/log π": _times(lambda c: 1 / _log_prob(c)),
    "-log π": _times(lambda c: -_log_prob(c)),
    "1 + log π": _times(lambda c: 1 + _log_prob(c)),
    "1 - π": _times(lambda c: 1 - _log_prob(c).exp()),
    "π of the whole answer": _times(lambda c: _answer(_log_prob(c), c).exp()),
    "log π of the whole answer": _times(lambda c: _answer(_log_prob(c), c)),
}
"""What weights may be multiplied by that depends on the policy alone."""

RATIOS: dict[str, Callable[[Tensor, Case], Tensor]] = {
    "ρ = π/q": _times(lambda c: _log_ratio(c).exp()),
    "ρ of the whole answer": _times(lambda c: _answer(_log_ratio(c), c).exp()),
    "q/π (upside down)": _times(lambda c: (-_log_ratio(c)).exp()),
    "q/π of the whole answer (upside down)": _times(lambda c: _answer(-_log_ratio(c), c).exp()),
    "log ρ (the exp is missing)": _times(_log_ratio),
    "-log ρ": _times(lambda c: -_log_ratio(c)),
    "1 + log ρ": _times(lambda c: 1 + _log_ratio(c)),
    "q": _times(lambda c: _log_prob(c, "behavior_log_prob").exp()),
    "1/q": _times(lambda c: (-_log_prob(c, "behavior_log_prob")).exp()),
    "log π / log q (log-probabilities are divided, not subtracted)": _times(
        lambda c: _log_prob(c) / _log_prob(c, "behavior_log_prob")
    ),
    "ρ cut to 1 ± clip": _times(lambda c: _log_ratio(c).exp().clamp(1 - c.fields["clip"], 1 + c.fields["clip"])),
    "ρ cut at 1 + clip": _times(lambda c: _log_ratio(c).exp().clamp_max(1 + c.fields["clip"])),
    "ρ cut at 1": _times(lambda c: _log_ratio(c).exp().clamp_max(1)),
    "ρ, and 0 where PPO's clip is active": lambda w, c: _active(w, c, False),
    "ρ, and 0 outside 1 ± clip whatever the sign of the weight": lambda w, c: _active(w, c, True),
    "ρ, and 0 where PPO's clip should be inactive (max in place of min)": lambda w, c: _active(-w, c, False) * -1,
    "ρ²": _times(lambda c: (2 * _log_ratio(c)).exp()),
    "ρ of the whole answer to the power 1/length": _times(lambda c: (_answer(_log_ratio(c), c) / length(c)).exp()),
    "ρ over its mean in the group (self-normalized)": _times(
        lambda c: share(_answer(_log_ratio(c), c)) * c.rewards.shape[1]
    ),
    "ρ over its mean in the batch (self-normalized)": _times(
        lambda c: over_batch(share)(_answer(_log_ratio(c), c)) * c.rewards.numel()
    ),
}
"""What weights may be multiplied by that depends on who wrote the answers, too."""


def _last(m: Tensor) -> Tensor:
    """The last token that counts, where all later ones do not."""
    after = torch.cat([m[..., 1:], torch.zeros_like(m[..., :1])], -1)
    return m & ~after


def _first(m: Tensor) -> Tensor:
    return torch.arange(m.shape[-1]).eq(0).expand_as(m)


TOKENS: dict[str, Callable[[Tensor], Tensor]] = {
    "every token up to the end token": lambda m: m,
    "all tokens, padding included (the mask is missing)": lambda m: torch.ones_like(m),
    "every token but the last (the end token is dropped)": lambda m: m & ~_last(m),
    "every position but the last (the end token of the longest answers is dropped)": lambda m: (
        m & (torch.arange(m.shape[-1]) < m.shape[-1] - 1)
    ),
    "every token but the first": lambda m: m & ~_first(m),
    "the last token only": _last,
    "the first token only": _first,
    "the padding only (the mask is upside down)": lambda m: ~m,
    "one token too many (the first of the padding)": lambda m: torch.cat([m[..., :1], m[..., :-1]], -1),
}

SAMPLES = "the number of answers, N = B·G"


def _kept(w: Tensor) -> Tensor:
    return (w != 0).sum(1, keepdim=True).clamp_min(1)


SCALARS: dict[str, Callable[[Tensor, Case], Tensor | float]] = {
    "1": lambda w, c: 1.0,
    SAMPLES: lambda w, c: float(w.numel()),
    "the number of prompts, B": lambda w, c: float(w.shape[0]),
    "the group size, G": lambda w, c: float(w.shape[1]),
    "the number of answers kept in the batch": lambda w, c: (w != 0).sum().clamp_min(1),
    "the number of prompts with an answer kept": lambda w, c: (w != 0).any(1).sum().clamp_min(1),
    "G times the number of prompts with an answer kept": lambda w, c: w.shape[1] * (w != 0).any(1).sum().clamp_min(1),
    "N - 1": lambda w, c: float(w.numel() - 1),
    "N² (the 1/N is there twice)": lambda w, c: float(w.numel()) ** 2,
    "B·G² (the 1/G is there twice)": lambda w, c: float(w.numel() * w.shape[1]),
    "B²·G (the 1/B is there twice)": lambda w, c: float(w.numel() * w.shape[0]),
    "√N": lambda w, c: float(w.numel()) ** 0.5,
    "B²": lambda w, c: float(w.shape[0]) ** 2,
    "G²": lambda w, c: float(w.shape[1]) ** 2,
    "G - 1": lambda w, c: float(w.shape[1] - 1),
    "N times the number of answers kept": lambda w, c: w.numel() * (w != 0).sum().clamp_min(1),
    "the sum of the returns": lambda w, c: c.rewards.sum(),
    "the sum of the weights": lambda w, c: w.sum(),
    "the sum of the weights' absolute values": lambda w, c: w.abs().sum(),
    "the number of positive returns": lambda w, c: (c.rewards > 0).sum().clamp_min(1),
    "the number of answers with a positive weight": lambda w, c: (w > 0).sum().clamp_min(1),
    "1/N (you multiply by N)": lambda w, c: 1 / w.numel(),
}
"""What the whole batch may be divided by."""

PER_GROUP: dict[str, Callable[[Tensor, Case], Tensor | float]] = {
    "B times the answers kept of each prompt": lambda w, c: w.shape[0] * _kept(w),
    "the answers kept of each prompt (without B)": lambda w, c: _kept(w),
    "the answers kept of each prompt, times the prompts with one": lambda w, c: (
        (w != 0).any(1).sum().clamp_min(1) * _kept(w)
    ),
    "B times the sum of the weights in each group": lambda w, c: w.shape[0] * w.sum(1, keepdim=True),
    "B times the group's sum of the weights' absolute values": lambda w, c: w.shape[0] * w.abs().sum(1, keepdim=True),
}
"""What each group may be divided by."""

TOKEN_SCALARS: dict[str, Callable[[Tensor, Case], Tensor | float]] = {
    "the number of tokens in the batch": lambda w, c: length(c).sum(),
    "B·G·T, padding included": lambda w, c: float(mask(c).numel()),
    "B·T": lambda w, c: float(w.shape[0] * mask(c).shape[2]),
    "the longest length, T": lambda w, c: float(mask(c).shape[2]),
    "the number of tokens of the answers kept": lambda w, c: (length(c) * (w != 0)).sum().clamp_min(1),
    "N times the mean length": lambda w, c: w.numel() * length(c).double().mean(),
    "N times the number of tokens (two means, one too many)": lambda w, c: w.numel() * length(c).sum(),
}
"""What the whole batch of answers with tokens may be divided by."""

LENGTHS = "N times the length of each answer (a mean over its tokens)"

PER_ANSWER: dict[str, Callable[[Tensor, Case], Tensor | float]] = {
    LENGTHS: lambda w, c: w.numel() * length(c),
    "B times the tokens of each prompt (a mean of means)": lambda w, c: w.shape[0] * length(c).sum(1, keepdim=True),
    "N over the length of each answer (the weight is multiplied by it)": lambda w, c: w.numel() / length(c),
    "N times the square of each length": lambda w, c: w.numel() * length(c) ** 2,
    "N times the square root of each length": lambda w, c: w.numel() * length(c) ** 0.5,
    "N times one less than each length": lambda w, c: w.numel() * (length(c) - 1).clamp_min(1),
    "N times one more than each length": lambda w, c: w.numel() * (length(c) + 1),
    "T times the tokens at each position (first a mean over answers, then over positions)": lambda w, c: (
        mask(c).sum((0, 1)).clamp_min(1) * mask(c).shape[2]
    ),
}
"""What each answer, or each token, may be divided by."""

EVERY = "every answer"

ANSWERS: dict[str, Callable[[Tensor], Tensor]] = {
    EVERY: torch.ones_like,
    "the last group only (what came before is overwritten)": lambda r: _at(r, slice(-1, None), slice(None)),
    "the first group only (a loop ends too early)": lambda r: _at(r, slice(1), slice(None)),
    "all groups but the last": lambda r: _at(r, slice(-1), slice(None)),
    "all groups but the first": lambda r: _at(r, slice(1, None), slice(None)),
    "the last answer of each group only (what came before is overwritten)": lambda r: _at(
        r, slice(None), slice(-1, None)
    ),
    "the first answer of each group only": lambda r: _at(r, slice(None), slice(1)),
    "all answers but the last of each group": lambda r: _at(r, slice(None), slice(-1)),
    "all answers but the first of each group": lambda r: _at(r, slice(None), slice(1, None)),
}
"""Which answers are summed over."""


def _at(r: Tensor, rows: slice, columns: slice) -> Tensor:
    x = torch.zeros_like(r)
    x[rows, columns] = 1
    return x


SCORES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "one-hot minus π": lambda one_hot, pi: one_hot - pi,
    "one-hot alone (π is not subtracted)": lambda one_hot, pi: one_hot,
    "π minus one-hot (its sign is turned)": lambda one_hot, pi: pi - one_hot,
    "one-hot plus π": lambda one_hot, pi: one_hot + pi,
    "-π alone (the one-hot vector is missing)": lambda one_hot, pi: -pi.expand_as(one_hot),
    "one-hot over π (the derivative by the probabilities, not by the logits)": lambda one_hot, pi: one_hot / pi,
    "∇π, not ∇ log π (the score times the probability of the drawn answer)": lambda one_hot, pi: (
        (one_hot - pi) * (one_hot * pi).sum(-1, keepdim=True)
    ),
    "the score over the probability of the drawn answer": lambda one_hot, pi: (
        (one_hot - pi) / (one_hot * pi).sum(-1, keepdim=True)
    ),
    "the score times π, entry by entry": lambda one_hot, pi: (one_hot - pi) * pi,
    "one-hot times 1 - π (the entries of the other answers are missing)": lambda one_hot, pi: one_hot * (1 - pi),
    "one-hot times π": lambda one_hot, pi: one_hot * pi,
    "log π of the drawn answer (its derivative is needed)": lambda one_hot, pi: one_hot * pi.log(),
    "one-hot minus 1/A (the uniform probabilities, not the policy's)": lambda one_hot, pi: one_hot - 1 / len(pi),
    "one-hot minus the frequencies in the batch (not the policy's probabilities)": lambda one_hot, pi: (
        one_hot - one_hot.flatten(0, -2).mean(0)
    ),
    "one-hot minus π²": lambda one_hot, pi: one_hot - pi**2,
    "one-hot minus log π": lambda one_hot, pi: one_hot - pi.log(),
}
