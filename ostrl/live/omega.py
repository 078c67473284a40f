"""How strongly a method pulls, as a function of how often the model is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import traitlets

from ostrl.live.figure import Choice, LiveFigure, Number, bundle

METHODS = ("reinforce", "grpo", "rest_per_prompt", "raft", "sft")


class Chosen(traitlets.TraitType[list[str], Sequence[str]]):
    """Some of the methods, in the order of the figure."""

    def validate(self, obj: Any, value: Any) -> list[str]:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise TypeError(f"{self.name} must be a list of names, got {value!r}")
        if unknown := [name for name in value if name not in METHODS]:
            raise ValueError(f"{self.name} must be some of {', '.join(METHODS)}; got {', '.join(map(repr, unknown))}")
        return [name for name in METHODS if name in value]


class Omega(LiveFigure):
    """ω(p) and the objective φ(p) = ∫ω of several methods, over the success rate p of a prompt.

    Returns of 1 and 0, G answers a prompt. A method's mean gradient is ω(p) ∇p, so over many prompts it climbs the mean
    of φ(p). The numbers are those of :func:`ostrl.exact.omega`.

    Args:
        success_rate: p, where the values are read off.
        group_size: G, from 2 to 64.
        shown: names of the methods on show, some of ``reinforce``, ``grpo``, ``rest_per_prompt``, ``raft`` and ``sft``
            (with demonstrators who are always right).
        quantity: ``omega`` or ``phi``.
        axes: ``linear``, or ``log`` for p and ω.
    """

    _esm = bundle("omega.mjs")
    success_rate = Number(0.05, 0.001, 0.999).tag(sync=True)
    group_size = Number(8, 2, 64, whole=True).tag(sync=True)
    shown = Chosen(list(METHODS)).tag(sync=True)
    quantity = Choice(("omega", "phi"), "omega").tag(sync=True)
    axes = Choice(("linear", "log"), "linear").tag(sync=True)
