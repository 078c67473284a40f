"""The checks of chapter 05's exercises: right losses pass however they are written, wrong ones are told why."""

import math

import pytest
import torch
from answers import judged


def loo(R):
    return (R - R.mean(1, keepdim=True)) * R.shape[1] / (R.shape[1] - 1)


def chosen(log_prob, mask):
    return torch.where(mask, log_prob, 0.0)


def tokens_by_loop(log_prob, rewards, mask):
    B, G = rewards.shape
    total = 0.0
    for b in range(B):
        for g in range(G):
            others = [rewards[b, j] for j in range(G) if j != g]
            weight = rewards[b, g] - sum(others) / len(others)
            total = total + weight * log_prob[b, g][mask[b, g]].sum()
    return -total / (B * G)


def honest_by_ratio(log_prob, rewards):
    return -(loo(rewards) * (log_prob - log_prob.detach()).exp() + rewards).mean()


def micro(normalizer, masked=True):
    def losses(log_probs, masks, weights):
        return [
            -(w[:, None] * (chosen(lp, m) if masked else lp)).sum() / normalizer(masks, i)
            for i, (lp, m, w) in enumerate(zip(log_probs, masks, weights, strict=True))
        ]

    return losses


def all_tokens(masks, i):
    return sum(int(m.sum()) for m in masks)


def count(p):
    p = p / p.sum()
    return math.exp(-sum(float(x) * math.log(float(x)) for x in p))


def peak_by_search(p, r):
    """The largest entropy along the path, on a fine grid."""
    path = torch.softmax(p.log() + torch.linspace(-12, 12, 2_000_001, dtype=torch.float64)[:, None] * r, 1)
    return path[(-(path * path.log()).sum(1)).argmax()] @ r


RIGHT = [
    ("5.1", 0.5 * math.log(2)),
    ("5.1", 0.347),
    ("5.1", 0.35),
    ("5.1", torch.tensor(0.3466)),
    ("5.2", lambda lp, R, m: -(loo(R) * chosen(lp, m).sum(-1)).mean()),
    (
        "5.2",
        lambda log_prob, rewards, mask: -(loo(rewards)[..., None] * chosen(log_prob, mask)).sum() / rewards.numel(),
    ),
    ("5.2", lambda lp, R, m: -(loo(R)[..., None].expand_as(lp)[m] * lp[m]).sum() / R.numel()),
    ("5.2", tokens_by_loop),
    ("5.3", honest_by_ratio),
    ("5.3", lambda lp, R: -(loo(R) * (lp - lp.detach()) + R).mean()),
    ("5.3", lambda lp, R: -(loo(R) * lp).mean() + (loo(R) * lp).mean().detach() - R.mean()),
    ("5.4", lambda lp, R, beta: -(R * lp - beta / 2 * lp**2).mean()),
    ("5.4", lambda lp, R, beta: -((R - beta / 2 * lp - 7.0) * lp).mean()),
    ("5.4", lambda lp, R, beta: -(loo(R) * lp).mean() + beta / 2 * lp.square().mean()),
    ("5.5", micro(all_tokens)),
    ("5.5", lambda lps, ms, ws: tuple(micro(all_tokens)(lps, ms, ws))),
    ("5.6", lambda p, r: count(p[r > 0]) / (count(p[r > 0]) + count(p[r < 1]))),
    ("5.6", lambda p, r: round(count(p[r > 0]) / (count(p[r > 0]) + count(p[r < 1])), 4)),
    ("5.7", lambda eta, N, A: eta**2 * (A - 1) / (2 * N * A**2)),
    ("5.7", lambda A, N, eta: eta**2 / (2 * N) * (1 / A - 1 / A**2)),
]

WRONG = [
    ("5.1", 0, "ratio form"),
    ("5.1", math.log(2), "divide by Z = 2"),
    ("5.1", -0.3466, "sign"),
    ("5.1", 0.1733, "leave-one-out subtracts"),
    ("5.1", 0.602, "plain returns"),
    ("5.1", "small", "expected a number"),
    ("5.2", 3.0, "expected a function"),
    ("5.2", lambda lp, R, m: None, "return missing"),
    ("5.2", lambda lp, R, m: 0.5, "backward()"),
    ("5.2", lambda lp, R, m: -(loo(R) * chosen(lp, m).sum(-1)), "single number"),
    ("5.2", lambda lp, R, m: -(loo(R) * chosen(lp, m).detach().sum(-1)).mean(), "no graph"),
    ("5.2", lambda lp, R, m: -(loo(R)[..., None] * lp * m).sum() / R.numel(), "not finite"),
    ("5.2", lambda lp, R, m: -(loo(R) * lp.nansum(-1)).mean(), "choose by the mask"),
    ("5.2", lambda lp, R, m: -(loo(R) * chosen(lp, ~lp.isnan()).sum(-1)).mean(), "choose by the mask"),
    ("5.2", lambda lp, R, m: -(loo(R) * chosen(lp, ~m).sum(-1)).mean(), "upside down"),
    ("5.2", lambda lp, R, m: -(loo(R.T).T * chosen(lp, m).sum(-1)).mean(), "over the prompts"),
    ("5.2", lambda lp, R, m: -((R - R.mean(0)) * chosen(lp, m).sum(-1)).mean(), "over the prompts"),
    ("5.2", lambda lp, R, m: -(loo(R.reshape(1, -1)).view_as(R) * chosen(lp, m).sum(-1)).mean(), "whole batch"),
    ("5.2", lambda lp, R, m: -(loo(R) * (chosen(lp, m).sum(-1) / m.sum(-1))).mean(), "each answer's tokens"),
    ("5.2", lambda lp, R, m: -(loo(R) * chosen(lp, m).mean(-1)).mean(), "padding included"),
    ("5.2", lambda lp, R, m: -(loo(R)[..., None] * chosen(lp, m)).sum() / m.sum(), "tokens in the batch"),
    ("5.2", lambda lp, R, m: -(loo(R) * chosen(lp, m).sum(-1)).sum(), "did not divide by Z"),
    ("5.2", lambda lp, R, m: -(loo(R) * chosen(lp, m).sum(-1)).sum() / len(R), "not the number of prompts"),
    ("5.2", lambda lp, R, m: -((R - R.mean(1, keepdim=True)) * chosen(lp, m).sum(-1)).mean(), "own return"),
    ("5.2", lambda lp, R, m: -(R * chosen(lp, m).sum(-1)).mean(), "plain returns"),
    ("5.2", lambda lp, R, m: -((R - R.mean()) * chosen(lp, m).sum(-1)).mean(), "whole batch"),
    ("5.2", lambda lp, R, m: (loo(R) * chosen(lp, m).sum(-1)).mean(), "check the sign"),
    ("5.2", lambda lp, R, m: lp @ R, "raised"),
    ("5.3", lambda lp, R: -(R * (lp - lp.detach()).exp()).mean(), "plain returns"),
    ("5.3", lambda lp, R: -(loo(R) * (lp - lp.detach()).exp()).mean(), "the value is 0"),
    ("5.3", lambda lp, R: -(loo(R) * (lp - lp.detach())).mean() + R.mean(), "plus the mean return"),
    ("5.3", lambda lp, R: -(loo(R) * lp).mean(), "that is the log-prob form"),
    ("5.3", lambda lp, R: -(loo(R) * (lp - lp.detach())).mean() - R.sum(), "not minus the mean return"),
    ("5.3", lambda lp, R: -((R - R.mean(1, keepdim=True)) * (lp - lp.detach()) + R).mean(), "own return"),
    ("5.3", lambda lp, R: -(loo(R) * (lp - lp).exp() + R).mean(), "Detach the old"),
    ("5.4", lambda lp, R, beta: -(R * lp).mean() + beta * lp.mean(), "climbs J alone"),
    ("5.4", lambda lp, R, beta: -(R * lp).mean(), "Where is the bonus?"),
    ("5.4", lambda lp, R, beta: -((R - beta * lp.detach()) * lp).mean(), "do without detach"),
    ("5.4", lambda lp, R, beta: -(loo(R - beta * lp.detach()) * lp).mean(), "do without detach"),
    ("5.4", lambda lp, R, beta: -((R - beta * lp) * lp).mean(), "J + 2βH"),
    ("5.4", lambda lp, R, beta: -((R + beta * lp.detach()) * lp).mean(), "wrong sign"),
    ("5.4", lambda lp, R, beta: -((R - beta / 2 * lp.detach()) * lp).mean(), "J + βH/2"),
    ("5.4", lambda lp, R, beta: -((R - beta * lp.detach()) * lp).sum(), "2 of the exact length"),
    ("5.5", micro(lambda m, i: len(m) * m[i].sum()), "mean of means"),
    ("5.5", micro(lambda m, i: m[i].sum()), "its own tokens"),
    ("5.5", micro(lambda m, i: len(m) * all_tokens(m, i)), ".grad adds up"),
    ("5.5", micro(lambda m, i: sum(len(x) for x in m)), "number of answers"),
    ("5.5", micro(lambda m, i: sum(x.numel() for x in m)), "counts the padding"),
    ("5.5", micro(all_tokens, masked=False), "mask it"),
    ("5.5", lambda lps, ms, ws: sum(micro(all_tokens)(lps, ms, ws)), "one loss for each"),
    ("5.5", lambda lps, ms, ws: [sum(micro(all_tokens)(lps, ms, ws))], "one loss for each"),
    (
        "5.5",
        lambda lps, ms, ws: [sum(micro(all_tokens)(lps, ms, ws)), *(0.0 * lp.sum() for lp in lps[1:])],
        "another micro-batch",
    ),
    ("5.5", lambda lps, ms, ws: None, "return missing"),
    ("5.6", lambda p, r: r.mean(), "not heads"),
    ("5.6", lambda p, r: count(p[r < 1]) / (count(p[r > 0]) + count(p[r < 1])), "wrong way round"),
    ("5.6", lambda p, r: float(p @ r), "present success rate"),
    ("5.6", lambda p, r: max(float(p @ r), count(p[r > 0]) / (count(p[r > 0]) + count(p[r < 1]))), "before this"),
    ("5.6", lambda p, r: 0.5, "peaks at ½"),
    (
        "5.6",
        lambda p, r: math.log(count(p[r > 0])) / (math.log(count(p[r > 0])) + math.log(count(p[r < 1]))),
        "not the entropies themselves",
    ),
    ("5.7", lambda step, a, n: step**2 * (a - 1) / (2 * n * a**2), "called with (A, N, eta), in this order"),
    ("5.7", lambda A, N, eta: eta**2 * (A - 1) / (N * A**2), "factor ½"),
    ("5.7", lambda A, N, eta: -(eta**2) * (A - 1) / (2 * N * A**2), "positive number"),
    ("5.7", lambda A, N, eta: eta**2 * (A - 1) / (2 * A**2), "mean of N scores"),
    ("5.7", lambda A, N, eta: eta**2 * (A - 1) / (2 * N * A), "trace of its square"),
    ("5.7", lambda A, N, eta: eta**2 / (2 * N * A), "A - 1 eigenvalues"),
    ("5.7", lambda A, N, eta: eta * (A - 1) / (2 * N * A**2), "squared"),
]


test_right, test_wrong, test_none = judged("5", RIGHT, WRONG)


def test_the_peak_of_exercise_6_is_where_a_search_finds_it():
    p, r = torch.tensor([0.16, 0.6, 0.2, 0.04], dtype=torch.float64), torch.tensor([1.0, 0.0, 0.0, 1.0]).double()
    assert abs(float(peak_by_search(p, r)) - count(p[r > 0]) / (count(p[r > 0]) + count(p[r < 1]))) < 1e-4


@pytest.mark.parametrize("A, N", [(2, 1), (3, 1), (3, 2)])
def test_the_noise_of_exercise_7_costs_that_much_entropy(A, N):
    """Over every batch of N answers: the mean loss is the formula's, up to the next order of the step."""
    ratios = []
    for eta in (0.04, 0.02):
        total = 0.0
        for answers in torch.cartesian_prod(*[torch.arange(A)] * N).view(-1, N):
            step = torch.eye(A, dtype=torch.float64)[answers].mean(0) - 1 / A
            p = torch.softmax(eta * step, 0)
            total += (math.log(A) + float((p * p.log()).sum())) / A**N
        ratios.append(total / (eta**2 * (A - 1) / (2 * N * A**2)))
    assert abs(ratios[1] - 1) < abs(ratios[0] - 1) < 2e-2
