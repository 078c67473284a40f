"""Right answers to the exercises of chapter 10 pass, also written differently; typical wrong ones are named."""

import itertools
import math
import statistics

import numpy as np
import torch
from answers import judged

RUNS = [0.91, 0.93, 0.90, 0.92, 0.94, 0.89, 0.92, 0.93, 0.91, 0.95]


def interval(values):
    half = 2.262 * statistics.stdev(values) * math.sqrt(1 + 1 / len(values))
    return statistics.mean(values) - half, statistics.mean(values) + half


def wider(spread, t=2.262, deviation=statistics.stdev):
    def answer(values):
        half = t * deviation(values) * spread(len(values))
        return statistics.mean(values) - half, statistics.mean(values) + half

    return answer


def noise(p, G, W):
    """By brute force for small groups of few answers, by the law of total variance else."""
    if (W + 1) ** G > 5000:
        return by_grades(p, G, W)
    pi = np.array([p] + [(1 - p) / W] * W)
    scores = np.eye(W + 1) - pi
    mean, square = 0, 0
    for answers in itertools.product(range(W + 1), repeat=G):
        chance = math.prod(pi[a] for a in answers)
        grades = np.array([a == 0 for a in answers], float)
        weights = grades - (grades.sum() - grades) / (G - 1)
        g = weights @ scores[list(answers)] / G
        mean, square = mean + chance * g, square + chance * (g @ g)
    return mean @ mean / (square - mean @ mean)


def by_grades(p, G, W, among=True):
    K = np.arange(G + 1)
    chance = np.array([math.comb(G, int(k)) * p**k * (1 - p) ** (G - k) for k in K])
    size = K * (G - K) / (G * (G - 1))
    mean = chance @ size
    total = (chance @ size**2 - mean**2) * (1 + 1 / W)
    if among:
        total += chance @ ((K / (G * (G - 1))) ** 2 * (G - K)) * (1 - 1 / W)
    return mean**2 * (1 + 1 / W) / total


RIGHT = {
    "10.1": [
        [[1, 1, 1], [5, 2, 1.25], [1.8, 1.5, 1.2]],
        [torch.ones(3), 1 / torch.tensor([0.2, 0.5, 0.8]), 2 - torch.tensor([0.2, 0.5, 0.8])],
    ],
    "10.2": [0.894, 0.422 / 0.472, torch.tensor(0.8941)],
    "10.3": [0.5201, 0.52],
    "10.4": [interval, lambda runs: list(interval(runs)), lambda runs: np.array(interval(runs))],
    "10.5": [0.1812, 0.181, torch.tensor(0.1813)],
    "10.6": [17, 17.0, math.ceil(math.log(0.01) / math.log(0.76))],
    "10.7": [noise, by_grades],
}

WRONG = {
    "10.1": [
        ([[0.2, 0.5, 0.8], [5, 2, 1.25], [1.8, 1.5, 1.2]], "asked are those on ∇p"),
        ([[0.2, 0.5, 0.8], [1, 1, 1], [0.36, 0.75, 0.96]], "all three"),
        ([[1, 1, 1], [1, 1, 1], [1.8, 1.5, 1.2]], "hard prompts count more"),
        ([[1, 1, 1], [5, 2, 1.25], [5, 2, 1.25]], "the limit of large groups"),
        ([[1, 1, 1], [5, 2, 1.25], [0.36, 0.75, 0.96]], "divide it by p"),
        ([[1 / 3] * 3, [5 / 3, 2 / 3, 1.25 / 3], [0.6, 0.5, 0.4]], "without P(o)"),
        ([1, 1, 1], "shape"),
    ],
    "10.2": [
        (0.95, "counts too"),
        (0.422, "gain in accuracy"),
        (0.1059, "class's share"),
        (0.9764, "copy the key"),
        (89.41, "a percentage"),
        (8.44, "ratio of key"),
        (0.5, "not the exact value"),
    ],
    "10.3": [
        (0.5912, "let the easy one go further"),
        (0.9163, "always right"),
        (0.3681, "not of the rates"),
        (1.0401, "asked is the mean"),
        (0.7503, "in bits"),
        (0.6251, "other direction"),
        (0.5275, "log-odds"),
        (0.5, "not the exact value"),
    ],
    "10.4": [
        (wider(lambda n: n**-0.5), "confidence interval of the mean"),
        (wider(lambda n: 1), "the mean is uncertain"),
        (wider(lambda n: math.sqrt(1 + 1 / n), 1.96), "Student's 2.262"),
        (wider(lambda n: math.sqrt(1 + 1 / n), deviation=statistics.pstdev), "n − 1"),
        (wider(lambda n: 1 + n**-0.5), "variances add"),
        (lambda values: statistics.mean(values), "shape"),
        (interval(RUNS), "expected a function"),
    ],
    "10.5": [
        (0.8188, "the other one"),
        (0.2, "may all be wrong"),
        (0.6107, "success rate on the other"),
        (0.0625, "all prompts are alike"),
        (0.4, "not the exact value"),
    ],
    "10.6": [(16, "0.0124"), (16.78, "exact value"), (math.log(0.01) / math.log(0.76), "round up"), (18, "best of G")],
    "10.7": [
        (lambda p, G, W: by_grades(p, G, W, among=False), "the grades alone"),
        (lambda p, G, W: (1 - (1 - p) ** G) / (1 - p) ** G, "filter's SNR"),
        (lambda p, G, W: 1 / by_grades(p, G, W), "noise over the signal"),
        (lambda p, G, W: math.sqrt(by_grades(p, G, W)), "square root"),
        (3.0, "expected a function"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_told_why, test_covered = judged("10", RIGHT, WRONG)
