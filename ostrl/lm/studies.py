"""The arms of the comparisons over seeds, each with the same budget of labels and the same tuning.

An arm is a row of the table, or a few rows for one Grow after another, and who demonstrates. For each arm every
learning rate of the grid is tried with seeds of its own; the best one on one half of the held-out prompts is run with
fresh seeds and measured on the other half. Every run is written down when it ends, so that a study that was stopped
goes on with what is missing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ostrl import methods
from ostrl.lm import homework, students
from ostrl.lm.checkpoint import load
from ostrl.lm.evaluation import evaluate
from ostrl.lm.policy import LanguageModelPolicy
from ostrl.lm.task import TextTask
from ostrl.training import grow_improve

LEARNING_RATES = (2e-4, 5e-4, 1e-3)
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
        learning_rates: the grid that is tuned over.
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
    "leave-one-out, step × 10": Arm("rloo", learning_rates=(5e-3,)),
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
    "RL": Arm("rloo"),
    "REINFORCE": Arm("reinforce"),
    "GRPO": Arm("grpo"),
    "filtered": Arm("rest"),
    "SFT, class": Arm("sft"),
    "SFT, many right": Arm("sft", demonstrators="key"),
    "self-training": Arm("self_training"),
}
"""Chapter 10: the gradients themselves, at one policy."""


@dataclass(frozen=True)
class Budget:
    """What every arm may spend, and how it is measured.

    Attributes:
        model: where every run begins.
        labels: answers that are labeled in a run.
        points: how often accuracy is measured along a run.
        prompts: held-out prompts of each measurement.
        samples: answers to each at the end.
    """

    model: str = "homework"
    labels: int = 16_384
    points: int = 8
    prompts: int = 200
    samples: int = 16


def task_of(arm: Arm, stronger: Mapping[str, Mapping[str, float]] | None) -> TextTask:
    """What an arm learns from: the practiced prompts, and who demonstrates."""
    train = homework.task("train")
    if arm.demonstrators == "few":
        generator = torch.Generator().manual_seed(0)
        chosen = torch.randperm(len(train.prompts), generator=generator)[:FEW].tolist()
        return TextTask([train.prompts[index] for index in chosen], homework.grade, homework.key)
    written: dict[str, Writes] = {"class": students.distribution, "key": homework.key, "partly_wrong": partly_wrong}
    if stronger is not None:
        written["stronger"] = stronger.__getitem__
        if arm.demonstrators == "stronger":
            return TextTask(list(stronger), homework.grade, written["stronger"])
    if arm.demonstrators not in written:
        raise ValueError(f"demonstrators must be one of {', '.join(written)}, few; got {arm.demonstrators!r}")
    return TextTask(train.prompts, homework.grade, written[arm.demonstrators])


def halves() -> tuple[list[str], list[str]]:
    """Held-out prompts for tuning, and those for the results: every other one."""
    prompts = homework.task("held_out").prompts
    return prompts[::2], prompts[1::2]


def train(
    arm: Arm, learning_rate: float, seed: int, budget: Budget, stronger: Mapping[str, Mapping[str, float]] | None = None
) -> Iterator[tuple[int, float, LanguageModelPolicy]]:
    """Run an arm: yields the labels spent so far, the mean grade of the last ones, and the policy, step by step.

    The first is ``(0, nan, policy)``, before anything is learned.
    """
    policy = load(budget.model)
    task = task_of(arm, stronger)
    generator = torch.Generator(policy.device).manual_seed(seed)
    optimizer = torch.optim.Adam(policy.parameters(), lr=learning_rate)
    yield 0, math.nan, policy
    grows = max(1, budget.labels // arm.labels)
    records = grow_improve(
        [arm.method()], policy, task, optimizer, batch_size=arm.batch_size, group_size=arm.group_size,
        improve_steps=arm.improve_steps, generator=generator,
    )  # fmt: skip
    for record in itertools.islice(records, grows * arm.improve_steps):
        yield record.grow * arm.labels, record.mean_reward, policy


def run(arm: Arm, learning_rate: float, seed: int, budget: Budget, tuning: bool,
        stronger: Mapping[str, Mapping[str, float]] | None = None) -> dict[str, Any]:  # fmt: skip
    """One run of an arm, measured along the way and at its end, as plain values."""
    prompts = halves()[0 if tuning else 1]
    held_out = TextTask(prompts, homework.grade)
    steps = list(range(0, budget.labels + 1, max(1, budget.labels // budget.points)))
    curve: list[tuple[int, float]] = []
    for spent, _, policy in train(arm, learning_rate, seed, budget, stronger):
        while steps and spent >= steps[0]:
            steps.pop(0)
            if not curve or curve[-1][0] != spent:
                curve.append((spent, _accuracy(policy, held_out, budget.prompts, seed)))
    result: dict[str, Any] = {"learning_rate": learning_rate, "seed": seed, "curve": curve}
    if tuning:
        return result | {"accuracy": curve[-1][1]}
    base = load(budget.model)
    for split in ("held_out", "longer", "kinds"):
        task = held_out if split == "held_out" else homework.task(split)
        size = budget.prompts if split == "held_out" else budget.prompts // 2
        result[split] = evaluate(
            policy, task, prompts=size, samples=budget.samples if split == "held_out" else 4, reference=base,
            generator=torch.Generator(policy.device).manual_seed(seed), kind=homework.kind,
        ).to_dict()  # fmt: skip
    return result | {"homework": homework_kl(policy, prompts[: budget.prompts // 2])}


def _accuracy(policy: LanguageModelPolicy, task: TextTask, size: int, seed: int) -> float:
    generator = torch.Generator(policy.device).manual_seed(seed)
    prompts = task.sample_prompts(size, generator)
    actions, mask = policy.sample(prompts, 2, generator)
    return task.reward(prompts, policy.decode(actions, mask)).mean().item()


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
