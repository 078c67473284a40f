"""Checks of the exercises of chapter 01."""

from __future__ import annotations

from collections.abc import Callable

CHECKS: dict[str, Callable[[object], str | None]] = {}
"""What is wrong with an answer, by the number of the exercise; ``None`` if it is right."""
