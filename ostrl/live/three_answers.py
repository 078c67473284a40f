"""Who labels, with which weight, divided by what: choose, and see where it leads."""

from __future__ import annotations

from typing import Any

import torch

from ostrl.live.figure import Choice, Distribution, LiveFigure, Number, OnePrompt, bundle
from ostrl.tasks import TableTask

LABELS = ("on_policy", "demonstrations", "mixture", "frozen")
WEIGHTS = (
    "one",
    "reward",
    "constant_baseline",
    "mean_baseline",
    "leave_one_out",
    "group_normalized",
    "threshold",
    "top_k",
    "exponential",
)
NORMALIZERS = ("samples", "kept", "kept_per_prompt", "prompts")

ROWS = {
    "reinforce": ("on_policy", "reward", "samples"),
    "rloo": ("on_policy", "leave_one_out", "samples"),
    "dr_grpo": ("on_policy", "mean_baseline", "samples"),
    "grpo": ("on_policy", "group_normalized", "samples"),
    "sft": ("demonstrations", "one", "samples"),
    "self_training": ("mixture", "one", "samples"),
    "rest": ("on_policy", "threshold", "kept"),
    "rest_per_prompt": ("on_policy", "threshold", "kept_per_prompt"),
    "raft": ("on_policy", "top_k", "prompts"),
    "rwr": ("on_policy", "exponential", "prompts"),
}
"""The rows of the table of methods, as the three answers that make them."""


class ThreeAnswers(LiveFigure, OnePrompt):
    """Choose the three answers and see the mean gradient of that method, exactly, beside the gradient of J.

    One prompt, G labels. ``labels``, ``weight`` and ``normalizer`` are named as in :mod:`ostrl.labeling`,
    :mod:`ostrl.weighting` and :mod:`ostrl.surrogate`; besides, ``frozen`` has the policy ``start`` write all labels,
    and ``one`` is a weight of 1.

    Args:
        method: a row of ``METHODS``, in place of the three answers.
        probs: the policy, a probability for each answer.
        start: the frozen policy; without it, the policy as it is at first.
        rewards: the teacher's grade for each answer.
        demonstrators: how often they write each answer.
        answers: the answers' names.
        group_size: G, from 2 to 8.
        labels: who writes the labels.
        weight: how much each label counts.
        normalizer: what is divided by.
        baseline: b of ``constant_baseline``.
        tau: the threshold.
        beta: the temperature of ``exponential``.

    Raises:
        TypeError: for both a method and answers, besides what every figure raises.
    """

    _esm = bundle("three_answers.mjs")
    start = Distribution([0.6, 0.3, 0.1], open=True).tag(sync=True)
    demonstrators = Distribution([0.1, 0.7, 0.2]).tag(sync=True)
    group_size = Number(4, 2, 8, whole=True).tag(sync=True)
    labels = Choice(LABELS, "on_policy").tag(sync=True)
    weight = Choice(WEIGHTS, "reward").tag(sync=True)
    normalizer = Choice(NORMALIZERS, "samples").tag(sync=True)
    baseline = Number(0.5).tag(sync=True)
    tau = Number(1.0).tag(sync=True)
    beta = Number(1.0, above=0.0).tag(sync=True)

    def __init__(self, method: str | None = None, **values: Any) -> None:
        if method is not None:
            if method not in ROWS:
                raise ValueError(f"method must be one of {', '.join(ROWS)}; got {method!r}")
            answers = dict(zip(("labels", "weight", "normalizer"), ROWS[method], strict=True))
            if twice := answers.keys() & values.keys():
                raise TypeError(f"method={method!r} already says {', '.join(sorted(twice))}: give one or the other")
            values |= answers
        super().__init__(**values)
        if "start" not in values:
            self.start = self.probs

    @property
    def task(self) -> TableTask:
        """The task on show, with its demonstrators."""
        table = torch.tensor([[self.rewards], [self.demonstrators]], dtype=torch.float64)
        return TableTask(table[0], demonstrations=table[1])
