"""Checks a reader's answer to an exercise of the book against the exact one, and says what is wrong with it.

>>> from ostrl import exercises
>>> exercises.check("2.1", None)
2.1: not attempted yet. Put your answer in place of None and run the cell again.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass

from ostrl.exercises import rows

_CHAPTERS = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name.startswith("chapter_"))
_CHECKS = {
    number: check
    for chapter in _CHAPTERS
    for number, check in importlib.import_module(f"{__name__}.{chapter}").CHECKS.items()
}


@dataclass(frozen=True, repr=False)
class Verdict:
    """What the checker says.

    Attributes:
        exercise: its number, chapter first.
        correct: whether the answer is right; ``None`` if there was no answer.
        message: in words.
    """

    exercise: str
    correct: bool | None
    message: str

    def __repr__(self) -> str:
        return f"{self.exercise}: {self.message}"


def check(exercise: str, answer: object) -> Verdict:
    """Compare an answer with the exact one.

    Args:
        exercise: its number as printed in the book, for example ``"2.1"``; or the name of a method of the book's
            table, for example ``"rloo"``, whose weights, loss or gradient estimate you wrote yourself
            (:func:`ostrl.exercises.rows.check` says with which arguments).
        answer: a number, a tensor or a function, whatever the exercise asks for; ``None`` if not attempted.

    Returns:
        A verdict that prints as a sentence.

    Raises:
        ValueError: if there is no such exercise.
    """
    if exercise not in _CHECKS | rows.CHECKS:
        raise ValueError(f"exercise must be one of {', '.join(_CHECKS | rows.CHECKS)}, got {exercise!r}")
    if answer is None or answer is ...:
        return Verdict(exercise, None, "not attempted yet. Put your answer in place of None and run the cell again.")
    try:
        wrong = (_CHECKS | rows.CHECKS)[exercise](answer)
    except SystemExit as error:  # raised by the reader's own code
        wrong = f"your function raised SystemExit: {error}. Return the answer, and leave out exit()."
    return Verdict(exercise, wrong is None, "right." if wrong is None else f"not yet: {wrong}")


def exercises() -> list[str]:
    """The numbers of all exercises that have a check."""
    return list(_CHECKS)
