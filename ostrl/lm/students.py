"""What the class writes: right answers and typical mistakes, as exact probabilities.

A student who gets a prompt makes each mistake at its rate, for all mistakes that are possible there; what is left is
the probability of the right answer. The class is right about half of the time, but not on the same prompts: where a
carry, a borrow, a final zero or a repeated digit is to be minded, its most likely answer is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable

from ostrl.lm import homework

RATES: dict[str, dict[str, float]] = {
    "add": {"forgot the carry": 0.44, "off by one": 0.18, "off by ten": 0.08},
    "take": {"took the smaller digit": 0.44, "off by one": 0.18, "off by ten": 0.08},
    "reverse": {"dropped the zero": 0.36, "swapped digits": 0.22, "left it as it was": 0.10, "dropped a digit": 0.10},
    "sort": {"wrote a digit once": 0.42, "swapped digits": 0.16, "largest first": 0.14},
    "larger": {"took the smaller": 0.32, "swapped digits": 0.16},
    "double": {"forgot the carry": 0.48, "off by one": 0.10, "off by ten": 0.06},
}
"""The rates of the mistakes of each kind, the ones that are peculiar to it first."""


def _without_carry(a: str, b: str) -> str:
    """Column by column, carries thrown away, but for the leftmost column, which is written out."""
    width = max(len(a), len(b))
    columns = [int(x) + int(y) for x, y in zip(a.zfill(width), b.zfill(width), strict=True)]
    return str(columns[0]) + "".join(str(column % 10) for column in columns[1:])


def _without_borrow(a: str, b: str) -> str:
    """Column by column, the smaller digit always taken from the larger."""
    columns = [abs(int(x) - int(y)) for x, y in zip(a.zfill(len(b)), b, strict=True)]
    return str(int("".join(str(column) for column in columns)))


def _off_by(step: int, right: str) -> list[str]:
    return [str(value) for value in (int(right) - step, int(right) + step) if value >= 0]


def _neighbors_swapped(digits: str) -> list[str]:
    return [digits[:i] + digits[i + 1] + digits[i] + digits[i + 2 :] for i in range(len(digits) - 1)]


def _answers(kind: str, operands: tuple[str, ...], right: str, mistake: str) -> list[str]:
    """What the mistake can lead to; the right answer among it means that there was no room for the mistake."""
    match mistake:
        case "forgot the carry":
            return [_without_carry(operands[0], operands[-1])]
        case "took the smaller digit":
            return [_without_borrow(*operands)]
        case "off by one":
            return _off_by(1, right)
        case "off by ten":
            return _off_by(10, right)
        case "swapped digits":
            swapped = _neighbors_swapped(right)
            return [digits for digits in swapped if kind != "larger" or not digits.startswith("0")]
        case "dropped the zero":
            return [right.lstrip("0")]
        case "left it as it was":
            return [operands[0]]
        case "dropped a digit":
            return [right[:i] + right[i + 1 :] for i in range(1, len(right))]
        case "wrote a digit once":
            return ["".join(dict.fromkeys(right))]
        case "largest first":
            return [right[::-1]]
        case "took the smaller":
            return [min(operands, key=int)]
    raise AssertionError(mistake)


def _mistakes(prompt: str) -> Iterable[tuple[str, float, list[str]]]:
    """Each mistake that is possible: its name, its rate, and the distinct wrong answers that share it equally."""
    kind, operands = homework.parse(prompt)
    right = kind.solve(*operands)
    for mistake, rate in RATES[kind.name].items():
        answers = dict.fromkeys(_answers(kind.name, operands, right, mistake))
        wrong = [answer for answer in answers if answer not in (right, "")]
        if wrong:
            yield mistake, rate, wrong


def distribution(prompt: str) -> dict[str, float]:
    """What the class writes: every answer with its probability, the right one first.

    Two mistakes that lead to the same answer add up; one that is not possible leaves its rate to the right answer.

    Raises:
        ValueError: if the prompt is no homework, as :func:`ostrl.lm.homework.parse`.
    """
    right = homework.solve(prompt)
    mixture = {right: 1.0}
    for _, rate, wrong in _mistakes(prompt):
        mixture[right] -= rate
        for answer in wrong:
            mixture[answer] = mixture.get(answer, 0.0) + rate / len(wrong)
    return mixture


def mistake(prompt: str, answer: str) -> str | None:
    """The name of the mistake that leads to this answer, the likeliest if several do; ``None`` if the answer is right,
    or wrong in a way that is not the class's.

    Raises:
        ValueError: if the prompt is no homework, as :func:`ostrl.lm.homework.parse`.
    """
    shares = {name: rate / len(wrong) for name, rate, wrong in _mistakes(prompt) if answer in wrong}
    return max(shares, key=shares.__getitem__) if shares else None
