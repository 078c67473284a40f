"""The Monte Carlo lab: many gradient estimates beside the truth."""

from __future__ import annotations

from typing import Any

import torch
import traitlets

from ostrl import exact, methods
from ostrl.exact import Moments
from ostrl.live.figure import Choice, LiveFigure, Number, OnePrompt, bundle
from ostrl.methods import Method

BASELINES = ("none", "constant", "mean", "optimal", "leave_one_out", "group_mean")
_FROM_GROUP = ("leave_one_out", "group_mean")


class Experiment(OnePrompt):
    """One prompt, three answers, and an estimate of the gradient from N of them: what is to be repeated.

    Args:
        probs: the policy, a probability for each answer.
        rewards: the teacher's grade for each answer.
        answers: their names.
        size: N, the answers behind one estimate, from 1 to 1000.
        baseline: what is subtracted from every return: nothing (``none``), the number ``constant``, the mean return J
            (``mean``), the number that makes the variance smallest (``optimal``), the mean of the other returns
            (``leave_one_out``) or of all of them (``group_mean``).
        constant: the number subtracted where ``baseline`` is ``constant``.
        logit: which of the three slopes is looked at: 0, 1 or 2.
        seed: of the random numbers.

    Raises:
        ValueError: for a baseline that is computed from the group and a group of one, besides what every figure raises.
    """

    size = Number(16, 1, 1000, whole=True).tag(sync=True)
    baseline = Choice(BASELINES, "none").tag(sync=True)
    constant = Number(0.5).tag(sync=True)
    logit = Number(1, 0, 2, whole=True).tag(sync=True)
    seed = Number(0, 0, 2**32 - 1, whole=True).tag(sync=True)

    @traitlets.validate("size", "baseline")
    def _two_in_a_group(self, proposal: Any) -> Any:
        new = {"size": self.size, "baseline": self.baseline, proposal["trait"].name: proposal["value"]}
        if new["size"] < 2 and new["baseline"] in _FROM_GROUP:
            raise ValueError(f"size must be at least 2 for baseline {new['baseline']!r}, got {new['size']}")
        return proposal["value"]

    @property
    def method(self) -> Method:
        """The method that the baseline makes: REINFORCE with a number, RLOO, or Dr. GRPO."""
        if self.baseline == "leave_one_out":
            return methods.rloo()
        if self.baseline == "group_mean":
            return methods.dr_grpo()
        if self.baseline == "none":
            return methods.reinforce()
        if self.baseline == "constant":
            return methods.reinforce(self.constant)
        if self.baseline == "mean":
            return methods.reinforce(exact.value(self.policy, self.task).item())
        return methods.reinforce(exact.optimal_baseline(self.policy, self.task).item())

    @property
    def moments(self) -> Moments:
        """Exact mean and covariance of one estimate, in closed form: for groups of any size.

        With a number as baseline the covariance is that of one answer, over N. Leave-one-out is the sample covariance
        of return and score, and the group's mean as baseline gives 1 - 1/N times that.
        """
        policy, task, size = self.policy, self.task, self.size
        if self.baseline not in _FROM_GROUP:
            one = exact.moments(self.method, policy, task, group_size=1)
            assert one.covariance is not None
            return Moments(one.mean, one.covariance / size)
        probs, score = policy.probs()[0].detach(), exact.scores(policy)[0]
        centered, gradient = task.rewards[0] - exact.value(policy, task), exact.gradient(policy, task)
        product = torch.einsum("a,ai,aj->ij", probs * centered.square(), score, score)
        apart = (probs @ centered.square()) * exact.fisher(policy, task)
        square = torch.outer(gradient, gradient)
        covariance = product / size + (apart - (size - 2) * square) / (size * (size - 1))
        shrink = 1 - 1 / size if self.baseline == "group_mean" else 1.0
        return Moments(shrink * gradient, shrink**2 * covariance)


class MonteCarlo(LiveFigure, Experiment):
    """Many gradient estimates, each from N answers, as a histogram beside the exact gradient.

    The estimates are drawn with xoshiro128**, so the same seed gives the same picture everywhere.

    Args:
        probs, rewards, answers, size, baseline, constant, logit, seed: the experiment.
        replicas: how many estimates are drawn.
        zoom: whether the axis follows the estimates; else it holds still while N and the baseline change.
    """

    _esm = bundle("monte_carlo.mjs")
    replicas = Number(2000, 1, 100_000, whole=True).tag(sync=True)
    zoom = traitlets.Bool(False).tag(sync=True)
