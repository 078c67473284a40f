"""The objective over all policies of three answers."""

from __future__ import annotations

from ostrl.live.figure import LiveFigure, OnePrompt, bundle


class Objective(LiveFigure, OnePrompt):
    """Drag a policy over the triangle: its mean return J, the gradient of J, and where the gradient leads.

    Args:
        probs: the policy, a probability for each answer.
        rewards: the teacher's grade for each answer.
        answers: their names.
    """

    _esm = bundle("objective.mjs")
