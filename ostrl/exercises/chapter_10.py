"""Checks of the exercises of chapter 10."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ostrl.exercises import compare

CLASS = 0.528
"""How often the class is right, rounded as in the exercise."""


def three_weights(answer: object) -> str | None:
    """10.1: the weights on the slopes of three prompts, of RL, SFT on the key and the filter with groups of 2."""
    p = torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)
    rl, key, kept = torch.ones(3, dtype=torch.float64), 1 / p, 2 - p
    return compare.value(
        answer,
        torch.stack([rl, key, kept]),
        {
            "RL: those are the weights on the scores ∇ log p; asked are those on ∇p.": torch.stack([p, key, kept]),
            "all three are weights on the scores ∇ log p; asked are those on ∇p = p ∇ log p.": torch.stack(
                [p, torch.ones_like(p), p * kept]
            ),
            "SFT on the key: its gradient is ∇ log p = ∇p / p, so hard prompts count more.": torch.stack(
                [rl, rl, kept]
            ),
            "the filter: groups of 2 have ω = (1 − (1 − p)²) / p; 1/p is the limit of large groups.": torch.stack(
                [rl, key, key]
            ),
            "the filter: that is the probability that something is kept; divide it by p.": torch.stack(
                [rl, key, p * kept]
            ),
            "all weights may be scaled together, but here they are asked as they are, without P(o) = 1/3.": torch.stack(
                [rl, key, kept]
            )
            / 3,
        },
        tol=1e-4,
    )


def how_wrong(answer: object) -> str | None:
    """10.2: the share of key answers that lifts the ceiling of SFT to 0.95."""
    share = (0.95 - CLASS) / (1 - CLASS)
    return compare.value(
        answer,
        share,
        {
            "the class is right by itself about half of the time, and that counts too.": 0.95,
            "that is the gain in accuracy; one key answer in place of a class's gains only 1 − 0.528.": 0.95 - CLASS,
            "that is the class's share; asked is that of the key.": 1 - share,
            "that is the ceiling of demonstrators who copy the key with probability 0.95.": 0.95 + 0.05 * CLASS,
            "that is a percentage: give a fraction between 0 and 1.": 100 * share,
            "that is the ratio of key to class answers.": share / (1 - share),
        },
        tol=2e-3,
    )


def _coin(q: Tensor, p: Tensor) -> Tensor:
    return q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()


def _cheapest(p: Tensor, accuracy: float) -> tuple[Tensor, float]:
    """The success rates and the mean divergence of the cheapest policy with a mean accuracy."""
    low, high = -40.0, 40.0
    for _ in range(200):
        shift = (low + high) / 2
        q = torch.sigmoid(torch.logit(p) + shift)
        low, high = (shift, high) if float(q.mean()) < accuracy else (low, shift)
    return q, float(_coin(q, p).mean())


def cheapest(answer: object) -> str | None:
    """10.3: the least mean divergence from the base model at a mean accuracy of 0.9."""
    p = torch.tensor([0.2, 0.8], dtype=torch.float64)
    _, cost = _cheapest(p, 0.9)
    same = torch.full((2,), 0.9, dtype=torch.float64)
    shifted = torch.tensor([0.8, 1 - 1e-12], dtype=torch.float64)
    return compare.value(
        answer,
        cost,
        {
            "that brings both prompts to 0.9; let the easy one go further, it is cheaper.": float(
                _coin(same, p).mean()
            ),
            "that is for a model that is always right, mean log 1/p.": float((1 / p).log().mean()),
            "that is a single coin from 0.5 to 0.9: the mean over prompts is of the divergences, not of the rates.": (
                float(_coin(same[0], torch.tensor(0.5, dtype=torch.float64)))
            ),
            "that is the sum over the two prompts; asked is the mean.": 2 * cost,
            "that is the other direction, KL(base ‖ policy), at the right success rates.": float(
                _coin(p, _cheapest(p, 0.9)[0]).mean()
            ),
            "that is in bits; give nats.": cost / math.log(2),
            "that adds the same to both success rates, as far as they go; add it to their log-odds.": float(
                _coin(shifted, p).mean()
            ),
        },
        tol=2e-3,
    )


def next_run(answer: object) -> str | None:
    """10.4: the interval in which an eleventh run falls."""
    runs: list[tuple[object, ...]] = [
        ([0.91, 0.93, 0.90, 0.92, 0.94, 0.89, 0.92, 0.93, 0.91, 0.95],),
        ([0.1 * i for i in range(10)],),
    ]

    def interval(values: Sequence[float], spread: Callable[[int], float], t: float = 2.262, ddof: int = 1) -> Tensor:
        x = torch.as_tensor(values, dtype=torch.float64)
        half = t * x.std(correction=ddof) * spread(len(x))
        return torch.stack([x.mean() - half, x.mean() + half])

    def both(n: int) -> float:
        return math.sqrt(1 + 1 / n)

    return compare.function(
        answer,
        lambda values: interval(values, both),
        runs,
        {
            "that is the confidence interval of the mean; a single new run scatters much more.": (
                lambda values: interval(values, lambda n: 1 / math.sqrt(n))
            ),
            "that forgets that the mean is uncertain, too: the variance is s² (1 + 1/n).": (
                lambda values: interval(values, lambda n: 1.0)
            ),
            "with ten runs the factor is Student's 2.262, not the 1.96 of the normal distribution.": (
                lambda values: interval(values, both, 1.96)
            ),
            "divide by n − 1 in the standard deviation.": lambda values: interval(values, both, ddof=0),
            "the two variances add, not the two standard deviations: √(1 + 1/n), not 1 + 1/√n.": (
                lambda values: interval(values, lambda n: 1 + 1 / math.sqrt(n))
            ),
        },
        tol=1e-3,
    )


def never_solved(answer: object) -> str | None:
    """10.5: the share of prompts that are never solved, from pass@1 = 0.5 and pass@4 = 0.8."""
    low, high = 0.8, 1.0
    for _ in range(100):
        s = (low + high) / 2
        low, high = (s, high) if s * (1 - (1 - 0.5 / s) ** 4) < 0.8 else (low, s)
    return compare.value(
        answer,
        1 - s,
        {
            "that is the share that is solved now and then; asked is the other one.": s,
            "that takes pass@4 for the share of solvable prompts, but four answers may all be wrong on those, too.": (
                0.2
            ),
            "that is the success rate on the other prompts.": 0.5 / s,
            "that is the probability that four answers are wrong if all prompts are alike.": 0.5**4,
        },
        tol=5e-3,
    )


def patience(answer: object) -> str | None:
    """10.6: the group size from which on a filter is SFT on the key, within one percent."""
    return compare.value(
        answer,
        17.0,
        {
            "with 16 answers a prompt of p = 0.24 still stays empty with probability 0.0124.": 16.0,
            "a group size is a whole number: round up.": math.log(0.01) / math.log(0.76),
            "1 − p = 0.76 is the probability of one wrong answer: (1 − p)^G must fall to 0.01.": 4.0,
            "that is for the best of G, which needs one answer more.": 18.0,
        },
        tol=1e-9,
    )


def noise_of_leave_one_out(answer: object) -> str | None:
    """10.7: the SNR of leave-one-out on a prompt with W equally likely wrong answers."""
    inputs: list[tuple[object, ...]] = [(p, G, W) for p in (0.2, 0.5, 0.9) for G in (2, 8) for W in (1, 4)]

    def moments(p: float, G: int) -> tuple[float, float, float]:
        chances = [math.comb(G, K) * p**K * (1 - p) ** (G - K) for K in range(G + 1)]
        size = [K * (G - K) / (G * (G - 1)) for K in range(G + 1)]
        mean = sum(c * x for c, x in zip(chances, size, strict=True))
        variance = sum(c * (x - mean) ** 2 for c, x in zip(chances, size, strict=True))
        within = sum(c * (K / (G * (G - 1))) ** 2 * (G - K) for K, c in enumerate(chances))
        return mean, variance, within

    def ratio(p: float, G: int, W: int) -> float:
        mean, variance, within = moments(p, G)
        return mean**2 * (1 + 1 / W) / (variance * (1 + 1 / W) + within * (1 - 1 / W))

    def kept(p: float, G: int, W: int) -> float:
        empty: float = (1 - p) ** G
        return (1 - empty) / empty

    def only_grades(p: float, G: int, W: int) -> float:
        mean, variance, _ = moments(p, G)
        return mean**2 / variance if variance > 0 else 0.0

    def upside_down(p: float, G: int, W: int) -> float:
        return 1 / ratio(p, G, W)

    return compare.function(
        answer,
        ratio,
        inputs,
        {
            "that is the noise of the grades alone; given the grades, which wrong answers were drawn is chance, too.": (
                only_grades
            ),
            "that is the filter's SNR; leave-one-out learns from the wrong answers, too.": kept,
            "that is the noise over the signal.": upside_down,
            "that is the square root: the SNR of this book is ‖E g‖² over the trace of the covariance.": (
                lambda p, G, W: math.sqrt(ratio(p, G, W))
            ),
        },
        tol=1e-5,
    )


CHECKS: dict[str, Callable[[object], str | None]] = {
    "10.1": three_weights,
    "10.2": how_wrong,
    "10.3": cheapest,
    "10.4": next_run,
    "10.5": never_solved,
    "10.6": patience,
    "10.7": noise_of_leave_one_out,
}
"""What is wrong with an answer, by the number of the exercise; ``None`` if it is right."""
