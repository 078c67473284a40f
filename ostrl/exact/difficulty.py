"""The weight ω(p) that a method puts on ``∇p``, the gradient of a prompt's success rate."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ostrl import checks
from ostrl.estimates import coefficients, stack
from ostrl.exact.enumeration import MAX_STATES
from ostrl.methods import Method
from ostrl.policies import CategoricalPolicy
from ostrl.tasks import TableTask

RIGHT, WRONG = 0, 1
FEW = 8  # up to this size every group is summed, in every order
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
        group_size: G, answers to each prompt. All 2^G groups are summed where G is small or the weights depend on the
            order of a group; else the G + 1 that differ.
        demonstrators: how often the demonstrators are right, for methods that learn from them. A method that asks for
            a reference policy gets a uniform one, and one with a baseline for each prompt is asked for prompt 0.

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
    if checks.positive_int("group_size", group_size) > MAX_GROUP:
        raise ValueError(f"group_size must be at most {MAX_GROUP}, got {group_size}")
    like: Any = {"dtype": p.dtype, "device": p.device}
    task = TableTask(torch.tensor([[1.0, 0.0]], **like), None, torch.tensor([[share, 1 - share]], **like))
    policies = [CategoricalPolicy(torch.stack([x.log(), torch.log1p(-x)])[None]) for x in p]
    # Whoever asks for a reference policy gets one that finds the right answer and the wrong one equally likely.
    even = CategoricalPolicy(torch.zeros(1, 2, **like))
    method = dataclasses.replace(method, label=dataclasses.replace(method.label, reference=even))
    slots = torch.cat([method.label.probs(policy, task, group_size) for policy in policies])

    def pulls(groups: Tensor, policies: list[CategoricalPolicy]) -> tuple[Tensor, Tensor]:
        """``W₊`` and ``W₋`` of every group, under every policy: ``[K, N]``."""
        prompts = groups.new_zeros(len(groups))
        batches = [method.label.batch(policy, task, prompts, groups) for policy in policies]
        c = coefficients(method, stack(batches), num_prompts=1).view(len(policies), len(groups), group_size)
        return (c * (groups == RIGHT)).sum(-1), (c * (groups == WRONG)).sum(-1)

    rank = torch.arange(group_size, device=p.device)
    counts = torch.arange(group_size + 1, device=p.device)
    in_order = torch.where(rank < counts[:, None], RIGHT, WRONG)  # K right answers, then G - K wrong ones
    if group_size > FEW and bool((slots == slots[:, :1]).all()) and _order_is_nothing(in_order, pulls, policies[:1]):
        plus, minus = pulls(in_order, policies)
        ways = torch.tensor([math.comb(group_size, k) for k in range(group_size + 1)], **like)
        s = slots[:, 0, RIGHT, None]
        probs = ways * s**counts * (1 - s) ** (group_size - counts)
    else:
        if 2**group_size * len(p) > MAX_STATES:
            raise ValueError(
                f"the weights of {method.name!r} depend on the order of a group, so that omega would sum "
                f"{len(p)} x 2^{group_size} groups; at most {MAX_STATES:,} are allowed: use a smaller group"
            )
        groups = (torch.arange(2**group_size, device=p.device)[:, None] >> rank) & 1
        plus, minus = pulls(groups, policies)
        probs = slots[:, rank, groups].prod(-1)
    return (probs * plus).sum(1) / p - (probs * minus).sum(1) / (1 - p)


def _order_is_nothing(groups: Tensor, pulls: Callable[..., tuple[Tensor, Tensor]], policies: list[Any]) -> bool:
    """Whether a group's sums stay what they are when it is turned around, rotated and shuffled."""
    size = groups.shape[1]
    plus, minus = pulls(groups, policies)
    shuffles = [torch.randperm(size, generator=torch.Generator().manual_seed(seed)) for seed in range(8)]
    orders = [torch.arange(size).roll(turn) for turn in range(size)] + [torch.arange(size).flip(0), *shuffles]
    turned = pulls(torch.cat([groups[:, order.to(groups.device)] for order in orders]), policies)
    near: Any = {"rtol": 1e-9, "atol": 1e-12}
    return all(
        torch.allclose(part, want.expand(len(orders), -1, -1).transpose(0, 1).flatten(1), **near)
        for part, want in zip(turned, (plus, minus), strict=True)
    )
