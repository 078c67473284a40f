"""Checks of the exercises of chapter 05. Losses are judged by their slopes, and those by enumeration."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ostrl.exercises import compare

Slopes = Callable[..., Tensor]
Tried = Callable[..., Tensor | str]


def _leave_one_out(rewards: Tensor) -> Tensor:
    size = rewards.shape[1]
    return (rewards - rewards.mean(1, keepdim=True)) * size / (size - 1)


def _loss_value(loss: object) -> Tensor | str:
    """A loss that can be differentiated, or what is wrong with it."""
    if loss is None:
        return "your function returned None: is a return missing?"
    if not isinstance(loss, Tensor):
        return f"a loss is a tensor that backward() can be called on, yours is of type {type(loss).__name__}."
    if loss.numel() != 1:
        return f"a loss is a single number, yours has shape {list(loss.shape)}."
    if not loss.requires_grad:
        return "your loss has no graph: log_prob must enter it without detach; only the weights are held constant."
    if not bool(loss.isfinite()):
        return "your loss is not finite: what stands in the padding got into it. Choose with torch.where first."
    return loss.reshape(())


def _steps(answer: Any, leaves: Sequence[Tensor], args: Sequence[object], several: bool = False) -> list[Tensor] | str:
    """Minus the slopes of the reader's loss, or what is wrong with it.

    With ``several``, of the sum of a list of losses, one a leaf, each with slopes at its own leaf only.
    """
    try:
        out = answer(*args)
        if several and out is not None and (not isinstance(out, list | tuple) or len(out) != len(leaves)):
            return (
                f"return a list with one loss for each micro-batch, {len(leaves)} here: backward() is called on each."
            )
        losses = list(out) if several and out is not None else [out]
        total = [torch.zeros_like(leaf) for leaf in leaves]
        for own, loss in enumerate(losses):
            scalar = _loss_value(loss)
            if isinstance(scalar, str):
                return scalar
            parts = torch.autograd.grad(scalar, leaves, allow_unused=True, retain_graph=True)
            if several and any(part is not None and bool(part.any()) for k, part in enumerate(parts) if k != own):
                return f"loss {own} (from 0) has a slope at another micro-batch: it may use its own log_probs only."
            total = [t if part is None else t - part for t, part in zip(total, parts, strict=True)]
    except Exception as error:  # the reader's own code: say what it raised
        return f"your function raised {type(error).__name__}: {error}"
    if not all(bool(t.isfinite().all()) for t in total):
        return "the gradient is not finite: what stands in the padding got into it. Choose with torch.where first."
    return total


def _judge(
    answer: object, inputs: Sequence[tuple[object, ...]], slope: Tried, expected: Slopes, mistakes: dict[str, Slopes]
) -> str | None:
    """Compare slopes. ``slope`` computes those of the reader's loss, or says what is wrong with it."""
    if not callable(answer):
        return f"expected a function, got {type(answer).__name__}."
    outputs = []
    for args in inputs:
        got = slope(answer, *args)
        if isinstance(got, str):
            return got
        outputs.append(got)
    remaining = iter(outputs)
    return compare.function(lambda *args: next(remaining), expected, inputs, mistakes)


def _batches(tokens: int = 0, padding: float | None = None) -> list[tuple[Any, ...]]:
    """Log-probabilities, returns and, for tokens, a mask with ``padding`` behind it; ``None``: numbers like any."""
    generator = torch.Generator().manual_seed(52)
    result: list[tuple[Any, ...]] = []
    for size in ((3, 4), (2, 3), (4, 2)):
        rewards = torch.randn(size, generator=generator, dtype=torch.float64) + 0.5
        shape = (*size, tokens) if tokens else size
        log_prob = -torch.rand(shape, generator=generator, dtype=torch.float64) - 0.1
        if not tokens:
            result.append((log_prob, rewards))
            continue
        length = torch.randint(1, tokens, size, generator=generator)
        mask = torch.arange(tokens) < length[..., None]
        result.append((log_prob if padding is None else log_prob.masked_fill(~mask, padding), rewards, mask))
    return result


def _slope_at(answer: Any, log_prob: Tensor, *rest: Any) -> Tensor | str:
    leaf = log_prob.clone().requires_grad_()
    out = _steps(answer, [leaf], (leaf, *rest))
    return out if isinstance(out, str) else out[0]


def _by_hand(answer: object) -> str | None:
    half = math.log(2) / 2
    mistakes: dict[str, float | Tensor] = {
        "that is the value in the ratio form; the question is about the log-prob form.": 0.0,
        "divide by Z = 2.": 2 * half,
        "you subtracted the mean of both returns; leave-one-out subtracts the other one's.": half / 2,
        "check the sign: the loss has a minus in front.": -half,
        "those are the plain returns as weights; leave-one-out gives Sydney the weight -1.": -math.log(0.3) / 2,
    }
    return compare.value(answer, half, mistakes, tol=1.2e-2)  # two digits: 0.35


def _tokens(answer: object) -> str | None:
    def share(weights: Tensor, mask: Tensor) -> Tensor:
        return torch.where(mask, weights[..., None] / weights.numel(), 0.0)

    def lengths(mask: Tensor) -> Tensor:
        return mask.sum(-1, keepdim=True)

    def judge(padding: float | None) -> str | None:
        batches = _batches(tokens=6, padding=padding)
        return _judge(answer, batches, _slope_at, lambda lp, r, m: share(_leave_one_out(r), m), mistakes)

    def across(r: Tensor) -> Tensor:
        return r - r.mean(0, keepdim=True)

    own, prompts = "your baseline is a mean over the whole batch: ", "your baseline is a mean over the prompts, dim 0: "
    everywhere, group = torch.ones_like, "it belongs to each prompt's group, dim 1."
    mistakes: dict[str, Slopes] = {
        "the mask is upside down: it is True at the real tokens.": lambda lp, r, m: share(_leave_one_out(r), ~m),
        "what stands in the padding is weighed like real tokens: choose by the mask.": lambda lp, r, m: share(
            _leave_one_out(r), everywhere(m)
        ),
        prompts + group: lambda lp, r, m: share(across(r), m),
        prompts + "others or not, " + group: lambda lp, r, m: share(across(r) * len(r) / (len(r) - 1), m),
        own + group: lambda lp, r, m: share(r - r.mean(), m),
        own + "others or not, " + group: lambda lp, r, m: share((r - r.mean()) * r.numel() / (r.numel() - 1), m),
        "you took the mean over each answer's tokens: add them up.": lambda lp, r, m: (
            share(_leave_one_out(r), m) / lengths(m)
        ),
        "you took the mean over all T places, padding included: add up the tokens.": lambda lp, r, m: (
            share(_leave_one_out(r), m) / m.shape[-1]
        ),
        "you divided by the number of tokens in the batch: Z is the number of answers.": lambda lp, r, m: (
            share(_leave_one_out(r), m) * r.numel() / m.sum()
        ),
        "you did not divide by Z, the number of answers, B·G.": lambda lp, r, m: (
            share(_leave_one_out(r), m) * r.numel()
        ),
        "Z is the number of answers, B·G, not the number of prompts.": lambda lp, r, m: (
            share(_leave_one_out(r), m) * r.shape[1]
        ),
        "your baseline contains the answer's own return: multiply by G / (G - 1), or leave it out.": (
            lambda lp, r, m: share(r - r.mean(1, keepdim=True), m)
        ),
        "these are the plain returns as weights: subtract the mean of the others.": lambda lp, r, m: share(r, m),
    }
    return judge(None) or judge(math.nan)  # finite garbage first: NaN alone would pass for a mask


def _honest(answer: object) -> str | None:
    inputs = _batches()
    wrong = _judge(
        answer,
        inputs,
        _slope_at,
        lambda lp, r: _leave_one_out(r) / r.numel(),
        {
            "the slope is zero: log_prob - log_prob is 0 with its graph, too. Detach the old log-probability.": (
                lambda lp, r: torch.zeros_like(lp)
            ),
            "the slope is that of plain returns: center the weights, and bring the returns in as a constant.": (
                lambda lp, r: r / r.numel()
            ),
            "your baseline contains the answer's own return: multiply by G / (G - 1), or leave it out.": (
                lambda lp, r: (r - r.mean(1, keepdim=True)) / r.numel()
            ),
        },
    )
    if wrong is not None or not callable(answer):
        return wrong
    values = [float(answer(lp.clone().requires_grad_(), r).detach()) for lp, r in inputs]
    means = [float(r.mean()) for _, r in inputs]

    def all_equal(factor: float) -> bool:
        return all(math.isclose(v, factor * m, abs_tol=1e-9) for v, m in zip(values, means, strict=True))

    if all_equal(-1.0):
        return None
    if all_equal(0.0):
        return "the slope is right, but the value is 0: subtract the mean return, which is a constant."
    if all_equal(1.0):
        return "the slope is right, but the value is plus the mean return: losses are to be small."
    if all(
        math.isclose(v, -float((_leave_one_out(r) * lp).mean()), abs_tol=1e-9)
        for v, (lp, r) in zip(values, inputs, strict=True)
    ):
        return "that is the log-prob form: the slope is right, the value is not minus the mean return."
    return "the slope is right, but the value is not minus the mean return of the batch."


def _mean_step(answer: Any, logits: Tensor, returns: Tensor, beta: float) -> Tensor | str:
    """Minus the expected gradient, over all groups of two answers to one prompt."""
    total = torch.zeros_like(logits)
    for pair in itertools.product(range(len(logits)), repeat=2):
        z = logits.clone().requires_grad_()
        table = torch.log_softmax(z, 0)
        actions = torch.tensor([pair])
        step = _steps(answer, [z], (table[actions], returns[actions], beta))
        if isinstance(step, str):
            return step
        total += table.detach()[actions].sum().exp() * step[0]
    return total


def _has_detach(answer: Any) -> bool:
    """Whether the slope that autograd finds is not that of the value: something is held constant."""
    generator = torch.Generator().manual_seed(54)
    rewards = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    start = -torch.rand(2, 3, generator=generator, dtype=torch.float64) - 0.1
    leaf = start.clone().requires_grad_()
    (found,) = torch.autograd.grad(answer(leaf, rewards, 0.7), leaf)
    h, exact = 1e-5, torch.zeros_like(start)
    for b, g in itertools.product(range(2), range(3)):
        shift = torch.zeros_like(start)
        shift[b, g] = h
        ends = [float(answer((start + side * shift).requires_grad_(), rewards, 0.7).detach()) for side in (1, -1)]
        exact[b, g] = (ends[0] - ends[1]) / (2 * h)
    return not torch.allclose(found, exact, rtol=0, atol=1e-6)


def _bonus(answer: object) -> str | None:
    inputs: list[tuple[object, ...]] = [
        (torch.tensor(p, dtype=torch.float64).log(), torch.tensor(r, dtype=torch.float64), beta)
        for p, r, beta in (
            ([0.6, 0.3, 0.1], [0.0, 1.0, 0.0], 0.5),
            ([0.1, 0.2, 0.3, 0.4], [1.0, -0.5, 0.25, 0.0], 0.2),
            ([0.7, 0.3], [2.0, 1.0], 1.5),
        )
    ]

    def climbs(bonus: float) -> Slopes:
        def gradient(logits: Tensor, returns: Tensor, beta: float) -> Tensor:
            p = torch.softmax(logits, 0)
            payoff = returns - bonus * beta * p.log()
            return p * (payoff - p @ payoff)

        return gradient

    wrong = _judge(
        answer,
        inputs,
        _mean_step,
        climbs(1.0),
        {
            "that climbs J alone. Where is the bonus? (A term with the mean of log π has a slope of mean zero: it "
            "takes more than that.)": climbs(0.0),
            "that climbs J + 2βH: the slope of the square of log π is 2 log π times the score.": climbs(2.0),
            "that climbs J - βH: the bonus has the wrong sign.": climbs(-1.0),
            "that climbs J + βH/2.": climbs(0.5),
        },
    )
    if wrong is None and _has_detach(answer):
        return (
            "the expected slope is right, but something in your loss is held constant: do without detach and no_grad."
        )
    return wrong


def _pieces(answer: Any, log_probs: list[Tensor], masks: list[Tensor], weights: list[Tensor]) -> Tensor | str:
    leaves = [x.clone().requires_grad_() for x in log_probs]
    out = _steps(answer, leaves, (leaves, masks, weights), several=True)
    return out if isinstance(out, str) else torch.cat([x.flatten() for x in out])


def _cut(answer: object) -> str | None:
    generator = torch.Generator().manual_seed(55)
    inputs: list[tuple[Any, ...]] = []
    for sizes in (((3, 4), (2, 6), (4, 2)), ((1, 5), (5, 3))):
        lengths = [torch.randint(1, t + 1, (n,), generator=generator) for n, t in sizes]
        inputs.append(
            (
                [-torch.rand(size, generator=generator, dtype=torch.float64) for size in sizes],
                [torch.arange(t) < length[:, None] for (_, t), length in zip(sizes, lengths, strict=True)],
                [torch.randn(n, generator=generator, dtype=torch.float64) for n, _ in sizes],
            )
        )

    def shares(normalizer: Callable[[list[Tensor], int], Tensor | float]) -> Slopes:
        def slopes(log_probs: list[Tensor], masks: list[Tensor], weights: list[Tensor]) -> Tensor:
            parts = [w[:, None] * m / normalizer(masks, i) for i, (m, w) in enumerate(zip(masks, weights, strict=True))]
            return torch.cat([part.flatten() for part in parts])

        return slopes

    def tokens(masks: list[Tensor]) -> Tensor:
        return torch.stack([m.sum() for m in masks]).sum()

    def unmasked(log_probs: list[Tensor], masks: list[Tensor], weights: list[Tensor]) -> Tensor:
        return shares(lambda m, i: tokens(masks))(log_probs, [torch.ones_like(m) for m in masks], weights)

    return _judge(
        answer,
        inputs,
        _pieces,
        shares(lambda m, i: tokens(m)),
        {
            "that is a mean of means: divide by the real tokens of the whole batch, and by nothing else.": shares(
                lambda m, i: len(m) * m[i].sum()
            ),
            "each micro-batch divides by its own tokens: divide by those of the whole batch.": shares(
                lambda m, i: m[i].sum()
            ),
            "Z is right, but .grad adds up: do not divide by the number of micro-batches.": shares(
                lambda m, i: len(m) * tokens(m)
            ),
            "you divided by the number of answers: divide by the number of real tokens.": shares(
                lambda m, i: sum(len(x) for x in m)
            ),
            "Z counts the padding: count the real tokens.": shares(lambda m, i: sum(x.numel() for x in m)),
            "the padding is weighed like real tokens: mask it.": unmasked,
        },
    )


def _peak(answer: object) -> str | None:
    inputs: list[tuple[object, ...]] = [
        (torch.tensor(p, dtype=torch.float64), torch.tensor(r, dtype=torch.float64))
        for p, r in (
            ([0.6, 0.3, 0.1], [0.0, 1.0, 0.0]),
            ([0.16, 0.6, 0.2, 0.04], [1.0, 0.0, 0.0, 1.0]),
            ([0.1, 0.2, 0.3, 0.15, 0.25], [1.0, 1.0, 0.0, 1.0, 0.0]),
            ([0.1, 0.8, 0.1], [0.0, 1.0, 0.0]),  # past the peak
        )
    ]

    def count(p: Tensor) -> Tensor:
        p = p / p.sum()
        return torch.exp(-(p * p.log()).sum())

    def peak(p: Tensor, r: Tensor) -> Tensor:
        good, bad = count(p[r == 1]), count(p[r == 0])
        return good / (good + bad)

    return compare.function(
        answer,
        peak,
        inputs,
        {
            "that would be right if answers were equally likely within right and wrong: count by exp(H), not heads.": (
                lambda p, r: r.mean()
            ),
            "right and wrong are the wrong way round.": lambda p, r: 1 - peak(p, r),
            "compare exp(H), numbers of answers, not the entropies themselves.": lambda p, r: (
                count(p[r == 1]).log() / (count(p[r == 1]).log() + count(p[r == 0]).log())
            ),
            "that is p*, or the present success rate if that is larger. The peak may lie before this policy, too.": (
                lambda p, r: torch.maximum(peak(p, r), p @ r)
            ),
            "that is the present success rate; the question is where the entropy is largest.": lambda p, r: p @ r,
            "h(p) peaks at ½, but the entropies within right and wrong answers count too.": lambda p, r: 0.5,
        },
        tol=1e-3,
    )


def _noise_cost(answer: object) -> str | None:
    inputs: list[tuple[object, ...]] = [(3, 1, 0.25), (2, 4, 0.1), (10, 8, 0.5)]

    def cost(A: int, N: int, eta: float) -> float:
        return eta**2 * (A - 1) / (2 * N * A**2)

    return compare.function(
        answer,
        cost,
        inputs,
        {
            "the second-order term of the entropy has a factor ½.": lambda A, N, eta: 2 * cost(A, N, eta),
            "write the entropy lost as a positive number.": lambda A, N, eta: -cost(A, N, eta),
            "F has A - 1 eigenvalues 1/A, not A: adding a constant to all logits changes nothing.": lambda A, N, eta: (
                eta**2 / (2 * N * A)
            ),
            "the mean of N scores has 1/N of the covariance of one.": lambda A, N, eta: N * cost(A, N, eta),
            "that is with tr F; both the curvature and the noise bring in F, so it is the trace of its square.": (
                lambda A, N, eta: A * cost(A, N, eta)
            ),
            "the step enters squared, once for each end of the quadratic form.": lambda A, N, eta: (
                cost(A, N, eta) / eta
            ),
        },
    )


CHECKS: dict[str, Callable[[object], str | None]] = {
    "5.1": _by_hand,
    "5.2": _tokens,
    "5.3": _honest,
    "5.4": _bonus,
    "5.5": _cut,
    "5.6": _peak,
    "5.7": _noise_cost,
}
"""What is wrong with an answer, by the number of the exercise; ``None`` if it is right."""
