"""Checks of the exercises of chapter 07."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ostrl.exercises import compare


def _best_of_four(answer: object) -> str | None:
    wrong, right = 0.7**4, 1 - 0.7**4
    mistakes: dict[str, float | Tensor] = {
        "wrong winners keep the proportions of the policy, 6 to 1; they do not win equally often.": torch.tensor(
            [wrong / 2, right, wrong / 2], dtype=torch.float64
        ),
        "Sydney and Melbourne are tied, so Melbourne does not need four Melbournes to win.": torch.tensor(
            [wrong - 0.1**4, right, 0.1**4], dtype=torch.float64
        ),
        "Sydney and Melbourne are tied, so Sydney does not need four Sydneys to win.": torch.tensor(
            [0.6**4, right, wrong - 0.6**4], dtype=torch.float64
        ),
        "that is the best of three.": torch.tensor([0.7**3 * 6 / 7, 1 - 0.7**3, 0.7**3 / 7], dtype=torch.float64),
        "four answers do not make a right one four times as likely: add up the ways to have none.": torch.tensor(
            [0.6 - 0.9 * 6 / 7, 1.2, 0.1 - 0.9 / 7], dtype=torch.float64
        ),
        "that is the policy given that the answer is right: with four answers all may be wrong.": torch.tensor(
            [0.0, 1.0, 0.0], dtype=torch.float64
        ),
    }
    expected = torch.tensor([wrong * 6 / 7, right, wrong / 7], dtype=torch.float64)
    got = compare.as_tensor(answer)
    if isinstance(got, str) or got.shape != expected.shape:
        return compare.value(answer, expected)
    off = float((got - expected).abs().max())
    if off <= 0.005:  # rounded to two decimals is right
        return None
    for diagnosis, mistake in mistakes.items():
        if bool(((got - torch.as_tensor(mistake)).abs() <= 0.005).all()):
            return diagnosis
    if float((got.sort().values - expected.sort().values).abs().max()) <= 0.005:
        return f"{compare.ORDER}: Sydney, Canberra, Melbourne."
    if off <= 0.02:
        return "close: two decimals of each are wanted."
    total = float(got.sum())
    if abs(total - 1) > 0.02:
        return f"the three probabilities add up to {total:.3g}, not to 1."
    return "begin with the probability that the winner is wrong: then all four answers are."


def _ends(probs: Tensor, returns: Tensor) -> tuple[Tensor, Tensor]:
    """Upper and lower end of each level, one entry a level."""
    values = returns.unique()
    upper = torch.stack([probs[returns <= v].sum() for v in values])
    return upper, torch.cat([upper.new_zeros(1), upper[:-1]])


def _divergence_of_best(probs: Tensor, returns: Tensor, n: int) -> Tensor:
    upper, lower = _ends(probs, returns)
    won = upper**n - lower**n
    return (won * (won / (upper - lower)).log()).sum()


def _turned_around(probs: Tensor, returns: Tensor, n: int) -> Tensor:
    upper, lower = _ends(probs, returns)
    return ((upper - lower) * ((upper - lower) / (upper**n - lower**n)).log()).sum()


def _answer_by_answer(probs: Tensor, returns: Tensor, n: int) -> Tensor:
    """Ties broken by the order of the answers instead of shared."""
    order = returns.argsort(stable=True)
    return _divergence_of_best(probs[order], torch.arange(len(probs), dtype=probs.dtype), n)


def _divergence(answer: object) -> str | None:
    inputs: list[tuple[object, ...]] = [
        (torch.tensor(p, dtype=torch.float64), torch.tensor(r, dtype=torch.float64), n)
        for p, r, n in (
            ([0.4, 0.1, 0.15, 0.2, 0.1, 0.05], [0.0, 0.0, 0.3, 0.7, 1.0, 1.0], 4),
            ([0.6, 0.3, 0.1], [0.0, 1.0, 0.0], 3),
            ([0.2, 0.5, 0.3], [2.0, -1.0, 0.5], 8),
            ([0.25, 0.75], [1.0, 1.0], 5),
            ([0.25, 0.75], [0.0, 1.0], 1),
        )
    ]
    return compare.function(
        answer,
        _divergence_of_best,
        inputs,
        {
            "that is the formula of the folklore, an upper bound for levels without width.": (
                lambda p, r, n: math.log(n) - (n - 1) / n
            ),
            "you turned the divergence around: KL(π_n ‖ π) averages over the winners.": _turned_around,
            "equally good answers share the win: add over the values of the return, not over the answers one by one.": (
                _answer_by_answer
            ),
            "logarithms are natural: yours has base 2.": lambda p, r, n: _divergence_of_best(p, r, n) / math.log(2),
            "that has the wrong sign.": lambda p, r, n: -_divergence_of_best(p, r, n),
        },
    )


def _shape_of(x: object) -> str:
    return str(list(x.shape)) if isinstance(x, Tensor) else type(x).__name__


_GRID = torch.cartesian_prod(*[torch.tensor([0.0, 0.125, 0.5, 0.75, 1.0], dtype=torch.float64)] * 2)


def _gentle(answer: object) -> str | None:
    """Right are all weights in pairs whose antisymmetric part is half the difference of the returns."""
    if not callable(answer):
        return f"expected a function, got {type(answer).__name__}."
    try:
        got = answer(_GRID.clone())
    except Exception as error:  # the reader's own code: say what it raised
        return f"your function raised {type(error).__name__}: {error}"
    weights = compare.as_tensor(got)
    if isinstance(weights, str):
        return weights.replace("not finite.", "not finite: what does it do when both returns are 0?")
    if weights.shape != _GRID.shape:
        return f"expected weights of shape {list(_GRID.shape)}, got {_shape_of(weights)}."
    if bool((weights < -1e-9).any()):
        return "some weights are negative: add something that costs nothing on average."
    if bool(((weights.sum(1) - 1).abs() > 1e-6).any()):
        return "the two weights of a pair must have the sum 1."
    flipped = weights.view(5, 5, 2).transpose(0, 1).reshape(25, 2)  # the weights of the pair in the other order
    slope = weights[:, 0] - flipped[:, 0]
    difference = _GRID[:, 0] - _GRID[:, 1]
    if bool(((slope - difference).abs() <= 1e-6).all()):
        return None
    if bool(((slope - difference.sign()).abs() <= 1e-6).all()):
        return "that imitates the better one whatever the margin: right for returns 0 and 1, not for graded ones."
    if bool((slope.abs() <= 1e-6).all()):
        return "equal weights have the expected gradient zero: nothing tells the better answer from the worse."
    if bool(((slope + difference).abs() <= 1e-6).all()):
        return "that prefers the worse answer."
    if bool(((slope - torch.tanh(difference / 2)).abs() <= 1e-6).all()):
        return "a softmax of the returns (the logistic preference) bends the margin: ∇J needs it straight."
    pairs = difference != 0
    ratio = slope[pairs] / difference[pairs]
    if bool(((ratio - ratio[0]).abs() <= 1e-6).all()):
        return f"that gives {float(ratio[0]):.4g} times ∇J: the direction is right, the length is not."
    total = _GRID.sum(1)
    some = total > 0
    if bool(((weights[some, 0] - _GRID[some, 0] / total[some]).abs() <= 1e-6).all()):
        return "dividing by the sum of the returns bends the margin: a pair (0.5, 0) would count as much as (1, 0)."
    return "swap the two answers of a pair: the first one's weight must change by exactly R₁ - R₂."


def _ask_for_help(answer: object) -> str | None:
    def odds(kept: float) -> float:
        return kept / (1 - kept)

    return compare.function(
        answer,
        lambda N, f: 1 - math.sqrt(1 - odds(f) / (N - 1)),
        [(8, 0.5), (64, 0.5), (5, 0.2), (1000, 0.9), (12, 0.75)],
        {
            "half a label a round is the answer for large N and f = 1/2: the exact one depends on N and f.": (
                lambda N, f: 0.5 / N
            ),
            "that is the approximation for large N: solve x = (N - 1)·α·(2 - α) exactly.": (
                lambda N, f: odds(f) / (2 * N)
            ),
            "you left out the square of α: x = (N - 1)·α·(2 - α).": lambda N, f: odds(f) / (2 * (N - 1)),
            "that root of the equation is above 1: a share is not.": lambda N, f: 1 + math.sqrt(1 - odds(f) / (N - 1)),
            "that is the share of the model's own labels: 1 minus the answer.": (
                lambda N, f: math.sqrt(1 - odds(f) / (N - 1))
            ),
            "use N - 1 in the place of N: a label paired with itself agrees.": lambda N, f: (
                1 - math.sqrt(1 - odds(f) / N)
            ),
            "that is the number of human labels in a round; the question is their share.": lambda N, f: (
                N * (1 - math.sqrt(1 - odds(f) / (N - 1)))
            ),
            "the odds of what is kept are f/(1 - f), and x equals those, not f.": lambda N, f: (
                1 - math.sqrt(1 - f / (N - 1))
            ),
        },
    )


def _rationed(N: int, m: int) -> float:
    own = (N - m) * (N - m - 1)
    return (N * N - N - own) / (N * N - own)


def _ration(answer: object) -> str | None:
    def by_chance(N: int, m: int) -> float:
        x = (N - 1) * (m / N) * (2 - m / N)
        return x / (1 + x)

    return compare.function(
        answer,
        _rationed,
        [(8, 1), (8, 3), (2, 1), (20, 20), (100, 2)],
        {
            "that is the result for labels that are human by chance, with α = m/N on average.": by_chance,
            "that is the approximation for large N.": lambda N, m: 2 * m / (1 + 2 * m),
            "that is the fraction that is lost.": lambda N, m: 1 - _rationed(N, m),
            "both of two different labels are own with probability (N-m)(N-m-1)/N², not (N-m)²/N².": lambda N, m: (
                (N * N - N - (N - m) ** 2) / (N * N - (N - m) ** 2)
            ),
        },
    )


def _chain(k: int, N: int, win: Callable[[Tensor], Tensor]) -> Tensor:
    """Probability that the number of right labels reaches 0 before N, from k."""
    right = torch.arange(N + 1, dtype=torch.float64)
    p = win(right / N)[:, None]
    ways = torch.tensor([math.comb(N, i) for i in range(N + 1)], dtype=torch.float64)
    step = ways * p**right * (1 - p) ** (N - right)
    inner = torch.eye(N - 1, dtype=torch.float64) - step[1:N, 1:N]
    return torch.linalg.solve(inner, step[1:N, 0])[k - 1]


def _lost(answer: object) -> str | None:
    inputs: list[tuple[object, ...]] = [(1, 16, 2), (3, 8, 2), (1, 4, 4), (5, 6, 1), (1, 2, 3)]

    def exact(k: int, N: int, n: int) -> Tensor:
        return _chain(k, N, lambda p: 1 - (1 - p) ** n)

    if isinstance(compare.as_tensor(answer), Tensor):
        return "expected a function of k, N and n, got numbers."
    wrong = compare.function(
        answer,
        exact,
        inputs,
        {
            "that is the probability to lose it in the first round; it may be lost later.": (
                lambda k, N, n: (1 - k / N) ** (n * N)
            ),
            "that is the probability that one group has no right answer; N groups have, and there are more rounds.": (
                lambda k, N, n: (1 - k / N) ** n
            ),
            "that is the probability to keep it.": lambda k, N, n: 1 - _chain(k, N, lambda p: 1 - (1 - p) ** n),
            "that is drift without selection: the best of n is right with probability 1 - (1 - p)^n.": (
                lambda k, N, n: 1 - k / N
            ),
            "a group has a right winner if at least one answer is right, not only if all are.": (
                lambda k, N, n: _chain(k, N, lambda p: p**n)
            ),
        },
        tol=1e-5,
    )
    if wrong is None or not callable(answer):
        return wrong
    given: Callable[..., float] = answer
    if compare.function(lambda *args: abs(given(*args) - float(exact(*args))) < 0.02, lambda *_: 1.0, inputs) is None:
        return "nearly: rounded, simulated or stopped early? Solve the linear equations, and do not round."
    return wrong


def _hot_and_soft(answer: object) -> str | None:
    return compare.function(
        answer,
        lambda lam, T: lam * T / (T - 1),
        [(1.0, 1.25), (0.5, 2.0), (0.1, 1.1), (2.0, 5.0)],
        {
            "you solved the other way round: that is λ for a given β.": lambda lam, T: lam * (1 - 1 / T),
            "at the fixed point the logits satisfy z = z/T + r/β, so z·(1 - 1/T) = r/β; you left out a factor T.": (
                lambda lam, T: lam / (T - 1)
            ),
            "the temperature divides the logits: 1 - 1/T, not T - 1.": lambda lam, T: lam * (T - 1),
            "that is the temperature of a single round; the rounds add up 1 + 1/T + 1/T² + …": lambda lam, T: lam,
            "one factor T is not all: at the fixed point the logits satisfy z = z/T + r/β.": lambda lam, T: lam * T,
            "sampling at T divides the logits in every round, not once: z = z/T + r/β at the fixed point.": (
                lambda lam, T: lam / T
            ),
        },
    )


def _window(answer: object) -> str | None:
    return compare.function(
        answer,
        lambda w: ((w + 1) / 2) ** 2,
        [(1,), (2,), (3,), (5,), (10,)],
        {
            "w times as many labels do not make drift w times slower: look at the measured factors again.": (
                lambda w: float(w)
            ),
            "that is the mean age of a label: both lines of descent must visit the same round.": lambda w: (w + 1) / 2,
            "the newest label is one round old, the oldest w: their mean is (w + 1)/2, not w.": lambda w: float(w * w),
            "the newest label is one round old, the oldest w: their mean is (w + 1)/2, not w/2.": (
                lambda w: (w / 2) ** 2
            ),
            "that is the sum of the ages 1 … w. What counts is their mean, and it counts twice: w = 2 gives 2.25.": (
                lambda w: w * (w + 1) / 2
            ),
            "that is how much faster drift is, not slower: turn it over.": lambda w: (2 / (w + 1)) ** 2,
        },
    )


CHECKS: dict[str, Callable[[object], str | None]] = {
    "7.1": _best_of_four,
    "7.2": _divergence,
    "7.3": _gentle,
    "7.4": _ask_for_help,
    "7.5": _ration,
    "7.6": _lost,
    "7.7": _hot_and_soft,
    "7.8": _window,
}
"""What is wrong with an answer, by the number of the exercise; ``None`` if it is right."""
