"""Stored results of studies that take too long for a chapter: package data, each with its provenance.

>>> from ostrl import results
>>> results.available()
['baselines', 'gradients', 'labels', 'samples', 'timings']
"""

from __future__ import annotations

import datetime
import json
import platform
from collections.abc import Sequence
from importlib import metadata, resources
from typing import Any

import torch


def available() -> list[str]:
    """The names of all stored results."""
    return sorted(f.name.removesuffix(".json") for f in resources.files(__name__).iterdir() if f.name.endswith(".json"))


def load(name: str) -> dict[str, Any]:
    """Read a stored result.

    Args:
        name: one of :func:`available`, for example ``"timings"``.

    Returns:
        What the study wrote: numbers, and how they were obtained (command, versions, device, date).

    Raises:
        TypeError: if ``name`` is not a string.
        ValueError: if there is no such result; the message names those that exist.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {type(name).__name__}")
    if name not in available():
        raise ValueError(f"name must be one of {', '.join(available()) or '(none stored)'}, got {name!r}")
    result: dict[str, Any] = json.loads(resources.files(__name__).joinpath(f"{name}.json").read_text("utf-8"))
    return result


def provenance(command: str, packages: Sequence[str], **more: Any) -> dict[str, Any]:
    """How a result was obtained, to be stored with it.

    Args:
        command: what was typed.
        packages: whose versions matter; those that are not installed are left out.
        more: what else matters, such as seeds.

    Returns:
        The command, the date (UTC), the versions of Python and of the packages, the system, the threads, and ``more``.
    """
    versions = {}
    for package in ("ostrl", *packages):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "python": platform.python_version(),
        "system": platform.system(),
        "versions": versions,
        "threads": torch.get_num_threads(),
        **more,
    }
