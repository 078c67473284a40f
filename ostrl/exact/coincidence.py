"""Whether a method is a row of the table in other words."""

from __future__ import annotations

import torch
from torch import Tensor

from ostrl.estimates import coefficients
from ostrl.exact.problems import Problem
from ostrl.methods import METHODS, Method

_PROMPTS = 5  # of the batches on which methods are compared: no likely group size, and no factor of one


def coincides(method: Method, problems: list[Problem], group_size: int) -> str:
    """The row of ``METHODS`` with the same w/Z, up to a factor, on random batches from every problem, in words.

    ``"rloo"``, ``"0.75 x rloo"``, ``"nearly grpo (within 0.02 %)"``, or ``""`` where there is none. Of several rows
    that it is a multiple of, the one is named whose factor has a meaning, such as B·G for a forgotten mean.
    """
    mine = _samples(method, problems, group_size)
    if not any(bool(part.any()) for part in mine):
        return ""
    found: list[tuple[int, float, str]] = []
    for row in METHODS.values():
        if row.label != method.label:
            continue
        try:
            theirs = _samples(row, problems, group_size)
        except ValueError:  # a row that has no estimate for groups of this size
            continue
        pairs = [(m, t) for m, t in zip(mine, theirs, strict=True) if bool(m.any()) or bool(t.any())]
        if not all(bool(m.any()) and bool(t.any()) for m, t in pairs):
            continue
        factor = sum(float(m @ t / (t @ t)) for m, t in pairs) / len(pairs)
        off = max(float((m - factor * t).abs().max() / m.abs().max()) for m, t in pairs)
        if off < 1e-9 and abs(factor - 1) < 1e-9:
            return row.name
        if off < 1e-9:
            name = _factor(factor, group_size)
            found.append((0 if name else 1, off, f"{name or format(factor, '.4g')} x {row.name}"))
        elif off < 0.02:
            times = "" if abs(factor - 1) < 5e-3 else f"{factor:.4g} x "
            found.append((2, off, f"nearly {times}{row.name} (within {100 * off:.1g} %)"))
    return min(found, key=lambda match: match[:2])[2] if found else ""


def _factor(factor: float, group_size: int) -> str:
    """In words, a factor that has a meaning; ``""`` for one that has none.

    B is given its name, since the factor changes with the number of prompts; G is the reader's own number.
    """
    names = {"B·G": _PROMPTS * group_size, "B": _PROMPTS, f"{group_size}": group_size, "1": 1}
    inverse = {"B·G": "1/(B·G)", "B": "1/B", f"{group_size}": f"{1 / group_size:.4g}", "1": "1"}
    minus = "-" if factor < 0 else ""
    for name, value in names.items():
        if abs(abs(factor) / value - 1) < 1e-9:
            return minus + name
        if abs(abs(factor) * value - 1) < 1e-9:
            return minus + inverse[name]
    return ""


def _samples(method: Method, problems: list[Problem], group_size: int) -> list[Tensor]:
    """``w / Z`` on the same random batches, problem by problem."""
    parts = []
    for problem in problems:
        generator = torch.Generator(problem.task.rewards.device).manual_seed(0)
        label = problem.labeled(method).label
        pile = label.sample(problem.policy, problem.task, 32 * _PROMPTS, group_size, generator)
        parts.append(coefficients(method, pile, num_prompts=_PROMPTS).flatten().double().cpu())
    return parts
