"""Right answers to the exercises of chapter 09 pass, also written differently; typical wrong ones are named."""

import itertools
import math
import re
from functools import cache

import numpy as np
import torch
from answers import judged

from ostrl.lm import homework, students


@cache
def best_temperature():
    """By the derivative, prompt by prompt: the mean of p (log p_right − mean of log p) is zero."""
    patterns = [[x for x in students.distribution(p).values() if x > 0] for p in homework.prompts("held_out")]

    def slope(T):
        total = 0.0
        for pattern in patterns:
            weights = np.array(pattern) ** (1 / T)
            weights /= weights.sum()
            total += weights[0] * (math.log(pattern[0]) - weights @ np.log(pattern))
        return total

    low, high = 0.1, 0.9
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return low


def by_product(c, n, k):
    return math.prod((c - i) / (n - i) for i in range(k)) if c >= k else 0.0


def by_choices(returns, k):
    return np.mean([max(chosen) for chosen in itertools.combinations(returns, k)])


def by_survival(returns, k):
    """Pass@k of every threshold, added up over the steps between the returns."""
    levels, n = sorted(set(returns)), len(returns)
    above = [sum(r >= level for r in returns) for level in levels]
    passed = [1 - math.comb(n - c, k) / math.comb(n, k) for c in above]
    return levels[0] + sum((b - a) * p for (a, b), p in zip(itertools.pairwise(levels), passed[1:], strict=True))


def by_pattern(right, answer):
    found = re.fullmatch(r" *0*([1-9][0-9]*|0) *", answer)
    return 1.0 if found and found[1] == right else 0.0


def by_stripping(right, answer):
    digits = answer.strip(" ")
    return digits.isascii() and digits.isdigit() and (digits.lstrip("0") or "0") == right


def by_int(right, answer):
    try:
        return float(int(answer) == int(right))
    except ValueError:
        return 0.0


def by_eval(right, answer):
    try:
        return float(eval(answer) == int(right))
    except Exception:
        return 0.0


def by_isdigit(right, answer):
    digits = answer.strip(" ")
    return float(digits.isdigit() and (digits.lstrip("0") or "0") == right)


def by_maximum(probs, right):
    """The success rate of the largest entropy on a fine grid, refined."""
    wrong = np.delete(np.asarray(probs), right)
    wrong = wrong / wrong.sum()
    spread = -(wrong * np.log(wrong)).sum()

    def slope(p):
        return math.log((1 - p) / p) - spread

    low, high = 1e-12, 1 - 1e-12
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return low


def unnormalized(probs, right):
    wrong = torch.cat([probs[:right], probs[right + 1 :]])
    return 1 / (1 + torch.special.entr(wrong).sum().exp())


def counted(before, after):
    before, after = before.tolist(), after.tolist()
    for k in range(1, 500):
        if sum((1 - p) ** k for p in after) > (1 + 1e-10) * sum((1 - p) ** k for p in before):
            return k
    return None


def of_means(before, after):
    return 1 if before.mean() > after.mean() else math.inf


RIGHT = {
    "9.1": [0.2850, 0.285, torch.tensor(0.285000)],
    "9.2": [round(best_temperature(), 2), np.float64(best_temperature())],
    "9.3": [by_product, lambda k, c, n: by_product(c, n, k), lambda c, n, k: np.float64(by_product(c, n, k))],
    "9.4": [by_choices, by_survival],
    "9.5": [by_pattern, by_stripping, by_isdigit],
    "9.6": [by_maximum, lambda probs, right: torch.tensor(by_maximum(probs, right))],
    "9.7": [counted, lambda before, after: math.inf if counted(before, after) is None else counted(before, after)],
}

WRONG = {
    "9.1": [
        (0.3, "one student"),
        (1 - 0.7**3, "pass@3"),
        (0.3**3 + 3 * 0.3**2 * 0.7, "by lot"),
        (0.3**3 + 3 * 0.3**2 * 0.7 + 0.3 * 0.7**2, "no lot"),
        (0.9, "not the exact value"),
        ("often", "expected a number"),
    ],
    "9.2": [
        (0.0, "third of the prompts"),
        (1.0, "below yours"),
        (0.1, "above yours"),
        (1 / best_temperature(), "the exponent"),
        (-1.0, "not negative"),
        ([0.3, 0.4], "single number"),
    ],
    "9.3": [
        (lambda c, n, k: (c / n) ** k, "chosen twice"),
        (lambda c, n, k: 1 - math.comb(n - c, k) / math.comb(n, k), "at least one"),
        (lambda c, n, k: 1 - by_product(c, n, k), "complement"),
        (lambda c, n, k: 1 - (1 - c / n) ** k, "plug-in for pass@k"),
        (0.5, "expected a function"),
        (lambda c, n, k: by_product(c, n, k) / 0, "ZeroDivisionError"),
    ],
    "9.4": [
        (lambda returns, k: max(returns), "all n"),
        (lambda returns, k: max(returns[:k]), "first k"),
        (lambda returns, k: np.mean([max(t) for t in itertools.product(returns, repeat=k)]), "with replacement"),
        (lambda returns, k: float(np.mean(returns)), "one answer"),
        (lambda returns, k: float(np.mean(sorted(returns)[-k:])), "k best"),
        (
            lambda returns, k: sum(r * math.comb(i, k - 1) for i, r in enumerate(returns)) / math.comb(len(returns), k),
            "sort",
        ),
    ],
    "9.5": [
        (by_int, "is right where"),
        (by_eval, "you gave"),
        (lambda right, answer: float(answer == right), "is right"),
        (lambda right, answer: float(right in answer), "you gave 1"),
        (lambda right, answer: float(int(answer) == int(right)), "a teacher must stand anything"),
        (lambda right, answer: float(bool(re.match(f" *0*{right} *$", answer))), "line break"),
        (lambda right, answer: float(answer.strip().lstrip("0") == right.lstrip("0")), "empty"),
        (lambda right, answer: "yes", "expected the grade"),
        (1.0, "expected a function"),
    ],
    "9.6": [
        (unnormalized, "divided by their sum"),
        (lambda probs, right: 1 / len(probs), "equally likely"),
        (lambda probs, right: torch.exp(-torch.special.entr(probs).sum()), "at this one policy"),
        (lambda probs, right: 1 - by_maximum(probs, right), "1 minus the answer"),
        (lambda probs, right: probs[right], "success rate now"),
    ],
    "9.7": [
        (of_means, "mean over the prompts"),
        (lambda before, after: counted(after, before), "exchanged"),
        (lambda before, after: (counted(before, after) or math.inf) + 1, "one more"),
        (lambda before, after: (counted(before, after) or math.inf) - 1, "one less"),
        (3, "expected a function"),
    ],
}

test_right, test_wrong, test_covered = judged(9, RIGHT, WRONG)
