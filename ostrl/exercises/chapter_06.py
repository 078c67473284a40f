"""Checks of the exercises of chapter 06."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ostrl import exact, labeling, surrogate
from ostrl.batch import Batch
from ostrl.exercises import compare
from ostrl.methods import Method


def _tensor(numbers: list[float]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def three_gradients(answer: object) -> str | None:
    """6.1: the expected gradients of RL, SFT and unfiltered self-training."""
    pi, h, r = _tensor([0.5, 0.2, 0.3]), _tensor([0.2, 0.6, 0.2]), _tensor([0.0, 1.0, 1.0])
    rl, sft = pi * (r - pi @ r), h - pi
    weighed = h * r - (h @ r) * pi
    rows = torch.stack([rl, sft, 0.4 * sft])
    verdict = compare.value(
        answer,
        rows,
        {
            "self-training: two of five labels are human, so the factor is 2/5, not one half.": torch.stack(
                [rl, sft, 0.5 * sft]
            ),
            "self-training: the model's own labels average to zero, but they are counted in Z.": torch.stack(
                [rl, sft, sft]
            ),
            "self-training: the factor is the share of human labels, 2/5, not that of the model's.": torch.stack(
                [rl, sft, 0.6 * sft]
            ),
            "self-training: the model's labels have weight 1 here, right or wrong; there is no filter.": torch.stack(
                [rl, sft, 0.4 * sft + 0.6 * rl]
            ),
            "RL: that is π r; the mean return is still to be subtracted from r.": torch.stack([pi * r, sft, 0.4 * sft]),
            "SFT: subtract what the model says, π: the labels' push is h − π.": torch.stack([rl, h, 0.4 * h]),
            "SFT: every label of the demonstrators counts 1, whatever the teacher says.": torch.stack(
                [rl, weighed, 0.4 * weighed]
            ),
        },
    )
    names = ("RL", "SFT", "self-training")
    got = compare.as_tensor(answer)
    named = (*names, compare.ORDER)
    if verdict is None or isinstance(got, str) or got.shape != rows.shape or verdict.startswith(named):
        return verdict
    for name, mine, exact_row in zip(names, got, rows, strict=True):
        wrong = compare.value(mine, exact_row)
        if wrong is not None:
            return f"{name}: {wrong}"
    return verdict


def _rest_point(weight: Callable[[float], float]) -> float:
    """Where h(a) w(π(a)) is proportional to π(a), for h = (0.9, 0.1), by bisection."""
    low, high = 1e-9, 1 - 1e-9
    for _ in range(100):
        x = (low + high) / 2
        low, high = (x, high) if 0.9 * weight(x) * (1 - x) > 0.1 * weight(1 - x) * x else (low, x)
    return low


def forgotten_detach(answer: object) -> str | None:
    """6.2: where SFT as RL ends if the return is not detached."""
    right = _rest_point(lambda x: 1 - math.log(x))
    got = compare.as_tensor(answer)
    if isinstance(got, Tensor) and got.ndim == 0 and 5.5e-4 < abs(float(got) - right) < 5.1e-3:
        return "right to two digits; give three."
    return compare.value(
        answer,
        right,
        {
            "that is where SFT ends; the missing detach changes the weights of the labels.": 0.9,
            "that is the other answer's probability; asked is the first one's.": 1 - right,
            "the weight is 1 − log π, not −log π: the product rule has two terms.": _rest_point(lambda x: -math.log(x)),
            "that is all of the policy on the first answer, but the weight 1 − log π of the other one's labels grows "
            "without bound as it becomes rare (is the sign of log π turned around?).": _rest_point(
                lambda x: max(1 + math.log(x), 1e-12)
            ),
            "the label's own weight is missing: h(a) (1 − log π(a)), then normalized.": 0.5,
            "that is where one step from h leads: π appears on both sides, so solve for it or follow the flow.": (
                0.9 * (1 - math.log(0.9)) / (0.9 * (1 - math.log(0.9)) + 0.1 * (1 - math.log(0.1)))
            ),
        },
        tol=7e-4,
    )


def human_share(answer: object) -> str | None:
    """6.3: the share of human labels that leaves a final success rate of 0.95."""
    return compare.value(
        answer,
        0.0475 / 0.5975,
        {
            "that is the share among the labels kept; asked is the share among those written.": 1 / 12,
            "that is a percentage: give a fraction between 0 and 1.": 4.75 / 0.5975,
            "that is α / (1 − α), the ratio of human labels to the model's.": 0.0475 / 0.55,
            "that is the share of the model's labels; asked is that of the human ones.": 0.55 / 0.5975,
            "that is α for a final success rate of 0.95 if the demonstrators were never right.": 0.05 / 1.05,
        },
        tol=0.001 / 0.0795,
    )


def whole_group(answer: object) -> str | None:
    """6.4: omega of keeping the whole group if one of it is right."""
    inputs = [(p, G) for p in (0.1, 0.5, 0.9) for G in (2, 3, 8)]
    return compare.function(
        answer,
        lambda p, G: (1 - p) ** (G - 1),
        inputs,
        {
            "that is pass@G's derivative: divide by G, as the estimate does.": lambda p, G: G * (1 - p) ** (G - 1),
            "that is the probability that the whole group is wrong; asked for the *others*, there are G − 1.": (
                lambda p, G: (1 - p) ** G
            ),
            "that is the objective, pass@G; its derivative divided by G is asked.": lambda p, G: 1 - (1 - p) ** G,
            "that is the objective, pass@G / G; asked is its derivative.": lambda p, G: (1 - (1 - p) ** G) / G,
            "that is the filter that keeps right answers only.": lambda p, G: (1 - (1 - p) ** G) / p,
            "the wrong answers that are kept count, too: subtract E[W₋] / (1 − p).": lambda p, G: 1.0,
            "it points the other way: W₊ / p minus W₋ / (1 − p).": lambda p, G: -((1 - p) ** (G - 1)),
            "keeping all labels always would give zero; here they are kept only if one is right.": lambda p, G: 0.0,
        },
    )


def pass_at_k(answer: object) -> str | None:
    """6.5: weights whose omega is that of pass@k."""
    if not callable(answer):
        return f"expected a function, got {type(answer).__name__}."
    rates = torch.linspace(0.05, 0.95, 10, dtype=torch.float64)
    wanted, got = [], []
    for group, k in ((2, 1), (3, 2), (4, 2), (4, 4), (6, 3)):
        row = Method("your weights", labeling.on_policy, _weigh(answer, k), surrogate.samples)
        try:
            got.append(exact.omega(row, rates, group))
        except Exception as error:  # the reader's own code: say what it raised
            return f"with G = {group} and k = {k}: {type(error).__name__}: {error}"
        wanted.append(k * (1 - rates) ** (k - 1))
    if all(torch.allclose(x, y, rtol=0, atol=1e-5) for x, y in zip(got, wanted, strict=True)):
        return None
    sizes = ((2, 1), (3, 2), (4, 2), (4, 4), (6, 3))
    mistakes: dict[str, Callable[[Tensor, int, int], Tensor]] = {
        "your ω is the right one divided by G: Z = BG divides already.": lambda p, G, k: k * (1 - p) ** (k - 1) / G,
        "your ω is the right one times G: Z is BG, not B.": lambda p, G, k: G * k * (1 - p) ** (k - 1),
        "your ω is (1 − p)^(k − 1): the derivative of pass@k has a factor k.": lambda p, G, k: (1 - p) ** (k - 1),
        "your ω is 1 throughout: that is RL, which climbs pass@1.": lambda p, G, k: torch.ones_like(p),
        "your ω is that of pass@G: use teams of k out of the G answers.": lambda p, G, k: G * (1 - p) ** (G - 1),
        "your ω is k (1 − p)^k: a team of k has k − 1 others.": lambda p, G, k: k * (1 - p) ** k,
        "your ω has the wrong sign.": lambda p, G, k: -k * (1 - p) ** (k - 1),
        "your weights plug the group's own share of wrong answers into k (1 − p)^(k − 1), and that is biased: "
        "count the teams among the others.": (
            lambda p, G, k: _averaged(p, G, lambda j: k * (1 - (j + 1) / G) ** (k - 1))
        ),
        "your weights count the others' share of wrong answers to the power k − 1, with replacement, and that is "
        "biased: count teams of k − 1 different answers among the others.": (
            lambda p, G, k: _averaged(p, G, lambda j: k * (1 - j / (G - 1)) ** (k - 1))
        ),
        "your weights choose the team from all G answers; choose k − 1 from the other G − 1.": (
            lambda p, G, k: _averaged(p, G, lambda j: k * math.comb(G - j - 1, k - 1) / math.comb(G, k - 1))
        ),
        "your ω is zero: on average your weights teach nothing.": lambda p, G, k: torch.zeros_like(p),
    }
    for diagnosis, wrong in mistakes.items():
        expected = [wrong(rates, G, k) for G, k in sizes]
        if all(torch.allclose(x, y, rtol=0, atol=1e-5) for x, y in zip(got, expected, strict=True)):
            return diagnosis
    for (group, k), x, y in zip(sizes, got, wanted, strict=True):
        if not torch.allclose(x, y, rtol=0, atol=1e-5):
            worst = int((x - y).abs().argmax())
            return (
                f"with G = {group} and k = {k} your ω at p = {rates[worst]:.2f} is {x[worst]:.4f}, "
                f"where {y[worst]:.4f} is wanted."
            )
    raise AssertionError("unreachable: some ω differs")


def _averaged(p: Tensor, group: int, weight: Callable[[int], float]) -> Tensor:
    """The ω of weights on right answers that depend on the number j of right ones among the others."""
    chances = (math.comb(group - 1, j) * p**j * (1 - p) ** (group - 1 - j) * weight(j) for j in range(group))
    return torch.stack(list(chances)).sum(0)


def _weigh(answer: Callable[[Tensor, int], object], k: int) -> Callable[[Batch], Tensor]:
    def weigh(batch: Batch) -> Tensor:
        given = answer(batch.rewards.clone(), k)
        weights = compare.as_tensor(given)
        if isinstance(weights, str):
            raise TypeError(f"the weights must be a tensor of shape [B, G], got {type(given).__name__}")
        return weights.to(batch.rewards.dtype)

    return weigh


def worst_good_teacher(answer: object) -> str | None:
    """6.6: demonstrators far better than the policy, under whom the success rate falls at first."""
    try:
        rows = list(answer)  # type: ignore[call-overload]
    except TypeError:
        rows = []
    if len(rows) != 3 or isinstance(answer, str | dict | set):
        return "expected three lists: pi, h and r."
    parts = [compare.as_tensor(part) for part in rows]
    for part in parts:
        if isinstance(part, str):
            return part
    pi, h, r = (part for part in parts if isinstance(part, Tensor))
    if not pi.shape == h.shape == r.shape == (3,):
        return "each of pi, h and r needs three numbers."
    for name, probs in {"pi": pi, "h": h}.items():
        if not bool((probs > 0).all()) or abs(float(probs.sum()) - 1) > 1e-6:
            return f"{name} must be a distribution with positive probabilities; it is {probs.tolist()}."
    if not bool(((r == 0) | (r == 1)).all()):
        return f"the returns must be 0 or 1; they are {r.tolist()}."
    gap = float(h @ r - pi @ r)
    if gap <= -0.45:
        return "here the policy is better than the demonstrators: did you swap π and h?"
    if gap < 0.45:
        return f"the demonstrators' success rate is higher by {gap:.3f} only; it must be 0.45 at least."
    slope = float((pi * (r - pi @ r)) @ (h - pi))
    if slope >= 0:
        return f"the gap of {gap:.3f} is wide enough, but the success rate rises at first: its slope is {slope:+.4f}."
    return None


def minority(answer: object) -> str | None:
    """6.7: where two prompts that share a row of logits end under filtering per prompt."""

    def filtered(p: float, G: int) -> float:
        return sum((1 - p) ** k for k in range(G))

    def end(P: float, G: int) -> float:
        low, high = 0.0, 1.0
        for _ in range(80):
            x = (low + high) / 2
            rising = P * filtered(x, G) > (1 - P) * filtered(1 - x, G)
            low, high = (x, high) if rising else (low, x)
        return high if high < 1 - 1e-9 else 1.0

    inputs = [(P, G) for P in (0.6, 0.75, 0.9) for G in (1, 2, 4, 12, 40)]
    if callable(answer):
        try:
            outputs = [compare.as_tensor(answer(P, G)) for P, G in inputs]
        except Exception as error:  # the reader's own code: say what it raised
            return f"your function raised {type(error).__name__}: {error}"
        if any(isinstance(x, Tensor) and x.ndim == 0 and float(x) > 1 + 1e-6 for x in outputs):
            return "a probability above 1: where the slopes cross beyond 1 (3P − 1 for G = 2), the end is the corner."
    return compare.function(
        answer,
        end,
        inputs,
        {
            "that is the end for infinitely large groups, where ω = 1/p.": lambda P, G: P,
            "that is RL, which serves the majority alone; a large group's filter does not.": lambda P, G: 1.0,
            "that is the probability of answer 2.": lambda P, G: 1 - end(P, G),
            "that is the end for the best of G, whose ω is that of a filter over G − 1 answers.": (
                lambda P, G: end(P, G - 1) if G > 1 else 1.0
            ),
        },
        tol=1e-4,
    )


CHECKS: dict[str, Callable[[object], str | None]] = {
    "6.1": three_gradients,
    "6.2": forgotten_detach,
    "6.3": human_share,
    "6.4": whole_group,
    "6.5": pass_at_k,
    "6.6": worst_good_teacher,
    "6.7": minority,
}
"""What is wrong with an answer, by the number of the exercise; ``None`` if it is right."""
