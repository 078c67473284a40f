"""The weight ω(p) that a method puts on ``∇p``, the gradient of a prompt's success rate."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ostrl import checks
from ostrl.estimates import coefficients
from ostrl.exact.enumeration import MAX_STATES
from ostrl.methods import Method
from ostrl.policies import CategoricalPolicy
from ostrl.tasks import TableTask

RIGHT, WRONG = 0, 1
MAX_GROUP = 1000  # binomial coefficients of larger groups are no float64 numbers


def omega(
    method: Method, success_rates: Float[Tensor, "K"], group_size: int, demonstrators: float = 1.0
) -> Float[Tensor, "K"]:
    """How strongly a method pulls on a prompt that the policy answers rightly with probability p.

    One prompt, a right answer (return 1) and a wrong one (return 0): every expected estimate is a multiple of the
    gradient of the success rate, ``E g = ω(p) ∇p``, with ``ω = E[W₊] / p - E[W₋] / (1 - p)``, where ``W₊`` and
    ``W₋`` are what the right and the wrong answers of a group weigh together, over Z. REINFORCE has ω = 1.
    Implements ``eq-omega``; for GRPO it is ``eq-grpo-omega``.

    Where the weights come from the rewards alone and the policy writes the labels (``thm-omega``), the same ω holds for
    any number of right and wrong answers and any parameters. Elsewhere (demonstrators' labels, weights made of
    log-probabilities) it describes the two-answer problem only.

    Args:
        method: a row of ``METHODS``, or one of your own.
        success_rates: p, each strictly between 0 and 1.
        group_size: G. If the weights do not depend on the order of a group, G + 1 groups are summed, else 2^G.
        demonstrators: how often the demonstrators are right, for methods that learn from them.

    Raises:
        TypeError: for another kind of method.
        ValueError: for success rates outside (0, 1), or more than five million groups to sum.
    """
    checks.instance("method", method, Method, "; for example METHODS['rloo']")
    p = checks.finite("success_rates", success_rates).detach().double()
    checks.ndim("success_rates", p, 1, "[K]")
    if not bool(((p > 0) & (p < 1)).all()):
        raise ValueError(f"success_rates must lie strictly between 0 and 1, got {p.min():g} to {p.max():g}")
    share = checks.number("demonstrators", demonstrators)
    if not 0 <= share <= 1:
        raise ValueError(f"demonstrators must be a probability, got {share:g}")
    policy = CategoricalPolicy(torch.stack([p.log(), torch.log1p(-p)], dim=1))
    right = torch.tensor([1.0, 0.0], dtype=p.dtype, device=p.device)
    shown = torch.tensor([share, 1 - share], dtype=p.dtype, device=p.device)
    task = TableTask(right.expand(len(p), 2), demonstrations=shown.expand(len(p), 2))
    if checks.positive_int("group_size", group_size) > MAX_GROUP:
        raise ValueError(f"group_size must be at most {MAX_GROUP}, got {group_size}")
    slots = method.label.probs(policy, task, group_size)

    def pulls(groups: Tensor) -> tuple[Tensor, Tensor]:
        """``W₊`` and ``W₋`` of every group, at every success rate: ``[K, N]``."""
        prompts = torch.arange(len(p), device=p.device).repeat_interleave(len(groups))
        pile = method.label.batch(policy, task, prompts, groups.repeat(len(p), 1))
        c = coefficients(method, pile, num_prompts=1).view(len(p), len(groups), group_size)
        return (c * (groups == RIGHT)).sum(-1), (c * (groups == WRONG)).sum(-1)

    rank = torch.arange(group_size, device=p.device)
    counts = torch.arange(group_size + 1, device=p.device)
    groups = torch.where(rank < counts[:, None], RIGHT, WRONG)  # K right answers, then G - K wrong ones
    plus, minus = pulls(groups)
    exchangeable = bool((slots == slots[:, :1]).all())
    for order in (rank.flip(0), torch.randperm(group_size, generator=torch.Generator().manual_seed(0)).to(p.device)):
        other = pulls(groups[:, order])
        exchangeable &= torch.allclose(other[0], plus, rtol=1e-9, atol=1e-12)
        exchangeable &= torch.allclose(other[1], minus, rtol=1e-9, atol=1e-12)
    if exchangeable:
        ways = torch.tensor([math.comb(group_size, k) for k in range(group_size + 1)], dtype=p.dtype, device=p.device)
        s = slots[:, 0, RIGHT, None]
        probs = ways * s**counts * (1 - s) ** (group_size - counts)
    else:
        if 2**group_size * len(p) > MAX_STATES:
            raise ValueError(
                f"the weights of {method.name!r} depend on the order of a group, so that omega would sum "
                f"{len(p)} x 2^{group_size} groups; at most {MAX_STATES:,} are allowed: use a smaller group"
            )
        groups = (torch.arange(2**group_size, device=p.device)[:, None] >> rank) & 1
        plus, minus = pulls(groups)
        probs = slots[:, rank, groups].prod(-1)
    return (probs * plus).sum(1) / p - (probs * minus).sum(1) / (1 - p)
