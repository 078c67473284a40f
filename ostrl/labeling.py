"""Who writes the labels.

A labeler fills the G slots of every group. Which source writes which slot is fixed; given the prompt, the slots
are independent. That is all that exact enumeration needs to know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ostrl import checks
from ostrl.batch import DEMONSTRATOR, SELF, Batch, Policy, Task
from ostrl.policies import TablePolicy
from ostrl.tasks import TableTask


@dataclass(frozen=True)
class Labeler:
    """One answer to "who writes the labels?".

    Attributes:
        name: in words, as it stands in the table of methods.
        slots: maps the group size G to the source of each slot, a list of ``SELF`` and ``DEMONSTRATOR``.
        reference: a policy whose log-probabilities of the labels are noted, too (``Batch.ref_log_prob``), or none.
    """

    name: str
    slots: Callable[[int], list[int]]
    reference: Policy | None = None

    def sources(self, group_size: int) -> list[int]:
        """Who writes each of the G slots.

        Raises:
            ValueError: for a size below 1, or if ``slots`` gives anything but G known sources.
        """
        sources = self.slots(checks.positive_int("group_size", group_size))
        known = isinstance(sources, list) and all(s in (SELF, DEMONSTRATOR) for s in sources)
        if not known or len(sources) != group_size:
            raise ValueError(
                f"the slots of labeler {self.name!r} must be a list of {group_size} sources, each SELF = {SELF} or "
                f"DEMONSTRATOR = {DEMONSTRATOR}, got {sources!r}"
            )
        return sources

    def probs(self, policy: TablePolicy, task: TableTask, group_size: int) -> Float[Tensor, "O G A"]:
        """The distribution that each slot is drawn from, for every prompt; no graph.

        Raises:
            ValueError: if a demonstrator is needed and the task has none, or policy and task do not fit.
        """
        checks.instance("task", task, TableTask)
        task.check_policy(policy)
        writers = {SELF: policy.probs().detach()}
        slots = self.sources(group_size)
        if DEMONSTRATOR in slots:
            writers[DEMONSTRATOR] = task.demonstrations
        return torch.stack([writers[source] for source in slots], dim=1)

    def sample(self, policy: Policy, task: Task, batch_size: int, group_size: int, generator: torch.Generator) -> Batch:
        """Draw prompts, have every slot written, have every label graded.

        Raises:
            TypeError: for a missing generator.
            ValueError: as :meth:`probs`, or for sizes below 1.
        """
        check_task(task)
        task.check_policy(policy)
        slots = self.sources(group_size)
        prompts = task.sample_prompts(batch_size, generator)
        writers = {SELF: policy.sample, DEMONSTRATOR: task.demonstrate}
        sources = list(dict.fromkeys(slots))
        written = torch.cat([writers[source](prompts, slots.count(source), generator) for source in sources], dim=1)
        # Columns stand source by source; put each where its slot is.
        order = sorted(range(group_size), key=lambda slot: sources.index(slots[slot]))
        actions = torch.empty_like(written)
        actions[:, order] = written
        return self.batch(policy, task, prompts, actions)

    def batch(self, policy: Policy, task: Task, prompts: Any, actions: Tensor) -> Batch:
        """Grade given answers and say how likely they were, as if this labeler had written them."""
        if checks.integer("actions", actions, "answers").ndim < 2:
            raise ValueError(f"actions must have shape [B, G] or [B, G, T], got {checks.shape_of(actions)}")
        slots = torch.tensor(self.sources(actions.shape[1]), device=actions.device)
        with torch.no_grad():
            log_prob = policy.log_prob(prompts, actions)
        behavior = log_prob
        if bool((slots == DEMONSTRATOR).any()):
            behavior = torch.where(slots == DEMONSTRATOR, task.demonstration_log_prob(prompts, actions), log_prob)
        reference = None
        if self.reference is not None:
            with torch.no_grad():
                reference = self.reference.log_prob(prompts, actions)
        return Batch(
            prompts=prompts,
            actions=actions,
            rewards=task.reward(prompts, actions),
            source=slots.expand(actions.shape[:2]),
            log_prob=log_prob,
            behavior_log_prob=behavior,
            ref_log_prob=reference,
        )


def check_task(task: object) -> None:
    """Require something with prompts and a teacher."""
    if not hasattr(task, "check_policy"):
        raise TypeError(f"task must supply prompts and grade answers, as a TableTask does, got {type(task).__name__}")


def _all_own(group_size: int) -> list[int]:
    return [SELF] * group_size


def _all_shown(group_size: int) -> list[int]:
    return [DEMONSTRATOR] * group_size


def _half_shown(group_size: int) -> list[int]:
    return [DEMONSTRATOR] * (group_size // 2) + [SELF] * (group_size - group_size // 2)


on_policy = Labeler("the model", _all_own)
demonstrations = Labeler("demonstrators", _all_shown)
mixture = Labeler("half demonstrators, half the model", _half_shown)
