"""``ostrl compare``: the arms of a study run over seeds, in processes side by side, tuned and counted alike."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ostrl import checks
from ostrl.lm import homework, studies
from ostrl.lm.checkpoint import load
from ostrl.lm.folder import read_json, write_json
from ostrl.lm.gradients import compare_gradients
from ostrl.lm.policy import LanguageModelPolicy
from ostrl.lm.studies import Arm, Budget
from ostrl.results import provenance

PACKAGES = ("torch", "transformers", "tokenizers", "numpy")


def compare(
    arms: Mapping[str, Arm],
    *,
    seeds: int = 10,
    budget: Budget | None = None,
    workers: int = 1,
    folder: str | Path,
    command: str = "",
    title: str = "",
) -> dict[str, Any]:
    """Tune every arm on its grid, run its best learning rate with fresh seeds, and put the results together.

    Args:
        arms: by name.
        seeds: runs of each arm; they have the seeds 0, 1, 2, …
        budget: what each may spend.
        workers: processes, of one thread each.
        folder: where each run is written down when it ends; those that are there already are not run again.
        command: noted in the provenance.
        title: noted beside it.

    Returns:
        Plain values: the provenance, and of each arm the learning rates tried, the chosen one, and the runs.

    Raises:
        TypeError: for a wrong kind of argument.
        ValueError: for no arms, numbers below 1, labels that are no whole number of Grows, or a folder that holds runs
            of another budget, of other arms or from other weights.
    """
    budget = budget or Budget()
    checks.positive_int("seeds", seeds)
    checks.positive_int("workers", workers)
    if not arms:
        raise ValueError("arms must name at least one arm, got none")
    for name, arm in arms.items():
        if budget.labels % arm.labels:
            raise ValueError(f"labels must be a multiple of {arm.labels}, a Grow of {name}, got {budget.labels}")
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    weights = _fingerprint(load(budget.model))
    _same_study(place, arms, budget, weights)
    stronger = _stronger(place, budget) if any(a.demonstrators == "stronger" for a in arms.values()) else None

    tuning = [(n, a, rate, seed) for n, a in arms.items() if len(a.learning_rates) > 1
              for rate in a.learning_rates for seed in studies.TUNING_SEEDS]  # fmt: skip
    tried = _run_all(tuning, budget, True, stronger, workers, place, "tuning")
    chosen = {}
    for name, arm in arms.items():
        means = dict.fromkeys(arm.learning_rates, 0.0)
        for rate in means:
            found = [result["accuracy"] for n, _, tried_rate, result in tried if n == name and tried_rate == rate]
            means[rate] = statistics.mean(found) if found else 0.0
        chosen[name] = max(means, key=lambda rate: means[rate]), means
    final = [(n, a, chosen[n][0], seed) for n, a in arms.items() for seed in range(seeds)]
    done = _run_all(final, budget, False, stronger, workers, place, "runs")
    return {
        "title": title,
        "provenance": provenance(
            command,
            PACKAGES,
            device=_device(),
            seeds=list(range(seeds)),
            tuning_seeds=list(studies.TUNING_SEEDS),
            budget=dataclasses.asdict(budget),
            weights=weights,
            note="threads are those of this process; each worker had one",
        ),
        **({} if stronger is None else {"stronger": {"accuracy": _right(stronger)}}),
        "arms": {
            name: {
                **dataclasses.asdict(arm),
                "parameters": dict(arm.parameters),
                "learning_rate": chosen[name][0],
                "tuning": [{"learning_rate": rate, "accuracy": mean} for rate, mean in chosen[name][1].items()]
                if len(arm.learning_rates) > 1 else [],
                "runs": sorted((r for n, _, _, r in done if n == name), key=lambda r: r["seed"]),
            }
            for name, arm in arms.items()
        },
    }  # fmt: skip


def gradients(*, budget: Budget, replicas: int = 100, command: str = "") -> dict[str, Any]:
    """The gradient estimates of the methods at the model that ships, and at the one that RL makes of it.

    Each estimate is from the answers of one step. The reference is leave-one-out, from twice as many others.

    Args:
        budget: where it begins, and what RL may spend.
        replicas: estimates of each method.
        command: noted in the provenance.

    Raises:
        ValueError: for fewer than 2 replicas.
    """
    arms = {name: (arm.method(), studies.task_of(arm, None)) for name, arm in studies.GRADIENTS.items()}
    rl = Arm("rloo")
    *_, (_, _, trained) = studies.train(rl, 1e-3, 2_000, budget)
    policies = {"base": load(budget.model), "RL": trained}
    return {
        "title": "gradients",
        "provenance": provenance(
            command, PACKAGES, device=_device(), replicas=replicas, reference_replicas=2 * replicas,
            labels=rl.labels, budget=dataclasses.asdict(budget), seed=3_000,
        ),
        "policies": {
            name: compare_gradients(
                policy, arms, reference=arms["RL"], batch_size=rl.batch_size, group_size=rl.group_size,
                replicas=replicas, reference_replicas=2 * replicas,
                generator=torch.Generator(policy.device).manual_seed(3_000),
            )
            for name, policy in policies.items()
        },
    }  # fmt: skip


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {len(os.sched_getaffinity(0))} cores"


def _same_study(place: Path, arms: Mapping[str, Arm], budget: Budget, weights: str) -> None:
    """Require that what is written down there belongs to this study."""
    plain = {
        "arms": {name: dataclasses.asdict(arm) for name, arm in arms.items()},
        "budget": dataclasses.asdict(budget),
        "weights": weights,
    }
    asked = json.loads(json.dumps(plain))
    note = place / "study.json"
    if note.exists() and read_json(note) != asked:
        raise ValueError(
            f"{place} holds runs of another study (other arms, another budget or another model); name another folder"
        )
    write_json(note, asked)


def _run_all(
    jobs: Sequence[tuple[str, Arm, float, int]],
    budget: Budget,
    tuning: bool,
    stronger: Mapping[str, Mapping[str, float]] | None,
    workers: int,
    place: Path,
    what: str,
) -> list[tuple[str, Arm, float, dict[str, Any]]]:
    """Run what is not written down yet; returns all, in the order of the jobs."""
    files = [place / f"{what} {re.sub(r'[^A-Za-z0-9]+', '-', n)} {rate:g} {seed}.json" for n, _, rate, seed in jobs]
    missing = [index for index, file in enumerate(files) if not file.exists()]
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        try:
            running = {
                pool.submit(studies.run, jobs[i][1], jobs[i][2], jobs[i][3], budget, tuning, stronger): files[i]
                for i in missing
            }
            for future in tqdm(as_completed(running), total=len(running), desc=what, unit="run"):
                write_json(running[future], future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [(*job[:3], read_json(file)) for job, file in zip(jobs, files, strict=True)]


def _stronger(place: Path, budget: Budget) -> dict[str, dict[str, float]]:
    """The answers of a model trained by reinforcement learning for twice the budget, four to each practiced prompt."""
    file = place / "stronger.json"
    if not file.exists():
        twice = dataclasses.replace(budget, labels=2 * budget.labels)
        *_, (_, _, policy) = tqdm(studies.train(Arm("rloo"), 1e-3, 2_000, twice), desc="stronger model")
        prompts = homework.prompts("train")
        generator = torch.Generator(policy.device).manual_seed(2_000)
        texts = policy.decode(*policy.at(micro_batch_size=256).sample(list(prompts), 4, generator))
        counted = {p: {t: group.count(t) / len(group) for t in group} for p, group in zip(prompts, texts, strict=True)}
        write_json(file, counted)
    answers: dict[str, dict[str, float]] = read_json(file)
    return answers


def _fingerprint(policy: LanguageModelPolicy) -> str:
    """Of the weights: other weights have another one."""
    digest = hashlib.sha256()
    for parameter in policy.parameters():
        digest.update(parameter.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _right(answers: Mapping[str, Mapping[str, float]]) -> float:
    """How often answers are right, the mean over prompts."""
    return statistics.mean(answers[prompt].get(homework.solve(prompt), 0.0) for prompt in answers)
