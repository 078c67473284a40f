"""How answers are graded, and what is subtracted: the first two parts of a weight, each with its options.

An option is named by the words that the reader is told. All of them map ``[B, G]`` to ``[B, G]`` or to something
that broadcasts against it; one that makes no sense for a batch gives NaN.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ostrl.exercises.diagnose.cases import Case

Rows = Callable[[Tensor], Tensor]


def over_batch(f: Rows) -> Rows:
    """The same statistic, with the whole batch as one group."""
    return lambda x: f(x.reshape(1, -1)).expand(1, x.numel()).reshape(x.shape)


def over_prompts(f: Rows) -> Rows:
    """The same statistic down the columns: rows and columns mixed up."""
    return lambda x: f(x.T).expand(x.shape[1], x.shape[0]).T


def mean(x: Tensor) -> Tensor:
    """Of each group."""
    return x.mean(1, keepdim=True)


def others(x: Tensor) -> Tensor:
    """The mean of each group's other answers."""
    return (x.sum(1, keepdim=True) - x) / (x.shape[1] - 1) if x.shape[1] > 1 else torch.full_like(x, torch.nan)


def share(x: Tensor) -> Tensor:
    """Softmax over each group."""
    return torch.softmax(x, 1)


def sigma(x: Tensor, correction: int = 1) -> Tensor:
    """The standard deviation of each group."""
    enough = x.shape[1] > correction
    return x.std(1, keepdim=True, correction=correction) if enough else torch.full_like(x[:, :1], torch.nan)


def sigma_g(x: Tensor) -> Tensor:
    """The same, with G under the root."""
    return sigma(x, 0)


def _best(x: Tensor, k: int) -> Tensor:
    top = torch.sort(x, dim=1, descending=True, stable=True).indices[:, :k]
    return torch.zeros_like(x).scatter(1, top, 1.0)


def _no_worse(x: Tensor, k: int) -> Tensor:
    return (x >= x.sort(1, descending=True).values[:, min(k, x.shape[1]) - 1, None]).to(x.dtype)


def of_others(x: Tensor, f: Rows) -> Tensor:
    """A statistic of each answer's group without the answer: ``f`` maps ``[B, G, G - 1]`` to ``[B, G]``."""
    size = x.shape[1]
    if size == 1:
        return torch.full_like(x, torch.nan)
    return f(torch.stack([torch.cat([x[:, :i], x[:, i + 1 :]], 1) for i in range(size)], 1))


def _lengths(c: Case) -> Tensor:
    lengths: Tensor = c.fields["lengths"]
    return lengths.reshape(c.rewards.shape)


def _tokens(c: Case) -> Tensor:
    counts: Tensor = c.fields["mask"].sum(-1)
    return counts.reshape(c.rewards.shape)


def _earlier(x: Tensor) -> Tensor:
    return (x.cumsum(1) - x) / torch.arange(x.shape[1], dtype=x.dtype).clamp_min(1)


def _filter(keep: Callable[[Tensor, Case], Tensor]) -> Callable[[Tensor, Case], Tensor]:
    return lambda r, c: keep(r, c).to(r.dtype)


TIMES_LENGTH, OVER_LENGTH = "R times the length of the answer", "R over the length of the answer"

GRADES: dict[str, Callable[[Tensor, Case], Tensor]] = {
    "the return R": lambda r, c: r,
    "1[R ≥ τ]": _filter(lambda r, c: r >= c.fields["tau"]),
    "1 for the k best of the group": lambda r, c: _best(r, c.fields["k"]),
    "1 for the best of the group": lambda r, c: _best(r, 1),
    "exp(R/β) over its sum in the group": lambda r, c: share(r / c.fields["beta"]),
    "1 for every answer": lambda r, c: torch.ones_like(r),
    "1[R > τ] (answers at τ itself are left out)": _filter(lambda r, c: r > c.fields["tau"]),
    "1[R = τ] (== in place of >=: answers above τ are left out)": _filter(lambda r, c: r == c.fields["tau"]),
    "1[R ≤ τ] (the wrong side)": _filter(lambda r, c: r <= c.fields["tau"]),
    "1[R < τ] (the wrong side)": _filter(lambda r, c: r < c.fields["tau"]),
    "1[R ≥ mean of the group]": _filter(lambda r, c: r >= mean(r)),
    "1[R > mean of the group]": _filter(lambda r, c: r > mean(r)),
    "1[R ≥ mean of the batch]": _filter(lambda r, c: r >= r.mean()),
    "1[R > mean of the batch]": _filter(lambda r, c: r > r.mean()),
    "1[R ≥ median of the group]": _filter(lambda r, c: r >= r.quantile(0.5, dim=1, keepdim=True)),
    "R · 1[R ≥ τ] (the return is still in it)": lambda r, c: r * (r >= c.fields["tau"]),
    "R · 1[R > τ] (the return is still in it)": lambda r, c: r * (r > c.fields["tau"]),
    "R - τ": lambda r, c: r - c.fields["tau"],
    "R - τ where that is positive": lambda r, c: (r - c.fields["tau"]).clamp_min(0),
    "±1, minus for R < τ": lambda r, c: 2.0 * (r >= c.fields["tau"]) - 1,
    "1 for the k best, ties to the latest": lambda r, c: _best(r.flip(1), c.fields["k"]).flip(1),
    "1 for the k best and all that tie with them": lambda r, c: _no_worse(r, c.fields["k"]),
    "1 for the k - 1 best (one too few)": lambda r, c: _best(r, c.fields["k"] - 1),
    "1 for the k + 1 best (one too many)": lambda r, c: _best(r, c.fields["k"] + 1),
    "1 for those that are better than the k-th best": lambda r, c: 1 - _no_worse(-r, len(r.T) - c.fields["k"] + 1),
    "1 for the best and all that tie with it": lambda r, c: _no_worse(r, 1),
    "1 for the best, ties to the latest": lambda r, c: _best(r.flip(1), 1).flip(1),
    "an equal share for the best and all that tie with it": lambda r, c: (
        _no_worse(r, 1) / _no_worse(r, 1).sum(1, keepdim=True)
    ),
    "1 for the k worst of the group (the wrong end)": lambda r, c: _best(-r, c.fields["k"]),
    "1 for the worst of the group (the wrong end)": lambda r, c: _best(-r, 1),
    "1 for the k best of the whole batch": lambda r, c: over_batch(lambda x: _best(x, c.fields["k"]))(r),
    "1 for the k·B best of the whole batch": lambda r, c: over_batch(
        lambda x: _best(x, c.fields["k"] * len(r))
    )(r),
    "1 for the best of the whole batch": lambda r, c: over_batch(lambda x: _best(x, 1))(r),
    "1 for the k best of a column (dim 0, over prompts)": lambda r, c: over_prompts(
        lambda x: _best(x, c.fields["k"])
    )(r),
    "1 for the best of a column (dim 0, over prompts)": lambda r, c: over_prompts(lambda x: _best(x, 1))(r),
    "R for the k best (the return is still in it)": lambda r, c: r * _best(r, c.fields["k"]),
    "R for the best (the return is still in it)": lambda r, c: r * _best(r, 1),
    "exp(R/β) (not divided by its sum)": lambda r, c: (r / c.fields["beta"]).exp(),
    "exp(R/β) over its mean in the group": lambda r, c: share(r / c.fields["beta"]) * r.shape[1],
    "exp(R/β) over its sum in the whole batch": lambda r, c: over_batch(share)(r / c.fields["beta"]),
    "exp(R/β) over its sum down a column (dim 0, over prompts)": lambda r, c: over_prompts(share)(r / c.fields["beta"]),
    "exp(R·β) over its sum (R is multiplied by β, not divided)": lambda r, c: share(r * c.fields["beta"]),
    "exp(-R/β) over its sum": lambda r, c: share(-r / c.fields["beta"]),
    "exp(R) over its sum (without β)": lambda r, c: share(r),
    "exp(R) (without β)": lambda r, c: r.exp(),
    "exp((R - max)/β) (the best weighs 1; not divided by the sum)": lambda r, c: (
        (r - r.amax(1, keepdim=True)) / c.fields["beta"]
    ).exp(),
    "R over the sum of the group": lambda r, c: r / r.sum(1, keepdim=True),
    "R² (the return comes in twice)": lambda r, c: r * r,
    "|R| (without its sign)": lambda r, c: r.abs(),
    "the sign of R": lambda r, c: r.sign(),
    "R where it is positive": lambda r, c: r.clamp_min(0),
    "R cut to the range from 0 to 1": lambda r, c: r.clamp(0, 1),
    "R cut to ±1": lambda r, c: r.clamp(-1, 1),
    "the hyperbolic tangent of R": lambda r, c: r.tanh(),
    TIMES_LENGTH: lambda r, c: r * _tokens(c),
    OVER_LENGTH: lambda r, c: r / _tokens(c),
    "the rank of R in its group": lambda r, c: r.argsort(1).argsort(1).to(r.dtype),
    "1 - R": lambda r, c: 1 - r,
    "1/R": lambda r, c: 1 / r,
    "the group's mean return, the same for all its answers": lambda r, c: mean(r).expand_as(r),
    "the batch's mean return, the same for all answers": lambda r, c: r.mean().expand_as(r),
}

NO_BASELINE, GIVEN, ADDED = "no baseline", "the given one", "the given one, added instead of subtracted"
LENGTHS = "the mean of the whole group weighted by ‖s‖²"
OTHER_LENGTHS = "the mean of the other answers weighted by ‖s‖²"
OWN, OTHERS = "the mean of the whole group", "the mean of the other answers of the group"

BASELINES: dict[str, Callable[[Tensor, Case], Tensor]] = {
    NO_BASELINE: lambda x, c: torch.zeros_like(x),
    OWN: lambda x, c: mean(x),
    OTHERS: lambda x, c: others(x),
    GIVEN: lambda x, c: c.fields["baseline"],
    "the mean of the whole batch": lambda x, c: x.mean(),
    "the mean down a column (dim 0, over prompts, where a group is a row)": lambda x, c: x.mean(0, keepdim=True),
    "the mean of all other answers of the batch": lambda x, c: over_batch(others)(x),
    "the mean of the others down a column (dim 0, over prompts, where a group is a row)": lambda x, c: (
        over_prompts(others)(x)
    ),
    "the mean of another group (of all groups but this one)": lambda x, c: (
        (x.sum() - x.sum(1, keepdim=True)) / (x.numel() - x.shape[1]) if len(x) > 1 else torch.full_like(x, torch.nan)
    ),
    ADDED: lambda x, c: -c.fields["baseline"],
    "the mean of row j in column j (keepdim=True is missing)": lambda x, c: (
        x.mean(1) if x.shape[0] == x.shape[1] else torch.full_like(x, torch.nan)
    ),
    "the group's mean, added instead of subtracted": lambda x, c: -mean(x),
    "the others' mean, added instead of subtracted": lambda x, c: -others(x),
    "the sum of the others over G (not over G - 1)": lambda x, c: (x.sum(1, keepdim=True) - x) / x.shape[1],
    "the sum of the whole group over G - 1 (the own sample is still in the sum)": lambda x, c: (
        x.sum(1, keepdim=True) / (x.shape[1] - 1)
    ),
    "the mean of the group minus the own return over G - 1": lambda x, c: mean(x) - x / (x.shape[1] - 1),
    "the sum of the others (not divided by their number)": lambda x, c: x.sum(1, keepdim=True) - x,
    "the sum of the group (not divided by its size)": lambda x, c: x.sum(1, keepdim=True),
    "the sum of the others over B - 1 (B and G mixed up)": lambda x, c: (
        (x.sum(1, keepdim=True) - x) / (len(x) - 1) if len(x) > 1 else torch.full_like(x, torch.nan)
    ),
    "the sum of the group over B (B and G mixed up)": lambda x, c: x.sum(1, keepdim=True) / len(x),
    "the sum of the batch over N - 1 (the own sample is still in the sum)": lambda x, c: x.sum() / (x.numel() - 1),
    "the sum of all others over N (not over N - 1)": lambda x, c: (x.sum() - x) / x.numel(),
    "the sum of the others over N": lambda x, c: (x.sum(1, keepdim=True) - x) / x.numel(),
    "the median of the group": lambda x, c: x.quantile(0.5, dim=1, keepdim=True),
    "the lower median of the group": lambda x, c: x.median(1, keepdim=True).values,
    LENGTHS: lambda x, c: mean(x * _lengths(c)) / mean(_lengths(c)),
    OTHER_LENGTHS: lambda x, c: others(x * _lengths(c)) / others(_lengths(c)),
    "the median of the others": lambda x, c: of_others(x, lambda rest: rest.quantile(0.5, dim=2)),
    "the lower median of the others": lambda x, c: of_others(x, lambda rest: rest.median(2).values),
    "the worst of the others": lambda x, c: of_others(x, lambda rest: rest.amin(2)),
    "the mean of the previous prompt's group": lambda x, c: mean(x).roll(1, 0),
    "the mean of the next prompt's group": lambda x, c: mean(x).roll(-1, 0),
    "the mean of all but the next answer (indices shifted by one: the own sample stays in)": lambda x, c: (
        others(x).roll(-1, 1)
    ),
    "the mean of all but the previous answer (indices shifted by one: the own sample stays in)": lambda x, c: (
        others(x).roll(1, 1)
    ),
    "the mean over σ (parentheses are missing)": lambda x, c: mean(x) / (sigma(x) + c.fields["eps"]),
    "the mean, not divided by σ (parentheses are missing)": lambda x, c: mean(x) * (sigma(x) + c.fields["eps"]),
    "the median of the batch": lambda x, c: x.quantile(0.5),
    "the lower median of the batch": lambda x, c: x.median(),
    "the best of the group": lambda x, c: x.amax(1, keepdim=True),
    "the worst of the group": lambda x, c: x.amin(1, keepdim=True),
    "the best of the others": lambda x, c: of_others(x, lambda rest: rest.amax(2)),
    "the best of the batch": lambda x, c: x.max(),
    "the worst of the batch": lambda x, c: x.min(),
    "the middle between the best and the worst": lambda x, c: (x.amax(1, keepdim=True) + x.amin(1, keepdim=True)) / 2,
    "a constant, ½": lambda x, c: torch.full_like(x, 0.5),
    "a constant, 1": lambda x, c: torch.ones_like(x),
    "τ": lambda x, c: torch.full_like(x, c.fields["tau"]),
    "the first answer of the group": lambda x, c: x[:, :1],
    "the last answer of the group": lambda x, c: x[:, -1:],
    "a single other answer, the next one": lambda x, c: x.roll(-1, 1),
    "a single other answer, the previous one": lambda x, c: x.roll(1, 1),
    "the mean of the earlier answers only": lambda x, c: _earlier(x),
    "the mean of the answers so far, the own one included": lambda x, c: (
        x.cumsum(1) / torch.arange(1, x.shape[1] + 1, dtype=x.dtype)
    ),
    "half of the mean of the group": lambda x, c: mean(x) / 2,
    "the root mean square of the group": lambda x, c: x.square().mean(1, keepdim=True).sqrt(),
    "the mean of the first G - 1 answers": lambda x, c: x[:, :-1].mean(1, keepdim=True),
    "the mean of all but the first answer": lambda x, c: x[:, 1:].mean(1, keepdim=True),
}
