"""Whether a method is a row of the table in other words."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ostrl.batch import Batch
from ostrl.estimates import coefficients
from ostrl.exact.enumeration import moments
from ostrl.exact.problems import Problem
from ostrl.labeling import Labeler
from ostrl.methods import METHODS, Method

_SIZES = (5, 7)  # prompts of the batches on which methods are compared: a factor of B shows as 5, then 7
_TOLERANCE = 1e-9


def coincides(
    method: Method, means: list[Tensor], problems: list[Problem], group_size: int, num_prompts: int
) -> str:
    """The row of ``METHODS`` with the same w/Z, up to a factor, on random batches from every problem, in words.

    ``"rloo"``, ``"0.75 x rloo"``, ``"nearly grpo (within 0.02 %)"``, or ``""`` where there is none. Of several rows
    that it is a multiple of, the one is named whose factor has a meaning, such as B·G for a forgotten mean. What
    random batches suggest is checked on the exact means, those of the method on each problem being given: a rare group
    may tell two methods apart.
    """
    piles = {size: [_pile(problem.labeled(method).label, problem, group_size, size) for problem in problems]
             for size in _SIZES}  # fmt: skip
    mine = _on(method, piles)
    if not any(bool(part.any()) for part in mine[0]):
        return ""
    slots = method.label.sources(group_size)
    found: list[tuple[int, int, float, str]] = []
    for row in METHODS.values():
        if row.label.sources(group_size) != slots:
            continue
        try:
            fits = [_fit(m, t) for m, t in zip(mine, _on(row, piles), strict=True)]
        except ValueError:  # a row that has no estimate for groups of this size
            continue
        factors, off = [fit[0] for fit in fits], max(fit[1] for fit in fits)
        tolerance = max(10 * off, _TOLERANCE)
        if off > 0.02 or not _same_means(means, row, problems, group_size, num_prompts, tolerance):
            continue
        times, meant = _factor(factors, group_size)
        if off < _TOLERANCE and not times:
            return row.name
        if off < _TOLERANCE:
            found.append((0 if meant else 1, 0, off, f"{times} x {row.name}"))
        else:
            close = all(abs(factor - 1) < 5e-3 for factor in factors)
            named = row.name if close or not times else f"{times} x {row.name}"
            found.append((2, 0 if close else 1, off, f"nearly {named} (within {100 * off:.1g} %)"))
    return min(found, key=lambda match: match[:3])[3] if found else ""


def _pile(label: Labeler, problem: Problem, group_size: int, num_prompts: int) -> Batch:
    """The random batches of one problem, the same for every method."""
    generator = torch.Generator(problem.task.rewards.device).manual_seed(0)
    return label.sample(problem.policy, problem.task, 32 * num_prompts, group_size, generator)


def _on(method: Method, piles: dict[int, list[Batch]]) -> list[list[Tensor]]:
    """``w / Z`` on the random batches: size by size, and problem by problem."""
    return [[coefficients(method, pile, size).flatten().double().cpu() for pile in row] for size, row in piles.items()]


def _fit(mine: list[Tensor], theirs: list[Tensor]) -> tuple[float, float]:
    """The factor between two, and how far off they are then, relative to the largest; infinity where one is zero."""
    pairs = [(m, t) for m, t in zip(mine, theirs, strict=True) if bool(m.any()) or bool(t.any())]
    if not all(bool(m.any()) and bool(t.any()) for m, t in pairs):
        return 1.0, math.inf
    factor = sum(float(m @ t / (t @ t)) for m, t in pairs) / len(pairs)
    return factor, max(float((m - factor * t).abs().max() / m.abs().max()) for m, t in pairs)


def _same_means(
    means: list[Tensor], row: Method, problems: list[Problem], group_size: int, num_prompts: int, tolerance: float
) -> bool:
    """Whether the exact means are those of the row times one factor for all problems."""
    pairs = []
    for mine, problem in zip(means, problems, strict=True):
        found = moments(row, problem.policy, problem.task, group_size, num_prompts, covariance=False)
        scale = float(problem.task.rewards.abs().max())
        pairs.append((mine.double().cpu(), found.mean.double().cpu(), max(scale, float(found.mean.norm()))))
    square = sum(float(t @ t) / unit**2 for _, t, unit in pairs)
    factor = sum(float(m @ t) / unit**2 for m, t, unit in pairs) / square if square > 0 else 1.0
    return all(float((m - factor * t).norm()) <= tolerance * max(1.0, abs(factor)) * unit for m, t, unit in pairs)


def _factor(factors: list[float], group_size: int) -> tuple[str, bool]:
    """A factor in words, ``""`` for 1, and whether it has a meaning beyond its number.

    B is given its name, since the factor changes with the number of prompts; G is the reader's own number.
    """
    if all(abs(factor - 1) < _TOLERANCE for factor in factors):
        return "", True
    for power, text in ((1, "B"), (-1, "1/B")):
        parts = [factor / size**power for factor, size in zip(factors, _SIZES, strict=True)]
        if abs(parts[0] / parts[1] - 1) < 1e-6:
            part = parts[0]
            if abs(abs(part) - 1) < 1e-6:
                return ("-" if part < 0 else "") + text, True
            if abs(abs(part) / float(group_size) ** power - 1) < 1e-6:
                return ("-" if part < 0 else "") + ("B·G" if power == 1 else "1/(B·G)"), True
            return f"{part:.4g}·B" if power == 1 else f"{part:.4g}/B", False
    factor = factors[0]
    meant = any(abs(abs(factor) / value - 1) < _TOLERANCE for value in (1, group_size, 1 / group_size))
    return f"{factor:.4g}", meant
