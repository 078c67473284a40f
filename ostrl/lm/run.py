"""A training run that lives in a folder: it may be stopped, or killed, and goes on as if nothing had happened.

The loop is :func:`ostrl.training.grow_improve`, of which :func:`ostrl.training.train_steps` is a case. What is here is
wrapped around it from outside: a bar, a log, checkpoints, and Ctrl-C.

Resuming gives the same result as never stopping: bit for bit on a CPU with the same versions and number of threads.
With several Improve steps a Grow, checkpoints stand between the Grows only, since a batch of labels is not kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, BinaryIO

import torch
import transformers
from tqdm import tqdm

import ostrl
from ostrl.batch import DEMONSTRATOR
from ostrl.lm import checkpoint, folder, homework
from ostrl.lm.evaluation import Evaluation, evaluate
from ostrl.lm.interrupt import Stopped, stopping
from ostrl.lm.policy import LanguageModelPolicy
from ostrl.lm.settings import Settings
from ostrl.lm.task import TextTask
from ostrl.training import Record, grow_improve


@dataclass(frozen=True, eq=False)
class Run:
    """A run that has come to its end.

    Attributes:
        folder: where it lives.
        settings: as they were given.
        policy: the trained one.
        log: what was noted of each step (:func:`train`).
        before: how good the model was on held-out prompts where the run began; ``None`` without an evaluation.
        after: how good it is now, with the KL divergence to where it began.
    """

    folder: Path
    settings: Settings
    policy: LanguageModelPolicy
    log: list[dict[str, Any]]
    before: Evaluation | None
    after: Evaluation | None

    def __repr__(self) -> str:
        title = f"{self.settings.method}, {self.settings.steps} steps, in {self.folder}"
        return "\n\n".join([title, *(f"{what}\n{e}" for what, e in self._tables())])

    def _repr_html_(self) -> str:
        tables = "".join(f"<p>{what}</p>{evaluation._repr_html_()}" for what, evaluation in self._tables())
        return f"<p>{escape(repr(self).splitlines()[0])}</p>{tables}"

    def _tables(self) -> list[tuple[str, Evaluation]]:
        both = [("before, on held-out prompts:", self.before), ("after, on held-out prompts:", self.after)]
        return [(what, evaluation) for what, evaluation in both if evaluation is not None]


def train(
    place: str | Path,
    settings: Settings | None = None,
    *,
    resume: bool = False,
    task: TextTask | None = None,
    held_out: TextTask | None = None,
    kind: Callable[[str], str] | None = None,
) -> Run:
    """Train a language model in a folder, with a bar, a log and checkpoints; or go on where a run in it was stopped.

    Ctrl-C (and SIGTERM) finishes the step in hand, writes a checkpoint and raises
    :class:`~ostrl.lm.interrupt.Stopped`; a second one stops
    at once. After that, or after a crash, ``train(place, resume=True)`` goes on from the newest checkpoint.

    Every line of ``log.jsonl`` says, of one step: ``step`` and ``grow`` (counted from 1), ``loss`` (the surrogate's
    value before the step), ``reward`` (mean grade of the labels), ``accuracy`` (share of labels with full marks),
    ``entropy`` (nats of an answer, estimated from the model's own labels; ``null`` where it wrote none) and
    ``length`` (tokens of a label).

    Args:
        place: the run's folder, a new or empty one unless ``resume`` is set.
        settings: of the run. To resume, ``None`` or the same; only ``steps`` may change, to no fewer than were taken.
        resume: go on with the run in that folder.
        task: what to practice on; ``None`` for the split of the homework that the settings name. To resume, it must be
            given again.
        held_out: prompts of the evaluation; ``None`` for those of the homework, or for none if ``task`` is given.
        kind: names a prompt's kind in the evaluation; ``None`` for the homework's, or for none if ``task`` is given.

    Raises:
        ValueError: for a folder that holds a run already (or, to resume, none), another process in it, other
            settings than before, or damaged files.
        FloatingPointError: if the loss is no number any more.
        KeyboardInterrupt: a :class:`~ostrl.lm.interrupt.Stopped`, after Ctrl-C, when the checkpoint is written.
    """
    path = Path(place)
    if resume:
        folder.stored(path)
    else:
        _check_free(path)
    path.mkdir(parents=True, exist_ok=True)
    try:
        with folder.alone(path):
            return _train(path, settings, resume, task, held_out, kind)
    finally:
        if not any(path.iterdir()):  # it failed before it began
            path.rmdir()


def _train(
    path: Path,
    settings: Settings | None,
    resume: bool,
    task: TextTask | None,
    held_out: TextTask | None,
    kind: Callable[[str], str] | None,
) -> Run:
    settings = _agreed(path, settings, task) if resume else settings or Settings()
    existing = folder.checkpoints(path)
    state = folder.read_state(existing[-1]) if existing else {"step": 0, "log_bytes": 0}
    policy = checkpoint.load(existing[-1] / "model" if existing else settings.model, **_loading(settings))
    settings = dataclasses.replace(settings, max_new_tokens=policy.max_new_tokens, device=policy.device.type)
    practice = task or homework.task(settings.split, settings.demonstrators)
    if task is None:
        held_out, kind = held_out or homework.task("held_out"), kind or homework.kind
    optimizer = torch.optim.Adam(policy.parameters(), lr=settings.learning_rate)
    generator = torch.Generator(policy.device).manual_seed(settings.seed)
    if existing:
        folder.restore(existing[-1], optimizer, generator)
    records = grow_improve(
        [settings.row()],
        policy,
        practice,
        optimizer,
        batch_size=settings.batch_size,
        group_size=settings.group_size,
        improve_steps=settings.improve_steps,
        generator=generator,
    )
    _note(path, settings, own_task=task is not None)

    def save(step: int, log: BinaryIO) -> None:
        os.fsync(log.fileno())
        folder.write_checkpoint(path, step, policy, optimizer, generator, log.tell())

    with _log(path, state) as log:
        if not existing:
            save(0, log)
        _steps(path, settings, records, state["step"], log, save)
    before, after = _evaluations(path, settings, policy, held_out, kind)
    lines = (path / "log.jsonl").read_text("utf-8").splitlines()
    return Run(path, settings, policy, [json.loads(line) for line in lines], before, after)


def _loading(settings: Settings) -> dict[str, Any]:
    named = {name: getattr(settings, name) for name in ("device", "temperature", "micro_batch_size")}
    budget = {} if settings.max_new_tokens is None else {"max_new_tokens": settings.max_new_tokens}
    return {**named, **budget, "autocast": settings.autocast and getattr(torch, settings.autocast)}


def _check_free(path: Path) -> None:
    if (path / "run.json").exists():
        raise ValueError(f"{path} already holds a run; resume it (--resume, resume=True), or name another folder")
    if path.exists() and (not path.is_dir() or any(not f.name.startswith(".writing-") for f in path.iterdir())):
        raise ValueError(f"{path} is not an empty folder; name a new one for the run")


def _agreed(path: Path, given: Settings | None, task: TextTask | None) -> Settings:
    """The settings to go on with: those of the run, if what is given now agrees with them."""
    stored = folder.stored(path)
    if folder.read_json(path / "run.json").get("own_task") is not (task is not None):
        difference = "a task of its own: pass it again" if task is None else "no task of its own"
        raise ValueError(f"the run in {path} has {difference}")
    if given is None:
        return stored
    filled = {name: getattr(stored, name) for name in ("max_new_tokens", "device") if getattr(given, name) is None}
    given = dataclasses.replace(given, **filled)
    if different := dataclasses.replace(given, steps=stored.steps).differences(stored):
        raise ValueError(f"the run in {path} has other settings: {different}; only steps may change")
    found = folder.checkpoints(path)
    done = int(found[-1].name.removeprefix("step-")) if found else 0
    if given.steps < done:
        raise ValueError(f"steps must be at least {done}, which the run in {path} has taken already, got {given.steps}")
    return given


def _note(path: Path, settings: Settings, own_task: bool) -> None:
    versions = {"ostrl": ostrl.__version__, "torch": torch.__version__, "transformers": transformers.__version__}
    ran_with = versions | {"threads": torch.get_num_threads()}
    noted = folder.read_json(path / "run.json") if (path / "run.json").exists() else {"ran_with": ran_with}
    if noted.get("ran_with") != ran_with:
        said = f"note: this run began with {noted.get('ran_with')}, and goes on with {ran_with}: last digits may differ"
        print(said, file=sys.stderr)
    folder.write_json(path / "run.json", noted | {"settings": vars(settings), "own_task": own_task})


@contextlib.contextmanager
def _log(path: Path, state: dict[str, Any]) -> Iterator[BinaryIO]:
    """The log, cut back to the checkpoint: the steps since then are taken again, and noted again."""
    with (path / "log.jsonl").open("ab") as log:
        if log.tell() < state["log_bytes"]:
            raise ValueError(
                f"{path / 'log.jsonl'} is damaged: it has {log.tell()} bytes, and {state['log_bytes']} were written by "
                f"step {state['step']}"
            )
        log.truncate(state["log_bytes"])
        log.seek(state["log_bytes"])
        yield log


def _steps(
    path: Path,
    settings: Settings,
    records: Iterator[Record],
    done: int,
    log: BinaryIO,
    save: Callable[[int, BinaryIO], None],
) -> None:
    """Take the steps that are left."""
    saved, began, answers = done, time.perf_counter(), 0
    if done < settings.steps:
        (path / "summary.json").unlink(missing_ok=True)
    hidden = os.environ.get("TQDM_DISABLE", "0") not in ("", "0")  # tqdm itself looks only when it is imported
    bar = tqdm(total=settings.steps, initial=done, desc=settings.method, unit="step", disable=hidden)
    with stopping() as asked, bar:
        for record in itertools.islice(records, settings.steps - done):
            step = done + record.step
            if not math.isfinite(record.loss):
                raise FloatingPointError(
                    f"the loss of step {step} is {record.loss}; the newest checkpoint is that of step {saved}; "
                    "begin another run with a smaller learning_rate"
                )
            row = {"step": step, "grow": done // settings.improve_steps + record.grow, **_measured(record)}
            log.write((json.dumps(row) + "\n").encode())
            log.flush()
            answers += record.batch.rewards.numel() if (step - 1) % settings.improve_steps == 0 else 0
            shown = {name: f"{row[name]:.2f}" for name in ("reward", "accuracy", "entropy") if row[name] is not None}
            bar.set_postfix(shown | {"answers/s": f"{answers / (time.perf_counter() - began):.0f}"}, refresh=False)
            bar.update()
            if step % settings.improve_steps:
                continue
            if asked or step - saved >= settings.checkpoint_every or step == settings.steps:
                save(step, log)
                saved = step
            if asked:
                raise Stopped(
                    f"stopped after step {step} of {settings.steps}, checkpoint written; go on with: "
                    f"ostrl train --resume {path} (in Python: train({str(path)!r}, resume=True))"
                )


def _measured(record: Record) -> dict[str, Any]:
    batch = record.batch
    assert batch.mask is not None
    own = batch.log_prob.double().sum(-1)[batch.source != DEMONSTRATOR]
    return {
        "loss": record.loss,
        "reward": record.mean_reward,
        "accuracy": (batch.rewards >= 1).double().mean().item(),
        "entropy": -own.mean().item() if len(own) else None,
        "length": batch.mask.sum(-1).double().mean().item(),
    }


def _evaluations(
    path: Path,
    settings: Settings,
    policy: LanguageModelPolicy,
    held_out: TextTask | None,
    kind: Callable[[str], str] | None,
) -> tuple[Evaluation | None, Evaluation | None]:
    """Where the run began and where it is now, on the same held-out prompts; kept in ``summary.json``."""
    before = after = None
    if held_out is not None and settings.evaluate:
        start = checkpoint.load(folder.checkpoints(path)[0] / "model", **_loading(settings))

        def measured(which: LanguageModelPolicy, reference: LanguageModelPolicy | None) -> Evaluation:
            generator = torch.Generator(policy.device).manual_seed(settings.seed)
            return evaluate(
                which, held_out, prompts=settings.evaluate, generator=generator, reference=reference, kind=kind
            )

        before, after = measured(start, None), measured(policy, start)
    evaluations = {"before": before and before.to_dict(), "after": after and after.to_dict()}
    folder.write_json(path / "summary.json", {"step": settings.steps, **evaluations})
    return before, after
