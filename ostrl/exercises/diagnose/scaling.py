"""What a weight is divided by, and what may happen to it then: the other parts of a weight, each with its options."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ostrl.exercises.diagnose.cases import Case
from ostrl.exercises.diagnose.grading import Rows, mean, of_others, over_batch, over_prompts, share, sigma, sigma_g

NOTHING, SIGMA = "nothing", "the group's standard deviation"

SPREADS: dict[str, Callable[[Tensor, Tensor, Case], Tensor]] = {
    NOTHING: lambda d, x, c: torch.ones_like(x),
    SIGMA: lambda d, x, c: sigma(x),
    "the standard deviation with G, not G - 1, under the root (correction=0)": lambda d, x, c: sigma_g(x),
    "the variance (its square root is missing)": lambda d, x, c: sigma(x) ** 2,
    "the variance, with G in place of G - 1": lambda d, x, c: sigma_g(x) ** 2,
    "the standard deviation of the whole batch": lambda d, x, c: over_batch(sigma)(x),
    "the standard deviation of the whole batch (with N, not N - 1)": lambda d, x, c: over_batch(sigma_g)(x),
    "the standard deviation down a column (dim 0, over prompts)": lambda d, x, c: over_prompts(sigma)(x),
    "the standard deviation down a column (dim 0, with B, not B - 1)": lambda d, x, c: over_prompts(sigma_g)(x),
    "the standard deviation of the group's weights": lambda d, x, c: sigma(d),
    "the standard deviation of the group's weights (with G, not G - 1)": lambda d, x, c: sigma_g(d),
    "the standard deviation of the weights over the batch": lambda d, x, c: over_batch(sigma)(d),
    "the standard deviation of the weights over the batch (with N, not N - 1)": lambda d, x, c: over_batch(sigma_g)(d),
    "the standard error σ/√G": lambda d, x, c: sigma(x) / x.shape[1] ** 0.5,
    "√σ (one square root too many)": lambda d, x, c: sigma(x).sqrt(),
    "the standard deviation of the other answers": lambda d, x, c: of_others(
        x, lambda rest: rest.std(2) if rest.shape[2] > 1 else rest[..., 0] * torch.nan
    ),
    "the standard deviation of the other answers (correction=0)": lambda d, x, c: of_others(
        x, lambda rest: rest.std(2, correction=0)
    ),
    "Σ(R - b)² (neither mean nor root)": lambda d, x, c: d.square().sum(1, keepdim=True),
    "√Σ(R - b)² (the mean under the root is missing)": lambda d, x, c: d.square().sum(1, keepdim=True).sqrt(),
    "the mean absolute difference from the baseline": lambda d, x, c: d.abs().mean(1, keepdim=True),
    "the sum of absolute differences from the baseline": lambda d, x, c: d.abs().sum(1, keepdim=True),
    "the largest absolute difference of the group": lambda d, x, c: d.abs().amax(1, keepdim=True),
    "the largest absolute difference of the batch": lambda d, x, c: d.abs().max(),
    "the range, best minus worst": lambda d, x, c: x.amax(1, keepdim=True) - x.amin(1, keepdim=True),
    "the group's mean": lambda d, x, c: mean(x),
    "the group's sum": lambda d, x, c: x.sum(1, keepdim=True),
    "the root mean square of the returns (not centered there)": lambda d, x, c: x.square().mean(1, keepdim=True).sqrt(),
    "the largest absolute return of the group": lambda d, x, c: x.abs().amax(1, keepdim=True),
    "the largest return of the group": lambda d, x, c: x.amax(1, keepdim=True),
    "√(p(1 - p)), p the group's mean": lambda d, x, c: (mean(x) * (1 - mean(x))).clamp_min(0).sqrt(),
    "p(1 - p), p the group's mean": lambda d, x, c: mean(x) * (1 - mean(x)),
}


MULTIPLIED = {
    "1/σ (that is, multiply by the standard deviation)": SPREADS[SIGMA],
    "1/σ, with G under its root (that is, multiply by the standard deviation)": lambda d, x, c: sigma_g(x),
}
"""Spreads by which is multiplied, not divided."""


def _under_root(eps: float) -> Callable[[Tensor, Case], Tensor]:
    return lambda s, c: (s.square() + eps).sqrt()


def _adding(eps: float) -> Callable[[Tensor, Case], Tensor]:
    return lambda s, c: s + eps


EPSILONS: dict[str, Callable[[Tensor, Case], Tensor]] = {
    "the given one, added to the divisor": lambda s, c: s + c.fields["eps"],
    "missing": lambda s, c: s,
    "under the square root": lambda s, c: (s.square() + c.fields["eps"]).sqrt(),
    "a lower bound (clamp, max)": lambda s, c: s.clamp_min(c.fields["eps"]),
    "squared under the root": lambda s, c: (s.square() + c.fields["eps"] ** 2).sqrt(),
    "1 for groups without spread": lambda s, c: torch.where(s > 1e-12, s, 1.0),
    "subtracted": lambda s, c: s - c.fields["eps"],
    **{f"{eps:g}": _adding(eps) for eps in (1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)},
    **{f"{eps:g} under the square root": _under_root(eps) for eps in (1e-8, 1e-6, 1e-5)},
}

AS_IT_IS = "as it is"

TWISTS: dict[str, Callable[[Tensor, Case], Tensor]] = {
    AS_IT_IS: lambda w, c: w,
    "cut off below 0 (negative ones are dropped)": lambda w, c: w.clamp_min(0),
    "cut off above 0 (positive ones are dropped)": lambda w, c: w.clamp_max(0),
    "taken without their sign": lambda w, c: w.abs(),
    "reduced to their sign": lambda w, c: w.sign(),
    "squared": lambda w, c: w * w,
    "multiplied by the return, which then comes in twice": lambda w, c: w * c.rewards,
    "centered in their group once more": lambda w, c: w - mean(w),
    "centered over the batch": lambda w, c: w - w.mean(),
    "shifted by one answer (each answer has its neighbor's)": lambda w, c: w.roll(-1, 1),
    "shifted by one answer (each answer has its predecessor's)": lambda w, c: w.roll(1, 1),
    "shifted by one prompt (each prompt has the next one's)": lambda w, c: w.roll(-1, 0),
    "shifted by one prompt (each prompt has the previous one's)": lambda w, c: w.roll(1, 0),
    "in transposed order (reshape or view in place of .T)": lambda w, c: w.T.reshape(w.shape),
    "sorted (returns and answers no longer belong together)": lambda w, c: w.sort(1).values,
    "sorted, the best first (returns and answers no longer belong together)": lambda w, c: (
        w.sort(1, descending=True).values
    ),
    "in reverse order": lambda w, c: w.flip(1),
    "summed up along the group": lambda w, c: w.cumsum(1),
    "averaged over the group": lambda w, c: mean(w).expand_as(w),
    "averaged over the batch": lambda w, c: w.mean().expand_as(w),
    "cut to ±1": lambda w, c: w.clamp(-1, 1),
    "put through a softmax over the group": lambda w, c: share(w),
    "exponentiated": lambda w, c: w.exp(),
}

ROWS = "one group for each prompt"

GROUPINGS: dict[str, Rows] = {
    ROWS: lambda r: r,
    "one group, the whole batch": lambda r: r.reshape(1, -1),
    "one group for each column (dim 0, over prompts)": lambda r: r.T,
    "groups of the wrong answers (reshape to [G, B] in place of [B, G])": lambda r: r.reshape(r.shape[::-1]),
    "pairs of answers": lambda r: r.reshape(-1, 2) if r.numel() % 2 == 0 else torch.full_like(r, torch.nan),
    "two halves of the group": lambda r: (
        r.reshape(2 * len(r), -1) if r.shape[1] % 2 == 0 else torch.full_like(r, torch.nan)
    ),
}
"""How returns are cut into groups before they are weighed."""


def ungrouped(w: Tensor, r: Tensor, grouping: str) -> Tensor:
    """Weights of regrouped returns, back in the order of the returns."""
    return w.T if "column" in grouping else w.reshape(r.shape)
