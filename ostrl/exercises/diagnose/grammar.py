"""Estimators as points of a grammar.

A point names an option of every part; the coefficient of ``∇ log π`` at a point is ``(grade - baseline) / spread``,
perhaps twisted, times a ratio, on some answers and tokens, over Z. A right and a wrong estimator are two points, and
a diagnosis is the parts in which they differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ostrl.exercises.diagnose import grading, parts, scaling
from ostrl.exercises.diagnose.calling import Door
from ostrl.exercises.diagnose.cases import Case

Point = Mapping[str, str]
"""The option of every part, by the part's name."""

HELD, FLOWS = "held constant", "part of the graph"
RIGHT, POOLED, TURNED = RIGHTS = (
    "the right weight",
    "the right weight with the whole batch as one group",
    "the right weight with rows and columns mixed up (dim 0, over prompts)",
)
"""Grades for a right estimator that is not in the grammar; a batch knows them as fields."""

SCALARS = parts.SCALARS | parts.TOKEN_SCALARS

PARTS: dict[str, Mapping[str, Any]] = {
    "grade": grading.GRADES,
    "baseline": grading.BASELINES,
    "spread": scaling.SPREADS | scaling.MULTIPLIED,
    "eps": scaling.EPSILONS,
    "detach": {HELD: None, FLOWS: None},
    "ratio": parts.POWERS | parts.RATIOS,
    "tokens": parts.TOKENS,
    "normalizer": SCALARS | parts.PER_GROUP | parts.PER_ANSWER,
    "score": parts.SCORES,
    "twist": scaling.TWISTS,
    "grouping": scaling.GROUPINGS,
    "answers": parts.ANSWERS,
}
"""Every part's options, the plain one first. Where two explain the same, the earlier part wins."""

PLAIN = {part: next(iter(options)) for part, options in PARTS.items()}


def weight(point: Point, case: Case) -> Tensor:
    """``(grade - baseline) / spread``, twisted: ``[B, G]``."""
    grade, grouping = point["grade"], point["grouping"]
    if grouping != scaling.ROWS:
        if point["baseline"] in (grading.GIVEN, grading.ADDED):
            return torch.full_like(case.rewards, torch.nan)
        cut = scaling.GROUPINGS[grouping]
        lengths = cut(case.fields["lengths"].reshape(case.rewards.shape))
        regrouped = case.with_fields(rewards=cut(case.rewards), lengths=lengths)
        return scaling.ungrouped(weight({**point, "grouping": scaling.ROWS}, regrouped), case.rewards, grouping)
    x = case.fields[grade] if grade in RIGHTS else grading.GRADES[grade](case.rewards, case)
    d = x - grading.BASELINES[point["baseline"]](x, case)
    if point["spread"] != scaling.NOTHING:
        spread = scaling.EPSILONS[point["eps"]](PARTS["spread"][point["spread"]](d, x, case), case)
        d = d * spread if point["spread"] in scaling.MULTIPLIED else d / spread
    return scaling.TWISTS[point["twist"]](d, case)


def coefficient(point: Point, case: Case) -> Tensor:
    """``w / Z`` at a point: ``[B, G]``, or ``[B, G, T]`` where there are tokens."""
    if point["detach"] == FLOWS:
        return _with_gradient_through(point, case)
    w = weight(point, case)
    z = PARTS["normalizer"][point["normalizer"]](w, case)
    c: Tensor = PARTS["ratio"][point["ratio"]](w * parts.ANSWERS[point["answers"]](w), case)
    if "mask" in case.fields:
        mask = parts.mask(case)
        c = parts.spread(c, mask) * parts.TOKENS[point["tokens"]](mask)
        z = parts.spread(z, mask) if isinstance(z, Tensor) else z
    return c / z


def _with_gradient_through(point: Point, case: Case) -> Tensor:
    leaf = case.fields["log_prob"].detach().clone().requires_grad_()
    with torch.enable_grad():
        c = coefficient({**point, "detach": HELD}, case.with_fields(log_prob=leaf))
        total = (c * leaf.reshape(c.shape)).sum()
    return torch.autograd.grad(total, leaf)[0].reshape(c.shape)


def output(point: Point, case: Case, door: Door) -> Tensor:
    """What a function at this point gives at one of the doors."""
    c = coefficient(point, case)
    if door.name != "estimator":
        return c
    pi, actions = case.fields["probs"], case.fields["actions"].reshape(case.rewards.shape)
    one_hot = torch.eye(len(pi), dtype=pi.dtype)[actions]
    return (c[..., None] * parts.SCORES[point["score"]](one_hot, pi)).sum((0, 1))


def unknown(door: Door) -> Point:
    """The point of a right estimator that is not in the grammar."""
    return {**PLAIN, "grade": RIGHT, "normalizer": parts.SAMPLES if door.name == "loss" else "1"}
