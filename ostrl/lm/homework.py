"""The class's homework: short instructions whose answers can be checked, and the teacher who only checks them.

Four kinds of prompts are practiced (``add 47 38:``), two more kinds are homework that is never practiced
(``double 4731:``). "Out of distribution" means outside of what is practiced:

==============  =========================================================  ==============  ============
split           prompts                                                    pre-trained on  practiced
==============  =========================================================  ==============  ============
``homework``    everything the class hands in: the prompts of              yes             a part of it
                pre-training
``train``       the practiced kinds                                        yes             yes
``held_out``    other prompts of the practiced kinds                       no              no
``longer``      the practiced kinds, operands one digit longer             no (1)          no
``kinds``       other prompts of the kinds that are not practiced          no (2)          no
==============  =========================================================  ==============  ============

(1) Other prompts as long are in the homework, but rare: about one in ten. (2) Other prompts of these kinds are in
the homework: about two in ten. No prompt is in two splits, except that ``homework`` contains ``train``.

Prompts are drawn by a hash of their kind and a counter, so that splits are the same on every machine.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ostrl.lm.task import TextTask

SPLITS = ("homework", "train", "held_out", "longer", "kinds")


@dataclass(frozen=True)
class Kind:
    """A kind of prompt.

    Attributes:
        name: its first word, as in ``KINDS``.
        example: a prompt, with its answer after it.
        digits: how many digits an operand has; one more in the split ``longer``.
        practiced: whether the split ``train`` contains it.
        count: how many prompts of it the class hands in; an eighth as many are held out, and as many longer ones.
        write: the prompt for two numbers of as many digits; the second may be left out of it.
        operands: matches a prompt, one group an operand.
        solve: the right answer, from the operands as they stand in the prompt.
    """

    name: str
    example: str
    digits: int
    practiced: bool
    count: int
    write: Callable[[int, int], str]
    operands: re.Pattern[str]
    solve: Callable[..., str]


_NUMBER = r"([1-9][0-9]{0,8})"
"""A whole number without a sign, a leading zero or a digit that is not ASCII; short enough for any use here."""


def _pattern(form: str) -> re.Pattern[str]:
    return re.compile(form.replace("#", _NUMBER))


def _add(a: str, b: str) -> str:
    return str(int(a) + int(b))


def _take(a: str, b: str) -> str:
    return str(int(b) - int(a))


def _reverse(a: str) -> str:
    return a[::-1]


def _sort(a: str) -> str:
    return "".join(sorted(a))


def _larger(a: str, b: str) -> str:
    return str(max(int(a), int(b)))


def _double(a: str) -> str:
    return str(2 * int(a))


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("add", "add 47 38: 85", 2, True, 3200, "add {} {}:".format, _pattern("add # #:"), _add),
        Kind(
            "take", "take 19 from 45: 26", 2, True, 3200,
            lambda a, b: f"take {min(a, b)} from {max(a, b)}:", _pattern("take # from #:"), _take,
        ),
        Kind("reverse", "reverse 4281: 1824", 4, True, 1600, "reverse {}:".format, _pattern("reverse #:"), _reverse),
        Kind("sort", "sort 4281: 1248", 4, True, 1600, "sort {}:".format, _pattern("sort #:"), _sort),
        Kind(
            "larger", "larger of 45 54: 54", 2, False, 800,
            "larger of {} {}:".format, _pattern("larger of # #:"), _larger,
        ),
        Kind("double", "double 4731: 9462", 4, False, 1600, "double {}:".format, _pattern("double #:"), _double),
    )
}  # fmt: skip
"""The kinds of prompts, by name: the practiced ones, then the others."""


def parse(prompt: str) -> tuple[Kind, tuple[str, ...]]:
    """The kind of a prompt and its operands, as they stand in it.

    Raises:
        TypeError: if it is not a string.
        ValueError: if it is no prompt of the homework; names the forms there are.
    """
    if not isinstance(prompt, str):
        raise TypeError(f"prompt must be a string, got {type(prompt).__name__}")
    found = KINDS.get(prompt.split(" ", 1)[0])
    match = found.operands.fullmatch(prompt) if found else None
    if found and match and not (found.name == "take" and int(match[1]) > int(match[2])):
        return found, match.groups()
    forms = ", ".join(repr(kind.example.split(": ")[0] + ":") for kind in KINDS.values())
    raise ValueError(
        f"prompt must be homework such as {forms} (numbers of 1 to 9 digits, none taken from a smaller one), "
        f"got {prompt!r}"
    )


def kind(prompt: str) -> str:
    """The name of a prompt's kind; raises as :func:`parse`."""
    return parse(prompt)[0].name


def solve(prompt: str) -> str:
    """The right answer; raises as :func:`parse`."""
    found, operands = parse(prompt)
    return found.solve(*operands)


def grade(prompt: str, answer: str) -> float:
    """The teacher's grade: 1.0 if the answer is right, character by character, otherwise 0.0.

    Nothing is evaluated or converted: ``"+7"``, ``" 7"``, ``"07"``, ``"7."`` and full-width digits are all wrong.

    Raises:
        TypeError: if prompt or answer is not a string.
        ValueError: if the prompt is no homework.
    """
    if not isinstance(answer, str):
        raise TypeError(f"answer must be a string, got {type(answer).__name__}")
    return float(answer == solve(prompt))


def _draw(kind: Kind, digits: int) -> Iterator[str]:
    """Distinct prompts of a kind, the same on every machine."""
    low, count = 10 ** (digits - 1), 9 * 10 ** (digits - 1)
    seen = set()
    for index in itertools.count():
        noise = hashlib.sha256(f"{kind.name} {digits} {index}".encode()).digest()
        a, b = (low + int.from_bytes(half, "big") % count for half in (noise[:16], noise[16:]))
        prompt = kind.write(a, b)
        if a != b and prompt not in seen:
            seen.add(prompt)
            yield prompt


def _some(kinds: list[Kind], *, longer: int, held_out: bool) -> tuple[str, ...]:
    """Prompts of several kinds, mixed in proportion: whatever the class handed in, or what is held out."""
    placed = []
    for kind in kinds:
        apart = kind.count // 8
        start, count = (0, apart) if held_out else (apart, apart if longer else kind.count)
        drawn = itertools.islice(_draw(kind, kind.digits + longer), start, start + count)
        placed += [((index + 0.5) / count, prompt) for index, prompt in enumerate(drawn)]
    return tuple(prompt for _, prompt in sorted(placed, key=lambda pair: pair[0]))


@cache
def prompts(split: str) -> tuple[str, ...]:
    """The prompts of a split, always in the same order; the kinds are mixed evenly, so any stretch is fair.

    Raises:
        ValueError: for a split that is none of ``SPLITS``.
    """
    practiced = [kind for kind in KINDS.values() if kind.practiced]
    others = [kind for kind in KINDS.values() if not kind.practiced]
    match split:
        case "train":
            return _some(practiced, longer=0, held_out=False)
        case "held_out":
            return _some(practiced, longer=0, held_out=True)
        case "longer":
            return _some(practiced, longer=1, held_out=True)
        case "kinds":
            return _some(others, longer=0, held_out=True)
        case "homework":
            rare = _some(practiced, longer=1, held_out=False)
            return prompts("train") + _some(others, longer=0, held_out=False) + rare
    raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")


def key(prompt: str) -> dict[str, float]:
    """The answer key: demonstrators who are always right."""
    return {solve(prompt): 1.0}


def task(split: str = "train", demonstrators: str | Callable[[str], Mapping[str, float]] = "class") -> TextTask:
    """The homework as a task: prompts of a split, the teacher, and those who write answers.

    Args:
        split: one of ``SPLITS``; see the top of this file.
        demonstrators: ``"class"`` (students with their mistakes, :func:`ostrl.lm.students.distribution`), ``"key"``
            (always right), or a function that maps a prompt to ``{answer: probability}``.

    Raises:
        ValueError: for an unknown split or unknown demonstrators.
    """
    from ostrl.lm import students
    from ostrl.lm.task import TextTask

    known: dict[str, Callable[[str], Mapping[str, float]]] = {"class": students.distribution, "key": key}
    if isinstance(demonstrators, str):
        if demonstrators not in known:
            raise ValueError(f"demonstrators must be 'class', 'key' or a function, got {demonstrators!r}")
        demonstrators = known[demonstrators]
    return TextTask(prompts(split), grade, demonstrators)
