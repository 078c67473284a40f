"""The objective, its gradient and its geometry, by summing over every prompt and every answer."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ostrl import checks
from ostrl.estimates import pull_back
from ostrl.policies import TablePolicy
from ostrl.tasks import TableTask


def _probs(policy: TablePolicy, task: TableTask) -> Tensor:
    checks.instance("task", task, TableTask)
    task.check_policy(policy)
    return policy.probs().detach()


def value(policy: TablePolicy, task: TableTask) -> Float[Tensor, ""]:
    """``J(θ) = Σ_o P(o) Σ_a π_θ(a|o) r(a, o)``. Implements ``eq-objective``.

    Raises:
        TypeError: if policy and task differ in dtype.
        ValueError: if they differ in shape or device, or a parameter is not finite.
    """
    probs = _probs(policy, task)
    return (task.prompt_probs[:, None] * probs * task.rewards).sum()


def gradient(policy: TablePolicy, task: TableTask) -> Float[Tensor, "P"]:
    """``∇J(θ) = Σ_o P(o) Σ_a r(a, o) ∇π_θ(a|o)``, summed over every answer. Implements ``eq-gradient-of-sum``.

    It is the policy gradient ``eq-policy-gradient``, without a sample.

    Raises as :func:`value`, and a ``ValueError`` if no parameter requires grad.

    >>> import ostrl
    >>> policy = ostrl.CategoricalPolicy(torch.tensor([[0.6, 0.3, 0.1]]).log())
    >>> task = ostrl.TableTask(torch.tensor([[0.0, 1.0, 0.0]]))
    >>> gradient(policy, task)
    tensor([-0.1800,  0.2100, -0.0300])
    """
    probs = _probs(policy, task)
    with torch.enable_grad():
        table = policy.log_probs()
    return pull_back(policy, table, (task.prompt_probs[:, None] * probs * task.rewards)[None])[0]


@torch.enable_grad()
def scores(policy: TablePolicy) -> Float[Tensor, "O A P"]:
    """``s(a, o) = ∇_θ log π_θ(a|o)`` of every answer to every prompt. Implements ``eq-score``."""
    checks.instance("policy", policy, TablePolicy)
    table = policy.log_probs()
    checks.ndim("the policy's log_probs()", table, 2, "[O, A] (prompts, answers)")
    one_hot = torch.eye(table.numel(), dtype=table.dtype, device=table.device).view(-1, *table.shape)
    return pull_back(policy, table, one_hot).view(*table.shape, -1)


def fisher(policy: TablePolicy, task: TableTask) -> Float[Tensor, "P P"]:
    """The Fisher matrix ``F = E[s sᵀ]``, over prompts from P(o) and answers from the policy. ``eq-fisher``.

    Raises as :func:`value`.
    """
    probs = _probs(policy, task)
    s = scores(policy)
    return torch.einsum("o,oa,oap,oaq->pq", task.prompt_probs, probs, s, s)


def optimal_baseline(policy: TablePolicy, task: TableTask) -> Float[Tensor, "O"]:
    """The baseline of each prompt that makes the trace of the covariance of ``(R - b) s`` smallest.

    It is ``b* = E[R ‖s‖²] / E[‖s‖²]``, with answers from the policy. Where every score is zero any baseline does,
    and the mean return is given. Source: Greensmith et al. (2004). Implements
    ``eq-optimal-baseline``. Raises as :func:`value`.
    """
    probs = _probs(policy, task)
    mass = probs * scores(policy).square().sum(-1)
    total = mass.sum(1)
    mean = (probs * task.rewards).sum(1)
    best = (mass * task.rewards).sum(1) / torch.where(total > 0, total, 1)
    return torch.where(total > 0, best, mean)
