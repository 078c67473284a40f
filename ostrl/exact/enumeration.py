"""Mean and covariance of a method's estimate, by summing over every batch there is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ostrl import checks
from ostrl.estimates import gradient_estimates
from ostrl.methods import Method
from ostrl.policies import TablePolicy
from ostrl.tasks import TableTask

MAX_STATES = 5_000_000
_CHUNK_ENTRIES = 2**23


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and covariance of a random gradient estimate.

    Attributes:
        mean: ``[P]``.
        covariance: ``[P, P]``, or ``None`` if it was not asked for.
    """

    mean: Float[Tensor, "P"]
    covariance: Float[Tensor, "P P"] | None


def moments(
    method: Method,
    policy: TablePolicy,
    task: TableTask,
    group_size: int,
    num_prompts: int = 1,
    covariance: bool = True,
) -> Moments:
    """Exact mean and covariance of a method's gradient estimate from ``num_prompts`` prompts times G answers.

    Sums over every draw of the prompts from P(o) and every group of answers to each, ``(O · A^G)^B`` states, a
    chunk at a time. For REINFORCE the covariance is ``eq-covariance-groups``.

    Args:
        method: a row of ``METHODS``, or one of your own.
        policy: the policy being trained.
        task: prompts, grades, and demonstrators if the method asks for them.
        group_size: G, answers to each prompt.
        num_prompts: B, drawn independently.
        covariance: whether to compute the covariance.

    Raises:
        TypeError: if policy and task differ in dtype.
        ValueError: if there are more than five million states (their number is given), if policy and task do not
            fit, or if the method's weights are not finite.

    >>> import ostrl
    >>> policy = ostrl.CategoricalPolicy(torch.tensor([[0.6, 0.3, 0.1]]).log())
    >>> task = ostrl.TableTask(torch.tensor([[0.0, 1.0, 0.0]]))
    >>> moments(ostrl.METHODS["rloo"], policy, task, group_size=4).mean  # the exact gradient
    tensor([-0.1800,  0.2100, -0.0300])
    >>> moments(ostrl.METHODS["grpo"], policy, task, group_size=4).mean  # its direction, and longer
    tensor([-0.2548,  0.2972, -0.0425])
    """
    checks.instance("method", method, Method, "; for example METHODS['rloo']")
    checks.instance("task", task, TableTask)
    checks.positive_int("num_prompts", num_prompts)
    slot_probs = method.label.probs(policy, task, group_size)
    prompts_count, _, answers = slot_probs.shape
    states = (prompts_count * answers**group_size) ** num_prompts
    if states > MAX_STATES:
        raise ValueError(
            f"moments would enumerate ({prompts_count} prompts x {answers}^{group_size} groups)^{num_prompts} = "
            f"{states:,} states; at most {MAX_STATES:,} are allowed. Use fewer answers, a smaller group, or "
            "diagnostics.estimate_gradient"
        )
    size = sum(p.numel() for p in policy.parameters())
    chunk = max(1, _CHUNK_ENTRIES // (2 * max(size, task.rewards.numel()) + 8 * num_prompts * group_size))
    device, dtype = slot_probs.device, slot_probs.dtype
    slots = torch.arange(group_size, device=device)
    weight_sum = torch.zeros((), dtype=dtype, device=device)
    mean = torch.zeros(size, dtype=dtype, device=device)
    spread = torch.zeros(size, size, dtype=dtype, device=device)
    for start in range(0, states, chunk):
        index = torch.arange(start, min(start + chunk, states), device=device)
        digits = _digits(index, ([prompts_count] + [answers] * group_size) * num_prompts)
        digits = digits.view(len(index), num_prompts, 1 + group_size)
        prompts, actions = digits[:, :, 0], digits[:, :, 1:]
        prob = task.prompt_probs[prompts].prod(1) * slot_probs[prompts[..., None], slots, actions].prod(2).prod(1)
        possible = prob > 0
        if not bool(possible.any()):
            continue
        prob, prompts, actions = prob[possible], prompts[possible], actions[possible]
        pile = method.label.batch(policy, task, prompts.flatten(), actions.flatten(0, 1))
        estimates = gradient_estimates(method, policy, pile, num_prompts)
        # Chan et al. (1983): merge the chunk's mean and spread into the running ones without cancellation.
        mass = prob.sum()
        chunk_mean = (prob @ estimates) / mass
        total = weight_sum + mass
        delta = chunk_mean - mean
        mean = mean + delta * (mass / total)
        if covariance:
            centered = estimates - chunk_mean
            spread = spread + (prob * centered.T) @ centered + torch.outer(delta, delta) * (weight_sum * mass / total)
        weight_sum = total
    if not math.isclose(float(weight_sum), 1.0, abs_tol=1e5 * torch.finfo(dtype).eps):
        raise ValueError(f"the states' probabilities must sum to 1, got {float(weight_sum):.12g}")
    checks.finite("the enumerated mean", mean)
    checks.finite("the enumerated covariance", spread)
    return Moments(mean, spread if covariance else None)


def _digits(index: Tensor, radices: list[int]) -> Tensor:
    """The mixed-radix digits of each number, one column a radix."""
    digits = []
    for radix in reversed(radices):
        digits.append(index % radix)
        index = index // radix
    return torch.stack(digits[::-1], dim=1)
