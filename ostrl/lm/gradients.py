"""The gradients themselves: direction, length and noise of a method's estimate on a language model, layer by layer.

In general nothing can be enumerated here, so everything is estimated from independent batches, and what noise adds to
a squared length is taken off again. (Where one string is right, as in the homework, the objective is a mean of
probabilities, and its gradient is exact: chapter 9, ``prop-one-right-string``.)
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm

from ostrl import checks
from ostrl.lm.policy import LanguageModelPolicy
from ostrl.lm.task import TextTask
from ostrl.methods import Method
from ostrl.training import backward, label

Parts = dict[str, torch.Tensor]


@dataclass
class _Moments:
    """Of M gradients: their sum, and the sum of their squared lengths."""

    total: torch.Tensor
    squares: float = 0.0
    count: int = 0

    def add(self, gradient: torch.Tensor) -> None:
        self.total += gradient
        self.squares += float(gradient.double().square().sum())
        self.count += 1

    @property
    def mean(self) -> torch.Tensor:
        return self.total / self.count

    @property
    def variance(self) -> float:
        """Trace of the covariance of one estimate."""
        return (self.squares - self.count * float(self.mean.double().square().sum())) / (self.count - 1)

    @property
    def signal(self) -> float:
        """Squared length of the expected gradient, without bias: the noise in the mean's length is taken off."""
        return float(self.mean.double().square().sum()) - self.variance / self.count


def compare_gradients(
    policy: LanguageModelPolicy,
    arms: Mapping[str, tuple[Method, TextTask]],
    *,
    reference: tuple[Method, TextTask],
    batch_size: int,
    group_size: int,
    replicas: int,
    reference_replicas: int,
    generator: torch.Generator,
) -> dict[str, Any]:
    """Compare methods' gradient estimates at one and the same policy with that of a reference, such as leave-one-out.

    Args:
        policy: stays as it is.
        arms: a method and its task, by name.
        reference: what every arm is compared with, from batches of its own.
        batch_size: B of one estimate.
        group_size: G of one estimate.
        replicas: independent estimates of each arm, at least 2.
        reference_replicas: of the reference, at least 2.
        generator: the source of randomness.

    Returns:
        For each arm, for ``"all"`` parameters and for each layer: ``norm`` of the expected gradient (``None`` where its
        square is estimated below zero), ``cosine`` of the expected gradients (noise taken off, so it may pass 1 by
        chance; ``None`` where a norm is), ``cosine_of_one``: the mean cosine of a single estimate to the reference's
        mean, and ``snr``, the squared length of the expected gradient by the variance of one estimate (``None`` without
        variance).

    Raises:
        TypeError: for a wrong kind of argument.
        ValueError: for fewer than 2 replicas.
    """
    for name, value in {"replicas": replicas, "reference_replicas": reference_replicas}.items():
        if checks.positive_int(name, value) < 2:
            raise ValueError(f"{name} must be at least 2, got {value}: a variance is estimated")
    truth: dict[str, _Moments] = {}
    for _ in tqdm(range(reference_replicas), desc="reference", leave=False):
        _note(truth, _estimate(policy, *reference, batch_size, group_size, generator))
    result: dict[str, Any] = {}
    for arm, (method, task) in arms.items():
        found: dict[str, _Moments] = {}
        cosines: dict[str, list[float]] = {part: [] for part in truth}
        for _ in tqdm(range(replicas), desc=arm, leave=False):
            gradient = _estimate(policy, method, task, batch_size, group_size, generator)
            _note(found, gradient)
            for part, vector in gradient.items():
                cosines[part].append(float(torch.cosine_similarity(vector, truth[part].mean, dim=0)))
        result[arm] = {part: _summary(found[part], truth[part], cosines[part]) for part in truth}
    return result


def _summary(found: _Moments, truth: _Moments, cosines: list[float]) -> dict[str, float | None]:
    along = float(found.mean.double() @ truth.mean.double())
    signal = found.signal * truth.signal
    sure = found.signal > 0 and truth.signal > 0
    return {
        "norm": math.sqrt(found.signal) if found.signal > 0 else None,
        "cosine": along / math.sqrt(signal) if sure else None,
        "cosine_of_one": sum(cosines) / len(cosines),
        "snr": found.signal / found.variance if found.variance > 0 else None,
    }


def _estimate(
    policy: LanguageModelPolicy, method: Method, task: TextTask, batch_size: int, group_size: int,
    generator: torch.Generator,
) -> Parts:  # fmt: skip
    """One estimate of the gradient of ascent, in parts: one vector a layer, and one of all."""
    policy.zero_grad()
    backward(method, policy, *label(method, policy, task, batch_size, group_size, generator))
    layers: dict[str, list[torch.Tensor]] = {}
    for name, parameter in policy.model.named_parameters():
        if parameter.grad is not None:
            layers.setdefault(layer_of(name), []).append(-parameter.grad.flatten())
    policy.zero_grad()
    parts = {layer: torch.cat(pieces) for layer, pieces in layers.items()}
    return {"all": torch.cat(list(parts.values())), **parts}


def _note(moments: dict[str, _Moments], gradient: Parts) -> None:
    for part, vector in gradient.items():
        moments.setdefault(part, _Moments(torch.zeros_like(vector))).add(vector)


def layer_of(name: str) -> str:
    """Which layer a parameter of a transformer belongs to, by its name: ``embedding``, ``layer 1`` …, ``head``."""
    if block := re.search(r"\.(?:layers|h)\.(\d+)\.", name):
        return f"layer {int(block[1]) + 1}"
    return "embedding" if "embed" in name or re.search(r"\bw[tp]e\b", name) else "head"
