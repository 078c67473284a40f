"""How much each label counts: pure functions of rewards, and of log-probabilities where the data is old.

Every function maps ``[B, G]`` to ``[B, G]``, acts on each group (row) by itself, and returns weights without a
graph. Multiply by nothing, divide by nothing: the normalizer Z is a separate answer (:mod:`ostrl.surrogate`).

Centered weightings first subtract the group's first reward and then center. In exact arithmetic that changes
nothing. In floating point it makes a group of equal rewards weigh exactly zero, and it survives large offsets.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ostrl import checks


def _centered(rewards: Tensor) -> Tensor:
    shifted = rewards - rewards[:, :1]
    return checks.finite("the differences of rewards", shifted - shifted.mean(1, keepdim=True))


def reward(rewards: Float[Tensor, "B G"]) -> Float[Tensor, "B G"]:
    """The return itself: ``w = R`` (REINFORCE).

    Source: Williams (1992). Implements ``eq-reinforce``.

    Raises:
        TypeError: if rewards are not floating point.
        ValueError: if they are not ``[B, G]``, not finite, or require grad. The same holds for every weighting.
    """
    return checks.rewards(rewards).clone()


def constant_baseline(rewards: Float[Tensor, "B G"], baseline: float | Float[Tensor, "B 1"]) -> Float[Tensor, "B G"]:
    """The return minus a number that does not depend on the answer: ``w = R - b``.

    Args:
        rewards: grades ``[B, G]``.
        baseline: one number, or one for each prompt, ``[B, 1]``: a constant, a learned value, or the one of
            :func:`ostrl.exact.optimal_baseline`.

    Source: Williams (1992), section 3. Implements ``eq-baseline``.
    """
    checks.rewards(rewards)
    if isinstance(baseline, Tensor):
        checks.finite("baseline", baseline)
        checks.shape("baseline", baseline, (rewards.shape[0], 1), "[B, 1] =")
        checks.like("baseline", baseline, "rewards", rewards)
        return checks.finite("rewards - baseline", rewards - baseline.detach())
    return checks.finite("rewards - baseline", rewards - checks.number("baseline", baseline))


def mean_baseline(rewards: Float[Tensor, "B G"]) -> Float[Tensor, "B G"]:
    """The return minus the group's mean, own sample included: ``w = R - mean(R)``.

    Source: Liu et al. (2025), Dr. GRPO's advantage.

    Raises:
        ValueError: for a group of one, besides what every weighting raises.
    """
    return _centered(checks.group("rewards", checks.rewards(rewards)))


def leave_one_out(rewards: Float[Tensor, "B G"]) -> Float[Tensor, "B G"]:
    """The return minus the mean of the *other* returns in the group: ``w = G / (G - 1) · (R - mean(R))``.

    Source: Kool et al. (2019); Ahmadian et al. (2024), RLOO. Implements ``eq-leave-one-out``.

    Raises:
        ValueError: for a group of one, besides what every weighting raises.

    >>> leave_one_out(torch.tensor([[1.0, 0.0, 0.0, 1.0]]))
    tensor([[ 0.6667, -0.6667, -0.6667,  0.6667]])
    """
    checks.group("rewards", checks.rewards(rewards))
    size = rewards.shape[1]
    return _centered(rewards) * (size / (size - 1))


def group_normalized(rewards: Float[Tensor, "B G"], eps: float = 1e-4) -> Float[Tensor, "B G"]:
    """The group's z-score: ``w = (R - mean(R)) / (std(R) + eps)``, with ``G - 1`` under the root.

    Args:
        rewards: grades ``[B, G]``.
        eps: added to the standard deviation, in units of reward; 0 is refused, since a group of equal rewards
            would divide by zero.

    Source: Shao et al. (2024), GRPO, section 4.1.2. Implements ``eq-grpo``.

    Raises:
        ValueError: for a group of one, or an ``eps`` that is not positive in the rewards' dtype, besides what every
            weighting raises.
    """
    checks.group("rewards", checks.rewards(rewards))
    if torch.tensor(checks.number("eps", eps, above=0.0)).to(rewards.dtype) == 0:
        raise ValueError(f"eps must be greater than 0 as the rewards are, got {eps:g}, which is 0 in {rewards.dtype}")
    centered = _centered(rewards)
    unit = centered.abs().amax(1, keepdim=True).clamp_min(1.0)  # squares of huge rewards would overflow
    variance = (centered / unit).square().sum(1, keepdim=True) / (rewards.shape[1] - 1)
    return centered / (unit * variance.sqrt() + eps)


def threshold(rewards: Float[Tensor, "B G"], tau: float) -> Float[Tensor, "B G"]:
    """Keep what is good enough: ``w = 1[R >= tau]``.

    Source: Gulcehre et al. (2023), ReST's filter.
    """
    checks.rewards(rewards)
    return (rewards >= checks.number("tau", tau)).to(rewards.dtype)


def top_k(rewards: Float[Tensor, "B G"], k: int) -> Float[Tensor, "B G"]:
    """Keep the k best of each group: weight 1 for them, 0 for the rest, ties to the earliest.

    Source: Dong et al. (2023), RAFT; with ``k = 1``, fine-tuning on best-of-G.

    Raises:
        ValueError: if ``k`` is not in ``1 … G``, besides what every weighting raises.
    """
    checks.rewards(rewards)
    checks.positive_int("k", k)
    if k > rewards.shape[1]:
        raise ValueError(f"k must be at most the group size G = {rewards.shape[1]}, got {k}")
    best = torch.sort(rewards, dim=1, descending=True, stable=True).indices[:, :k]
    return torch.zeros_like(rewards).scatter(1, best, 1.0)


def exponential(rewards: Float[Tensor, "B G"], beta: float) -> Float[Tensor, "B G"]:
    """Soft selection: ``w = exp(R / beta)``, divided by its sum over the group.

    Args:
        rewards: grades ``[B, G]``.
        beta: temperature, in units of reward; greater than 0.

    Source: Peters and Schaal (2007), reward-weighted regression.
    """
    checks.rewards(rewards)
    below_best = rewards - rewards.amax(1, keepdim=True)  # before the division, where large offsets would cost digits
    temperature = max(checks.number("beta", beta, above=0.0), torch.finfo(rewards.dtype).tiny)
    return torch.softmax(below_best / temperature, dim=1)


def _ratio(log_prob: Tensor, behavior_log_prob: Tensor, advantages: Tensor) -> Tensor:
    checks.rewards(advantages, "advantages")
    for name, value in {"log_prob": log_prob, "behavior_log_prob": behavior_log_prob}.items():
        checks.finite(name, value)
        checks.shape(name, value, tuple(advantages.shape), "that of advantages,")
        checks.like(name, value, "advantages", advantages)
    return checks.finite("rho = exp(log_prob - behavior_log_prob)", (log_prob - behavior_log_prob).detach().exp())


def importance(
    log_prob: Float[Tensor, "B G"],
    behavior_log_prob: Float[Tensor, "B G"],
    advantages: Float[Tensor, "B G"],
) -> Float[Tensor, "B G"]:
    """Answers of somebody else, reweighted: ``w = rho · A`` with ``rho = π(a|o) / q(a|o)``.

    Implements ``eq-importance`` (with the advantage in place of the return); in the loss it is ``eq-ratio-form``.

    Raises:
        ValueError: for shapes that differ, besides what every weighting raises.
    """
    return _ratio(log_prob, behavior_log_prob, advantages) * advantages


def clipped_importance(
    log_prob: Float[Tensor, "B G"],
    behavior_log_prob: Float[Tensor, "B G"],
    advantages: Float[Tensor, "B G"],
    clip: float = 0.2,
) -> Float[Tensor, "B G"]:
    """The weight that PPO's clipped objective gives: ``rho · A``, and 0 where the clip is active.

    The clip is active where ``A > 0`` and ``rho > 1 + clip``, or ``A < 0`` and ``rho < 1 - clip``.

    Source: Schulman et al. (2017), equation 7 (its gradient).

    Raises:
        ValueError: if ``clip`` is not in ``(0, 1)``, besides what every weighting raises.
    """
    if checks.number("clip", clip, above=0.0) >= 1:
        raise ValueError(f"clip must be less than 1, got {clip:g}")
    rho = _ratio(log_prob, behavior_log_prob, advantages)
    clipped = ((advantages > 0) & (rho > 1 + clip)) | ((advantages < 0) & (rho < 1 - clip))
    return torch.where(clipped, torch.zeros_like(rho), rho * advantages)
