"""Loading and saving language models: the one that ships, a folder, or a name on the Hugging Face Hub."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from ostrl.lm.policy import LanguageModelPolicy

MODELS = Path(__file__).parent / "models"
"""The models that ship, one folder each."""


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
        settings: of the :class:`~ostrl.lm.LanguageModelPolicy`, such as ``temperature`` and ``max_new_tokens``.

    Raises:
        TypeError: for a wrong kind of argument.
        FileNotFoundError: for a folder that lacks a file; the message names it.
        ValueError: for a folder whose files are damaged or do not fit each other.
        OSError: for a name that could not be downloaded; the message says what to do.
    """
    if not isinstance(name_or_path, str | Path):
        raise TypeError(f"name_or_path must be a string or a path, got {type(name_or_path).__name__}")
    place = MODELS / name_or_path if str(name_or_path) in shipped() else Path(name_or_path)
    looks_local = isinstance(name_or_path, Path) or place.exists() or str(name_or_path).startswith((".", "/", "~"))
    if looks_local:
        place = place.expanduser()
        _check_files(place)
    source = str(place) if looks_local else str(name_or_path)
    try:
        model, tokenizer = _read(source, dtype, looks_local)
    except Exception as error:  # transformers raises anything from KeyError to SafetensorError
        reason = f"{type(error).__name__}: {error}".split("\n")[0][:300]
        if looks_local:
            raise ValueError(f"the checkpoint in {place} could not be read: {reason}") from error
        raise OSError(
            f"{source!r} is no model that ships ({', '.join(shipped())}) and no folder here, and it could not be "
            f"downloaded from the Hugging Face Hub: {reason}\nCheck its spelling and the connection; or download it "
            f"elsewhere (hf download {source} --local-dir FOLDER) and load the folder."
        ) from error
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if str(name_or_path) == "homework":
        settings = {"max_new_tokens": 8} | settings
    return LanguageModelPolicy(model.to(device), tokenizer, **settings)


def save(policy: LanguageModelPolicy, folder: str | Path) -> Path:
    """Write a policy's model and tokenizer into a folder, in the format of Hugging Face; returns the folder."""
    place = Path(folder)
    with _quiet():
        policy.model.save_pretrained(place)
        policy.tokenizer.save_pretrained(place)
    return place


def _check_files(place: Path) -> None:
    if not place.is_dir():
        raise FileNotFoundError(f"there is no folder {place}, and no model of that name ships")
    weights = sorted(f.name for f in place.glob("*.safetensors"))
    needed = {
        "config.json": (place / "config.json").is_file(),
        "model.safetensors": bool(weights),
        "tokenizer.json": any((place / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")),
    }
    missing = [name for name, there in needed.items() if not there]
    if missing:
        raise FileNotFoundError(f"the checkpoint in {place} lacks {' and '.join(missing)}")
    index = place / "model.safetensors.index.json"
    if index.is_file():
        with contextlib.suppress(ValueError, KeyError, TypeError):  # a damaged index: transformers says so
            parts = set(json.loads(index.read_text(encoding="utf8"))["weight_map"].values())
            if absent := sorted(parts - set(weights)):
                raise FileNotFoundError(f"the checkpoint in {place} lacks {', '.join(absent)}")


def _read(source: str, dtype: torch.dtype, local: bool) -> tuple[Any, Any]:
    how = {"local_files_only": local, "trust_remote_code": False}
    with _quiet():
        tokenizer = AutoTokenizer.from_pretrained(source, **how)
        reader: Any = AutoModelForCausalLM
        model, report = reader.from_pretrained(
            source, dtype=dtype, use_safetensors=True, output_loading_info=True, **how
        )
    for what in ("missing_keys", "mismatched_keys", "error_msgs"):
        if report.get(what):
            raise ValueError(f"{what.replace('_', ' ')}: {', '.join(sorted(map(str, report[what]))[:5])}")
    return model, tokenizer


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
