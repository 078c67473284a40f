"""Stored results of studies that take too long for a chapter: package data, each with its provenance.

>>> from ostrl import results
>>> results.available()
['timings']
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


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
