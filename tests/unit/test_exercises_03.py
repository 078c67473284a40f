"""The checks of chapter 03's exercises: right answers pass however they are written, wrong ones are told why."""

import math

import torch
from answers import judged


def by_loop(returns, scores):
    """The standard error of ĝ in plain Python."""
    B, G, P = scores.shape
    errors = []
    for p in range(P):
        groups = [sum(float(returns[b, g] * scores[b, g, p]) for g in range(G)) / G for b in range(B)]
        mean = sum(groups) / B
        errors.append(math.sqrt(sum((x - mean) ** 2 for x in groups) / (B - 1) / B))
    return errors


def by_counting(probs, returns, G):
    """Silence by listing every group of returns."""
    total = 0.0
    for group in torch.cartesian_prod(*[torch.arange(len(probs))] * G):
        total += float(probs[group].prod()) * (len(set(returns[group].tolist())) == 1)
    return total


def by_search(between, within, prompt, answer):
    return min(range(1, 5000), key=lambda G: (between + within / G) * (prompt + answer * G))


def by_pairs(x):
    """The mean of ĝ_i · ĝ_j over pairs of different estimates."""
    M = len(x)
    return sum(float(x[i] @ x[j]) for i in range(M) for j in range(M) if i != j) / (M * (M - 1))


def centered(weights, s):
    """The standard error of an estimate with other weights than the returns."""
    return (weights[..., None] * s).mean(1).std(0) / len(s) ** 0.5


RIGHT = [
    ("3.1", torch.tensor([-0.65, 0.55, 0.1])),
    ("3.1", [-0.65, 0.55, 0.1]),
    ("3.1", [[-0.65, 0.55, 0.1]]),
    ("3.2", 196),
    ("3.2", 4 * 0.98 / 0.02),
    ("3.3", lambda r, s: (r[..., None] * s).mean(1).std(0) / r.shape[0] ** 0.5),
    ("3.3", by_loop),
    ("3.4", lambda p, r, G: sum(float(p[r == v].sum()) ** G for v in set(r.tolist()))),
    ("3.4", by_counting),
    ("3.5", by_search),
    ("3.5", lambda b, w, o, a: max(1, math.ceil((math.sqrt(1 + 4 * o * w / (a * b)) - 1) / 2))),
    ("3.6", by_pairs),
    ("3.6", lambda x: (x.sum(0).square().sum() - x.square().sum()) / (len(x) * (len(x) - 1))),
    ("3.6", lambda x: float((x @ x.T).fill_diagonal_(0).sum()) / (len(x) * (len(x) - 1))),
]

WRONG = [
    ("3.1", [-2.6, 2.2, 0.4], "divide by their number"),
    ("3.1", [-2.6 / 6, 2.2 / 6, 0.4 / 6], "not by the sum of the returns"),
    ("3.1", [0.25, 1.0, 0.25], "left the probabilities out"),
    ("3.1", [-0.35, 0.2, 0.15], "multiply each by its return"),
    ("3.1", [-0.3, 0.35, -0.05], "the friendly teacher"),
    ("3.1", [-0.125, 0.25, -0.125], "you subtracted a mean from the returns"),
    ("3.1", [-0.18, 0.21, -0.03], "what these four answers estimate"),
    ("3.1", [0.65, -0.55, -0.1], "check the sign"),
    ("3.1", 0.55, "expected a tensor of shape [3]"),
    ("3.2", 49, "SNR of 1"),
    ("3.2", 98, "ratio of squares"),
    ("3.2", 784, "ratio of squares"),
    ("3.2", 200, "1/p - 1"),
    ("3.2", 12.25, "more signal needs more answers"),
    ("3.2", "many", "expected a number"),
    ("3.3", lambda r, s: (r[..., None] * s).flatten(0, 1).std(0) / r.numel() ** 0.5, "all B·G products as independent"),
    ("3.3", lambda r, s: (r[..., None] * s).mean(1).std(0), "divided by √B"),
    ("3.3", lambda r, s: (r[..., None] * s).mean(1).std(0, correction=0) / len(r) ** 0.5, "B - 1"),
    ("3.3", lambda r, s: (r[..., None] * s).mean(1).var(0) / len(r), "square root"),
    ("3.3", lambda r, s: (r[..., None] * s).mean(1).std(0) / r.numel() ** 0.5, "√(B·G)"),
    ("3.3", lambda r, s: centered(r - r.mean(1, keepdim=True), s), "you subtracted a mean"),
    ("3.3", lambda r, s: centered(r - r.mean(), s), "you subtracted a mean"),
    ("3.3", lambda r, s: r * s, "your function raised"),
    ("3.4", lambda p, r, G: (p**G).sum(), "all answers are equal"),
    ("3.4", lambda p, r, G: 1 - by_counting(p, r, G), "the returns differ"),
    ("3.4", lambda p, r, G: p[r == r.max()].sum() ** G + (1 - p[r == r.max()].sum()) ** G, "two grades"),
    ("3.4", lambda p, r, G: sum(p[r == v].sum() ** G for v in r.unique() if v != 0) + 0.0 * p.sum(), "groups of zeros"),
    ("3.4", lambda p, r, G: (p @ r) ** G + (1 - p @ r) ** G, "the mean return is no success rate"),
    ("3.4", lambda p, r, G: p[r == 0].sum() ** G + p[r == 1].sum() ** G, "½ too"),
    ("3.5", lambda b, w, o, a: math.sqrt(o * w / (a * b)), "that is G* itself"),
    ("3.5", lambda b, w, o, a: round(math.sqrt(o * w / (a * b))), "keep G >= 1"),
    ("3.5", lambda b, w, o, a: max(1, round(math.sqrt(o * w / (a * b)))), "whole numbers beside it"),
    ("3.5", lambda b, w, o, a: max(1, math.ceil(math.sqrt(o * w / (a * b)))), "rounding G* up"),
    ("3.5", lambda b, w, o, a: max(1, math.floor(math.sqrt(o * w / (a * b)))), "rounding G* down"),
    ("3.5", lambda b, w, o, a: by_search(b, w, a, o), "costs are the wrong way round"),
    ("3.5", lambda b, w, o, a: by_search(w, b, o, a), "variances are the wrong way round"),
    ("3.5", 3, "expected a function"),
    ("3.6", lambda x: x.mean(0).square().sum(), "the squared length of the mean is too large"),
    ("3.6", lambda x: x.square().sum(1).mean(), "mean of the squared lengths"),
    ("3.6", lambda x: x.mean(0).square().sum() - x.var(0).sum(), "1/M"),
    ("3.6", lambda x: x.mean(0).square().sum() - x.var(0, correction=0).sum() / len(x), "M - 1"),
    ("3.6", lambda x: x.mean(0).square().sum() + x.var(0).sum() / len(x), "subtract it"),
    ("3.6", lambda x: max(0.0, by_pairs(x)), "clipping at 0 makes it biased"),
    ("3.6", lambda x: abs(by_pairs(x)), "negative values must stay"),
    ("3.6", lambda x: math.sqrt(by_pairs(x)), "that is the length"),
    ("3.6", lambda x: max(0.0, by_pairs(x)) ** 0.5, "that is the length"),
    ("3.6", lambda x: x[0] @ x[1], "unbiased, but wasteful"),
    ("3.6", lambda x: x[: len(x) // 2].mean(0) @ x[len(x) // 2 :].mean(0), "unbiased, but wasteful"),
    ("3.6", lambda x: x[::2].mean(0) @ x[1::2].mean(0), "unbiased, but wasteful"),
]


test_right, test_wrong, test_none = judged("3", RIGHT, WRONG)


def test_the_unbiased_squared_length_is_unbiased_and_clipped_it_is_not():
    """Exercise 3.6, over every triple of independent estimates."""
    outcomes, probs = torch.tensor([[1.0, 0.0], [-1.0, 2.0]], dtype=torch.float64), [0.3, 0.7]
    truth = probs[0] * outcomes[0] + probs[1] * outcomes[1]
    total = clipped = 0.0
    for group in torch.cartesian_prod(*[torch.arange(2)] * 3):
        prob, square = math.prod(probs[i] for i in group), by_pairs(outcomes[group])
        total += prob * square
        clipped += prob * max(0.0, square)
    assert abs(total - float(truth @ truth)) < 1e-12
    assert clipped > total + 1e-3
