"""Puts a diagnosis into one sentence: what was seen, and what may be the cause."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ostrl.exercises.diagnose import grading, parts, scaling, search
from ostrl.exercises.diagnose.calling import Door
from ostrl.exercises.diagnose.cases import Case
from ostrl.exercises.diagnose.facts import UNBIASED
from ostrl.exercises.diagnose.grammar import Point
from ostrl.exercises.diagnose.search import Match

Triples = Sequence[tuple[Case, Tensor, Tensor]]
"""Batch, the reader's output, the right one."""

QUESTIONS = {
    "grade": "is the weight {mine}, where {right} is asked for",
    "baseline": "is your baseline {mine}, where {right} is asked for",
    "spread": "do you divide by {mine}, where {right} is asked for",
    "eps": "is ε {mine}, where it should be {right}",
    "detach": "is a detach missing, so that a gradient flows through the weights",
    "ratio": "do you multiply by {mine}, where {right} is asked for",
    "tokens": "do you count {mine}, where {right} is asked for",
    "normalizer": "is Z {mine}, where {right} is asked for",
    "score": "is your score {mine}, where {right} is asked for",
    "twist": "are your weights {mine}",
    "grouping": "are returns compared within {mine}, where it should be {right}",
    "answers": "do you sum over {mine}",
}
"""What is asked about a part that differs."""

MISSING = {
    "baseline": (
        grading.NO_BASELINE,
        "is the baseline missing (it should be {right})",
        "do you subtract {mine}, where no baseline is asked for",
    ),
    "spread": (
        scaling.NOTHING,
        "is the division by {right} missing",
        "do you divide by {mine}, which is not asked for",
    ),
    "eps": ("missing", "is ε missing", "is there an ε too many"),
    "ratio": (parts.NO_RATIO, "is the factor {right} missing", "do you multiply by {mine}, which is not asked for"),
    "normalizer": ("1", "is the 1/Z missing, with Z = {right}", "do you divide by {mine}, which is not asked for"),
}
"""A part's option that stands for nothing: what is asked if the reader has it, and if the right one has it."""

KNOWN = {
    ("baseline", grading.OTHERS, grading.OWN): "is the own sample in your baseline",
    ("baseline", grading.OTHER_LENGTHS, grading.LENGTHS): "is the own sample in your baseline",
    ("normalizer", parts.SAMPLES, "1"): "is the 1/N missing (N = B·G, all answers)",
}
"""Better words for frequent ones, by part, right option and the reader's."""


def sentence(
    door: Door, near: Point, there: Match | None, triples: Triples, average: Sequence[str], facts: Sequence[str]
) -> str:
    """The diagnosis: what was seen, then questions about the cause, or more facts where none is known."""
    if there is None:
        return "; ".join([seen(triples), *average, *facts]) + "."
    questions = [
        _question(part, right, there.point[part])
        for part, right in near.items()
        if right != there.point[part] and not (part == "eps" and near["spread"] == scaling.NOTHING)
    ]
    if there.turned:
        uphill = "is the loss's minus sign missing, or there twice (an optimizer goes downhill), or the ratio inverted"
        questions.append(uphill if door.name == "loss" else "is a sign turned around")
    if there.factor != "1":
        questions.append(f"is there a factor of {there.factor} too many{_hard_coded(there.factor)}")
    if triples[0][0].flat:
        questions = [q.replace("whole group", "batch").replace("of the group", "of the batch") for q in questions]
    fact = seen(triples)
    if average:
        fact = average[0] if average[0].startswith(UNBIASED) else f"{fact} ({average[0]})"
    return f"{fact}: {', and '.join(questions)}?"


def _hard_coded(factor: str) -> str:
    """A number times ``1 - 1/G`` is what remains of ``G/(G - 1)`` with a number in the place of G."""
    number, _, rest = factor.partition(" times ")
    if rest != "1 - 1/G":
        return ""
    size = round(float(number) / (float(number) - 1)) if float(number) > 1 else 0
    return f" (is G = {size} hard-coded)" if size > 1 and abs(size / (size - 1) - float(number)) < 1e-3 else ""


def _question(part: str, right: str, mine: str) -> str:
    if (part, right, mine) in KNOWN:
        return KNOWN[part, right, mine]
    nothing, lacking, extra = MISSING.get(part, ("", "", ""))
    pattern = lacking if mine == nothing else extra if right == nothing else QUESTIONS[part]
    return pattern.format(mine=mine, right=right)


def seen(triples: Triples) -> str:
    """How the outputs are related to the right ones."""
    wrong = [t for t in triples if not search.close(t[1], t[2], t[0])]
    kinds = list(dict.fromkeys(case.kind for case, _, _ in wrong))
    if "" not in kinds:
        return f"right, except on batches with {', '.join(kinds)}"
    known = parallel(triples)
    if not known:
        return f"different from the right answer on {len(wrong)} of {len(triples)} batches"
    if all(abs(f + 1) < 1e-4 for _, f in known):
        return "of the right length on every batch, but it points the other way"
    case, f = next((pair for pair in known if abs(pair[1] - 1) > 2e-5), known[0])
    b, g = case.rewards.shape
    sizes = f"N = {g}" if case.flat else f"B = {b}, G = {g}"
    long = f"{abs(f):.6g} of its length" if abs(f) < 1 else f"{abs(f):.6g} times as long"
    return f"{'parallel' if f > 0 else 'opposite'} to the right answer on every batch, but {long} (with {sizes})"


def parallel(triples: Triples) -> list[tuple[Case, float]]:
    """By what the right outputs are multiplied in the reader's on each batch, if they are parallel on all of them."""
    factors = [(case, search.factor_of(got, want, case)) for case, got, want in triples]
    known = [(case, f) for case, f in factors if f is not None]
    one_way = len({f < 0 for _, f in known}) == 1
    return known if one_way and all(abs(f) > 1e-9 for _, f in known) else []
