"""The checks of chapter 04's exercises: right answers pass however they are written, wrong ones are told why."""

import itertools
import math

import numpy as np
import torch
from answers import judged

from ostrl import weighting

SPOTTED = [True, False, True, True, False, True, False, True]


def spotted_but(*numbers):
    return [x != (i in numbers) for i, x in enumerate(SPOTTED, 1)]


def others_by_loop(rewards):
    """The mean of the batch's other returns, in plain Python."""
    flat = [float(x) for x in rewards.flatten()]
    out = [x - (sum(flat) - x) / (len(flat) - 1) for x in flat]
    return torch.tensor(out).view(rewards.shape)


def one_minus_others(rewards):
    return rewards - 1 + (rewards.sum(1, keepdim=True) - rewards) / (rewards.shape[1] - 1)


def one_minus_neighbor(rewards):
    """Only one of the others: more noise than need be, still less than a fifth of leave-one-out's."""
    return rewards - 1 + rewards.roll(1, 1)


def ragged_by_loop(rewards, mask):
    out = torch.zeros_like(rewards)
    for b, g in itertools.product(*map(range, rewards.shape)):
        others = [float(rewards[b, j]) for j in range(rewards.shape[1]) if j != g and mask[b, j]]
        if mask[b, g] and others:
            out[b, g] = rewards[b, g] - sum(others) / len(others)
    return out


def even(G):
    total = sum(math.comb(G, K) * math.sqrt(K * (G - K)) for K in range(1, G))
    return 4 * 2.0**-G * math.sqrt((G - 1) / G**3) * total


def grpo_weight(p, G, eps=1e-4):
    """The chapter's function of the same purpose."""
    total = 0.0
    for K in range(1, G):
        sigma = math.sqrt(K * (G - K) / (G * (G - 1)))
        total += math.comb(G, K) * p**K * (1 - p) ** (G - K) * K * (G - K) / (G**2 * (sigma + eps))
    return total / (p * (1 - p))


def best_left_out(rewards, lengths):
    out = np.zeros(rewards.shape)
    for b, i in itertools.product(*map(range, rewards.shape)):
        others = [j for j in range(rewards.shape[1]) if j != i]
        top = sum(float(rewards[b, j] * lengths[b, j]) for j in others)
        out[b, i] = float(rewards[b, i]) - top / sum(float(lengths[b, j]) for j in others)
    return out


RIGHT = [
    ("4.1", 1.4),
    ("4.1", torch.tensor(1.4)),
    ("4.1", torch.tensor([1.4])),
    ("4.9", lambda squared_lengths, rewards: best_left_out(rewards, squared_lengths)),
    ("4.2", SPOTTED),
    ("4.2", tuple(int(x) for x in SPOTTED)),
    ("4.2", torch.tensor(SPOTTED)),
    ("4.3", others_by_loop),
    ("4.3", lambda rewards: (rewards - rewards.mean()) * rewards.numel() / (rewards.numel() - 1)),
    ("4.4", one_minus_others),
    ("4.4", one_minus_neighbor),
    ("4.5", ragged_by_loop),
    (
        "4.5",
        lambda r, m: (
            torch.nan_to_num(m * (r - ((m * r).sum(1, keepdim=True) - r) / (m.sum(1, keepdim=True) - 1)))
            * (m.sum(1, keepdim=True) > 1)
        ),
    ),
    ("4.6", lambda G: (G - 1) / math.sqrt(G) / even(G)),
    ("4.6", lambda G: grpo_weight(1e-6, G, eps=0) / grpo_weight(0.5, G, eps=0)),
    ("4.7", ([0.10, 0.89, 0.01], [0.0, 0.01, 1.0])),
    ("4.7", (torch.tensor([0.01, 0.10, 0.89]), np.array([1.0, 0.0, 0.01]))),
    ("4.8", lambda p: 0.5 * math.log(p / (1 - p))),
    ("4.8", lambda p: torch.logit(p) / 2 + 7),
    ("4.9", best_left_out),
]

WRONG = [
    ("4.1", 0.2, "this examiner gives 3 and 1"),
    ("4.2", [not SPOTTED[0], not SPOTTED[1], *SPOTTED[2:]], "2 of 8 are wrong"),
    ("4.6", lambda size: math.sqrt(size - 1) / 2, "√(G - 1)/2"),
    ("4.9", lambda n, r: best_left_out(r, n), "called with (rewards, squared_lengths), in this order"),
    ("4.1", 2.6, "that is the mean return"),
    ("4.1", 0.4, "now add 1"),
    ("4.1", 1.2, "they are also stretched"),
    ("4.1", 2.0, "halfway"),
    ("4.1", 0.6, "the 1 counts too"),
    ("4.1", 1.6, "by 3 - 1 = 2, not by 3"),
    ("4.1", "b", "expected a number"),
    ("4.2", spotted_but(4), "1 of 8 is wrong. The first is number 4: the median of the others"),
    ("4.2", spotted_but(2, 7), "2 of 8 are wrong. The first is number 2: the best return"),
    ("4.2", [not x for x in SPOTTED], "the other way round"),
    ("4.2", [True] * 7, "got 7"),
    ("4.2", 5, "expected eight"),
    ("4.3", lambda rewards: rewards - rewards.mean(), "own return is still in the batch's mean"),
    ("4.3", weighting.leave_one_out, "other returns of the group"),
    ("4.3", lambda r: (r.sum() - r) / (r.numel() - 1), "the weight is the return minus it"),
    ("4.3", lambda rewards: rewards - (rewards.sum() - rewards) / rewards.numel(), "B·G - 1 others"),
    (
        "4.3",
        lambda r: r - (r.sum() - r.sum(1, keepdim=True)) / max(r.numel() - r.shape[1], 1),
        "only the own return has to go",
    ),
    ("4.3", lambda rewards: rewards.mean(), "expected"),
    ("4.3", 3, "expected a function"),
    ("4.4", weighting.leave_one_out, "it has 1 of leave-one-out's noise"),
    ("4.4", lambda rewards: rewards - 0.1, "at p = 0.1 it has"),
    ("4.4", lambda rewards: rewards - 0.5, "at p = 0.9 it has 0.229 of leave-one-out's noise; below 0.2"),
    ("4.4", weighting.mean_baseline, "0.75 of the exact length"),
    ("4.4", lambda rewards: rewards - 1 + rewards.mean(1, keepdim=True), "1.25 of the exact length"),
    ("4.4", lambda rewards: rewards - rewards.mean(), "depend on that group alone"),
    ("4.4", lambda rewards: rewards[:, 0], "expected weights of shape"),
    ("4.4", lambda rewards: "w", "expected a number or a tensor"),
    ("4.4", 1.0, "expected a function"),
    ("4.5", lambda r, m: torch.where(m, weighting.leave_one_out(r), 0.0), "are in the baseline"),
    ("4.5", lambda r, m: weighting.leave_one_out(r * m), "must weigh 0"),
    ("4.5", lambda r, m: torch.where(m, weighting.leave_one_out(r * m), 0.0), "divide by the number of others"),
    (
        "4.5",
        lambda r, m: torch.where(m, r - (m * r).sum(1, keepdim=True) / m.sum(1, keepdim=True), 0.0),
        "own return is still in the mean",
    ),
    ("4.5", lambda r, m: ragged_by_loop(r, ~m), "the mask is used the other way round"),
    ("4.5", lambda r, m: torch.where(m, ragged_by_loop(r, m), r), "answers that don't count must weigh 0"),
    (
        "4.5",
        lambda r, m: m * (r - ((m * r).sum(1, keepdim=True) - r * m) / (m.sum(1, keepdim=True) - m * 1.0)),
        "a count of one, less one",
    ),
    ("4.5", lambda r, m: r[:, 0], "expected weights of shape [4, 4], got [4]"),
    ("4.5", lambda r, m: 1 - m, "raised RuntimeError"),
    ("4.5", 2.0, "expected a function"),
    ("4.5", lambda r, m: ragged_by_loop(r, m) / m.sum(1, keepdim=True), "don't divide the weights"),
    (
        "4.5",
        lambda r, m: torch.where(m & (m.sum(1, keepdim=True) == 1), r, ragged_by_loop(r, m)),
        "an answer that is alone must weigh 0",
    ),
    ("4.6", lambda G: (G - 1) / math.sqrt(G), "divide it by the one at p = 1/2"),
    ("4.6", even, "that is the weight at p = 1/2"),
    ("4.6", lambda G: (G - 1) / math.sqrt(G) / 2, "not yet 2"),
    ("4.6", lambda G: math.sqrt(G) / 2, "sum over the number of right answers"),
    ("4.6", lambda G: grpo_weight(1e-9, G) / grpo_weight(0.5, G), "close: ε must be 0"),
    ("4.6", lambda G: grpo_weight(1e-4, G, 0) / grpo_weight(0.5, G, 0), "p → 0 is a limit"),
    ("4.6", lambda G: even(G) / ((G - 1) / math.sqrt(G)), "other way round"),
    ("4.7", ([0.01, 0.89, 0.10], [0.0, 0.99, 1.0]), "the rarest answer must be the best"),
    ("4.7", ([0.6, 0.3, 0.1], [0.0, 0.5, 1.0]), "still uphill"),
    ("4.7", ([0.2, 0.78, 0.02], [0.0, 0.01, 1.0]), "downhill, but not enough"),
    ("4.7", ([0.6, 0.3, 0.1], [1.0, 1.0, 1.0]), "the gradient is zero"),
    ("4.7", ([0.1, 0.895, 0.005], [0.0, 0.01, 1.0]), "at least 0.01"),
    ("4.7", ([0.10, 0.89, 0.01], [0.0, 1.0, 100.0]), "in [0, 1]"),
    ("4.7", ([0.5, 0.5], [0.0, 1.0]), "three"),
    ("4.7", 0.5, "expected a pair"),
    ("4.8", lambda p: math.log(p / (1 - p)), "factor of 2"),
    ("4.8", lambda p: p.log() / 2, "that gives 1/(2 p)"),
    ("4.8", lambda p: -torch.logit(p) / 2, "the sign: differentiate f"),
    ("4.8", lambda p: (p * (1 - p)).log() / 2, "a minus between them"),
    ("4.8", lambda p: p.log(), "you divided by p"),
    ("4.8", lambda p: 1 / (2 * p * (1 - p)), "that is ω(p) itself"),
    ("4.8", lambda p: 2 * p.sqrt().asin(), "limit of GRPO's objective"),
    ("4.8", lambda p: p, "without redrawing"),
    ("4.8", lambda p: None, "it should return a number"),
    ("4.8", 1.0, "expected a function"),
    ("4.9", lambda r, n: r - (r * n).sum(1, keepdim=True) / n.sum(1, keepdim=True), "still in both averages"),
    ("4.9", lambda r, n: r - ((r * n).sum(1, keepdim=True) - r * n) / n.sum(1, keepdim=True), "in the sum below"),
    ("4.9", lambda r, n: weighting.leave_one_out(r), "plain leave-one-out"),
    ("4.9", lambda r, n: r.numpy() - best_left_out(r, n), "the weight is the return minus it"),
    ("4.9", lambda r, n: best_left_out(r, n**2), "squared already"),
]


test_right, test_wrong, test_none = judged("4", RIGHT, WRONG)


def test_the_solution_of_the_examiner_makes_the_noise_zero():
    """Exercise 4.1, over both answers."""
    p, returns = 0.8, (3.0, 1.0)
    outcomes = [(returns[0] - 1.4) * (1 - p), (returns[1] - 1.4) * (0 - p)]
    assert math.isclose(outcomes[0], outcomes[1]) and math.isclose(outcomes[0], p * (1 - p) * 2)
