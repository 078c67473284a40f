"""Who writes the labels.

A labeler fills the G slots of every group. Which source writes which slot is fixed; given the prompt, the slots
are independent. That is all that exact enumeration needs to know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ostrl import checks
from ostrl.batch import DEMONSTRATOR, OLD, SELF, Batch, Policy, Task, score
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
        return self.batch(policy, task, *self.draw(policy, task, batch_size, group_size, generator))

    def draw(
        self, policy: Policy, task: Task, batch_size: int, group_size: int, generator: torch.Generator
    ) -> tuple[Any, Tensor, Tensor | None]:
        """Draw prompts and have every slot written: B prompts, their answers, and a mask for answers in tokens.

        Raises:
            TypeError: for a missing generator.
            ValueError: as :meth:`probs`, or for sizes below 1.
        """
        check_task(task)
        task.check_policy(policy)
        slots = self.sources(group_size)
        prompts = task.sample_prompts(batch_size, generator)
        sources = list(dict.fromkeys(slots))
        written = [_written(policy, task, source, prompts, slots.count(source), generator) for source in sources]
        # Columns stand source by source; put each where its slot is.
        columns = sorted(range(group_size), key=lambda slot: sources.index(slots[slot]))
        order = torch.tensor(columns, device=written[0].actions.device).argsort()
        actions = _side_by_side([part.actions for part in written])[:, order]
        if written[0].mask is None:
            return prompts, actions, None
        return prompts, actions, _side_by_side([part.mask for part in written])[:, order]

    def batch(
        self,
        policy: Policy,
        task: Task,
        prompts: Any,
        actions: Tensor,
        mask: Tensor | None = None,
        log_prob: Tensor | None = None,
    ) -> Batch:
        """Grade given answers and say how likely they were, as if this labeler had written them.

        Args:
            policy: the one that is trained.
            task: who grades.
            prompts: B prompts.
            actions: ``[B, G]`` indices, or ``[B, G, T]`` tokens.
            mask: which tokens count, for answers in tokens.
            log_prob: of the answers under the policy, if a forward pass has told; otherwise they are scored.
        """
        if checks.integer("actions", actions, "answers").ndim < 2:
            raise ValueError(f"actions must have shape [B, G] or [B, G, T], got {checks.shape_of(actions)}")
        slots = torch.tensor(self.sources(actions.shape[1]), device=actions.device)
        truncated: bool = getattr(policy, "truncated", False)
        texts = actions if mask is None else policy.decode(actions, mask)  # type: ignore[attr-defined]
        with torch.no_grad():
            log_prob = score(policy, prompts, actions, mask) if log_prob is None else log_prob.detach()
            behavior = policy.behavior_log_prob(prompts, actions, mask) if truncated else log_prob  # type: ignore[attr-defined]
            reference = None if self.reference is None else score(self.reference, prompts, actions, mask)
        if bool((slots == DEMONSTRATOR).any()):
            shown = slots == DEMONSTRATOR if mask is None else (slots == DEMONSTRATOR)[:, None]
            behavior = torch.where(shown, task.demonstration_log_prob(prompts, actions), behavior)
        if truncated:  # the policy's own answers come from another distribution than the policy
            slots = torch.where(slots == SELF, OLD, slots)
        return Batch(
            prompts=prompts,
            actions=actions,
            rewards=task.reward(prompts, texts).to(log_prob),
            source=slots.expand(actions.shape[:2]),
            log_prob=log_prob,
            behavior_log_prob=behavior,
            ref_log_prob=reference,
            mask=mask,
        )


class _Written(NamedTuple):
    actions: Tensor
    mask: Tensor | None


def _written(policy: Policy, task: Task, source: int, prompts: Any, size: int, generator: torch.Generator) -> _Written:
    """``size`` answers to each prompt by one source, as actions and, in tokens, a mask."""
    if source == SELF:
        answers = policy.sample(prompts, size, generator)
    else:
        answers = task.demonstrate(prompts, size, generator)
        if not isinstance(answers, Tensor):
            answers = policy.encode(answers)  # type: ignore[attr-defined]
    return _Written(answers, None) if isinstance(answers, Tensor) else _Written(*answers)


def _side_by_side(parts: list[Any]) -> Tensor:
    """Groups beside each other; answers in tokens are padded with 0 to the longest."""
    if parts[0].ndim == 3:
        longest = max(part.shape[2] for part in parts)
        parts = [torch.nn.functional.pad(part, (0, longest - part.shape[2])) for part in parts]
    return torch.cat(parts, dim=1)


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
