"""The folder a training run lives in: what is written there is either complete or not there.

A file or a folder is written under another name, brought to the disk, and then renamed, which happens at once. So a
run may be killed at any moment. Tensors are kept as safetensors and the rest as JSON: nothing is ever unpickled. ::

    run.json                            settings, and what they ran with
    log.jsonl                           a line a step
    checkpoints/step-000020/model/      a model folder in the format of Hugging Face
    checkpoints/step-000020/state.safetensors, state.json
    summary.json                        how good the model was on held-out prompts, before and after
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ostrl.lm import checkpoint
from ostrl.lm.policy import LanguageModelPolicy
from ostrl.lm.settings import Settings

try:
    import fcntl
except ImportError:  # Windows has no such lock; there, two processes in one folder are the user's to avoid
    fcntl = None  # type: ignore[assignment]

_STEP = re.compile(r"step-(\d{6,})")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    draft = path.with_name(f".writing-{path.name}")
    draft.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", "utf-8")
    _to_disk(draft)
    os.replace(draft, path)
    _to_disk(path.parent)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        ValueError: if it does not parse; the message names it.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(value).__name__}")
    return value


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a run's folder for one process at a time, and clear away what a killed one left half written.

    Raises:
        ValueError: if another process trains in it.
    """
    handle = os.open(folder, os.O_RDONLY) if fcntl is not None else -1
    try:
        if fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"another process is training in {folder}") from None
        for place in (folder, folder / "checkpoints"):
            for leftover in [*place.glob(".writing-*"), *place.glob(".removing-*")]:
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        yield
    finally:
        if fcntl is not None:
            os.close(handle)  # the system does it for a killed process, too


def checkpoints(folder: Path) -> list[Path]:
    """A run's checkpoints, the oldest first."""
    found = [place for place in (folder / "checkpoints").glob("step-*") if _STEP.fullmatch(place.name)]
    return sorted(found, key=lambda place: int(place.name.removeprefix("step-")))


def write_checkpoint(
    folder: Path,
    step: int,
    policy: LanguageModelPolicy,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    log_bytes: int,
) -> Path:
    """Keep everything that the rest of a run depends on; of older checkpoints the first and one more stay.

    Args:
        folder: the run's.
        step: steps taken so far.
        policy: its model and tokenizer are saved.
        optimizer: its state is saved; its settings are the run's.
        generator: its state is saved.
        log_bytes: how long the log is now.
    """
    place = folder / "checkpoints"
    draft = place / f".writing-step-{step:06d}"
    if draft.exists():  # a second Ctrl-C stopped the writing of this one, in the same process
        shutil.rmtree(draft)
    draft.mkdir(parents=True)
    checkpoint.save(policy, draft / "model")
    tensors = {"generator": generator.get_state()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value.detach().cpu().contiguous() for name, value in state.items()}
    save_file(tensors, draft / "state.safetensors")
    files = sorted(path for path in draft.rglob("*") if path.is_file())
    written = {path.relative_to(draft).as_posix(): _fingerprint(path) for path in files}
    write_json(draft / "state.json", {"step": step, "log_bytes": log_bytes, "files": written})
    for path in [*files, draft / "model"]:
        _to_disk(path)
    final = place / f"step-{step:06d}"
    os.replace(draft, final)
    _to_disk(place)
    for old in checkpoints(folder)[1:-2]:
        gone = old.with_name(f".removing-{old.name}")
        os.replace(old, gone)
        shutil.rmtree(gone)
    return final


def read_state(place: Path) -> dict[str, Any]:
    """Step and length of the log of a checkpoint, all of whose files are as they were written.

    Raises:
        ValueError: if one is missing, truncated or changed; the message names it, and says how to go on without it.
    """
    try:
        if not (place / "state.json").is_file():
            raise ValueError("state.json is missing")
        state = read_json(place / "state.json")
        kinds = {"step": int, "log_bytes": int, "files": dict}
        if not all(isinstance(state.get(name), kind) for name, kind in kinds.items()):
            raise ValueError(f"state.json must hold {', '.join(kinds)}")
        for name, expected in state["files"].items():
            if not (place / name).is_file():
                raise ValueError(f"{name} is missing")
            found = _fingerprint(place / name)
            if found != expected:
                raise ValueError(f"{name} has {found['bytes']} bytes that are not the {expected['bytes']} written")
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"the checkpoint {place} is damaged: {error}. Remove this folder to go on from the checkpoint before it"
        ) from error
    return state


def restore(place: Path, optimizer: torch.optim.Optimizer, generator: torch.Generator) -> None:
    """Set optimizer and generator to the state of a checkpoint.

    Raises:
        ValueError: if its tensors do not fit the optimizer's parameters, or the generator.
    """
    try:
        tensors = load_file(place / "state.safetensors")
        generator.set_state(tensors.pop("generator"))
    except (SafetensorError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{place / 'state.safetensors'} could not be read: {error}") from error
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, entry = name.removeprefix("optimizer.").partition(".")
        expected = list(parameters[int(index)].shape) if index.isdigit() and int(index) < len(parameters) else None
        if expected is None or (tensor.ndim and list(tensor.shape) != expected):
            raise ValueError(
                f"{place / 'state.safetensors'} does not fit the model: {name} has shape {list(tensor.shape)}, "
                f"its parameter {expected or 'does not exist'}"
            )
        state.setdefault(int(index), {})[entry] = tensor
    names = {name for entries in state.values() for name in entries}
    if lacking := sorted(name for name in names if not all(name in entries for entries in state.values())):
        raise ValueError(
            f"{place / 'state.safetensors'} does not fit the optimizer: it lacks {', '.join(lacking)} for some of them"
        )
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def stored(place: str | Path) -> Settings:
    """The settings of the run in a folder.

    Raises:
        ValueError: if it is not the folder of a run, or its settings do not parse.
    """
    path = Path(place) / "run.json"
    if not path.is_file():
        raise ValueError(f"{place} is not the folder of a run: there is no run.json in it")
    return Settings.of(read_json(path).get("settings", {}), str(path))


def model_folder(place: str | Path) -> str:
    """A run's folder stands for the model of its newest checkpoint; any other name for itself.

    Raises:
        ValueError: for a run without a checkpoint.
    """
    if not (Path(place) / "run.json").is_file():
        return str(place)
    found = checkpoints(Path(place))
    if not found:
        raise ValueError(f"the run in {place} has no checkpoint yet")
    return str(found[-1] / "model")


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _to_disk(path: Path) -> None:
    """Have the system write a file, or a folder's list of names, to the disk now."""
    if os.name == "nt":  # which can't do that to a file opened for reading
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
