"""Checks of the exercises of chapter 03."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ostrl.exercises import compare

_PROBS = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
_DRAWN = torch.tensor([1, 2, 1, 0])
_GRADES = torch.tensor([2.0, 1.0, 2.0, 1.0], dtype=torch.float64)


def _four_answers(answer: object) -> str | None:
    one_hot = torch.eye(3, dtype=torch.float64)[_DRAWN]
    products = _GRADES[:, None] * (one_hot - _PROBS)
    mistakes = {
        "that is the sum over the answers: divide by their number, N = 4.": products.sum(0),
        "divide by the number of answers, N = 4, not by the sum of the returns.": products.sum(0) / _GRADES.sum(),
        "the score is the one-hot vector minus the probabilities: you left the probabilities out.": (
            _GRADES[:, None] * one_hot
        ).mean(0),
        "these are the means of the scores: multiply each by its return.": (one_hot - _PROBS).mean(0),
        "these are the returns 0 and 1: the friendly teacher gave 2, 1, 2, 1.": (
            (_GRADES - 1)[:, None] * (one_hot - _PROBS)
        ).mean(0),
        "you subtracted a mean from the returns; plain REINFORCE does not.": (
            (_GRADES - _GRADES.mean())[:, None] * (one_hot - _PROBS)
        ).mean(0),
        "that is the gradient's exact value; the question is what these four answers estimate.": torch.tensor(
            [-0.18, 0.21, -0.03], dtype=torch.float64
        ),
    }
    got = compare.as_tensor(answer)
    if isinstance(got, Tensor) and got.shape == (1, 3):
        got = got[0]
    return compare.value(got if isinstance(got, Tensor) else answer, products.mean(0), mistakes)


def _wanted_signal(answer: object) -> str | None:
    mistakes: dict[str, float | Tensor] = {
        "that many give an SNR of 1; the question is about 4.": 49.0,
        "the SNR is a ratio of squares and grows with N, not with its square: take 4 times 1/p - 1.": 98.0,
        "the SNR is a ratio of squares already and grows with N, not with its root: 4 times, not 16.": 784.0,
        "for SNR 1 it takes 1/p - 1 answers, not 1/p.": 200.0,
        "divide: more signal needs more answers, not fewer.": 12.25,
    }
    return compare.value(answer, 196.0, mistakes)


def _batches() -> list[tuple[object, ...]]:
    generator = torch.Generator().manual_seed(3)
    sizes = ((5, 4, 3), (12, 1, 2), (2, 6, 4))
    return [
        (
            torch.randn(b, g, generator=generator, dtype=torch.float64),
            torch.randn(b, g, p, generator=generator, dtype=torch.float64)
            + torch.randn(b, 1, p, generator=generator, dtype=torch.float64),
        )
        for b, g, p in sizes
    ]


def _groups(returns: Tensor, scores: Tensor) -> Tensor:
    return (returns[..., None] * scores).mean(1)


def _error_bar(answer: object) -> str | None:
    def pairs(returns: Tensor, scores: Tensor) -> Tensor:
        return (returns[..., None] * scores).flatten(0, 1)

    return compare.function(
        answer,
        lambda r, s: _groups(r, s).std(0) / r.shape[0] ** 0.5,
        _batches(),
        {
            "you took all B·G products as independent; only the B group means are.": lambda r, s: (
                pairs(r, s).std(0) / r.numel() ** 0.5
            ),
            "that is the standard deviation of one group; the mean of B of them has it divided by √B.": lambda r, s: (
                _groups(r, s).std(0)
            ),
            "divide by B - 1 under the root, not by B (correction=1, which is torch's default).": lambda r, s: (
                _groups(r, s).std(0, correction=0) / r.shape[0] ** 0.5
            ),
            "that is the variance of the mean: take its square root.": lambda r, s: _groups(r, s).var(0) / r.shape[0],
            "the number of independent group means is B; you divided by √(B·G).": lambda r, s: (
                _groups(r, s).std(0) / r.numel() ** 0.5
            ),
            "you subtracted a mean from the returns (the group's); plain REINFORCE does not.": lambda r, s: (
                _groups(r - r.mean(1, keepdim=True), s).std(0) / r.shape[0] ** 0.5
            ),
            "you subtracted a mean from the returns (the batch's); plain REINFORCE does not.": lambda r, s: (
                _groups(r - r.mean(), s).std(0) / r.shape[0] ** 0.5
            ),
        },
    )


def _silence_of(probs: Tensor, returns: Tensor, size: int) -> Tensor:
    return torch.stack([probs[returns == value].sum() ** size for value in returns.unique()]).sum()


def _graded_silence(answer: object) -> str | None:
    inputs: list[tuple[object, ...]] = [
        (torch.tensor(p, dtype=torch.float64), torch.tensor(r, dtype=torch.float64), size)
        for p, r, size in (
            ([0.5, 0.2, 0.2, 0.1], [0.0, 0.5, 0.0, 1.0], 4),
            ([0.3, 0.3, 0.4], [1.0, 1.0, 0.0], 2),
            ([0.25, 0.75], [0.5, 0.5], 3),
        )
    ]

    def best_rate(probs: Tensor, returns: Tensor) -> Tensor:
        return probs[returns == returns.max()].sum()

    return compare.function(
        answer,
        _silence_of,
        inputs,
        {
            "that is the probability that all answers are equal; different answers can get the same return.": (
                lambda p, r, size: (p**size).sum()
            ),
            "that is the probability that the returns differ: the question is about silence.": (
                lambda p, r, size: 1 - _silence_of(p, r, size)
            ),
            "you counted two grades, the best and the rest; groups with different lower grades are not silent.": (
                lambda p, r, size: best_rate(p, r) ** size + (1 - best_rate(p, r)) ** size
            ),
            "add over every value a return can take, ½ too: you counted the returns 0 and 1 only.": lambda p, r, size: (
                p[r == 0].sum() ** size + p[r == 1].sum() ** size
            ),
            "p^G + (1 - p)^G is for returns 0 and 1, and the mean return is no success rate: add over every value.": (
                lambda p, r, size: (p @ r) ** size + (1 - p @ r) ** size
            ),
            "you left out one of the values of the return: groups of zeros are silent, too.": (
                lambda p, r, size: _silence_of(p, r, size) - p[r == 0].sum() ** size
            ),
        },
    )


def _best_group(between: float, within: float, prompt_cost: float, answer_cost: float) -> float:
    size = 1
    while size * (size + 1) < prompt_cost * within / (answer_cost * between):
        size += 1
    return float(size)


def _best_whole_group(answer: object) -> str | None:
    inputs: list[tuple[object, ...]] = [
        (1.0, 2.1, 1.0, 1.0),  # G* = 1.449: rounding says 1, but 1 · 2 < 2.1
        (1.0, 6.2, 1.0, 1.0),  # G* = 2.490: rounding says 2, but 2 · 3 < 6.2
        (1.0, 0.04, 1.0, 1.0),  # G* = 0.2
        (0.03, 0.09, 16.0, 1.0),
        (0.5, 3.0, 2.0, 7.0),
        (2.0, 5.0, 40.0, 0.5),
    ]

    def optimum(between: float, within: float, prompt_cost: float, answer_cost: float) -> float:
        return (prompt_cost * within / (answer_cost * between)) ** 0.5

    return compare.function(
        answer,
        _best_group,
        inputs,
        {
            "that is G* itself; the question is about the best whole number.": optimum,
            "rounding G* is nearly right: compare the noise at the two whole numbers beside it, and keep G >= 1.": (
                lambda *args: float(round(optimum(*args)))
            ),
            "rounding G* is nearly right: compare the noise at the two whole numbers beside it.": (
                lambda *args: float(max(1, round(optimum(*args))))
            ),
            "rounding G* up is not always best: compare the noise at the two whole numbers beside it.": (
                lambda *args: float(max(1, -int(-optimum(*args) // 1)))
            ),
            "rounding G* down is not always best: compare the noise at the two whole numbers beside it.": (
                lambda *args: float(max(1, int(optimum(*args))))
            ),
            "the costs are the wrong way round: a dear prompt asks for more answers to it.": (
                lambda b, w, o, a: _best_group(b, w, a, o)
            ),
            "the variances are the wrong way round: more variance within prompts asks for more answers.": (
                lambda b, w, o, a: _best_group(w, b, o, a)
            ),
        },
    )


def _unbiased_square(x: Tensor) -> Tensor:
    return x.mean(0).square().sum() - x.var(0).sum() / len(x)


def _halves(first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: first(x).mean(0) @ second(x).mean(0)


def _squared_length(answer: object) -> str | None:
    generator = torch.Generator().manual_seed(33)
    positive: list[tuple[object, ...]] = [
        (torch.randn(m, p, generator=generator, dtype=torch.float64) + 1.0,) for m, p in ((4, 3), (2, 5), (9, 1))
    ]
    verdict = compare.function(
        answer,
        _unbiased_square,
        positive,
        {
            "the squared length of the mean is too large, on average by the trace of its covariance.": (
                lambda x: x.mean(0).square().sum()
            ),
            "the mean of the squared lengths is too large by the whole trace of the covariance of one estimate.": (
                lambda x: x.square().sum(1).mean()
            ),
            "you subtracted the noise of one estimate; the mean of M estimates has 1/M of it.": (
                lambda x: x.mean(0).square().sum() - x.var(0).sum()
            ),
            "estimate the variances with M - 1 (correction=1): with M they are too small.": (
                lambda x: x.mean(0).square().sum() - x.var(0, correction=0).sum() / len(x)
            ),
            "the noise makes the length too large: subtract it.": (
                lambda x: x.mean(0).square().sum() + x.var(0).sum() / len(x)
            ),
            "that is the length; the question is its square.": lambda x: _unbiased_square(x).sqrt(),
            "unbiased, but wasteful: use all pairs i ≠ j, not one pair.": lambda x: x[0] @ x[1],
            "unbiased, but wasteful: use all pairs i ≠ j, not only those across the two halves.": (
                _halves(lambda x: x[: len(x) // 2], lambda x: x[len(x) // 2 :])
            ),
            "unbiased, but wasteful: use all pairs i ≠ j, not only even with odd ones.": (
                _halves(lambda x: x[::2], lambda x: x[1::2])
            ),
        },
    )
    if verdict is not None:
        return verdict
    below_zero: list[tuple[object, ...]] = [  # noise, and a mean that is shorter than chance makes it
        (torch.tensor(x, dtype=torch.float64),) for x in ([[1.0], [-1.0], [0.5]], [[2.0, 1.0], [-1.0, -1.0]])
    ]
    return compare.function(
        answer,
        _unbiased_square,
        below_zero,
        {
            "clipping at 0 makes it biased: negative values must stay.": lambda x: _unbiased_square(x).clamp(min=0),
            "taking the absolute value makes it biased: negative values must stay.": lambda x: _unbiased_square(
                x
            ).abs(),
        },
    )


CHECKS: dict[str, Callable[[object], str | None]] = {
    "3.1": _four_answers,
    "3.2": _wanted_signal,
    "3.3": _error_bar,
    "3.4": _graded_silence,
    "3.5": _best_whole_group,
    "3.6": _squared_length,
}
"""What is wrong with an answer, by the number of the exercise; ``None`` if it is right."""
