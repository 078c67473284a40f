"""Checks of the exercises of chapter 04."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ostrl import weighting
from ostrl.exercises import compare, diagnose

Weights = Callable[[Tensor], Tensor]


def _examiner(answer: object) -> str | None:
    mistakes: dict[str, float | Tensor] = {
        "that is 1 - p, the best constant for returns 1 and 0; this examiner gives 3 and 1.": 0.2,
        "that is the mean return; the best constant weighs each return with its squared score, too.": 2.6,
        "you stretched 1 - p by 2, as the returns are; now add 1, as they are.": 0.4,
        "you shifted 1 - p by 1, as the returns are; they are also stretched, by 3 - 1 = 2.": 1.2,
        "that is halfway between the returns; it is the best constant at p = 1/2 only.": 2.0,
        "that weighs the 3 with 1 - p; the 1 counts too, with p.": 0.6,
        "the returns are stretched by 3 - 1 = 2, not by 3.": 1.6,
    }
    return compare.value(answer, 1.4, mistakes)


_CANDIDATES = (
    (True, "1: the previous step is over; its returns know nothing about an answer that is drawn now."),
    (False, "2: the best return in the group contains the own return, so it depends on the answer."),
    (True, "3: the greedy answer is fixed by the prompt; the sampled answer has no say in it."),
    (True, "4: the median of the others is a function of answers that are drawn independently of this one."),
    (False, "5: a prediction from the answer reads the answer, however good it is."),
    (True, "6: an older policy's answers are drawn independently of this one, given the prompt. Only noise."),
    (False, "7: the length of the answer is a property of the answer."),
    (True, "8: answers to other prompts know nothing about this one, given its prompt. Only noise."),
)


def _spot(answer: object) -> str | None:
    try:
        given = [bool(x) for x in answer]  # type: ignore[attr-defined]
    except TypeError:
        return f"expected eight of True and False, got {type(answer).__name__}."
    if len(given) != len(_CANDIDATES):
        return f"expected eight of True and False, got {len(given)}."
    wrong = [why for x, (right, why) in zip(given, _CANDIDATES, strict=True) if x is not right]
    if len(wrong) == len(_CANDIDATES):
        return "it is exactly the other way round."
    verb = "is" if len(wrong) == 1 else "are"
    return None if not wrong else f"{len(wrong)} of 8 {verb} wrong. The first is number {wrong[0]}"


def _others_of_batch(rewards: Tensor) -> Tensor:
    return rewards - (rewards.sum() - rewards) / (rewards.numel() - 1)


def _batch_but_me(answer: object) -> str | None:
    return diagnose.weights(
        answer,
        _others_of_batch,
        mistakes={
            "that is the baseline; the weight is the return minus it.": (
                lambda rewards: (rewards.sum() - rewards) / (rewards.numel() - 1)
            ),
            "the own return is still in the batch's mean: that takes 1/(BG) of the gradient.": (
                lambda rewards: rewards - rewards.mean()
            ),
            "these are the other returns of the group; the exercise asks for those of the whole batch.": (
                lambda rewards: weighting.leave_one_out(rewards)
            ),
            "you left the whole own group out; only the own return has to go.": (
                lambda rewards: (
                    rewards
                    - (rewards.sum() - rewards.sum(1, keepdim=True)) / max(rewards.numel() - rewards.shape[1], 1)
                )
            ),
            "you divide by B·G; there are B·G - 1 others.": (
                lambda rewards: rewards - (rewards.sum() - rewards) / rewards.numel()
            ),
        },
    )


def _groups(probs: Tensor, size: int) -> tuple[Tensor, Tensor]:
    answers = torch.cartesian_prod(*[torch.arange(len(probs))] * size).view(-1, size)
    return probs[answers].prod(1), answers


def _mean_and_noise(weigh: Weights, size: int, probs: Tensor, returns: Tensor) -> tuple[Tensor, float]:
    chance, answers = _groups(probs, size)
    scores = torch.eye(len(probs), dtype=torch.float64) - probs
    estimates = (weigh(returns[answers])[..., None] * scores[answers]).mean(1)
    mean = chance @ estimates
    return mean, float(chance @ (estimates - mean).square().sum(1))


def _tensor(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


_EASY, _HARD = _tensor(0.9, 0.1), _tensor(0.1, 0.9)
_RIGHT_OR_WRONG = _tensor(1.0, 0.0)
_UNBIASED_ON = (
    (_EASY, _RIGHT_OR_WRONG),
    (_HARD, _RIGHT_OR_WRONG),
    (_tensor(0.6, 0.3, 0.1), _tensor(0.0, 1.0, 0.0)),
    (_tensor(0.5, 0.2, 0.3), _tensor(-1.0, 2.5, 0.4)),
)


def _beat_leave_one_out(answer: object) -> str | None:
    if not callable(answer):
        return f"expected a function, got {type(answer).__name__}."

    def weigh(rewards: Tensor) -> Tensor:
        out = compare.as_tensor(answer(rewards.clone()))
        if isinstance(out, str):
            raise ValueError(out)
        if out.shape != rewards.shape:
            raise ValueError(f"expected weights of shape {list(rewards.shape)}, got {list(out.shape)}")
        return out

    try:
        every = _RIGHT_OR_WRONG[_groups(_EASY, 4)[1]]
        together, alone = weigh(every), torch.cat([weigh(group[None]) for group in every])
        if not torch.allclose(together, alone, atol=1e-9):
            return "the weights of a group must depend on that group alone: is a mean taken over the wrong dimension?"
        for probs, returns in _UNBIASED_ON:
            mean, _ = _mean_and_noise(weigh, 4, probs, returns)
            truth = probs * (returns - probs @ returns)
            if not torch.allclose(mean, truth, atol=1e-9):
                where = f"probabilities {probs.tolist()} and returns {returns.tolist()}"
                return f"biased for {where}: {compare.direction(mean, truth, 1e-9)}"
        for probs, p in ((_EASY, 0.9), (_HARD, 0.1)):
            ours = _mean_and_noise(weigh, 4, probs, _RIGHT_OR_WRONG)[1]
            theirs = _mean_and_noise(weighting.leave_one_out, 4, probs, _RIGHT_OR_WRONG)[1]
            if ours >= theirs / 5:
                return (
                    f"unbiased, but at p = {p} it has {ours / theirs:.3g} of leave-one-out's noise; below 0.2 is asked."
                )
    except Exception as error:  # the reader's own code: say what it raised
        return f"your function raised {type(error).__name__}: {error}"
    return None


def _masked_leave_one_out(rewards: Tensor, mask: Tensor) -> Tensor:
    m = mask.to(rewards.dtype)
    count, total = m.sum(1, keepdim=True), (m * rewards).sum(1, keepdim=True)
    others = (total - rewards) / (count - 1).clamp(min=1)
    return torch.where((m > 0) & (count > 1), rewards - others, 0.0)


def _ragged(answer: object) -> str | None:
    if not callable(answer):
        return f"expected a function, got {type(answer).__name__}."
    rewards = torch.tensor(
        [[1.0, 0.0, 0.5, 2.0], [3.0, -1.0, 0.25, 9.0], [1.0, 2.0, 3.0, 4.0], [0.5, 1.5, 7.0, 7.0]], dtype=torch.float64
    )
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0], [0, 1, 1, 0], [1, 0, 1, 1]]).bool()
    lonely = torch.tensor([[0, 0, 1, 0], [1, 0, 1, 0], [1, 1, 1, 1], [0, 1, 0, 1]]).bool()
    for m in (mask, lonely):
        try:
            out = torch.as_tensor(answer(rewards.clone(), m.clone()), dtype=torch.float64).detach()
        except Exception as error:  # the reader's own code: say what it raised
            return f"your function raised {type(error).__name__}: {error}"
        if out.shape != rewards.shape:
            return f"expected weights of shape {list(rewards.shape)}, got {list(out.shape)}."
        if not bool(out.isfinite().all()):
            return "some weights are NaN or infinite: is something divided by a count of one, less one?"
        right = _masked_leave_one_out(rewards, m)
        counts = m.sum(1, keepdim=True) > 1
        if bool((out - right)[m & counts].abs().max() < 1e-9) and bool((out[~m] != 0).any()):
            return "answers that don't count must weigh 0; only leaving them out of the baseline is not enough."

    def own_mean(r: Tensor, m: Tensor) -> Tensor:
        count = m.sum(1, keepdim=True)
        return torch.where(m, r - (m * r).sum(1, keepdim=True) / count, 0.0)

    verdict = compare.function(
        answer,
        _masked_leave_one_out,
        [(rewards, mask)],
        {
            "the mask is used the other way round: it is True for the answers that count.": (
                lambda r, m: _masked_leave_one_out(r, ~m)
            ),
            "the own return is still in the mean, and with ragged groups that reweights prompts.": own_mean,
            "returns of answers that don't count are in the baseline: mask them before adding up.": (
                lambda r, m: torch.where(m, weighting.leave_one_out(r), 0.0)
            ),
            "answers that don't count must weigh 0; a 0 in place of a return is not enough.": (
                lambda r, m: weighting.leave_one_out(r * m)
            ),
            "zeros in place of returns are not answers: divide by the number of others that count, not by G - 1.": (
                lambda r, m: torch.where(m, weighting.leave_one_out(r * m), 0.0)
            ),
            "each prompt's sum is divided by its own number of answers later: don't divide the weights, too.": (
                lambda r, m: _masked_leave_one_out(r, m) / m.sum(1, keepdim=True)
            ),
        },
    )
    if verdict is not None:
        return verdict
    return compare.function(
        answer,
        _masked_leave_one_out,
        [(rewards, lonely)],
        {
            "an answer that is alone must weigh 0, not its whole return.": (
                lambda r, m: torch.where(m & (m.sum(1, keepdim=True) == 1), r, _masked_leave_one_out(r, m))
            )
        },
    )


def _weight_at(p: float, size: int, eps: float = 0.0) -> float:
    total = 0.0
    for k in range(1, size):
        sigma = math.sqrt(k * (size - k) / (size * (size - 1)))
        total += math.comb(size, k) * p**k * (1 - p) ** (size - k) * k * (size - k) / (size**2 * (sigma + eps))
    return total / (p * (1 - p))


def _hard_over_even(answer: object) -> str | None:
    def right(size: int) -> float:
        return (size - 1) / math.sqrt(size) / _weight_at(0.5, size)

    inputs = [(size,) for size in (2, 3, 4, 5, 8, 16, 64)]
    verdict = compare.function(
        answer,
        right,
        inputs,
        {
            "that is √(G - 1)/2: at p → 0 the weight is (G - 1)/√G, and at p = 1/2 it is not yet 2; sum over the "
            "number of right answers.": lambda size: math.sqrt(size - 1) / 2,
            "that is the weight at p → 0; divide it by the one at p = 1/2.": lambda size: (size - 1) / math.sqrt(size),
            "that is the weight at p = 1/2; the question is how much larger the one at p → 0 is.": (
                lambda size: _weight_at(0.5, size)
            ),
            "that is nearly right for large groups only: at p = 1/2 the weight is not yet 2.": (
                lambda size: (size - 1) / math.sqrt(size) / 2
            ),
            "that is nearly right for large groups only; sum over the number of right answers.": (
                lambda size: math.sqrt(size) / 2
            ),
            "the other way round: hard over even.": (
                lambda size: _weight_at(0.5, size) / ((size - 1) / math.sqrt(size))
            ),
        },
        tol=1e-4,
    )
    if verdict is not None and compare.function(answer, right, inputs, tol=0.02) is None:
        return "close: ε must be 0, and p → 0 is a limit; p = 1e-6 is near enough."
    return verdict


def _catastrophe(answer: object) -> str | None:
    try:
        probs, returns = (torch.as_tensor(x, dtype=torch.float64).detach() for x in answer)  # type: ignore[attr-defined]
    except (TypeError, ValueError, RuntimeError):
        return "expected a pair (probabilities, returns)."
    if probs.shape != (3,) or returns.shape != (3,):
        return (
            f"expected three probabilities and three returns, got shapes {list(probs.shape)} and {list(returns.shape)}."
        )
    if abs(float(probs.sum()) - 1) > 1e-6 or float(probs.min()) < 0.01 - 1e-6:
        return "the probabilities must sum to 1 and be at least 0.01 each."
    if float(returns.min()) < 0 or float(returns.max()) > 1:
        return "the returns must lie in [0, 1]."
    if float(returns[probs.argmin()]) < float(returns.max()):
        return "the rarest answer must be the best one."
    probs = probs / probs.sum()
    truth = probs * (returns - probs @ returns)
    mean, _ = _mean_and_noise(weighting.group_normalized, 4, probs, returns)
    if float(truth.norm()) == 0 or float(mean.norm()) == 0:
        return "here the gradient is zero: it has no direction."
    cosine = float(mean @ truth / mean.norm() / truth.norm())
    if cosine < -0.2:
        return None
    way = "downhill, but not enough" if cosine < 0 else "still uphill"
    return f"{way}: the cosine is {cosine:.3f}."


def _climbed(answer: object) -> str | None:
    if not callable(answer):
        return f"expected a function, got {type(answer).__name__}."
    half = torch.tensor(0.5, dtype=torch.float64)

    def from_half(f: Callable[..., float | Tensor]) -> Callable[..., float | Tensor]:
        def gain(p: Tensor) -> float | Tensor:
            below = f(half)
            if below is None or isinstance(below, str):
                raise TypeError("it should return a number")
            return f(p) - below

        return gain

    return compare.function(
        from_half(answer),
        from_half(lambda p: (p / (1 - p)).log() / 2),
        [(torch.tensor(p, dtype=torch.float64),) for p in (0.05, 0.2, 0.4, 0.7, 0.95)],
        {
            "the direction is right, but there is a factor of 2: silent groups of two have 1 - q = 2 p (1 - p).": (
                from_half(lambda p: (p / (1 - p)).log())
            ),
            "differentiate f: that gives 1/(2 p), and 1/(2 p (1 - p)) is asked.": from_half(lambda p: p.log() / 2),
            "the sign: differentiate f, and it has to grow with p.": from_half(lambda p: ((1 - p) / p).log() / 2),
            "differentiate f: 1/(p (1 - p)) is 1/p + 1/(1 - p), and yours has a minus between them.": from_half(
                lambda p: (p * (1 - p)).log() / 2
            ),
            "you divided by p: that is what dropping wrong answers climbs. Here ω = 1/(1 - q).": from_half(
                lambda p: p.log()
            ),
            "that is ω(p) itself; f is the function whose derivative it is.": from_half(
                lambda p: 1 / (2 * p * (1 - p))
            ),
            "that is the limit of GRPO's objective for large groups; here ω = 1/(1 - q).": from_half(
                lambda p: 2 * p.sqrt().asin()
            ),
            "without redrawing it would climb p; redrawing multiplies ∇p by 1/(1 - q).": from_half(lambda p: p),
        },
    )


def _best_left_out(answer: object) -> str | None:
    generator = torch.Generator().manual_seed(4)
    inputs: list[tuple[object, ...]] = [
        (
            torch.randn(b, g, generator=generator, dtype=torch.float64),
            torch.rand(b, g, generator=generator, dtype=torch.float64) + 0.1,
        )
        for b, g in ((3, 4), (2, 2), (1, 6))
    ]

    def right(rewards: Tensor, squared_lengths: Tensor) -> Tensor:
        r, n = rewards, squared_lengths
        return r - ((r * n).sum(1, keepdim=True) - r * n) / (n.sum(1, keepdim=True) - n)

    return compare.function(
        answer,
        right,
        inputs,
        {
            "the own answer is still in both averages: then the mean moves.": (
                lambda r, n: r - (r * n).sum(1, keepdim=True) / n.sum(1, keepdim=True)
            ),
            "the own answer is still in the sum below: leave it out there, too.": (
                lambda r, n: r - ((r * n).sum(1, keepdim=True) - r * n) / n.sum(1, keepdim=True)
            ),
            "that is plain leave-one-out: weigh the others' returns with their squared score lengths.": (
                lambda r, n: weighting.leave_one_out(r)
            ),
            "that is the baseline; the weight is the return minus it.": lambda r, n: r - right(r, n),
            "the lengths are squared already.": lambda r, n: right(r, n**2),
        },
    )


CHECKS: dict[str, Callable[[object], str | None]] = {
    "4.1": _examiner,
    "4.2": _spot,
    "4.3": _batch_but_me,
    "4.4": _beat_leave_one_out,
    "4.5": _ragged,
    "4.6": _hard_over_even,
    "4.7": _catastrophe,
    "4.8": _climbed,
    "4.9": _best_left_out,
}
"""What is wrong with an answer, by the number of the exercise; ``None`` if it is right."""
