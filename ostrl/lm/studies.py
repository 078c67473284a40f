"""The arms of the comparisons over seeds, each with the same budget of labels and the same tuning.

An arm is a row of the table, or a few rows for one Grow after another, and who demonstrates. For each arm every
learning rate of the grid is tried with seeds of its own; the best one on one half of the held-out prompts is run with
fresh seeds and measured on the other half. Every run is written down when it ends, so that a study that was stopped
goes on with what is missing.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ostrl import methods
from ostrl.lm import homework, students
from ostrl.lm.checkpoint import load
from ostrl.lm.evaluation import evaluate
from ostrl.lm.policy import LanguageModelPolicy
from ostrl.lm.task import TextTask
from ostrl.training import grow_improve

LEARNING_RATES = (5e-4, 1e-3, 2e-3)
TUNING_SEEDS = (1_000,)
FEW = 64

Writes = Callable[[str], Mapping[str, float]]


def partly_wrong(prompt: str) -> dict[str, float]:
    """Right seven times of ten; otherwise whatever the class would have handed in."""
    written = {answer: 0.3 * chance for answer, chance in students.distribution(prompt).items()}
    return written | {homework.solve(prompt): written.get(homework.solve(prompt), 0.0) + 0.7}


@dataclass(frozen=True)
class Arm:
    """One line of a comparison.

    Attributes:
        row: a row of ``METHODS``.
        parameters: of its builder.
        demonstrators: ``"class"``, ``"key"``, ``"partly_wrong"``, ``"few"`` (right, but for 64 prompts only) or
            ``"stronger"`` (the answers of a model that was trained by reinforcement learning).
        batch_size: prompts a Grow.
        group_size: answers a prompt.
        improve_steps: gradient steps a Grow.
        learning_rates: the grid that is tuned over; each is Adam's at the start.
    """

    row: str
    parameters: tuple[tuple[str, float], ...] = ()
    demonstrators: str = "class"
    batch_size: int = 64
    group_size: int = 4
    improve_steps: int = 1
    learning_rates: tuple[float, ...] = LEARNING_RATES

    def method(self) -> methods.Method:
        """The row with its parameters."""
        row: methods.Method = getattr(methods, self.row)(**dict(self.parameters))
        return row

    @property
    def labels(self) -> int:
        """Answers a Grow."""
        return self.batch_size * self.group_size


BASELINES = {
    "REINFORCE": Arm("reinforce"),
    "REINFORCE, b = 1/2": Arm("reinforce", (("baseline", 0.5),)),
    "leave-one-out": Arm("rloo"),
    "GRPO": Arm("grpo"),
    "leave-one-out, step × 10": Arm("rloo", learning_rates=(1e-2,)),
}
"""Chapter 9: the same answers, weighted in four ways, and a step that is too large."""

LABELS = {
    "RL": Arm("rloo"),
    "SFT, class": Arm("sft"),
    "SFT, few right": Arm("sft", demonstrators="few"),
    "SFT, many right": Arm("sft", demonstrators="key"),
    "SFT, partly wrong": Arm("sft", demonstrators="partly_wrong"),
    "SFT, stronger model": Arm("sft", demonstrators="stronger"),
    "self-training": Arm("self_training"),
    "filtered": Arm("rest"),
    "ReST, 4 steps a Grow": Arm("rest", batch_size=256, improve_steps=4),
}
"""Chapter 10: who labels, and how each label is weighted."""

STUDIES: dict[str, dict[str, Arm]] = {"baselines": BASELINES, "labels": LABELS}

GRADIENTS = {
    name: LABELS[name]
    for name in ("RL", "filtered", "SFT, many right", "SFT, partly wrong", "SFT, class", "self-training")
}
"""Chapter 10: the gradients themselves, at one policy."""


@dataclass(frozen=True)
class Budget:
    """What every arm may spend, and how it is measured.

    Attributes:
        model: where every run begins.
        labels: answers that are labeled in a run.
        points: how often accuracy is measured along a run.
        prompts: held-out prompts that are answered at the end.
        samples: answers to each of them.
    """

    model: str = "homework"
    labels: int = 16_384
    points: int = 8
    prompts: int = 200
    samples: int = 16


def task_of(arm: Arm, stronger: Mapping[str, Mapping[str, float]] | None) -> TextTask:
    """What an arm learns from: the practiced prompts, and who demonstrates."""
    if arm.demonstrators == "few":
        train = homework.prompts("train")
        chosen = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:FEW].tolist()
        return TextTask([train[index] for index in chosen], homework.grade, homework.key)
    written: dict[str, Writes] = {"class": students.distribution, "key": homework.key, "partly_wrong": partly_wrong}
    if stronger is not None:
        written["stronger"] = stronger.__getitem__
        if arm.demonstrators == "stronger":
            return TextTask(list(stronger), homework.grade, written["stronger"])
    if arm.demonstrators not in written:
        raise ValueError(f"demonstrators must be one of {', '.join(written)}, few; got {arm.demonstrators!r}")
    return homework.task("train", written[arm.demonstrators])


def halves() -> tuple[list[str], list[str]]:
    """Held-out prompts for tuning, and those for the results: of each kind every other one."""
    parts: tuple[list[str], list[str]] = ([], [])
    count: Counter[str] = Counter()
    for prompt in homework.prompts("held_out"):
        kind = homework.kind(prompt)
        parts[count[kind] % 2].append(prompt)
        count[kind] += 1
    return parts


def train(
    arm: Arm, learning_rate: float, seed: int, budget: Budget, stronger: Mapping[str, Mapping[str, float]] | None = None
) -> Iterator[tuple[int, float, LanguageModelPolicy]]:
    """Run an arm: yields the labels spent so far, the mean grade of the last ones, and the policy, step by step.

    The learning rate is Adam's, and falls to zero along a line. The first that is yielded is ``(0, nan, policy)``,
    before anything is learned.
    """
    policy = load(budget.model)
    task = task_of(arm, stronger)
    generator = torch.Generator(policy.device).manual_seed(seed)
    optimizer = torch.optim.Adam(policy.parameters(), lr=learning_rate)
    yield 0, math.nan, policy
    grows = max(1, budget.labels // arm.labels)
    steps = grows * arm.improve_steps
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    records = grow_improve(
        [arm.method()], policy, task, optimizer, batch_size=arm.batch_size, group_size=arm.group_size,
        improve_steps=arm.improve_steps, generator=generator,
    )  # fmt: skip
    for record in itertools.islice(records, steps):
        schedule.step()
        yield record.grow * arm.labels, record.mean_reward, policy


def run(arm: Arm, learning_rate: float, seed: int, budget: Budget, tuning: bool,
        stronger: Mapping[str, Mapping[str, float]] | None = None) -> dict[str, Any]:  # fmt: skip
    """One run of an arm, measured along the way and at its end, as plain values.

    The accuracies of the curve, and all that stands under ``"exact"``, are sums over answers, not samples.
    """
    prompts = halves()[0 if tuning else 1]
    steps = list(range(0, budget.labels + 1, max(1, budget.labels // budget.points)))
    curve: list[tuple[int, float]] = []
    for spent, _, policy in train(arm, learning_rate, seed, budget, stronger):
        while steps and spent >= steps[0]:
            steps.pop(0)
            if not curve or curve[-1][0] != spent:
                curve.append((spent, success_rates(policy, prompts).mean().item()))
    result: dict[str, Any] = {"learning_rate": learning_rate, "seed": seed, "curve": curve}
    if tuning:
        return result | {"accuracy": curve[-1][1]}
    return result | measure(policy, prompts, budget, seed)


def measure(policy: LanguageModelPolicy, held_out: list[str], budget: Budget, seed: int) -> dict[str, Any]:
    """Everything that is measured of a trained policy, as plain values: by sampling, and exactly."""
    base = load(budget.model)
    few = budget.prompts // 2
    result: dict[str, Any] = {}
    for split, prompts, size, samples in (
        ("held_out", held_out, budget.prompts, budget.samples),
        ("longer", homework.prompts("longer"), few, 4),
        ("kinds", homework.prompts("kinds"), few, 4),
    ):
        generator = torch.Generator(policy.device).manual_seed(seed)
        result[split] = evaluate(
            policy, TextTask(prompts, homework.grade), prompts=size, samples=samples, reference=base,
            generator=generator, kind=homework.kind,
        ).to_dict() | {"exact": exact_accuracy(policy, prompts)}  # fmt: skip
    return result | {"homework": homework_kl(policy, held_out[:few])}


def success_rates(policy: LanguageModelPolicy, prompts: Sequence[str]) -> Float[Tensor, "P"]:
    """The probability that each prompt is answered right: one string is, so it is that string's; float64, no graph.

    Implements ``prop-one-right-string``, the rates in ``eq-one-right-string``.
    """
    answers = policy.encode([[homework.solve(prompt)] for prompt in prompts])
    with torch.no_grad():
        log_prob = policy.at(micro_batch_size=512).log_prob(list(prompts), *answers)
    return log_prob.double().sum(-1)[:, 0].exp().cpu()


def exact_accuracy(policy: LanguageModelPolicy, prompts: Sequence[str]) -> dict[str, Any]:
    """Accuracy, pass@k far beyond what could be sampled, and the same accuracy kind by kind."""
    rates = success_rates(policy, prompts)
    kinds = [homework.kind(prompt) for prompt in prompts]
    return {
        "accuracy": rates.mean().item(),
        "pass_at": {str(2**power): (1 - (1 - rates) ** 2**power).mean().item() for power in range(11)},
        "by_kind": {
            kind: rates[torch.tensor([other == kind for other in kinds])].mean().item() for kind in sorted(set(kinds))
        },
    }


def homework_kl(policy: LanguageModelPolicy, prompts: Sequence[str]) -> float:
    """KL(class ‖ policy) in nats, mean over prompts: how much of the homework is forgotten. Summed, not sampled."""
    total = 0.0
    for prompt in prompts:
        written = students.distribution(prompt)
        answers = policy.encode([list(written)])
        with torch.no_grad():
            log_prob = policy.log_prob([prompt], *answers).sum(-1)[0].double().cpu()
        chances = torch.tensor(list(written.values()), dtype=torch.float64)
        total += float((chances * (chances.log() - log_prob))[chances > 0].sum())
    return total / len(prompts)
