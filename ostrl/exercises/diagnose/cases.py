"""The batches on which a reader's function is compared with the right one.

They differ in what estimators trip over: ties, groups with equal returns, negative returns, a large offset, a
single prompt, pairs, as many prompts as answers. Sizes are chosen so that B, G, B·G and T are told apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ostrl.batch import Batch

SETTINGS: dict[str, Any] = {"eps": 1e-4, "beta": 0.7, "k": 2, "clip": 0.2}
"""Settings that a function may ask for by name, besides ``tau``, which is one of the batch's returns."""

LONGEST = 5
"""T, where answers have tokens."""


@dataclass(frozen=True, eq=False)
class Case:
    """One batch, as the reader's function gets it.

    Attributes:
        kind: what is special about it, in words that fit after "batches with"; empty for an ordinary one.
        fields: everything a function may ask for, by name: ``rewards`` ``[B, G]`` (``[N]`` if flat), ``log_prob``,
            ``behavior_log_prob`` and ``ref_log_prob`` ``[B, G]`` or ``[B, G, T]``, ``mask`` ``[B, G, T]``,
            ``probs`` and ``logits`` ``[A]``, ``actions`` as ``rewards``, ``scores`` ``[B, G, A]`` of the actions
            and their squared ``lengths`` ``[B, G]``,
            ``baseline`` ``[B, 1]``, and settings. A flat batch lacks the dimension B.
    """

    kind: str
    fields: Mapping[str, Any]

    @cached_property
    def rewards(self) -> Tensor:
        """Returns ``[B, G]``; a flat batch is one group."""
        given: Tensor = self.fields["rewards"]
        return given if given.ndim == 2 else given[None]

    @cached_property
    def flat(self) -> bool:
        """Whether there are no groups."""
        return bool(self.fields["rewards"].ndim == 1)

    @cached_property
    def batch(self) -> Batch:
        """The same as a :class:`ostrl.Batch`."""
        shape = (*self.rewards.shape, *self.fields["mask"].shape[-1:]) if "mask" in self.fields else self.rewards.shape
        per_label = {name: self.fields[name].reshape(shape) for name in ("behavior_log_prob", "ref_log_prob")}
        tokens = torch.ones(shape, dtype=torch.long)
        return Batch(
            prompts=torch.arange(len(self.rewards)),
            actions=tokens if "mask" in self.fields else self.fields["actions"].reshape(shape),
            rewards=self.rewards.clone(),
            source=torch.zeros(self.rewards.shape, dtype=torch.long),
            log_prob=self.fields["log_prob"].detach().reshape(shape),
            mask=self.fields["mask"].reshape(shape) if "mask" in self.fields else None,
            **per_label,
        )

    def with_fields(self, **changes: Any) -> Case:
        """The same batch with some fields changed."""
        return dataclasses.replace(self, fields={**self.fields, **changes})


def _returns(generator: torch.Generator) -> list[tuple[str, Tensor]]:
    def graded(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def steps(count: int, *shape: int) -> Tensor:
        return torch.randint(count, shape, generator=generator).to(torch.float64) / (count - 1)

    silent = graded(3, 4)
    silent[1] = 0.5
    return [
        ("", graded(3, 4)),
        ("", graded(2, 5) + 0.5),
        ("", graded(4, 3) * 3),
        ("returns 0 and 1", steps(2, 4, 3)),
        ("returns 0 and 1", steps(2, 2, 7)),
        ("tied returns", steps(3, 3, 6)),
        ("negative returns only", -graded(3, 5).abs() - 0.1),
        ("returns far from zero", graded(2, 3) + 30),
        ("a single prompt", graded(1, 4)),
        ("groups of two", graded(5, 2)),
        ("as many prompts as answers per prompt", graded(4, 4)),
        ("a group of equal returns", silent),
        ("equal returns throughout", torch.full((2, 3), 0.75, dtype=torch.float64)),
    ]


def cases(
    *, tokens: bool = False, flat: bool = False, answers: int = 6, padding: float | None = None, **settings: Any
) -> tuple[Case, ...]:
    """The batches.

    Args:
        tokens: whether log-probabilities are ``[B, G, T]``, with a mask.
        flat: whether there are no groups: returns and actions are ``[N]``.
        answers: A, the number of answers the policy chooses from.
        padding: the log-probability that stands behind the end of an answer, NaN for example; ``None`` for any number.
        settings: values of fields that are the same in every batch, for example ``tau=0.5``.
    """
    generator = torch.Generator().manual_seed(0)
    return tuple(
        one(kind, rewards.flatten() if flat else rewards, generator, tokens, answers, padding, settings)
        for kind, rewards in _returns(generator)
        if not flat or kind not in ("a single prompt", "groups of two", "as many prompts as answers per prompt")
    )


def one(
    kind: str,
    rewards: Tensor,
    generator: torch.Generator,
    tokens: bool,
    answers: int,
    padding: float | None,
    settings: Mapping[str, Any],
) -> Case:
    """A batch with these returns; everything else is drawn."""
    groups = tuple(rewards.shape)
    shape = (*groups, LONGEST) if tokens else groups

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=generator, dtype=torch.float64)

    log_prob, logits = -normal(*shape).abs() - 0.05, normal(answers)
    probs, actions = torch.softmax(logits, 0), torch.randint(answers, groups, generator=generator)
    scores = torch.eye(answers, dtype=probs.dtype)[actions] - probs
    fields: dict[str, Any] = {
        "rewards": rewards,
        "log_prob": log_prob,
        "behavior_log_prob": log_prob + 0.4 * normal(*shape),
        "ref_log_prob": log_prob + 0.4 * normal(*shape),
        "logits": logits,
        "probs": probs,
        "actions": actions,
        "scores": scores,
        "lengths": scores.square().sum(-1),
        "baseline": normal(*groups[:-1], 1) if len(groups) == 2 else normal(1)[0],
        "tau": float(rewards.flatten().median()),
        **SETTINGS,
    }
    if tokens:
        length = torch.randint(1, LONGEST + 1, groups, generator=generator)
        length.view(-1)[0], length.view(-1)[-1] = LONGEST - 2, LONGEST
        fields["mask"] = mask = torch.arange(LONGEST) < length[..., None]
        if padding is not None:
            for name in ("log_prob", "behavior_log_prob", "ref_log_prob"):
                fields[name] = fields[name].masked_fill(~mask, padding)
    return Case(kind, {**fields, **settings})
