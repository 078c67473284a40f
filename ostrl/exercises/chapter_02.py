"""Checks of the exercises of chapter 02."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ostrl.exercises import compare

_PROBS = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
_LOGITS = torch.tensor([0.4, -1.1, 0.0, 2.0], dtype=torch.float64)


def forgiving_teacher(answer: object) -> str | None:
    """2.1: the gradient for returns 0.5, 1, 0."""
    returns = torch.tensor([0.5, 1.0, 0.0], dtype=torch.float64)
    advantage = returns - _PROBS @ returns
    strict = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    return compare.value(
        answer,
        _PROBS * advantage,
        {
            "that is π r: the mean return is still to be subtracted from r.": _PROBS * returns,
            "that is r − J: multiply it by the probability of the answer.": advantage,
            "the plain average of the returns was subtracted; the average over the policy's own answers is needed.": (
                _PROBS * (returns - returns.mean())
            ),
            "that is the gradient for the old returns 0, 1, 0.": _PROBS * (strict - _PROBS @ strict),
        },
    )


def _score(logits: Tensor, a: int, inside: float, outside: float) -> Tensor:
    score = -torch.softmax(logits / inside, 0)
    score[a] += 1
    return score / outside


def temperature(answer: object) -> str | None:
    """2.2: the score of a softmax at temperature T."""
    inputs = [(_LOGITS, a, T) for a in (0, 3) for T in (0.5, 1.0, 2.0)]
    return compare.function(
        answer,
        lambda z, a, T: _score(z, a, T, T),
        inputs,
        {
            "you differentiated with respect to z/T: the chain rule gives another factor 1/T.": (
                lambda z, a, T: _score(z, a, T, 1)
            ),
            "the probabilities must be those at temperature T.": lambda z, a, T: _score(z, a, 1, T),
            "the temperature is missing altogether.": lambda z, a, T: _score(z, a, 1, 1),
            "multiply by 1/T, not by T.": lambda z, a, T: _score(z, a, T, 1 / T),
            "it points exactly the other way: check the sign.": lambda z, a, T: -_score(z, a, T, T),
        },
    )


def _pushed(probs: Tensor, returns: Tensor) -> Tensor:
    return probs * (returns - probs @ returns)


def entropy_bonus(answer: object) -> str | None:
    """2.3: the gradient of J plus beta times the entropy, with respect to softmax logits."""
    returns = torch.tensor([0.0, 1.0, 0.25], dtype=torch.float64)
    even = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    inputs = [(probs, returns, beta) for probs in (_PROBS, even) for beta in (0.1, 2.0)]
    return compare.function(
        answer,
        lambda pi, r, beta: _pushed(pi, r - beta * pi.log()),
        inputs,
        {
            "the bonus is missing: its gradient is not zero, only the extra term of the product rule is.": (
                lambda pi, r, beta: _pushed(pi, r)
            ),
            "the sign of the bonus is turned around.": lambda pi, r, beta: _pushed(pi, r + beta * pi.log()),
            "the mean was not subtracted: Σ π ρ, with the bonus in ρ.": lambda pi, r, beta: pi * (r - beta * pi.log()),
            "the mean of r was subtracted, but not the mean of the bonus.": (
                lambda pi, r, beta: _pushed(pi, r) - beta * pi * pi.log()
            ),
            "you subtracted β π for the derivative of the bonus: that term is −β E[s], which is zero.": (
                lambda pi, r, beta: _pushed(pi, r - beta * pi.log()) - beta * pi
            ),
            "you subtracted β π (that term is −β E[s], which is zero) and did not subtract the mean of the bonus.": (
                lambda pi, r, beta: _pushed(pi, r) - beta * pi * (pi.log() + 1)
            ),
            "that is ρ minus its mean, with the bonus in ρ: multiply it by the probability of the answer.": (
                lambda pi, r, beta: _pushed(pi, r - beta * pi.log()) / pi
            ),
        },
    )


def last_word(answer: object) -> str | None:
    """2.4: by what factor the loser's exp(logit) grows."""
    return compare.value(
        answer,
        3.0,
        {
            "that is e^z at the end; the factor is that over e^z at the start.": 0.6,
            "that is e^-z at the end; turn it into the factor by which e^z grows.": 5 / 3,
            "that is the winner's probability over the loser's at the start, or the factor of the start 0.6, 0.3, 0.1 "
            "in the chapter; use the invariant e^-z1 - e^-z2 with this start.": 1.5,
            "that is one over the factor.": 1 / 3,
            "that is the growth of the logit; the factor of e^z is its exponential.": math.log(3),
        },
        tol=1e-3,
    )


def _clock(p: float) -> float:
    u = math.log(p / (1 - p))
    return u + math.sinh(u)


def _logit(p: float) -> float:
    return math.log(p / (1 - p))


def time_needed(answer: object) -> str | None:
    """2.5: the time of the flow of two answers."""
    inputs = [(0.01, 0.5, 1.0, 0.0), (0.2, 0.9, 3.0, 1.0), (1e-4, 0.3, 0.5, 0.25), (0.3, 0.6, 0.0, -4.0)]
    return compare.function(
        answer,
        lambda p, q, good, bad: (_clock(q) - _clock(p)) / (good - bad),
        inputs,
        {
            "the returns are missing: everything happens (good - bad) times as fast.": (
                lambda p, q, good, bad: _clock(q) - _clock(p)
            ),
            "a difference of returns of 2 halves the time: divide by (good - bad), do not multiply.": (
                lambda p, q, good, bad: (_clock(q) - _clock(p)) * (good - bad)
            ),
            "only the difference of the returns counts, not the higher one itself.": (
                lambda p, q, good, bad: (_clock(q) - _clock(p)) / good if good else math.nan
            ),
            "the sign is turned around: the time at the end minus the time at the start.": (
                lambda p, q, good, bad: (_clock(p) - _clock(q)) / (good - bad)
            ),
            "that is the time to one half; subtract the two times of u + sinh u at q and at p.": (
                lambda p, q, good, bad: -_clock(p) / (good - bad)
            ),
            "that is the approximation 1/(2p) for a small p and q = 1/2; use u + sinh u, which is exact.": (
                lambda p, q, good, bad: 1 / (2 * p) / (good - bad)
            ),
            "that is the approximation 1/(2p) at both ends; use u + sinh u, which is exact.": (
                lambda p, q, good, bad: (1 / p - 1 / q) / 2 / (good - bad)
            ),
            "that is an approximation for small p, and the returns are missing; use u + sinh u, which is exact.": (
                lambda p, q, good, bad: (1 / p - 1 / q) / 2
            ),
            "that is the time of the natural gradient.": (
                lambda p, q, good, bad: (_logit(q) - _logit(p)) / (good - bad)
            ),
            "twice too long: both logits move, so their difference changes by 2 p (1 - p).": (
                lambda p, q, good, bad: 2 * (_clock(q) - _clock(p)) / (good - bad)
            ),
        },
    )


def forgetting(answer: object) -> str | None:
    """2.6: the exponent with which the losing right answer vanishes."""
    formula = "give a function of m that holds for any m, not only for the measured ones (it is checked up to m = 10)."
    if isinstance(answer, Mapping):
        return formula
    if callable(answer):
        with contextlib.suppress(Exception):  # the comparison below says what was raised
            try:
                answer(10)
            except LookupError:
                return formula
    return compare.function(
        answer,
        lambda m: m / (m + 1),
        [(m,) for m in (1, 2, 3, 10)],
        {
            "that is how a wrong answer vanishes.": lambda m: 1.0,
            "right for one wrong answer only: measure it for two.": lambda m: 0.5,
            "the probability falls like t to the power -alpha: give alpha itself, a positive number.": (
                lambda m: -m / (m + 1)
            ),
            "that is how fast e^-z of a wrong answer grows; the loser's probability goes with e^-z of the winner.": (
                lambda m: 1 / (m + 1)
            ),
        },
        tol=0.02,
    )


CHECKS: dict[str, Callable[[object], str | None]] = {
    "2.1": forgiving_teacher,
    "2.2": temperature,
    "2.3": entropy_bonus,
    "2.4": last_word,
    "2.5": time_needed,
    "2.6": forgetting,
}
"""What is wrong with an answer, by the number of the exercise; ``None`` if it is right."""
