"""The objective over all policies of three answers."""

from __future__ import annotations

import torch

from ostrl.live.figure import Distribution, LiveFigure, Names, Numbers, bundle, policy_of
from ostrl.policies import CategoricalPolicy
from ostrl.tasks import TableTask


class Objective(LiveFigure):
    """Drag a policy over the triangle: its mean return J, the gradient of J, and where the gradient leads.

    Args:
        probs: the policy, a probability for each answer.
        rewards: the teacher's grade for each answer.
        answers: their names.
    """

    _esm = bundle("objective.mjs")
    probs = Distribution([0.6, 0.3, 0.1], open=True).tag(sync=True)
    rewards = Numbers([0.0, 1.0, 0.0]).tag(sync=True)
    answers = Names(["Sydney", "Canberra", "Melbourne"]).tag(sync=True)

    @property
    def policy(self) -> CategoricalPolicy:
        """The policy on show, for :mod:`ostrl.exact`."""
        return policy_of(self.probs)

    @property
    def task(self) -> TableTask:
        """The task on show."""
        return TableTask(torch.tensor([self.rewards], dtype=torch.float64))
