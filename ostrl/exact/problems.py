"""The problems on which methods are compared."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ostrl.methods import Method
from ostrl.policies import CategoricalPolicy, LinearPolicy, TablePolicy
from ostrl.tasks import TableTask


@dataclass(frozen=True, eq=False)
class Problem:
    """Something to estimate the gradient of.

    Attributes:
        name: for the table.
        policy: the policy being trained.
        task: prompts, grades, and what demonstrators write.
        reference: a policy for methods that ask for ``ref_log_prob``, or none.
    """

    name: str
    policy: TablePolicy
    task: TableTask
    reference: TablePolicy | None = None

    def labeled(self, method: Method) -> Method:
        """The method with labels for which the reference policy's log-probabilities are noted, if there is one
        and the labeler has none of its own."""
        if self.reference is None or method.label.reference is not None:
            return method
        return dataclasses.replace(method, label=dataclasses.replace(method.label, reference=self.reference))


def panel() -> list[Problem]:
    """The ledger's standard problems: small, different, and with demonstrators for the methods that need them.

    Binary, graded and negative returns, a rare success and a nearly solved prompt, returns far from zero, an outlier
    among the grades, equally right answers, and prompts of different difficulty that share parameters.
    Reference policies, for methods that ask for one, are uniform.
    """

    def table_of(rows: Any) -> Tensor:
        return torch.tensor(rows, dtype=torch.float64)

    def one(name: str, probs: list[float], rewards: list[float], shown: list[float]) -> Problem:
        task = TableTask(table_of([rewards]), None, table_of([shown]))
        return Problem(name, CategoricalPolicy(table_of([probs]).log()), task, CategoricalPolicy(table_of([[0, 0, 0]])))

    features = table_of(
        [
            [[1.0, 0.0, 0.5], [0.0, 1.0, -0.5], [0.5, -1.0, 0.0]],
            [[0.0, 1.0, 1.0], [1.0, 0.5, 0.0], [-0.5, 0.0, 1.0]],
        ]
    )
    shared = Problem(
        "two prompts, shared parameters",
        LinearPolicy(features, table_of([0.8, -1.2, 0.4])),
        TableTask(
            table_of([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
            table_of([0.7, 0.3]),
            table_of([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]]),
        ),
        LinearPolicy(features, torch.zeros(3, dtype=torch.float64)),
    )
    return [
        one("capital", [0.6, 0.3, 0.1], [0.0, 1.0, 0.0], [0.05, 0.9, 0.05]),
        one("rare success", [0.75, 0.2, 0.05], [0.0, 0.0, 1.0], [0.1, 0.1, 0.8]),
        one("nearly solved", [0.9, 0.07, 0.03], [1.0, 0.0, 0.0], [0.95, 0.03, 0.02]),
        one("two right answers", [0.5, 0.3, 0.2], [0.0, 1.0, 1.0], [0.1, 0.6, 0.3]),
        one("graded", [0.5, 0.3, 0.2], [0.0, 0.4, 1.0], [0.1, 0.3, 0.6]),
        one("negative", [0.4, 0.4, 0.2], [-1.0, 0.5, -2.0], [0.1, 0.8, 0.1]),
        one("offset", [0.6, 0.3, 0.1], [10.0, 11.0, 10.0], [0.05, 0.9, 0.05]),
        one("jackpot", [0.09, 0.9, 0.01], [0.0, 1.0, 100.0], [0.05, 0.15, 0.8]),
        shared,
    ]
