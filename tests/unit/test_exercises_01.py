"""Right answers of chapter 01 pass however they are written, and wrong ones are refused with the right reason."""

import math

import numpy as np
import torch
from answers import judged

AFTER = torch.tensor([[0.05, 0.75, 0.2], [0.1, 0.1, 0.8], [0.5, 0.3, 0.2]], dtype=torch.float64)


def walk(after, tokens, longest):
    previous, total = 0, 0.0
    for token in tokens:
        total += math.log(after[previous][token])
        previous = token
    return total if len(tokens) == longest else total + math.log(after[previous][0])


def two_cycle(eta):
    """The start (u, -u), found by stepping the two players, not by the formula."""
    sigmoid = lambda u: 1 / (1 + math.exp(-u))  # noqa: E731

    def overshoot(u):
        x, y = sigmoid(u), sigmoid(-u)
        return u + eta * x * (1 - x) * 4 * (y - 0.5) + u

    low, high = 1e-3, 6.0
    assert overshoot(low) < 0 < overshoot(high)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if overshoot(middle) < 0 else (low, middle)
    return low


RIGHT = {
    "1.1": [0.5625, torch.tensor(0.5625), 9 / 16, np.float64(0.5625)],
    "1.2": [
        lambda v, t: sum((v - 1) ** n for n in range(t + 1)),
        lambda v, t: float(t + 1 if v == 2 else ((v - 1) ** (t + 1) - 1) / (v - 2)),
        lambda v, t: torch.tensor(v - 1.0, dtype=torch.float64).pow(torch.arange(t + 1)).sum(),
    ],
    "1.3": [
        walk,
        lambda after, tokens, longest: torch.tensor(walk(after, tokens, longest), dtype=torch.float64),
        lambda after, tokens, longest: math.log(math.exp(walk(after, tokens, longest))),
    ],
    "1.4": [torch.tensor([12.0, 30.0, 5.0]) / 47, [0.2553, 0.6383, 0.1064], np.array([12, 30, 5]) / 47],
    "1.5": [lambda n: n / (n + 1), lambda n: 1 - 1 / (n + 1), lambda days: torch.tensor(days) / (days + 1)],
    "1.6": [two_cycle(16), round(two_cycle(16), 3), torch.tensor(two_cycle(16))],
    "1.7": [[0.2, 0.1, -1], torch.tensor([0.2, 0.1, -1.0], dtype=torch.float64), np.array([1 / 5, 1 / 10, -1])],
}

WRONG = [
    ("1.1", 0.475, "equally"),
    ("1.1", 0.45, "Montreal"),
    ("1.1", 0.3875, "exchanged"),
    ("1.1", 0.56, "four digits"),
    ("1.1", 0.6, "not the exact value"),
    ("1.1", torch.tensor([0.3, 0.65]), "a single number"),
    ("1.1", "0.5625?", "a number or a tensor"),
    ("1.2", 15, "expected a function"),
    ("1.2", lambda v, t: v**t, "after their end"),
    ("1.2", lambda v, t: (v - 1) ** t, "only the answers that were cut"),
    ("1.2", lambda v, t: sum((v - 1) ** n for n in range(t)), "only the answers that end"),
    ("1.2", lambda v, t: ((v - 1) ** (t + 1) - 1) / (v - 2), "V = 2 needs its own case"),
    ("1.2", lambda v, t: 0 if v == 2 else sum((v - 1) ** n for n in range(t + 1)), "V = 2 needs its own case"),
    ("1.2", lambda v, t: sum(v**n for n in range(t + 1)), "only V − 1 tokens"),
    ("1.2", lambda v, t: 1 / 0, "ZeroDivisionError"),
    ("1.3", lambda after, tokens, longest: walk(after, tokens, len(tokens)), "end token is missing"),
    ("1.3", lambda after, tokens, longest: walk(after, tokens, -1), "was cut did not"),
    ("1.3", lambda after, tokens, longest: math.exp(walk(after, tokens, longest)), "logarithm is asked"),
    ("1.3", lambda after, tokens, longest: walk([after[0]] * 3, tokens, longest), "row of the *previous*"),
    ("1.3", lambda after, tokens, longest: walk(after.T, tokens, longest), "read across"),
    ("1.4", torch.tensor([0.12, 0.3, 0.05]), "does not sum to one"),
    ("1.4", torch.tensor([0.6, 0.3, 0.1]), "needs no weights"),
    ("1.4", torch.tensor([0.0, 1.0, 0.0]), "never shows"),
    ("1.4", torch.tensor([0.2, 1.0, 0.5]) / 1.7, "proportional to π"),
    ("1.4", [0.26, 0.64, 0.10], "more digits"),
    ("1.4", [0.6, 0.6, -0.2], "cannot be negative"),
    ("1.4", np.array([0.6, 0.3, 0.1]) * np.array([0.2, 1, 0.5]) ** 2 / 0.349, "without squares"),
    ("1.5", 2 / 3, "expected a function"),
    ("1.5", lambda n: 0.5, "one day"),
    ("1.5", lambda n: (n + 1) / n, "one fewer"),
    ("1.5", lambda n: (n - 1) / n, "try n = 1"),
    ("1.5", lambda n: (n - 1) / (n + 1), "first day as well"),
    ("1.6", 0.0, "equilibrium itself"),
    ("1.6", two_cycle(16) / 2, "half of the number"),
    ("1.6", 1.5, "four digits"),
    ("1.6", -two_cycle(16), "positive"),
    ("1.6", 2.0, "not the exact value"),
    ("1.7", [0.2, 0.1, 1], "the equilibrium is right"),
    ("1.7", [0.1, 0.2, -1], "exchanged"),
    ("1.7", [0.1, 0.2, 1], "exchanged, and"),
    ("1.7", [0.8, 0.9, -1], "of the second"),
    ("1.7", [0.2, 0.1], "expected a tensor of shape"),
    ("1.7", "inward", "a number or a tensor"),
]


test_right, test_wrong, test_none = judged("1", RIGHT, WRONG)


def test_the_equilibrium_of_the_last_exercise_is_one_and_alternating_steps_go_inward_there():
    M, (x, y) = np.array([[8.0, 0.0], [-1.0, 1.0]]), (0.2, 0.1)
    assert np.ptp(M @ [y, 1 - y]) < 1e-15 and np.ptp([x, 1 - x] @ M) < 1e-15
    assert x * (1 - x) + y * (1 - y) < 1 / 3
