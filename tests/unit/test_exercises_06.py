"""Right answers to the exercises of chapter 06 pass, also written differently; typical wrong ones are named."""

import math

import numpy as np
import torch
from answers import judged


def teams(rewards, k):
    G = rewards.shape[1]
    K = rewards.sum(1, keepdim=True)
    needed = torch.ones_like(K)
    for i in range(k - 1):
        needed = needed * (G - K - i).clamp_min(0) / (G - 1 - i)
    return k * needed * rewards


def walder(rewards, k):
    """Wrong answers get a weight, too: only the difference between being right and wrong counts."""
    G = rewards.shape[1]
    K = rewards.sum(1)
    others = torch.tensor([1 - math.comb(G - 1 - int(c), k - 1) / math.comb(G - 1, k - 1) if c < G else 1 for c in K])
    return torch.where(rewards > 0, 1.0, others[:, None].to(rewards.dtype)) * k


def per_group(weight):
    return lambda rewards, k: rewards * weight(rewards.shape[1], k)


def plugged_in(rewards, k):
    return rewards * k * (1 - rewards.mean(1, keepdim=True)) ** (k - 1)


def others_with_replacement(rewards, k):
    right = (rewards.sum(1, keepdim=True) - rewards) / (rewards.shape[1] - 1)
    return rewards * k * (1 - right) ** (k - 1)


def teams_of_all(rewards, k):
    G = rewards.shape[1]
    table = torch.tensor([math.comb(G - K, k - 1) / math.comb(G, k - 1) for K in range(G + 1)], dtype=rewards.dtype)
    return k * rewards * table[rewards.sum(1, keepdim=True).long()]


def uncapped(P, G):
    """The crossing on the whole line where there is one: (3P − 1) for groups of two."""
    return 3 * P - 1 if G == 2 else minority(P, G)


def minority(P, G):
    """Newton's neighbor: solve on a fine grid, then refine."""
    if G <= P / (1 - P):
        return 1.0
    x = np.linspace(1e-6, 1, 2_000_001)
    slope = P * (1 - (1 - x) ** G) / x - (1 - P) * (1 - x**G) / (1 - x + (x == 1) * 1e-300)
    slope[-1] = P - (1 - P) * G
    return float(x[int((slope > 0).sum()) - 1])


RIGHT = {
    "6.1": [
        [[-0.25, 0.1, 0.15], [-0.3, 0.4, -0.1], [-0.12, 0.16, -0.04]],
        np.array([[-0.25, 0.1, 0.15], [-0.3, 0.4, -0.1], [-0.12, 0.16, -0.04]]),
        [torch.tensor([-0.25, 0.1, 0.15]), np.array([-0.3, 0.4, -0.1]), torch.tensor([-0.12, 0.16, -0.04])],
    ],
    "6.2": [0.806, torch.tensor(0.8057)],
    "6.3": [0.0795, 0.08, 19 / 239, 0.0475 / (0.0475 + 0.55)],
    "6.4": [
        lambda p, G: (1 - p) ** (G - 1),
        lambda G, p: (1 - p) ** (G - 1),
        lambda p, G: math.exp((G - 1) * math.log(1 - p)),
        lambda p, G: 1 - sum(math.comb(G - 1, j) * p**j * (1 - p) ** (G - 1 - j) for j in range(1, G)),
    ],
    "6.5": [teams, walder, lambda rewards, k: teams(rewards, k).numpy()],
    "6.6": [
        [[0.51, 0.01, 0.48], [0.005, 0.99, 0.005], [1, 1, 0]],
        torch.tensor([[0.51, 0.01, 0.48], [0.005, 0.99, 0.005], [1, 1, 0]]),
        (torch.tensor([0.48, 0.005, 0.515]), torch.tensor([0.01, 0.98, 0.01]), torch.tensor([0.0, 1.0, 1.0])),
    ],
    "6.7": [minority],
}

WRONG = {
    "6.1": [
        ([[-0.3, 0.4, -0.1], [-0.25, 0.1, 0.15], [-0.12, 0.16, -0.04]], "in another order"),
        ([torch.zeros(3), torch.zeros(2), torch.zeros(3)], "different shapes"),
        ([[-0.25, 0.1, 0.15], [-0.3, 0.4, -0.1], [-0.15, 0.2, -0.05]], "2/5, not one half"),
        ([[-0.25, 0.1, 0.15], [-0.3, 0.4, -0.1], [-0.3, 0.4, -0.1]], "counted in Z"),
        ([[-0.25, 0.1, 0.15], [-0.3, 0.4, -0.1], [-0.18, 0.24, -0.06]], "not that of the model's"),
        ([[-0.25, 0.1, 0.15], [-0.3, 0.4, -0.1], [-0.27, 0.22, 0.05]], "there is no filter"),
        ([[0, 0.2, 0.3], [-0.3, 0.4, -0.1], [-0.12, 0.16, -0.04]], "mean return"),
        ([[-0.25, 0.1, 0.15], [0.2, 0.6, 0.2], [0.08, 0.24, 0.08]], "subtract what the model says"),
        ([[-0.25, 0.1, 0.15], [-0.4, 0.44, -0.04], [-0.16, 0.176, -0.016]], "whatever the teacher says"),
        ([[-0.25, 0.1, 0.15], [-0.3, 0.4, -0.1], [-0.12, 0.16, -0.05]], "self-training: it makes"),
        ([[0.25, -0.1, -0.15], [-0.3, 0.4, -0.1], [-0.12, 0.16, -0.04]], "RL: it points exactly the other way"),
        ([[-0.25, 0.1, 0.15], [-0.6, 0.8, -0.2], [-0.12, 0.16, -0.04]], "SFT: the direction is right"),
        ([-0.25, 0.1, 0.15], "shape"),
        ("SFT", "expected a number or a tensor"),
    ],
    "6.2": [
        (0.9, "where SFT ends"),
        (0.1943, "the other answer"),
        (0.5, "own weight is missing"),
        (0.7508, "both sides"),
        (0.7114, "two terms"),
        (1.0, "is the sign of log π turned around?"),
        (0.81, "give three"),
        (0.58, "not the exact value"),
    ],
    "6.3": [
        (7.95, "a percentage"),
        (1 / 12, "among the labels kept"),
        (0.0475 / 0.55, "ratio of human labels"),
        (0.9205, "share of the model's labels"),
        (0.5, "not the exact value"),
    ],
    "6.4": [
        (lambda p, G: G * (1 - p) ** (G - 1), "divide by G"),
        (lambda p, G: (1 - p) ** G, "there are G − 1"),
        (lambda p, G: 1 - (1 - p) ** G, "that is the objective"),
        (lambda p, G: (1 - (1 - p) ** G) / G, "pass@G / G"),
        (lambda p, G: (1 - (1 - p) ** G) / p, "keeps right answers only"),
        (lambda p, G: 1.0, "wrong answers that are kept"),
        (lambda p, G: 0.0, "only if one is right"),
        (lambda p, G: -((1 - p) ** (G - 1)), "other way"),
        (0.5, "expected a function"),
    ],
    "6.5": [
        (lambda rewards, k: teams(rewards, k) / rewards.shape[1], "divides already"),
        (lambda rewards, k: teams(rewards, k) * rewards.shape[1], "not B"),
        (lambda rewards, k: teams(rewards, k) / k, "factor k"),
        (lambda rewards, k: rewards, "pass@1"),
        (lambda rewards, k: teams(rewards, rewards.shape[1]), "teams of k"),
        (lambda rewards, k: -teams(rewards, k), "wrong sign"),
        (lambda rewards, k: torch.ones_like(rewards), "teach nothing"),
        (plugged_in, "own share of wrong answers"),
        (others_with_replacement, "with replacement"),
        (teams_of_all, "from all G answers"),
        (per_group(lambda G, k: k), "is wanted"),
        (lambda rewards, k: rewards.sum(), "ValueError"),
        (lambda rewards, k: None, "TypeError"),
        (lambda rewards: rewards, "TypeError"),
        (0.5, "expected a function"),
    ],
    "6.6": [
        ([[0.51, 0.01, 0.48], [0.3, 0.6, 0.1], [1, 1, 0]], "higher by 0.380 only"),
        ([[0.005, 0.99, 0.005], [0.51, 0.01, 0.48], [1, 1, 0]], "did you swap"),
        ([[0.45, 0.01, 0.54], [0.005, 0.99, 0.005], [1, 1, 0]], "rises at first"),
        ([[0.51, 0.01, 0.48], [0.0, 1.0, 0.0], [1, 1, 0]], "positive probabilities"),
        ([[0.5, 0.01, 0.48], [0.005, 0.99, 0.005], [1, 1, 0]], "pi must be a distribution"),
        ([[0.51, 0.01, 0.48], [0.005, 0.99, 0.005], [1, 2, 0]], "0 or 1"),
        ([[0.51, 0.49], [0.005, 0.995], [1, 0]], "three numbers"),
        ([[0.51, 0.01, 0.48], "h", [1, 1, 0]], "expected a number or a tensor"),
        (0.5, "three lists"),
    ],
    "6.7": [
        (lambda P, G: P, "infinitely large groups"),
        (lambda P, G: 1.0, "majority alone"),
        (lambda P, G: 1 - minority(P, G), "answer 2"),
        (lambda P, G: minority(P, G - 1) if G > 1 else 1.0, "best of G"),
        (uncapped, "3P − 1"),
        (lambda P, G: P / (G - 1), "ZeroDivisionError"),
        (lambda P, G: 0.7, "not the exact value"),
    ],
}


test_right, test_wrong, test_none = judged("6", RIGHT, WRONG)
