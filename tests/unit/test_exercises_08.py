"""Right answers to the exercises of chapter 08 pass, also written differently; typical wrong ones are named."""

import math

import torch
from answers import judged


def first_end(tokens, end):
    ends = (tokens == end).long()
    return ends.cumsum(-1) - ends == 0


def first_end_by_hand(tokens, end):
    mask = torch.zeros_like(tokens, dtype=torch.bool)
    for row, walk in enumerate(tokens.tolist()):
        length = walk.index(end) + 1 if end in walk else len(walk)
        mask[row, :length] = True
    return mask


def score(logits, tokens, prompt_length, temperature):
    table = (logits[prompt_length - 1 : -1] / temperature).log_softmax(-1)
    return table.gather(1, tokens[prompt_length:, None]).sum()


def score_by_hand(logits, tokens, prompt_length, temperature):
    total = 0.0
    for place in range(prompt_length, len(tokens)):
        row = [x / temperature for x in logits[place - 1].tolist()]
        total += row[int(tokens[place])] - math.log(sum(math.exp(x) for x in row))
    return total


def turning(m, w, q):
    J = (1 - q) * m + q * w
    return (w * (1 - J) + (1 - m) * J) / (m * (1 - J) + (1 - w) * J)


def best_of_family(R, V):
    """The advantage of the token, and a little more of a baseline that looks back."""
    return (V[:, 1:] - V[:, :-1]) + 0.01 * (V[:, :-1] - V[:, :1])


cold = [0.36 / 0.46, 0.09 / 0.46, 0.01 / 0.46]
turned = [[0.955, 0.01, 0.01, 0.01, 0.01, 0.005], [1, 1, 1, 1, 1, 0], [1000, 1, 1, 1, 1, 1000]]

RIGHT = {
    "8.1": [first_end, first_end_by_hand, lambda tokens, end: first_end(tokens, end).double()],
    "8.2": [score, score_by_hand, lambda *args: float(score(*args))],
    "8.3": [[-0.16, 0.08], torch.tensor([-0.16, 0.08]), (-2 * 0.5 * 0.8 * 0.2, 0.5 * 0.2 * 0.8)],
    "8.4": [[x - p for x, p in zip(cold, (0.6, 0.3, 0.1), strict=True)], torch.tensor([0.183, -0.104, -0.078])],
    "8.5": [
        turning,
        lambda m, w, q: (
            (w - (1 - q) * m * w - q * w * w + (1 - m) * ((1 - q) * m + q * w))
            / (m * (1 - (1 - q) * m - q * w) + (1 - w) * ((1 - q) * m + q * w))
        ),
    ],
    "8.6": [lambda R, V: V[:, 1:] - V[:, :-1], lambda R, V: V.diff(dim=1), best_of_family],
    "8.7": [turned, tuple(torch.tensor(part) for part in turned)],
}

WRONG = {
    "8.1": [
        (lambda tokens, end: (tokens == end).long().cumsum(-1) == 0, "end token itself"),
        (lambda tokens, end: tokens != end, "every end token"),
        (lambda tokens, end: ~first_end(tokens, end), "padding"),
        (lambda tokens, end: (tokens == end).long().cumsum(-1) <= 1, "after the end"),
        (lambda tokens, end: (tokens == end).flip(-1).long().cumsum(-1).flip(-1) > 0, "last end token"),
        (lambda tokens: tokens, "TypeError"),
        (0.5, "expected a function"),
    ],
    "8.2": [
        (
            lambda logits, tokens, prompt_length, temperature: (
                (logits[prompt_length:] / temperature).log_softmax(-1).gather(1, tokens[prompt_length:, None]).sum()
            ),
            "NEXT token",
        ),
        (lambda logits, tokens, prompt_length, temperature: score(logits, tokens, prompt_length, 1.0), "missing"),
        (
            lambda logits, tokens, prompt_length, temperature: score(logits, tokens, prompt_length, 1.0) / temperature,
            "before the softmax",
        ),
        (
            lambda logits, tokens, prompt_length, temperature: score(logits, tokens, prompt_length, 1 / temperature),
            "do not multiply",
        ),
        (
            lambda logits, tokens, prompt_length, temperature: (
                score(logits, tokens, prompt_length, temperature) / len(tokens[prompt_length:])
            ),
            "the sum",
        ),
        (lambda logits, tokens, prompt_length, temperature: score(logits, tokens, 1, temperature), "prompt is given"),
        (lambda *args: score(*args).exp(), "logarithm"),
        (0.5, "expected a function"),
    ],
    "8.3": [
        ([0.16, -0.08], "sign"),
        ([0.16, 0.08], "masked out"),
        ([-0.08, 0.08], "pays 2"),
        ([-0.32, 0.16], "half of the cases"),
        ([0.0, 0.16], "end token counted"),
        ([-0.16, 0.16], "second one is right only"),
        ([-0.16, 0.0], "baseline is 1"),
        ([-0.8, 0.4], "NOT stop"),
        ([-0.04, 0.02], "−0.8, not −0.2"),
        ([-0.2, 0.1], "factor is missing"),
        ([0.08, -0.16], "another order"),
        (-0.16, "expected"),
        ("x", "expected a number"),
    ],
    "8.4": [
        ([0.0, 0.0, 0.0], "sampled at"),
        (cold, "subtract"),
        ([-0.1826, 0.1043, 0.0783], "sign"),
        ([-0.1272, 0.0343, 0.0930], "temperature 2"),
        ([-0.24, -0.21, -0.09], "divided by their sum"),
        ([0.365, -0.209, -0.157], "no factor 2"),
        ([-0.104, 0.183, -0.078], "another order"),
    ],
    "8.5": [
        (lambda m, w, q: w / m, "without a baseline"),
        (lambda m, w, q: 1 / turning(m, w, q), "inverse"),
        (lambda m, w, q: turning(m, w, 1 - q), "share"),
        (lambda m, w, q: turning(m, w, 0.5), "one half"),
        (1.625, "expected a function"),
    ],
    "8.6": [
        (lambda R, V: R[:, None] - V[:, :-1], "still in it"),
        (lambda R, V: R[:, None] - V[:, 1:], "zero"),
        (lambda R, V: V[:, :-1] - V[:, 1:], "not the policy gradient"),
        (lambda R, V: V[:, 1:], "still in it"),
        (lambda R, V: R[:, None].expand(-1, 3) * 1.0, "still in it"),
        (lambda R, V: R - V[:, 0], "expected weights"),
        (lambda R, V: V[:, 1:] * R, "RuntimeError"),
        (lambda R: R, "TypeError"),
        (0.5, "expected a function"),
    ],
    "8.7": [
        ([[0.6, 0.3, 0.1], [0, 1, 0], [2, 3, 2]], "never changed"),
        ([[0.8, 0.1, 0.1], [1, 1, 0], [50, 1, 50]], "Which answer pays"),
        ([[0.8, 0.1, 0.2], [1, 1, 0], [50, 1, 50]], "sum to 1"),
        ([[0.8, 0.1, 0.1], [1, 0.5, 0], [50, 1, 50]], "0 or 1"),
        ([[0.8, 0.1, 0.1], [1, 1, 1], [50, 1, 50]], "both must occur"),
        ([[0.8, 0.1, 0.1], [1, 1, 0], [50, 0.5, 50]], "whole numbers"),
        ([[0.8, 0.2], [1, 1, 0], [50, 1, 50]], "same length"),
        ([[0.8, "x", 0.1], [1, 1, 0], [50, 1, 50]], "expected a number"),
        (0.5, "three lists"),
    ],
}

test_right, test_wrong, test_none = judged("8", RIGHT, WRONG)
