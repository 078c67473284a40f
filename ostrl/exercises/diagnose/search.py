"""Finds the estimator that outputs come from: the nearest point of the grammar."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ostrl.exercises.diagnose import grading, parts, scaling
from ostrl.exercises.diagnose.calling import Door
from ostrl.exercises.diagnose.cases import Case
from ostrl.exercises.diagnose.grammar import FLOWS, PARTS, PLAIN, RIGHT, RIGHTS, SCALARS, Point, output, weight

Changes = Mapping[str, Sequence[Point]]
"""What may be changed, by the part's name; a change may set the options of two parts that belong together."""

Outputs = Sequence[tuple[Case, Tensor]]

STARTS: tuple[Point, ...] = (
    {},
    {"baseline": grading.OTHERS},
    {"baseline": grading.OWN},
    {"baseline": grading.OWN, "spread": scaling.SIGMA},
    {"grade": "1[R ≥ τ]", "normalizer": "the number of answers kept in the batch"},
    {"grade": "1[R ≥ τ]", "normalizer": "B times the answers kept of each prompt"},
    {"grade": "1 for the k best of the group", "normalizer": "the number of prompts, B"},
    {"grade": "exp(R/β) over its sum in the group", "normalizer": "the number of prompts, B"},
    {"baseline": grading.OTHERS, "ratio": "ρ = π/q"},
)
"""Where the search for the right one begins: rows of the book's table."""

FACTORS: dict[str, Callable[[int, int], float]] = {
    "2": lambda b, g: 2,
    "½": lambda b, g: 0.5,
    "G/(G - 1)": lambda b, g: g / max(g - 1, 1),
    "1 - 1/G": lambda b, g: 1 - 1 / g,
    "N/(N - 1)": lambda b, g: b * g / max(b * g - 1, 1),
    "1 - 1/N": lambda b, g: 1 - 1 / (b * g),
    "N": lambda b, g: b * g,
    "1/N": lambda b, g: 1 / (b * g),
    "G": lambda b, g: g,
    "1/G": lambda b, g: 1 / g,
    "B": lambda b, g: b,
    "1/B": lambda b, g: 1 / b,
    "G - 1": lambda b, g: g - 1,
    "1/(G - 1)": lambda b, g: 1 / max(g - 1, 1),
    "√G": lambda b, g: g**0.5,
    "1/√G": lambda b, g: g**-0.5,
}
"""Factors that are recognized by name, as functions of B and G."""


@dataclass(frozen=True)
class Match:
    """A point, and what is left over: a factor (a number, or its name) and a turned sign. Cheap ones are likely."""

    point: Point
    factor: str
    turned: bool
    cost: float


FREQUENT = (("baseline", "spread"), ("spread", "eps"), ("tokens", "normalizer"), ("baseline", "normalizer"))
"""Pairs of parts that often go wrong together."""

BUDGET = 6000
"""After how many points a search for two changes ends; it counts, so that it finds the same on every machine."""


def close(got: Tensor, want: Tensor, case: Case, loose: float = 1.0) -> bool:
    """Whether two outputs agree, to what float32 arithmetic inside the reader's function allows."""
    scale = float(want.abs().max())
    tol = 1e-5 * scale + 3e-7 * float(case.rewards.abs().max()) * min(1.0, scale + 1e-3) + 1e-12
    return got.shape == want.shape and bool(((got - want).abs() <= loose * tol).all())


def factor_of(got: Tensor, want: Tensor, case: Case, loose: float = 1.0) -> float | None:
    """The number that ``want`` is multiplied by in ``got``; NaN if there is none, ``None`` if both are zero."""
    square = float((want * want).sum())
    if not math.isfinite(square) or got.shape != want.shape:
        return None if case.kind in ("a single prompt", "groups of two") else math.nan
    if square < 1e-16:
        return None if close(got, torch.zeros_like(got), case) else math.nan
    factor = float((got * want).sum()) / square
    return factor if close(got, factor * want, case, loose) else math.nan


def starts(door: Door) -> Sequence[Point]:
    """The points of ``STARTS``, at a door: weights are not divided, and answers with tokens perhaps by their length."""
    first = {**PLAIN, "normalizer": parts.SAMPLES}
    if door.name == "weights":
        return [{**first, **start, "normalizer": "1"} for start in STARTS]
    points = [{**first, **start} for start in STARTS]
    by_length = [{**point, "normalizer": parts.LENGTHS} for point in points]
    return points + (by_length if "mask" in door.inputs else [])


def changes_from(near: Point, door: Door) -> Changes:
    """The changes that can make a difference at a door. What the whole batch is divided by is found as a factor."""
    options = {part: [o for o in PARTS[part] if o != near[part]] for part in PARTS}
    scalars = [o for o in SCALARS if o != parts.SAMPLES or near["normalizer"] in SCALARS]
    options["normalizer"] = [o for o in options["normalizer"] if o not in scalars]
    if door.name != "estimator":
        options["score"] = []
    if near["spread"] == scaling.NOTHING:
        options["eps"] = []
    if "behavior_log_prob" not in door.inputs:
        options["ratio"] = [o for o in options["ratio"] if o in parts.POWERS] if door.name == "loss" else []
    if "mask" not in door.inputs:
        options["tokens"] = []
        options["normalizer"] = [o for o in options["normalizer"] if o not in parts.PER_ANSWER]
        options["ratio"] = [o for o in options["ratio"] if "whole answer" not in o]
    if "baseline" not in door.inputs:
        options["baseline"] = [o for o in options["baseline"] if o not in (grading.GIVEN, grading.ADDED)]
    if near["grade"] == RIGHT:
        options |= {"grade": [name for name in RIGHTS if name != RIGHT], "baseline": [], "grouping": []}
    if "mask" not in door.inputs:
        options["grade"] = [o for o in options["grade"] if o not in (grading.TIMES_LENGTH, grading.OVER_LENGTH)]
    if "tau" not in door.inputs:
        options["baseline"] = [o for o in options["baseline"] if o != "τ"]
    if "lengths" not in door.inputs:
        lengths = (grading.LENGTHS, grading.OTHER_LENGTHS)
        options["baseline"] = [o for o in options["baseline"] if o not in lengths]
    changes: dict[str, list[Point]] = {part: [{part: o} for o in some] for part, some in options.items()}
    if door.name != "loss" or near["ratio"] == parts.NO_RATIO:
        changes["detach"] = []
    if door.name == "loss" and near["ratio"] == parts.NO_RATIO:
        changes["ratio"] += [{"ratio": o, "detach": FLOWS} for o in options["ratio"]]
    return changes


def neighbors(near: Point, changes: Changes, depth: int) -> Iterator[tuple[int, Point]]:
    """All points that differ by at most ``depth`` changes, nearest first, and of pairs the frequent ones."""
    for distance in range(depth + 1):
        together = list(itertools.combinations([name for name, some in changes.items() if some], distance))
        if distance > 1:
            together.sort(key=lambda some: 0 if some in FREQUENT else math.prod(len(changes[name]) for name in some))
        for names in together:
            for picked in itertools.product(*(changes[name] for name in names)):
                yield distance, dict(itertools.chain(near.items(), *(change.items() for change in picked)))


def locate(outputs: Outputs, door: Door, near: Point, depth: int) -> Match | None:
    """The nearest point whose outputs are the given ones, up to a factor with a name."""
    best: Match | None = None
    spent = 0
    case, got = max(outputs, key=lambda pair: (bool(pair[1].any()), not pair[0].kind, pair[0].rewards.numel()))
    for distance, point in neighbors(near, changes_from(near, door), depth):
        if best is not None and distance >= best.cost - (0.7 if distance > 1 else 0):
            break
        spent += 8 if point["detach"] == FLOWS else 1  # backward() takes its time
        if distance > 1 and spent > BUDGET:
            break
        rough = factor_of(got, output(point, case, door), case, loose=3e3)  # so loose that no ε matters
        if rough is None or math.isnan(rough):
            continue
        spent += len(outputs)
        new_spread = near["spread"] == scaling.NOTHING != point["spread"]
        for eps in scaling.EPSILONS if new_spread else [point["eps"]]:
            match = _leftover(outputs, door, {**point, "eps": eps}, distance)
            if match is not None and (best is None or match.cost < best.cost):
                best = match
    return best


def _leftover(outputs: Outputs, door: Door, point: Point, distance: int) -> Match | None:
    """The factor between the outputs and those of a point, as another Z or by its name."""
    factors = []
    for case, got in outputs:
        factor = factor_of(got, output(point, case, door), case)
        if factor is not None and (math.isnan(factor) or abs(factor) < 1e-9):
            return None
        factors.append(factor)
    known = [(case, f) for (case, _), f in zip(outputs, factors, strict=True) if f is not None]
    if not known:
        return None
    near_z, ws = PARTS["normalizer"][point["normalizer"]], [weight(point, case) for case, _ in known]
    scalars = SCALARS if "mask" in known[0][0].fields else parts.SCALARS
    for turned in (False, True):
        signed = [(case, -f if turned else f) for case, f in known]
        cost = distance + 0.5 * turned
        if _same(signed, [1.0] * len(signed)):
            return Match(point, "1", turned, cost)
        for name, z in scalars.items():
            ratios = (near_z(w, case) / z(w, case) for w, (case, _) in zip(ws, signed, strict=True))
            if _same(signed, (float(r) if torch.as_tensor(r).numel() == 1 else math.nan for r in ratios)):
                return Match({**point, "normalizer": name}, "1", turned, cost + 0.95)
        named = name_factor(signed) if signed[0][1] > 0 else None
        if named:
            return Match(point, named, turned, cost + (2.0 if named in FACTORS else 2.05))
    return None


def name_factor(known: Sequence[tuple[Case, float]]) -> str | None:
    """The name of a factor that is known on several batches: one of ``FACTORS``, a number, or a number times one."""
    shapes = {name: [rule(*case.rewards.shape) for case, _ in known] for name, rule in FACTORS.items()}
    first = known[0][1]
    for name, factors in shapes.items():
        if _same(known, factors):
            return name
    if _same(known, [first] * len(known)):
        return f"{first:.6g}"
    for name, factors in shapes.items():
        if len(set(factors)) > 2 and _same(known, [first / factors[0] * factor for factor in factors]):
            return f"{first / factors[0]:.4g} times {name}"
    return None


def _same(known: Sequence[tuple[Case, float]], factors: Iterable[float]) -> bool:
    return all(abs(f - g) <= 2e-5 * abs(g) for (_, f), g in zip(known, factors, strict=True))


def leftover(outputs: Outputs, wants: Sequence[Tensor]) -> Match | None:
    """A common factor alone."""
    factors = [(case, factor_of(got, want, case)) for (case, got), want in zip(outputs, wants, strict=True)]
    known = [(case, f) for case, f in factors if f is not None]
    turned = len(known) > 0 and known[0][1] < 0
    if any(math.isnan(f) or abs(f) < 1e-9 or (f < 0) != turned for _, f in known):
        return None
    name = "1" if _same(known, [-1.0] * len(known)) else name_factor([(case, abs(f)) for case, f in known])
    return Match({}, name, turned, 0.0) if name and known else None


def home(outputs: Outputs, door: Door) -> Point | None:
    """Where in the grammar the right estimator is, if it is in it."""
    for depth in (0, 1):
        for start in starts(door):
            match = locate(outputs, door, start, depth)
            if match is not None and match.factor == "1" and not match.turned:
                return match.point
    return None
