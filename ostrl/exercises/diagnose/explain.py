"""From outputs that differ to a sentence: the cause if one is found, facts otherwise."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from ostrl.exercises.diagnose import facts, grammar, search
from ostrl.exercises.diagnose.calling import Door, Function, Mistake
from ostrl.exercises.diagnose.cases import Case
from ostrl.exercises.diagnose.facts import Triple
from ostrl.exercises.diagnose.grammar import Point
from ostrl.exercises.diagnose.search import Match, Outputs
from ostrl.exercises.diagnose.words import parallel, sentence


def explain(door: Door, answer: Function, rights: Sequence[Function], triples: Sequence[Sequence[Triple]]) -> str:
    """The diagnosis, by the cause that is nearest to one of the right functions.

    Args:
        door: where the reader's function came in.
        answer: the reader's function.
        rights: functions that are right.
        triples: for each of them, batches, the reader's outputs and the right ones.
    """
    if all(float(got.abs().max()) < 1e-9 for _, got, _ in triples[0]):
        cancel = "does log_prob cancel, or " if door.name == "loss" else ""
        return f"zero on every batch: {cancel}do the weights vanish?"
    depth = 2 if len(rights) == 1 else 1
    causes = [_cause(door, right, some, depth) for right, some in zip(rights, triples, strict=True)]
    costs = [there.cost if there else 9.0 for _, there in causes]
    nearest = costs.index(min(costs))
    (near, there), right, some = causes[nearest], rights[nearest], triples[nearest]
    if there is None and len(rights) > 1:
        return explain(door, answer, rights[:1], triples[:1])
    ordinary = next((triple for triple in some if not triple[0].kind), some[0])
    average = [] if parallel(some) else facts.on_average(door, answer, right, ordinary[0])
    more: list[str] = []
    if there is None:
        more += itertools.islice(facts.properties(door, answer, right, ordinary), 2)
        more.append(facts.smallest(some, door.inputs))
    return sentence(door, near, there, some, average, more)


def _cause(door: Door, right: Function, triples: Sequence[Triple], depth: int) -> tuple[Point, Match | None]:
    """The points of the right function and of the reader's."""
    outputs: Outputs = [(case, got) for case, got, _ in triples]
    near = search.home([(case, want) for case, _, want in triples], door)
    if near is None and door.name != "estimator":  # its mutations can still be recognized
        near = grammar.unknown(door)
        outputs = [(_knowing(door, right, case, want), got) for case, got, want in triples]
        wants = [want for _, _, want in triples]
        if not all(search.close(grammar.output(near, c, door), w, c) for (c, _), w in zip(outputs, wants, strict=True)):
            near = None
    if near is None:
        return {}, search.leftover(outputs, [want for _, _, want in triples])
    return near, search.locate(outputs, door, near, depth)


def _knowing(door: Door, right: Function, case: Case, want: Tensor) -> Case:
    """A batch that knows the right weights, and what they would be with the returns in another shape."""
    r = case.rewards
    w = (want if want.ndim == 2 else want[..., 0]) * (r.numel() if door.name == "loss" else 1)
    fields = {grammar.RIGHT: w, grammar.POOLED: w * torch.nan, grammar.TURNED: w * torch.nan}
    if door.name == "weights" and not case.flat:
        with contextlib.suppress(Mistake):
            fields[grammar.POOLED] = door.run(right, case.with_fields(rewards=r.reshape(1, -1))).reshape(r.shape)
        with contextlib.suppress(Mistake):
            fields[grammar.TURNED] = door.run(right, case.with_fields(rewards=r.T.contiguous())).T
    return case.with_fields(**fields)
