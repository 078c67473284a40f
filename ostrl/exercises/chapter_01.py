"""Checks of the exercises of chapter 01."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ostrl.exercises import compare
from ostrl.policies import count_strings

_PI = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
_GRADED = torch.tensor([0.2, 1.0, 0.5], dtype=torch.float64)
_AFTER = torch.tensor([[0.05, 0.75, 0.2], [0.1, 0.1, 0.8], [0.5, 0.3, 0.2]], dtype=torch.float64)


def _nearly(answer: object, expected: float | Tensor, wrong: str | None, hint: str) -> str | None:
    """Another diagnosis for an answer that is off by rounding only."""
    return hint if wrong is not None and compare.value(answer, expected, tol=1e-2) is None else wrong


def new_users(answer: object) -> str | None:
    """1.1: J of a task with two prompts."""
    wrong = compare.value(
        answer,
        0.5625,
        {
            "that weights the two prompts equally; the users do not.": 0.475,
            "Montreal earns 0.5, and that is part of the average.": 0.45,
            "the users' two probabilities are exchanged.": 0.3875,
            "an average over users needs their probabilities as weights, and they sum to one.": 0.95,
        },
        tol=1e-4,
    )
    return _nearly(answer, 0.5625, wrong, "nearly: give four digits.")


def number_of_answers(answer: object) -> str | None:
    """1.2: the count of strings."""
    inputs = [(3, 3), (2, 5), (27, 4), (4, 1), (50, 6)]
    wrong = compare.function(
        answer,
        count_strings,
        inputs,
        {
            "that counts strings that go on after their end token: nothing follows it.": lambda v, t: v**t,
            "those are only the answers that were cut; answers that end by themselves count too.": (
                lambda v, t: (v - 1) ** t
            ),
            "those are only the answers that end by themselves; those that were cut count too.": (
                lambda v, t: sum((v - 1) ** n for n in range(t))
            ),
            "inside an answer only V − 1 tokens are possible: the end token ends it.": (
                lambda v, t: sum(v**n for n in range(t + 1))
            ),
        },
    )
    if wrong is not None and callable(answer):
        larger = [pair for pair in inputs if pair[0] > 2]
        if compare.function(answer, count_strings, larger) is None:
            return "V = 2 needs its own case: the sum of the geometric series divides by V − 2."
    return wrong


def _string_log_prob(after: Tensor, tokens: Sequence[int], longest: int, end: str = "if not cut") -> float:
    written = list(tokens) + ([0] if end == "always" or (end == "if not cut" and len(tokens) < longest) else [])
    return sum(math.log(after[i, j]) for i, j in zip([0, *written], written, strict=False))


def log_prob(answer: object) -> str | None:
    """1.3: the log-probability of a string, the end token included."""
    inputs = [
        (_AFTER, [1, 2], 3),
        (_AFTER, [1, 2, 1], 3),
        (_AFTER, [], 3),
        (_AFTER, [2, 2], 5),
        (_AFTER, [2, 1, 1, 2, 1], 5),
    ]
    return compare.function(
        answer,
        _string_log_prob,
        inputs,
        {
            "the end token is missing: an answer that ended by itself paid for its end.": (
                lambda after, tokens, longest: _string_log_prob(after, tokens, longest, "never")
            ),
            "an answer that was cut did not write an end token.": (
                lambda after, tokens, longest: _string_log_prob(after, tokens, longest, "always")
            ),
            "that is the probability; its logarithm is asked for.": (
                lambda after, tokens, longest: math.exp(_string_log_prob(after, tokens, longest))
            ),
            "use the row of the *previous* token; row 0 is for the first token only.": (
                lambda after, tokens, longest: _string_log_prob(after[:1].expand(3, 3), tokens, longest)
            ),
            "the table is read across: its rows are the previous token, its columns the next.": (
                lambda after, tokens, longest: _string_log_prob(after.T, tokens, longest)
            ),
        },
    )


def best_author(answer: object) -> str | None:
    """1.4: the author whose weighted answers have no variance."""
    share = _PI * _GRADED
    got = compare.as_tensor(answer)
    if isinstance(got, Tensor) and bool((got < 0).any()):
        return "probabilities cannot be negative."
    wrong = compare.value(
        answer,
        share / share.sum(),
        {
            "that is in proportion to π r, but it does not sum to one.": share,
            "the model itself needs no weights, and has a variance. Look at one term, π r / q.": _PI,
            "in proportion to r alone, π r / q is proportional to π and still varies.": _GRADED / _GRADED.sum(),
            "an author who only writes the best answer never shows the others' share of J.": torch.tensor([0.0, 1, 0]),
            "what must be constant is π r / q, without squares.": (_PI * _GRADED**2) / (_PI * _GRADED**2).sum(),
        },
        tol=1e-3,
    )
    return _nearly(answer, share / share.sum(), wrong, "nearly: give more digits.")


def worth_of_an_experiment(answer: object) -> str | None:
    """1.5: the known return below which trying the other answer pays, over some days."""
    return compare.function(
        answer,
        lambda days: days / (days + 1),
        [(1,), (2,), (3,), (10,)],
        {
            "that is the threshold for one day; with more days a lesson can be used.": lambda days: 0.5,
            "after the first day there are one fewer left to use the lesson.": lambda days: (days + 1) / days,
            "off by one day: try n = 1, which must give ½.": lambda days: (days - 1) / days,
            "Canberra earns one half on the first day as well, on average.": lambda days: (days - 1) / (days + 1),
        },
    )


def two_cycle(answer: object) -> str | None:
    """1.6: a start that alternating steps send to its mirror image."""
    low, high = 0.0, 5.0
    for _ in range(100):
        middle = (low + high) / 2
        too_small = 8 * middle * math.cosh(middle) ** 3 / math.sinh(middle) < 16
        low, high = (middle, high) if too_small else (low, middle)
    wrong = compare.value(
        answer,
        2 * low,
        {
            "that is the equilibrium itself: it stays, and u > 0 is asked for.": 0.0,
            "that is half of the number asked for.": low,
            "u is positive: that is where player 1 arrives.": -2 * low,
        },
        tol=1e-3,
    )
    return _nearly(answer, 2 * low, wrong, "nearly: give four digits.")


def which_way(answer: object) -> str | None:
    """1.7: the mixed equilibrium of a zero-sum game, and the direction of small alternating steps near it."""
    return compare.value(
        answer,
        torch.tensor([0.2, 0.1, -1.0], dtype=torch.float64),
        {
            "the equilibrium is right. Now compare x*(1 − x*) + y*(1 − y*) with ⅓.": torch.tensor([0.2, 0.1, 1.0]),
            "x* and y* are exchanged: player 1's returns fix what *player 2* plays.": torch.tensor([0.1, 0.2, -1.0]),
            "x* and y* are exchanged, and the direction is the other one.": torch.tensor([0.1, 0.2, 1.0]),
            "x and y are the probabilities of the first answers; these are those of the second.": (
                torch.tensor([0.8, 0.9, -1.0])
            ),
        },
    )


CHECKS: dict[str, Callable[[object], str | None]] = {
    "1.1": new_users,
    "1.2": number_of_answers,
    "1.3": log_prob,
    "1.4": best_author,
    "1.5": worth_of_an_experiment,
    "1.6": two_cycle,
    "1.7": which_way,
}
"""What is wrong with an answer, by the number of the exercise; ``None`` if it is right."""
