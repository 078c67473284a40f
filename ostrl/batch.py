"""What flows through everything: a :class:`Batch` of graded labels, and the protocols of those who make it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import Parameter

from ostrl import checks

SELF, DEMONSTRATOR, OLD = 0, 1, 2
"""Who wrote a label: the policy being trained, a demonstrator (a person or a stronger model), an old policy."""


class Answers(NamedTuple):
    """What a language model writes."""

    actions: Int[Tensor, "B G T"]
    """The answers' token ids, padded to the longest."""
    mask: Bool[Tensor, "B G T"]
    """Which of them count: every answer's tokens up to and with its first end token."""


@dataclass(frozen=True, eq=False)
class Batch:
    """B prompts, G answers to each, and what is known about them. Nothing in it carries a graph.

    For policies over a table, actions are indices ``[B, G]`` and log-probabilities ``[B, G]``; for language
    models, actions are token ids ``[B, G, T]``, log-probabilities ``[B, G, T]``, and ``mask`` says which tokens
    count.

    Attributes:
        prompts: indices ``[B]``, or a list of B strings.
        actions: the labels, ``[B, G]`` or ``[B, G, T]``.
        rewards: the teacher's grades, ``[B, G]``.
        source: who wrote each label, ``[B, G]``: ``SELF``, ``DEMONSTRATOR`` or ``OLD``.
        log_prob: log-probability (nats) of each label under the policy being trained.
        behavior_log_prob: the same under whoever wrote the label; NaN on demonstrators' labels where it is not known.
        ref_log_prob: the same under a reference policy, or ``None``.
        mask: ``[B, G, T]``, or ``None`` for tables.

    Raises:
        TypeError: for integer rewards or another wrong kind of argument.
        ValueError: for an empty batch, NaN or infinite rewards, anything that requires grad, or shapes that do
            not fit each other.
    """

    prompts: Int[Tensor, "B"] | list[str]
    actions: Int[Tensor, "B G"] | Int[Tensor, "B G T"]
    rewards: Float[Tensor, "B G"]
    source: Int[Tensor, "B G"]
    log_prob: Float[Tensor, "B G"] | Float[Tensor, "B G T"]
    behavior_log_prob: Float[Tensor, "B G"] | Float[Tensor, "B G T"]
    ref_log_prob: Float[Tensor, "B G"] | Float[Tensor, "B G T"] | None = None
    mask: Bool[Tensor, "B G T"] | None = None

    def __post_init__(self) -> None:
        rewards = checks.rewards(self.rewards, "Batch.rewards")
        groups = tuple(rewards.shape)
        if isinstance(self.prompts, Tensor):
            checks.ndim("Batch.prompts", checks.integer("Batch.prompts", self.prompts, "indices"), 1, "[B]")
        elif not isinstance(self.prompts, list):
            raise TypeError(f"Batch.prompts must be a tensor of indices or a list, got {type(self.prompts).__name__}")
        if len(self.prompts) != groups[0]:
            raise ValueError(f"Batch.prompts must have length B = {groups[0]}, got {len(self.prompts)}")
        actions = checks.integer("Batch.actions", self.actions, "indices of answers, or tokens")
        if tuple(actions.shape[:2]) != groups or actions.ndim not in (2, 3):
            raise ValueError(
                f"Batch.actions must have shape [B, G] or [B, G, T] with [B, G] = {list(groups)}, "
                f"got {checks.shape_of(actions)}"
            )
        source = checks.integer("Batch.source", self.source, "who wrote each label")
        checks.shape("Batch.source", source, groups, "[B, G] =")
        if not checks.holds((source >= SELF) & (source <= OLD)):
            raise ValueError(
                f"Batch.source must be SELF = {SELF}, DEMONSTRATOR = {DEMONSTRATOR} or OLD = {OLD}, "
                f"got {int(source.min())} to {int(source.max())}"
            )
        if not checks.holds(actions >= 0):
            raise ValueError(f"Batch.actions must not be negative, got {int(actions.min())}")
        per_label = {
            "log_prob": self.log_prob,
            "behavior_log_prob": self.behavior_log_prob,
            "ref_log_prob": self.ref_log_prob,
        }
        if self.mask is not None:
            mask = checks.tensor("Batch.mask", self.mask)
            if mask.dtype != torch.bool:
                raise TypeError(f"Batch.mask must be boolean, got {mask.dtype}")
            checks.shape("Batch.mask", mask, tuple(actions.shape), "that of actions,")
        for name, value in per_label.items():
            if value is not None or name != "ref_log_prob":
                x = checks.floating(f"Batch.{name}", value)
                checks.shape(f"Batch.{name}", x, tuple(actions.shape), "that of actions,")
                checks.no_graph(f"Batch.{name}", x)
                checks.same_device(f"Batch.{name}", x, "Batch.rewards", rewards)
                bad = x.isnan() if self.mask is None else x.isnan() & self.mask
                if name == "behavior_log_prob":  # with which probability a person would have written it is not known
                    known = source != DEMONSTRATOR
                    bad = bad & (known if bad.ndim == 2 else known.unsqueeze(-1))
                if not checks.holds(~bad):
                    raise ValueError(f"Batch.{name} must not be NaN, got {int(bad.sum())} of {x.numel()}")


class Policy(Protocol):
    """Anything that can write answers and say how likely they were: a table, a toy, a language model."""

    def parameters(self) -> Iterator[Parameter]:
        """The parameters that training moves."""

    def sample(self, prompts: Any, group_size: int, generator: torch.Generator) -> Any:
        """Draw ``group_size`` answers to each prompt: ``[B, G]`` indices, or :class:`Answers` in tokens."""

    @property
    def log_prob(self) -> Callable[..., Tensor]:
        """``log_prob(prompts, actions)`` or, in tokens, ``log_prob(prompts, actions, mask)``.

        Log-probability (nats) of the answers, in their shape, with a graph.
        """


class Task(Protocol):
    """Prompts as users supply them, a teacher who grades answers, and perhaps demonstrators who write some."""

    def check_policy(self, policy: Any) -> None:
        """Raise if a policy cannot answer this task's prompts."""

    def sample_prompts(self, batch_size: int, generator: torch.Generator) -> Any:
        """Draw prompts from P(o)."""

    def reward(self, prompts: Any, actions: Any) -> Float[Tensor, "B G"]:
        """Grade the answers: indices, or texts."""

    def demonstrate(self, prompts: Any, group_size: int, generator: torch.Generator) -> Any:
        """Draw ``group_size`` of the demonstrators' answers to each prompt: indices, or texts."""

    def demonstration_log_prob(self, prompts: Any, actions: Tensor) -> Tensor:
        """Log-probability (nats) of answers under the demonstrators, in their shape."""


def score(policy: Policy, prompts: Any, actions: Tensor, mask: Tensor | None) -> Tensor:
    """Log-probability (nats) of answers under a policy, whether it writes answers whole or in tokens."""
    return policy.log_prob(prompts, actions) if mask is None else policy.log_prob(prompts, actions, mask)
