"""The checker of estimators: whatever equals the right one passes, and wrong ones are told their cause.

Right answers are written with ``ostrl`` or in another way on purpose; wrong ones are what people write.
"""

import math
import sys

import numpy as np
import pytest
import torch

from ostrl import METHODS, exercises, weighting
from ostrl.exercises import diagnose, rows
from ostrl.exercises.diagnose import grammar, search
from ostrl.exercises.diagnose.calling import Door
from ostrl.exercises.diagnose.cases import cases
from ostrl.surrogate import kept, kept_per_prompt, surrogate_loss


def own(r):
    return r - r.mean(1, keepdim=True)


def loo(r):
    return weighting.leave_one_out(r)


def zscore(r):
    return weighting.group_normalized(r, 1e-4)


def token_loss(log_prob, rewards, mask):
    return surrogate_loss(log_prob, loo(rewards), float(rewards.numel()), mask)


def plain_loss(log_prob, rewards):
    return surrogate_loss(log_prob, loo(rewards), float(rewards.numel()))


def filtered_loss(log_prob, rewards):
    w = weighting.threshold(rewards, 0.5)
    return surrogate_loss(log_prob, w, kept(None, w))


def per_prompt_loss(log_prob, rewards):
    w = weighting.threshold(rewards, 0.5)
    return surrogate_loss(log_prob, w, kept_per_prompt(None, w))


def ratio_loss(log_prob, behavior_log_prob, rewards):
    w = weighting.importance(log_prob.detach(), behavior_log_prob, loo(rewards))
    return surrogate_loss(log_prob, w, float(rewards.numel()))


def estimate(probs, actions, rewards, weigh=loo):
    scores = torch.eye(len(probs), dtype=probs.dtype)[actions] - probs
    return (weigh(rewards)[..., None] * scores).sum((0, 1)) / actions.numel()


def flat_estimate(probs, actions, rewards):
    scores = torch.eye(len(probs), dtype=probs.dtype)[actions] - probs
    return (rewards[:, None] * scores).mean(0)


def learned_loss(log_prob, rewards, baseline):
    return surrogate_loss(log_prob, rewards - baseline.detach(), float(rewards.numel()))


def odd_weights(r):
    return r.atan() - r.atan().mean(1, keepdim=True)


def odd_token_loss(log_prob, rewards, mask):
    return surrogate_loss(log_prob, torch.atan(rewards), float(rewards.numel()), mask)


QUESTIONS = {
    "loo": lambda answer: diagnose.weights(answer, loo),
    "mean": lambda answer: diagnose.weights(answer, weighting.mean_baseline),
    "zscore": lambda answer: diagnose.weights(answer, zscore, eps=1e-4),
    "filter": lambda answer: diagnose.weights(answer, weighting.threshold, ("rewards", "tau")),
    "top": lambda answer: diagnose.weights(answer, weighting.top_k, ("rewards", "k")),
    "soft": lambda answer: diagnose.weights(answer, weighting.exponential, ("rewards", "beta")),
    "given": lambda answer: diagnose.weights(answer, weighting.constant_baseline, ("rewards", "baseline")),
    "rho": lambda answer: diagnose.weights(answer, weighting.importance, ("log_prob", "behavior_log_prob", "rewards")),
    "loss": lambda answer: diagnose.loss(answer, plain_loss),
    "tokens": lambda answer: diagnose.loss(answer, token_loss, ("log_prob", "rewards", "mask")),
    "kept": lambda answer: diagnose.loss(answer, filtered_loss, tau=0.5),
    "per prompt": lambda answer: diagnose.loss(answer, per_prompt_loss, tau=0.5),
    "ratio": lambda answer: diagnose.loss(answer, ratio_loss, ("log_prob", "behavior_log_prob", "rewards")),
    "estimator": lambda answer: diagnose.estimator(answer, estimate),
    "flat": lambda answer: diagnose.estimator(answer, flat_estimate, flat=True),
    "learned": lambda answer: diagnose.loss(answer, learned_loss, ("log_prob", "rewards", "baseline")),
    "unknown tokens": lambda answer: diagnose.loss(answer, odd_token_loss, ("log_prob", "rewards", "mask")),
    "flat weights": lambda answer: diagnose.weights(answer, lambda r: r - r.mean(), flat=True),
    "either": lambda answer: diagnose.weights(answer, [loo, own]),
    "unknown": lambda answer: diagnose.weights(answer, odd_weights),
}


def loop_loo(rewards):
    out = []
    for row in rewards.tolist():
        out.append([r - (sum(row) - r) / (len(row) - 1) for r in row])
    return out


def matrix_loo(rewards):
    G = rewards.shape[1]
    M = torch.eye(G, dtype=rewards.dtype) - (1 - torch.eye(G, dtype=rewards.dtype)) / (G - 1)
    return torch.einsum("bg,gh->bh", rewards, M)


def column_by_column(r):
    rest = [torch.cat([r[:, :i], r[:, i + 1 :]], 1).mean(1) for i in range(r.shape[1])]
    return r - torch.stack(rest, 1)


def inplace_loo(rewards):
    w = rewards.clone().float()
    w -= w[:, :1].clone()
    w -= w.mean(1, keepdim=True)
    return w.mul_(w.shape[1]).div_(w.shape[1] - 1)


def numpy_zscore(rewards):
    r = rewards.numpy()
    d = r - r.mean(1, keepdims=True)
    return d / (np.sqrt((d**2).sum(1, keepdims=True) / (r.shape[1] - 1)) + 1e-4)


def loop_top(rewards, k):
    out = torch.zeros_like(rewards)
    for b in range(len(rewards)):
        for i in sorted(range(rewards.shape[1]), key=lambda i: (-float(rewards[b, i]), i))[:k]:
            out[b, i] = 1
    return out


def ratio_form(log_prob, rewards):
    return -(torch.exp(log_prob - log_prob.detach()) * loo(rewards)).mean()


def no_grad_loss(log_prob, rewards):
    with torch.no_grad():
        total = torch.zeros(rewards.shape[0], 1, dtype=rewards.dtype)
        for i in range(rewards.shape[1]):
            total += rewards[:, i : i + 1]
        advantage = rewards - (total - rewards) / (rewards.shape[1] - 1)
    return torch.nn.functional.mse_loss(log_prob, log_prob.detach() + advantage / 2)


def token_loop(log_prob, rewards, mask):
    loss = 0.0
    for b in range(rewards.shape[0]):
        for g in range(rewards.shape[1]):
            rest = [rewards[b, j] for j in range(rewards.shape[1]) if j != g]
            loss = loss - (rewards[b, g] - sum(rest) / len(rest)) * log_prob[b, g][mask[b, g]].sum()
    return loss / rewards.numel()


def filtered_mean(log_prob, rewards):
    good = log_prob[rewards >= 0.5]
    return -good.mean() if len(good) else 0.0 * log_prob.sum()


def prompt_by_prompt(lp, r):
    total = 0 * lp.sum()
    for x, y in zip(lp, r, strict=True):
        if (y >= 0.5).any():
            total = total - x[y >= 0.5].mean()
    return total / len(r)


def ratio_surrogate(lp, old, r):
    return -((lp - old).exp() * (r - (r.sum(1, True) - r) / (r.shape[1] - 1))).mean()


def counted(probs, actions, rewards):
    g = [0.0] * len(probs)
    w = loo(rewards)
    for a, x in zip(actions.flatten().tolist(), w.flatten().tolist(), strict=True):
        g[a] += x
    total = sum(g)
    return [(gi - float(p) * total) / actions.numel() for gi, p in zip(g, probs, strict=True)]


def by_autograd(probs, actions, rewards):
    logits = probs.log().clone().requires_grad_()
    logp = torch.distributions.Categorical(logits=logits).log_prob(actions)
    (logp * loo(rewards)).mean().backward()
    return logits.grad


RIGHT = [
    ("loo", loo),
    ("loo", loop_loo),
    ("loo", matrix_loo),
    ("loo", inplace_loo),
    ("loo", lambda batch: loo(batch.rewards)),
    ("loo", lambda r, scale=1.0: scale * r.shape[1] / (r.shape[1] - 1) * own(r)),
    ("loo", column_by_column),
    ("mean", lambda rewards: (rewards.numpy() - rewards.numpy().mean(axis=1, keepdims=True)).astype(np.float32)),
    ("zscore", numpy_zscore),
    ("zscore", lambda r: torch.nan_to_num(own(r) / (r.std(1, keepdim=True) + 1e-4))),
    ("filter", lambda returns, tau: returns >= tau),
    ("filter", lambda r, t: torch.heaviside(r - t, torch.ones((), dtype=r.dtype))),
    ("filter", lambda tau, rewards: [[int(x >= tau) for x in row] for row in rewards]),
    ("top", loop_top),
    ("top", lambda r, k: (torch.argsort(torch.argsort(-r, dim=1, stable=True), dim=1) < k).double()),
    ("soft", lambda r, beta: torch.exp(r / beta) / torch.exp(r / beta).sum(1, keepdim=True)),
    ("given", lambda r, b: r - b.expand_as(r)),
    ("rho", lambda log_prob, behavior_log_prob, rewards: log_prob.exp() / behavior_log_prob.exp() * rewards),
    ("loss", ratio_form),
    ("loss", no_grad_loss),
    ("loss", lambda logp, r: -(loo(r).detach() * logp).sum() / logp.numel() + 17),
    ("loss", lambda rewards, log_prob: -torch.tensordot(loo(rewards), log_prob, 2) / rewards.numel()),
    ("loss", lambda lp, r: -torch.cov(torch.stack([r[0], lp[0]]))[0, 1] / len(r) + sum(
        -torch.cov(torch.stack([x, y]))[0, 1] / len(r) for x, y in zip(r[1:], lp[1:], strict=True)
    )),
    ("tokens", token_loop),
    ("tokens", lambda lp, r, m: -(loo(r) * torch.where(m, lp, 0).sum(-1)).mean()),
    ("kept", filtered_mean),
    ("per prompt", prompt_by_prompt),
    ("ratio", ratio_surrogate),
    ("ratio", lambda lp, q, r: -(((lp - q).exp() * loo(r)).detach() * lp).mean()),
    ("estimator", counted),
    ("estimator", by_autograd),
    ("flat", lambda pi, a, R: (R @ torch.nn.functional.one_hot(a, len(pi)).double() - R.sum() * pi) / len(R)),
    ("learned", lambda lp, r, b: -((r - b.detach()) * lp).mean()),
    ("unknown tokens", lambda lp, r, m: -(r.atan() * (lp * m).sum(2)).mean()),
    ("flat weights", lambda r: [float(x) - sum(map(float, r)) / len(r) for x in r]),
    ("either", own),
    ("either", loo),
    ("unknown", lambda r: (r.atan().T - r.atan().mean(1)).T),
]  # fmt: skip


@pytest.mark.parametrize("question, answer", RIGHT)
def test_right_answers_pass_however_they_are_written(question, answer):
    assert QUESTIONS[question](answer) is None


def keeps_state():
    seen = []

    def answer(rewards):
        seen.append(float(rewards.mean()))
        return rewards - sum(seen) / len(seen)

    return answer


def tokens(weigh=loo, mask=lambda m: m, z=lambda r, m: r.numel()):
    return lambda lp, r, m: -(weigh(r)[..., None] * lp * mask(m) / z(r, m)).sum()


def scored(score, weigh=loo, z=lambda a: a.numel()):
    def answer(probs, actions, rewards):
        one_hot = torch.eye(len(probs), dtype=probs.dtype)[actions]
        return (weigh(rewards)[..., None] * score(one_hot, probs)).sum((0, 1)) / z(actions)

    return answer


def maximum(lp, q, r):
    rho = (lp - q).exp()
    return -torch.max(rho * loo(r), rho.clamp(0.8, 1.2) * loo(r)).mean()


def self_normalized(lp, q, r):
    rho = (lp - q).exp().detach()
    return -(rho * loo(r) * lp).sum() / rho.sum()


def overwritten(probs, actions, rewards):
    for drawn, returns in zip(actions, loo(rewards), strict=True):
        g = flat_estimate(probs, drawn, returns) * len(drawn)
    return g / actions.numel()


WRONG = [
    # The baseline.
    ("loo", own, "0.75 of its length (with B = 3, G = 4): is the own sample in your baseline?"),
    ("loo", lambda r: -loo(r), "it points the other way: is a sign turned around?"),
    ("loo", lambda r: -own(r), "is the own sample in your baseline, and is a sign turned around?"),
    ("loo", lambda r: r, "unbiased, but not the estimator asked for (0.613 times its variance on a problem of three"),
    ("loo", lambda r: r, "is the baseline missing (it should be the mean of the other answers"),
    ("loo", lambda r: r - r.mean(), "is your baseline the mean of the whole batch"),
    ("loo", lambda r: r - r.mean(0, keepdim=True), "dim 0"),
    ("loo", lambda r: r - (r.sum(0) - r) / (len(r) - 1 or 1), "dim 0"),
    ("loo", lambda r: r - r.median(1, keepdim=True).values, "the lower median of the group"),
    ("loo", lambda r: r - r.amax(1, keepdim=True), "the best of the group"),
    ("loo", lambda r: r - 0.5, "a constant, ½"),
    ("loo", lambda r: r - (r.sum(1, keepdim=True) - r) / r.shape[1], "over G (not over G - 1)"),
    ("loo", lambda r: r - (r.sum(1, keepdim=True) - r), "not divided by their number"),
    ("loo", lambda r: r - r.sum(1, keepdim=True) / (r.shape[1] - 1), "the own sample is still in the sum"),
    ("loo", lambda r: loo(r) / r.numel(), "do you divide by the number of answers, N = B·G, which is not asked for"),
    ("loo", lambda r: r - r.mean(1), "keepdim=True"),
    ("loo", lambda r: r - r.roll(1, 1), "a single other answer, the previous one"),
    ("loo", lambda r: loo(r).clamp(min=0), "cut off below 0"),
    ("loo", lambda r: loo(r).abs(), "without their sign"),
    ("loo", lambda r: own(r) / r.std(1, keepdim=True).clamp(min=1e-6), "standard deviation"),
    ("loo", lambda r: 3 * loo(r), "is there a factor of 3 too many?"),
    ("mean", loo, "is your baseline the mean of the other answers of the group"),
    ("given", lambda r, b: r + b, "added instead of subtracted"),
    ("loo", lambda r: r - (r.sum(1, keepdim=True) - r.roll(-1, 1)) / (r.shape[1] - 1), "indices shifted by one"),
    ("loo", lambda r: own(r.reshape(r.T.shape)).reshape(r.shape), "reshape to [G, B] in place of [B, G]"),
    ("loo", lambda r: r - r.cumsum(1) / torch.arange(1, r.shape[1] + 1), "the answers so far, the own one included"),
    ("loo", lambda r: loo(r).T.reshape(r.shape), "in transposed order"),
    ("loo", lambda r: loo(r.clamp(0, 1)), "R cut to the range from 0 to 1"),
    ("loo", lambda r: r - 1.1 * r.mean(1, keepdim=True), "your weights are 1 R - 1.1 times the mean of its group"),
    ("loo", lambda r: own(r) * (1 - 1 / r.shape[1]), "is there a factor of 1 - 1/G too many"),
    # Normalizing by the spread.
    ("zscore", lambda r: r - r.mean(1, keepdim=True) / (r.std(1, keepdim=True) + 1e-4), "parentheses are missing"),
    ("zscore", lambda r: torch.nn.functional.layer_norm(r, r.shape[1:]), "correction=0"),
    ("zscore", lambda r: own(r) / (own(r).norm(dim=1, keepdim=True) + 1e-4), "the mean under the root is missing"),
    ("zscore", lambda r: own(r) / (r.std(1, keepdim=True, correction=0) + 1e-4), "correction=0"),
    ("zscore", lambda r: own(r) / (r.var(1, keepdim=True) + 1e-4), "the variance (its square root is missing)"),
    ("zscore", lambda r: own(r) / (r.std() + 1e-4), "the standard deviation of the whole batch"),
    ("zscore", lambda r: own(r) / r.std(1, keepdim=True), "is ε missing? Besides, your function gives NaN on"),
    ("zscore", lambda r: own(r) / (r.var(1, keepdim=True) + 1e-4).sqrt(), "is ε under the square root"),
    ("zscore", lambda r: own(r) / (r.std(1, keepdim=True) + 1e-2), "is ε 0.01"),
    ("zscore", lambda r: (r - r.mean()) / (r.std() + 1e-4), "compared within one group, the whole batch"),
    ("zscore", own, "is the division by the group's standard deviation missing"),
    ("zscore", lambda r: own(r) * (r.std(1, keepdim=True) + 1e-4), "multiply"),
    ("zscore", lambda r: r / (r.std(1, keepdim=True) + 1e-4), "is the baseline missing"),
    # Filters and soft selection.
    ("filter", lambda r, tau: (r > tau).double(), "answers at τ itself are left out"),
    ("filter", lambda r, tau: r * (r >= tau), "the return is still in it"),
    ("filter", lambda r, tau: (r <= tau).double(), "the wrong side"),
    ("top", lambda r, k: weighting.top_k(-r, k), "the wrong end"),
    ("top", lambda r, k: (r >= r.topk(k, 1).values[:, -1:]).double(), "right, except on batches with"),
    ("top", lambda r, k: (r >= r.topk(k, 1).values[:, -1:]).double(), "all that tie with them"),
    ("top", lambda r, k: weighting.top_k(r.T.contiguous(), min(k, len(r))).T, "dim 0, over prompts"),
    ("soft", lambda r, beta: (r / beta).softmax(0), "down a column"),
    ("soft", lambda r, beta: (r * beta).softmax(1), "R is multiplied by β"),
    ("soft", lambda r, beta: (r / beta).exp(), "not divided by its sum"),
    ("rho", lambda lp, q, r: (q - lp).exp() * r, "upside down"),
    ("rho", lambda lp, q, r: (lp - q) * r, "the exp is missing"),
    # Losses.
    ("loss", lambda lp, r: -(loo(r) * lp).sum(), "is the 1/N missing"),
    ("loss", lambda lp, r: -(own(r) * lp).mean(), "is the own sample in your baseline"),
    ("loss", lambda lp, r: (loo(r) * lp).mean(), "is the loss's minus sign missing, or there twice"),
    ("loss", lambda lp, r: -(loo(r) * lp).sum() / len(r), "is Z the number of prompts, B"),
    ("loss", lambda lp, r: -(loo(r) * lp.detach()).mean(), "no gradient reaches log_prob: is log_prob detached"),
    ("loss", lambda lp, r: -(loo(r) * lp).mean().item(), "plain number"),
    ("loss", lambda lp, r: -(loo(r) * lp), "a loss is a single number"),
    ("loss", lambda lp, r: -(loo(r) * lp.exp()).mean(), "π itself"),
    ("loss", lambda lp, r: -(loo(r) * torch.exp(lp - lp)).mean(), "zero on every batch"),
    ("tokens", tokens(z=lambda r, m: r.numel() * m.sum(2, keepdim=True)), "a mean over its tokens"),
    ("tokens", tokens(z=lambda r, m: m.sum()), "the number of tokens in the batch"),
    ("tokens", tokens(mask=lambda m: 1), "the mask is missing"),
    ("tokens", tokens(mask=lambda m: m & m.roll(-1, 2) & (torch.arange(5) < 4)), "the end token is dropped"),
    ("tokens", tokens(z=lambda r, m: len(r) * m.sum((1, 2), keepdim=True)), "a mean of means"),
    ("tokens", tokens(own, z=lambda r, m: r.numel() * m.sum(2, keepdim=True)), "is the own sample in your baseline"),
    ("tokens", lambda lp, r, m: -(loo(r)[..., None] * lp * m).mean(), "padding included"),
    ("tokens", lambda lp, r, m: -(loo(r) * lp).mean(), "your function raised RuntimeError on rewards of shape [3, 4]"),
    ("tokens", lambda lp, r, m: -(loo(r) * (lp * m).sum(2) * m.sum(2)).mean(), "the weight is multiplied by it"),
    ("tokens", lambda lp, r, m: -(loo(r) * (lp * m)[..., 0]).mean(), "the first token only"),
    ("tokens", lambda lp, r, m: -(loo(r * m.sum(2)) * (lp * m).sum(2)).mean(), "R times the length"),
    ("loss", lambda lp, r: -(loo(r) * lp).sum(1).mean() / 2, "is there a factor of 0.5 times G too many"),
    ("kept", lambda lp, r: -((r >= 0.5) * lp).mean(), "is Z the number of answers, N = B·G"),
    ("kept", lambda lp, r: per_prompt_loss(lp, r), "is Z B times the answers kept of each prompt"),
    ("kept", lambda lp, r: -((r > 0.5) * lp).sum() / (r > 0.5).sum().clamp(min=1), "answers at τ itself"),
    ("per prompt", filtered_loss, "is Z the number of answers kept in the batch"),
    ("ratio", lambda lp, q, r: -((lp - q).exp() * loo(r) * lp).mean(), "is a detach missing"),
    ("ratio", lambda lp, q, r: -((q - lp).exp().detach() * loo(r) * lp).mean(), "upside down"),
    ("ratio", lambda lp, q, r: -(loo(r) * lp).mean(), "is the factor ρ = π/q missing"),
    ("ratio", lambda lp, q, r: -((q - lp).exp() * loo(r)).mean(), "upside down), where ρ = π/q is asked for, and"),
    ("ratio", maximum, "max in place of min"),
    ("ratio", self_normalized, "self-normalized"),
    # Gradient estimates.
    ("estimator", overwritten, "the last group only (what came before is overwritten)"),
    ("estimator", lambda p, a, r: estimate(p, a, r.sort(1).values), "sorted"),
    ("flat", lambda p, a, r: flat_estimate(p, a[:-1], r[:-1]) * (1 - 1 / len(a)), "all answers but the last"),
    ("estimator", scored(lambda h, p: h - p, own), "is the own sample in your baseline"),
    ("estimator", scored(lambda h, p: h / p), "the derivative by the probabilities"),
    ("estimator", scored(lambda h, p: h - p, z=lambda a: 1), "is the 1/N missing"),
    ("estimator", scored(lambda h, p: p - h), "the other way"),
    ("estimator", scored(lambda h, p: h - p, lambda r: r), "unbiased, but not the estimator asked for"),
    ("estimator", scored(lambda h, p: (h - p) * (h * p).sum(-1, keepdim=True)), "∇π, not ∇ log π"),
    ("flat", lambda p, a, r: r @ torch.eye(len(p), dtype=p.dtype)[a] / len(r), "π is not subtracted"),
    ("flat", lambda p, a, r: flat_estimate(p, a, r - r.mean()), "do you subtract the mean of the batch"),
    # A right one that the grammar does not know.
    ("unknown", lambda r: r.atan() - r.atan().mean(), "with the whole batch as one group"),
    ("unknown", lambda r: r.atan() - r.atan().mean(0), "rows and columns mixed up"),
    ("unknown", lambda r: -2 * odd_weights(r), "is a sign turned around, and is there a factor of 2 too many"),
    ("unknown tokens", lambda lp, r, m: -(r.atan() * (lp * m).sum(2) / m.sum(2)).mean(), "a mean over its tokens"),
    ("learned", lambda lp, r, b: -((r - b) * lp).mean(), "a gradient flows into the baseline"),
    ("learned", lambda lp, r, b: -(r * lp).mean(), "is the baseline missing"),
    ("flat weights", lambda r: r - (r.sum() - r) / (len(r) - 1), "the mean of the other answers"),
    ("either", lambda r: -own(r), "is a sign turned around"),
    # What stands in the way.
    ("loo", 3, "expected a function of (rewards), got int"),
    ("loo", lambda r: None, "is a `return` missing"),
    ("loo", lambda r: r[:, 0], "expected shape [3, 4] (one weight for each answer)"),
    ("loo", lambda r: "yes", "expected numbers"),
    ("loo", lambda: 3, "takes 0 positional arguments"),
    ("loo", lambda r: r.foo, "your function raised AttributeError"),
    ("loo", lambda r: r.sub_(r.mean(1, keepdim=True)), "changes rewards in place"),
    ("loo", lambda r: loo(r) * torch.rand(1), "is something random, or kept from one call to the next"),
    ("loo", keeps_state(), "is something random, or kept from one call to the next"),
    # No cause known: facts, and a batch to look at.
    ("loo", lambda r: loo(r) ** 3, "doubling every return does not double your weights, and should"),
    ("loo", lambda r: loo(r) + 0.3 * r.sum() ** 2, "the weights of a prompt depend on the returns of another"),
    ("loo", lambda r: loo(r) ** 3, "with returns [["),
    ("loss", lambda lp, r: -(loo(r) * lp.sin()).mean(), "its gradient depends on the values of log_prob"),
]  # fmt: skip


@pytest.mark.parametrize("question, answer, cause", WRONG)
def test_wrong_answers_are_told_their_cause(question, answer, cause):
    verdict = QUESTIONS[question](answer)
    assert verdict is not None and cause in verdict, verdict


def test_every_question_has_a_right_and_a_wrong_answer():
    assert {q for q, _ in RIGHT} == set(QUESTIONS)
    assert {q for q, *_ in WRONG} == set(QUESTIONS)


def test_the_readers_random_numbers_are_left_alone():
    torch.manual_seed(3)
    first = torch.rand(1)
    torch.manual_seed(3)
    QUESTIONS["loo"](own)
    assert torch.equal(torch.rand(1), first)


def length_normalized(logp, r, mask):
    return -(own(r) / (r.std(1, keepdim=True) + 1e-6) * (logp * mask).sum(2) / mask.sum(2)).mean()


def trainers_loss(completion_mask, per_token_logps, rewards):
    return token_loss(per_token_logps, rewards, completion_mask)


class Weigher(torch.nn.Module):
    def forward(self, rewards):
        return loo(rewards)


ROWS = [
    ("reinforce", lambda r: r, None),
    ("reinforce", lambda logp, r: -(logp * r).mean(), None),
    ("reinforce", lambda logits, actions, rewards: flat_estimate(logits.softmax(0), actions, rewards), "raised"),
    ("rloo", loo, None),
    ("rloo", own, "is the own sample in your baseline?"),
    ("rloo", estimate, None),
    ("rloo", token_loss, None),
    ("rloo", 3, "expected a function of the returns"),
    ("dr_grpo", own, None),
    ("dr_grpo", loo, "is your baseline the mean of the other answers"),
    ("grpo", lambda r: own(r) / (r.std(1, keepdim=True) + 1e-8), None),
    ("grpo", lambda r, eps: own(r) / (r.std(1, keepdim=True) + eps), None),
    ("grpo", length_normalized, None),
    ("dapo", length_normalized, "N times the length of each answer (a mean over its tokens), where"),
    ("rest", lambda r, tau: r >= tau, None),
    ("rest", lambda logp, r: -(logp * (r >= 1)).mean(), "is Z the number of answers, N = B·G"),
    ("rest_per_prompt", lambda logp, r: -(logp * (r >= 1)).sum() / (r >= 1).sum().clamp(1), "kept in the batch"),
    ("raft", lambda logp, r: -logp.gather(1, r.argmax(1, keepdim=True)).mean(), None),
    ("rest", lambda r: r == 1, "== in place of >="),
    ("rest", lambda r: np.asarray(r) >= 1, None),
    ("rest", lambda rewards, threshold: rewards >= threshold, None),
    ("rest", lambda r, tau: r >= 1, "τ makes no difference to yours: is it ignored?"),
    ("rest", lambda r, tau: r >= 1, "and τ = "),
    ("rest", lambda r, kappa: r >= kappa, "I call it as (log_prob, rewards); name your arguments so."),
    ("rwr", lambda rewards, temperature: (rewards / temperature).softmax(1), None),
    ("rloo", trainers_loss, None),
    ("rloo", lambda rewards, **kw: loo(rewards), None),
    ("rloo", lambda rewards, *rest: loo(rewards), None),
    ("rloo", Weigher(), None),
    ("rloo", lambda batch: loo(batch.rewards), None),
    ("rloo", lambda batch: -(batch.log_prob * loo(batch.rewards)).mean(), "means weights [B, G] here"),
    ("rloo", lambda r: own(r) * 4 / 3, "is G = 4 hard-coded"),
    ("rloo", lambda logp, r: (logp * loo(r)).mean(), "or the ratio inverted"),
    ("rloo", lambda r: sys.exit("bye"), "SystemExit: bye"),
    ("reinforce", lambda policy, a, r: flat_estimate(policy, a.flatten(), r.flatten()), None),
    ("reinforce", lambda theta, actions, rewards: estimate(theta.softmax(0), actions, rewards, lambda r: r), None),
    ("raft", lambda r: r >= 1, "a threshold (R ≥ 1) in place of the best of the group"),
    ("raft", lambda logp, r: -logp.gather(1, r.argmin(1, keepdim=True)).mean(), "the wrong end"),
    ("rwr", lambda r: r.softmax(1), None),
    ("rwr", lambda r, beta: (r * beta).softmax(1), "R is multiplied by β"),
]


@pytest.mark.parametrize("name, answer, cause", ROWS)
def test_rows_of_the_table_by_their_names(name, answer, cause):
    verdict = exercises.check(name, answer)
    assert verdict.correct is (cause is None)
    assert cause is None or cause in verdict.message


NONSENSE = [
    ("grpo", lambda logp, r, mask: -(logp.mean(2) * zscore(r)).mean()),
    ("dapo", lambda logp, r, mask: logp.square().sum()),
    ("rest", lambda r: r.sin()),
    ("rloo", lambda p, a, r: r.sin().sum() * p.sin()),
]


@pytest.mark.parametrize("name, answer", NONSENSE)
def test_the_search_for_a_cause_ends(name, answer, monkeypatch):
    tried, output = [], search.output
    monkeypatch.setattr(search, "output", lambda *args: tried.append(1) or output(*args))
    assert exercises.check(name, answer).correct is False
    assert 0 < len(tried) < 3 * search.BUDGET


def test_the_checker_knows_rows_that_exist():
    assert set(rows.CHECKS) <= set(METHODS)
    assert {name for name, *_ in ROWS} == set(rows.CHECKS)
    assert not set(rows.CHECKS) & set(exercises.exercises())


DOORS = [
    (Door("weights", ("rewards", "baseline", "lengths", "tau"), None), False),
    (Door("weights", ("rewards", "lengths"), None), True),
    (Door("loss", ("log_prob", "behavior_log_prob", "rewards"), None), False),
    (Door("loss", ("log_prob", "behavior_log_prob", "rewards", "mask"), None), False),
    (Door("loss", ("log_prob", "behavior_log_prob", "rewards", "mask"), None), True),
    (Door("estimator", ("probs", "actions", "rewards"), None), False),
    (Door("estimator", ("probs", "actions", "rewards"), None), True),
]


@pytest.mark.parametrize("door, flat", DOORS)
def test_every_option_of_the_grammar_has_an_output_of_the_right_shape(door, flat):
    for case in {case.kind: case for case in cases(tokens="mask" in door.inputs, flat=flat)}.values():
        b, g = case.rewards.shape
        shape = (b, g, 5) if "mask" in door.inputs else (b, g)
        shape = (len(case.fields["probs"]),) if door.name == "estimator" else shape
        for start in search.starts(door)[:5]:
            for _, point in search.neighbors(start, search.changes_from(start, door), 1):
                assert grammar.output(point, case, door).shape == shape, point


def backward_inside(lp, r):
    value = -(loo(r) * lp).mean()
    value.backward()
    return value


ODD = [
    ("loo", lambda r: loo(r) * 1.00005, "is there a factor of 1.00005 too many"),
    ("loo", lambda r: loo(r) * (len(r) > 2), "different from the right answer on"),
    ("loo", lambda r: torch.tensor([]), "got shape [0]"),
    ("loo", lambda r: loo(r) * math.inf, "gives infinity"),
    ("loo", lambda r: 0 * r, "zero on every batch: do the weights vanish?"),
    ("loo", lambda r: loo(r) if len(r) > 1 else 1 / 0, "ZeroDivisionError on rewards of shape [1, 4], a single prompt"),
    ("loo", METHODS["rloo"], "expected a function of (rewards), got Method"),
    ("loss", backward_inside, "calls backward() itself"),
    ("loss", lambda lp, r: torch.zeros((), requires_grad=True), "no gradient reaches log_prob"),
    ("estimator", lambda p, a, r: torch.zeros(len(p) - 1), "one number for each possible answer"),
]


@pytest.mark.parametrize("question, answer, cause", ODD)
def test_odd_answers_get_a_sentence_and_no_traceback(question, answer, cause):
    assert cause in QUESTIONS[question](answer)


def test_losses_are_checked_where_gradients_are_switched_off():
    with torch.no_grad():
        assert QUESTIONS["loss"](ratio_form) is None


def test_padding_may_be_nan():
    names = ("log_prob", "rewards", "mask")
    careful, careless = (lambda lp, r, m: -(loo(r) * torch.where(m, lp, 0).sum(2)).mean()), tokens()
    assert diagnose.loss(careful, token_loss, names, padding=math.nan) is None
    assert "did padding get into it" in diagnose.loss(careless, token_loss, names, padding=math.nan)


def test_mistakes_of_an_exercise_come_first():
    told = {"the whole group again?": own}
    assert diagnose.weights(own, loo, mistakes=told) == "the whole group again?"
    assert "0.75 of its length" in diagnose.weights(own, loo, mistakes={"no": lambda r: r})


def test_arguments_may_have_other_names_and_another_order():
    names = ("log_prob", "behavior_log_prob", "rewards")
    assert diagnose.loss(lambda R, logq, logp: -((logp - logq).exp() * loo(R)).mean(), ratio_loss, names) is None
    assert diagnose.loss(lambda x, y, z: -((x - y).exp() * loo(z)).mean(), ratio_loss, names) is None
