"""What selecting by the grade does to a distribution of answers, in closed form."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ostrl import checks


def _pair(probs: Tensor, rewards: Tensor) -> tuple[Tensor, Tensor]:
    checks.floating("probs", probs)
    if probs.ndim == 0:
        raise ValueError("probs must have answers along their last dimension, got a single number")
    checks.probabilities("probs", probs, tuple(probs.shape), "[*, A] =")
    checks.shape("rewards", checks.finite("rewards", rewards), tuple(probs.shape), "that of probs,")
    checks.like("rewards", rewards, "probs", probs)
    return probs, rewards


def filtered(probs: Float[Tensor, "*O A"], rewards: Float[Tensor, "*O A"], tau: float) -> Float[Tensor, "*O A"]:
    """The policy given that its answer is good enough: ``π(a) 1[r(a) >= tau]``, divided by its sum.

    It is what a policy becomes that is refitted to its own filtered answers, with unlimited samples and no limit on
    what it can express. Implements ``eq-full-refit`` for a filter.
    Source: Gulcehre et al. (2023), one Improve step.

    Args:
        probs: distributions over answers, along the last dimension.
        rewards: the answers' grades, in the same shape.
        tau: the threshold.

    Raises:
        ValueError: for shapes that differ, rows that are no distributions, or a row that never reaches ``tau``:
            there is nothing to refit to.
    """
    _pair(probs, rewards)
    mass = torch.where(rewards >= checks.number("tau", tau), probs, 0.0)
    total = mass.sum(-1, keepdim=True)
    if not bool((total > 0).all()):
        raise ValueError(f"tau must be reached by some answer to every prompt, got tau = {tau:g} above all of one's")
    return mass / total


def best_of_n(probs: Float[Tensor, "*O A"], rewards: Float[Tensor, "*O A"], n: int) -> Float[Tensor, "*O A"]:
    """The distribution of the best of ``n`` independent answers.

    With ``u(a)`` the probability of an answer that is graded at most as high as ``a``, and ``l(a)`` of one graded
    lower, it is ``π(a) (u(a)ⁿ - l(a)ⁿ) / (u(a) - l(a))``: equally graded answers share the win in proportion to
    their probability, whichever of the tied ones is taken. Implements ``eq-best-of-n``.

    Args:
        probs: distributions over answers, along the last dimension.
        rewards: the answers' grades, in the same shape.
        n: how many answers the best is taken of.

    Raises:
        ValueError: for shapes that differ, rows that are no distributions, or ``n < 1``.
    """
    _pair(probs, rewards)
    checks.positive_int("n", n)
    own, other = rewards.unsqueeze(-1), rewards.unsqueeze(-2)
    below = (probs.unsqueeze(-2) * (other < own)).sum(-1)
    tied = (probs.unsqueeze(-2) * (other == own)).sum(-1)
    # (uⁿ - lⁿ) / (u - l) = Σ_k u^k l^(n-1-k), which loses no digits where u is close to l.
    upto, factor, power = below + tied, torch.zeros_like(probs), torch.ones_like(probs)
    for _ in range(n):  # Horner: after m turns, factor = Σ_{k<m} u^k l^(m-1-k)
        factor = factor * below + power
        power = power * upto
    return probs * factor
