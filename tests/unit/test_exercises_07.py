"""The checks of chapter 07's exercises: right answers pass however they are written, wrong ones are told why."""

import itertools
import math

import numpy as np
import torch
from answers import judged


def by_groups(probs, returns, n):
    """The divergence from all groups of n answers."""
    probs, returns, won = probs.numpy(), returns.numpy(), np.zeros(len(probs))
    for group in itertools.product(range(len(probs)), repeat=min(n, 4)):
        won[max(group, key=lambda a: returns[a])] += np.prod(probs[list(group)])
    if n > 4:  # best of 8 as two rounds, best of 5 where all returns are equal
        rounds = {8: (4, 2), 5: (1,)}[n]
        return float(by_rounds(torch.tensor(probs), torch.tensor(returns), rounds))
    return float((won * np.log(won / probs)).sum())


def by_rounds(probs, returns, rounds):
    now = probs
    for n in rounds:
        u = torch.stack([now[returns <= v].sum() for v in returns])
        low = torch.stack([now[returns < v].sum() for v in returns])
        now = now * sum(u**k * low ** (n - 1 - k) for k in range(n))
    return (now * (now / probs).log()).sum()


def of_levels(probs, returns, n):
    """Over answers, each with its share of the level."""
    u = torch.stack([probs[returns <= v].sum() for v in returns])
    low = torch.stack([probs[returns < v].sum() for v in returns])
    won = probs * (u**n - low**n) / (u - low)
    return float((won * (won / probs).log()).sum())


def first_come(rewards):
    """Another right set of weights: the first answer is liked a little more, whatever the returns."""
    margin = rewards[:, 0] - rewards[:, 1]
    first = 0.5 * (1 + margin) + 0.25 * (1 - margin.abs())
    return torch.stack([first, 1 - first], 1)


def lost_by_iteration(k, N, n):
    """The Markov chain, run until nothing moves."""
    state = np.zeros(N + 1)
    state[k] = 1
    p = 1 - (1 - np.arange(N + 1) / N) ** n
    ways = np.array([math.comb(N, i) for i in range(N + 1)])
    step = ways * p[:, None] ** np.arange(N + 1) * (1 - p[:, None]) ** (N - np.arange(N + 1))
    for _ in range(2000):
        state = state @ step
    return state[0]


def by_two_labels(N, m):
    """Exactly m human labels: the probability that two labels, followed back, end with a person."""
    same, own = 1 / N, (N - m) * (N - m - 1) / N**2
    return (1 - same - own) / (1 - own)


def by_variances(N, m):
    c, a = (1 - m / N) ** 2, m / N
    return (N * (1 - c) - a) / (N * (1 - c) + 1 - a)


RIGHT = [
    ("7.1", [0.2058, 0.7599, 0.0343]),
    ("7.1", [0.206, 0.76, 0.034]),
    ("7.1", [0.21, 0.76, 0.03]),
    ("7.1", torch.tensor([0.7**4 * 6 / 7, 1 - 0.7**4, 0.7**4 / 7])),
    ("7.2", by_groups),
    ("7.7", lambda T, lam: lam * T / (T - 1)),
    ("7.2", of_levels),
    ("7.3", lambda r: 0.5 * (1 + r - r.flip(1))),
    ("7.3", first_come),
    ("7.3", lambda r: torch.stack([r[:, 0], 1 - r[:, 0]], 1)),
    ("7.3", lambda r: (0.5 + r - r.mean(1, keepdim=True)).numpy()),
    ("7.4", lambda N, f: 1 - math.sqrt(1 - f / (1 - f) / (N - 1))),
    ("7.4", lambda N, f: min(np.roots([1, -2, f / ((1 - f) * (N - 1))]))),
    ("7.5", by_two_labels),
    ("7.5", by_variances),
    ("7.6", lost_by_iteration),
    ("7.7", lambda lam, T: lam / (1 - 1 / T)),
    ("7.8", lambda w: (w + 1) ** 2 / 4),
    ("7.8", lambda w: np.mean(np.arange(1, w + 1)) ** 2),
]

WRONG = [
    ("7.1", [0.12005, 0.7599, 0.12005], "6 to 1"),
    ("7.1", [0.2401 - 0.1**4, 0.7599, 0.1**4], "four Melbournes"),
    ("7.1", [0.343 * 6 / 7, 0.657, 0.343 / 7], "best of three"),
    ("7.1", [0.7599, 0.2058, 0.0343], "in another order: Sydney, Canberra, Melbourne"),
    ("7.7", lambda a, b: b * a / (a - 1), "called with (lam, T), in this order"),
    ("7.1", [0.0, 1.0, 0.0], "all may be wrong"),
    ("7.1", [0.5, 0.5], "shape"),
    ("7.1", [0.2, 0.77, 0.03], "close"),
    ("7.1", [0.4116, 1.5198, 0.0686], "add up to 2, not"),
    ("7.1", [0.6, 0.3, 0.1], "all four answers"),
    ("7.1", "four", "expected a number"),
    ("7.2", lambda p, r, n: math.log(n) - (n - 1) / n, "folklore"),
    ("7.2", lambda p, r, n: -of_levels(p, r, n), "sign"),
    ("7.2", lambda p, r, n: of_levels(p, r, n) / math.log(2), "base 2"),
    (
        "7.2",
        lambda p, r, n: of_levels(p, r + 1e-9 * torch.arange(len(r)), n),
        "share the win",
    ),
    ("7.3", lambda r: (r == r.amax(1, keepdim=True)).double() / (r == r.amax(1, keepdim=True)).sum(1, True), "margin"),
    ("7.3", lambda r: r.softmax(1), "softmax"),
    ("7.3", lambda r: r - r.flip(1), "negative"),
    ("7.3", lambda r: r, "sum 1"),
    ("7.3", lambda r: r / r.sum(1, keepdim=True), "both returns are 0"),
    ("7.3", lambda r: (r / r.sum(1, keepdim=True)).nan_to_num(0.5), "sum of the returns"),
    ("7.3", lambda r: torch.full_like(r, 0.5), "zero"),
    ("7.3", lambda r: 0.5 * (1 - r + r.flip(1)), "worse"),
    ("7.3", lambda r: 0.5 + 0.25 * (r - r.flip(1)), "0.5 times"),
    ("7.3", lambda r: r[:, 0], "shape"),
    ("7.3", lambda r: 1 / 0, "ZeroDivisionError"),
    ("7.3", 0.5, "expected a function"),
    ("7.4", lambda N, f: 0.5 / N, "large N"),
    ("7.4", lambda N, f: f / (1 - f) / (2 * (N - 1)), "square"),
    ("7.4", lambda N, f: 1 + math.sqrt(1 - f / (1 - f) / (N - 1)), "above 1"),
    ("7.4", lambda N, f: math.sqrt(1 - f / (1 - f) / (N - 1)), "own labels"),
    ("7.4", lambda N, f: 1 - math.sqrt(1 - f / (1 - f) / N), "N - 1"),
    ("7.4", lambda N, f: 1 - math.sqrt(1 - f / (N - 1)), "odds"),
    ("7.5", lambda N, m: (x := (N - 1) * m / N * (2 - m / N)) / (1 + x), "by chance"),
    ("7.5", lambda N, m: 2 * m / (1 + 2 * m), "large N"),
    ("7.5", lambda N, m: 1 - by_two_labels(N, m), "lost"),
    ("7.6", lambda k, N, n: (1 - k / N) ** (n * N), "first round"),
    ("7.6", lambda k, N, n: 1 - lost_by_iteration(k, N, n), "keep"),
    ("7.6", lambda k, N, n: 1 - k / N, "without selection"),
    ("7.6", lambda k, N, n: (1 - k / N) ** n, "one group"),
    ("7.6", lambda k, N, n: round(lost_by_iteration(k, N, n), 2), "do not round"),
    ("7.6", lambda k, N, n: 0.5, "exact value"),
    ("7.6", lambda k, N, n: 1 / 0, "ZeroDivisionError"),
    ("7.6", 0.19, "expected a function"),
    ("7.7", lambda lam, T: lam * (1 - 1 / T), "other way round"),
    ("7.7", lambda lam, T: lam, "single round"),
    ("7.7", lambda lam, T: lam / (T - 1), "z/T"),
    ("7.7", lambda lam, T: lam * T, "not all"),
    ("7.7", lambda lam, T: lam / T, "not once"),
    ("7.8", lambda w: w, "measured"),
    ("7.8", lambda w: (w + 1) / 2, "both lines"),
    ("7.8", lambda w: w * (w + 1) / 2, "sum of the ages"),
    ("7.8", lambda w: 4 / (w + 1) ** 2, "turn it over"),
]


test_right, test_wrong, test_none = judged("7", RIGHT, WRONG)
