"""Loading and saving language models: the one that ships, a folder, or a name on the Hugging Face Hub."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import snapshot_download
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from ostrl import checks
from ostrl.lm.policy import LanguageModelPolicy

MODELS = Path(__file__).parent / "models"
"""The models that ship, one folder each."""

FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
"""What is downloaded of a model: nothing that is a program."""


def shipped() -> list[str]:
    """The names of the models that ship."""
    return sorted(folder.name for folder in MODELS.iterdir() if (folder / "config.json").is_file())


def load(
    name_or_path: str | Path = "homework",
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    **settings: Any,
) -> LanguageModelPolicy:
    """Load a causal language model and its tokenizer as a policy.

    Weights are read from safetensors files only, and no code of a checkpoint is run.

    Args:
        name_or_path: a model that ships (``"homework"``), a folder in the format of Hugging Face, or a name on the
            Hub, such as ``"HuggingFaceTB/SmolLM2-135M-Instruct"``, which is downloaded once.
        device: where to put it; ``None`` takes a GPU if there is one.
        dtype: of the weights.
        settings: of the :class:`~ostrl.lm.LanguageModelPolicy`, such as ``temperature`` and ``max_new_tokens``; the
            latter is the checkpoint's own (``generation_config.json``) if that has one and none is given here.

    Raises:
        TypeError: for a wrong kind of argument.
        FileNotFoundError: for a folder that lacks a file; the message names it.
        ValueError: for a folder whose files are damaged or do not fit each other.
        OSError: for a name that could not be downloaded; the message says what to do.
    """
    if not isinstance(name_or_path, str | Path):
        raise TypeError(f"name_or_path must be a string or a path, got {type(name_or_path).__name__}")
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise TypeError(f"dtype must be a floating-point dtype, such as torch.float32, got {dtype!r}")
    place = _folder(name_or_path)
    _check_files(place)
    try:
        model, report, tokenizer = _read(place, dtype)
    except Exception as error:  # transformers raises anything from KeyError to RuntimeError
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        if "trust_remote_code" in reason:
            reason = "it needs code of its own, and no code of a checkpoint is run here"
        raise ValueError(f"the checkpoint in {place} could not be read: {reason:.400}") from error
    if misfit := _misfit(model, report):
        raise ValueError(f"in {place} the weights do not fit config.json: {misfit}")
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    generation = getattr(model, "generation_config", None)
    if generation is not None and generation.max_new_tokens is not None:
        settings = {"max_new_tokens": generation.max_new_tokens} | settings
    return LanguageModelPolicy(model.to(device), tokenizer, **settings)


def save(policy: LanguageModelPolicy, folder: str | Path) -> Path:
    """Write a policy's model, its tokenizer and its ``max_new_tokens`` into a folder, in the format of Hugging Face.

    Returns:
        the folder.
    """
    checks.instance("policy", policy, LanguageModelPolicy)
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    if policy.model.generation_config is not None:
        policy.model.generation_config.max_new_tokens = policy.max_new_tokens
    with _quiet():
        policy.model.save_pretrained(place)
        policy.tokenizer.save_pretrained(place)
    return place


def _folder(name_or_path: str | Path) -> Path:
    """The folder of a shipped model, a path, or a name on the Hub, whose files are downloaded."""
    name, place = str(name_or_path), Path(name_or_path).expanduser()
    if name_or_path in shipped():
        return MODELS / name
    if isinstance(name_or_path, Path) or place.exists() or name.startswith((".", "/", "~")):
        return place
    try:
        return Path(snapshot_download(name, allow_patterns=FILES, ignore_patterns=["*/*", "consolidated*"]))
    except Exception as error:  # no connection, no such name, a name that cannot be one, a full disk
        raise OSError(
            f"{name!r} is no model that ships ({', '.join(shipped())}) and no folder here, and it could not be "
            f"downloaded from the Hugging Face Hub: {type(error).__name__}: {' '.join(str(error).split()):.300}\n"
            f"Check its spelling and the connection; or download it elsewhere (hf download {name} --local-dir FOLDER) "
            "and load the folder."
        ) from error


def _check_files(place: Path) -> None:
    if not place.is_dir():
        raise FileNotFoundError(f"there is no folder {place}, and no model of that name ships")
    weights = sorted(file.name for file in place.glob("*.safetensors"))
    vocabulary = any((place / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json"))
    needed = {
        "config.json": (place / "config.json").is_file(),
        "model.safetensors (weights in other formats are not read: a pickle can run code)": bool(weights),
        "tokenizer.json": vocabulary,
        "tokenizer_config.json": (place / "tokenizer_config.json").is_file(),
    }
    missing = [name for name, there in needed.items() if not there]
    for file in sorted(place.glob("*.json")):
        try:
            content = json.loads(file.read_text(encoding="utf8"))
            if file.name == "model.safetensors.index.json" and "model.safetensors" not in weights:
                missing += sorted(set(content["weight_map"].values()) - set(weights))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file} is damaged, perhaps cut short: {error}") from error
    if missing:
        raise FileNotFoundError(f"the checkpoint in {place} lacks {' and '.join(missing)}")
    for name in weights:
        try:
            with safe_open(place / name, "pt"):
                pass
        except SafetensorError as error:
            raise ValueError(f"{place / name} is damaged, perhaps cut short: {error}") from error


def _read(place: Path, dtype: torch.dtype) -> tuple[Any, dict[str, Any], Any]:
    """The model, what transformers found wrong with its weights, and the tokenizer."""
    how = {"local_files_only": True, "trust_remote_code": False}
    reader: Any = AutoModelForCausalLM
    with _quiet():
        tokenizer = AutoTokenizer.from_pretrained(place, **how)
        model, report = reader.from_pretrained(
            place, dtype=dtype, use_safetensors=True, output_loading_info=True, ignore_mismatched_sizes=True, **how
        )
    return model, report, tokenizer


def _misfit(model: Any, report: dict[str, Any]) -> str | None:
    if report["mismatched_keys"]:
        name, got, expected = min(report["mismatched_keys"])
        return f"{name} has shape {list(got)}, expected {list(expected)}"
    if report["missing_keys"]:
        return f"missing {', '.join(sorted(report['missing_keys'])[:5])}"
    if report["error_msgs"]:
        return f"{report['error_msgs']}"
    # Buffers of older versions may be left over, but not a layer that config.json does not count.
    kinds = {_without_numbers(name) for name in model.state_dict()}
    left = sorted(name for name in report["unexpected_keys"] if _without_numbers(name) in kinds)
    return f"no place for {', '.join(left[:5])}" if left else None


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "*", name)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars and notes of transformers: errors are raised, not logged."""
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()
