"""Facts about an estimator, whether or not its cause is found: what it is on average, and what it depends on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ostrl.exercises.diagnose import parts
from ostrl.exercises.diagnose.calling import Door, Function, Mistake
from ostrl.exercises.diagnose.cases import Case
from ostrl.exercises.diagnose.search import close

Triple = tuple[Case, Tensor, Tensor]
"""Batch, the reader's output, the right one."""

_PROBS = torch.tensor([[0.5, 0.3, 0.2], [0.4, 0.6, 0.0]], dtype=torch.float64)
_BEHAVIOR = torch.tensor([[0.3, 0.3, 0.4], [0.7, 0.3, 0.0]], dtype=torch.float64)
_RETURNS = torch.tensor([[0.0, 1.0, 0.4], [1.0, -0.5, 0.2]], dtype=torch.float64)


UNBIASED = "unbiased, but not the estimator asked for"


def on_average(door: Door, answer: Function, right: Function, like: Case) -> list[str]:
    """How the mean and the variance of an estimate are related to ∇J, by summing over every batch of two groups of 3.

    Answers come from the policy, or from another one if functions ask for its log-probabilities.
    Nothing is said where the right estimate is not parallel to ∇J on average either, or where answers have tokens.
    """
    if "mask" in like.fields:
        return []
    table = torch.arange(1 if like.flat or door.name == "estimator" else 2)
    groups = 1 if like.flat else 2
    rows = table.expand(groups)

    def estimate(function: Function, case: Case, actions: Tensor) -> Tensor:
        out = door.run(function, case)
        if door.name == "estimator":
            return out
        score = torch.zeros(*actions.shape, len(table), 3, dtype=torch.float64)
        for b, g in itertools.product(*map(range, actions.shape)):
            score[b, g, rows[b]] = -_PROBS[rows[b]]
            score[b, g, rows[b], actions[b, g]] += 1
        return torch.einsum("bg,bgoa->oa", out / (out.numel() if door.name == "weights" else 1), score).flatten()

    try:
        behavior = _BEHAVIOR if "behavior_log_prob" in door.inputs else _PROBS
        moments = _moments(estimate, (answer, right), like, rows, behavior)
    except Mistake:
        return []
    (mine, my_noise), (good, noise) = moments
    pi, r = _PROBS[: len(table)], _RETURNS[: len(table)]
    truth = (pi * (r - (pi * r).sum(1, keepdim=True))).flatten() / len(table)
    if _cosine(good, truth) < 1 - 1e-6:
        return []
    if float((mine - truth).norm()) < 1e-6 * float(truth.norm()):
        size = "batches of 4" if like.flat else "groups of 3"
        same = math.isclose(my_noise, noise, rel_tol=1e-6)
        variance = "its variance" if same else f"{my_noise / noise:.3g} times its variance"
        return [f"{UNBIASED} ({variance} on a problem of three answers, in {size})"]
    if float(mine.norm()) < 1e-9:
        return ["zero on average"]
    cosine = _cosine(mine, truth)
    if abs(cosine) > 1 - 1e-6:
        length = math.copysign(float(mine.norm() / truth.norm()), cosine)
        return [f"on average {length:.3g} times ∇J, with groups of {4 if like.flat else 3}"]
    digits = max(3, math.ceil(-math.log10(1 - abs(cosine))) + 1)  # never rounded to 1
    return [f"on average at a cosine of {cosine:.{digits}f} to ∇J"]


def _moments(
    estimate: Callable[[Function, Case, Tensor], Tensor],
    functions: Sequence[Function],
    like: Case,
    rows: Tensor,
    behavior: Tensor,
) -> list[tuple[Tensor, float]]:
    """Mean and total variance of each function's estimate, over every batch of groups of 3 (one of 4 if flat)."""
    size = 4 if like.flat else 3
    draws = torch.cartesian_prod(*[torch.arange(3)] * (size * len(rows))).view(-1, len(rows), size)
    chance = behavior[rows[:, None], draws].flatten(1).prod(1)
    draws, chance = draws[chance > 0], chance[chance > 0]
    batches = [_drawn(like, actions, rows, behavior) for actions in draws]
    moments = []
    for function in functions:
        estimates = torch.stack([estimate(function, case, a) for case, a in zip(batches, draws, strict=True)])
        mean = chance @ estimates
        moments.append((mean, float(chance @ (estimates - mean).square().sum(1))))
    return moments


def _drawn(like: Case, actions: Tensor, rows: Tensor, behavior: Tensor) -> Case:
    shape = (-1,) if like.flat else tuple(actions.shape)
    log_prob = _PROBS[rows[:, None], actions].log().reshape(shape)
    return like.with_fields(
        rewards=_RETURNS[rows[:, None], actions].reshape(shape),
        actions=actions.reshape(shape),
        log_prob=log_prob,
        behavior_log_prob=behavior[rows[:, None], actions].log().reshape(shape),
        ref_log_prob=log_prob,
        probs=_PROBS[0],
        logits=_PROBS[0].log(),
        scores=(torch.eye(3, dtype=torch.float64)[actions] - _PROBS[0]).reshape(*shape, 3),
        baseline=like.fields["baseline"] if like.flat else like.fields["baseline"][: len(rows)],
    )


def _cosine(a: Tensor, b: Tensor) -> float:
    length = float(a.norm() * b.norm())
    return float(a @ b) / length if length > 1e-12 else 0.0


def properties(door: Door, answer: Function, right: Function, base: Triple) -> Iterator[str]:
    """What the right one depends on and the reader's does not, or the other way around."""
    case, got, want = base
    r, size = case.rewards, float(want.abs().max())

    def react(changed: Case) -> tuple[Tensor, Tensor]:
        try:
            return door.run(answer, changed) - got, door.run(right, changed) - want
        except Mistake:
            return torch.zeros_like(got), torch.zeros_like(want)

    def still(x: Tensor) -> bool:
        return float(x.abs().max()) <= 1e-6 * size

    def with_rewards(x: Tensor) -> Case:
        return case.with_fields(rewards=x.reshape(case.fields["rewards"].shape))

    for setting, sign in (("tau", "τ"), ("beta", "β"), ("k", "k")):
        if setting in door.inputs:
            mine, good = react(case.with_fields(**{setting: case.fields[setting] + 1}))
            if still(mine) and not still(good):
                yield f"{sign} makes no difference to yours: is it ignored?"
    if door.name == "estimator":
        if still(want.sum()) and not still(got.sum()):
            yield f"the entries of a softmax's gradient add up to 0, yours to {float(got.sum()):.3g} (is π subtracted?)"
        return
    if "mask" in case.fields and not still(got[~parts.mask(case)]) and still(want[~parts.mask(case)]):
        yield "padding after the end token gets a gradient"
    if door.name == "loss":
        mine, good = react(case.with_fields(log_prob=case.fields["log_prob"] * 1.3 - 0.1))
        if not still(mine) and still(good):
            yield "its gradient depends on the values of log_prob (is a detach missing, or is log_prob exponentiated?)"
    if len(r) > 1:
        other = r.clone()
        other[1] = other[1].flip(0) + 1
        mine, good = react(with_rewards(other))
        if not still(mine[0]) and still(good[0]):
            yield "the weights of a prompt depend on the returns of another (is a mean over the wrong dimension?)"
        if still(mine[0]) and not still(good[0]):
            yield "each prompt is treated by itself, where the right one looks at the whole batch"
    if got.ndim == 2 and got.numel() > 3:
        line = torch.stack([want.flatten(), torch.ones(want.numel(), dtype=want.dtype)], 1)
        slope, offset = torch.linalg.lstsq(line, got.reshape(-1, 1)).solution.flatten().tolist()
        if close(got, slope * want + offset, case) and abs(offset) > 1e-6 * size and abs(slope) > 1e-6:
            yield f"your weights are {slope:.3g} times the right ones plus {offset:.3g}, for every answer"
    if got.ndim == 2 and not case.flat and "log_prob" not in door.inputs:
        terms = {" R": r, " times the mean of its group": r.mean(1, keepdim=True).expand_as(r), "": r**0}
        columns = torch.stack([term.flatten() for term in terms.values()], 1)
        fit = torch.linalg.lstsq(columns, got.reshape(-1, 1)).solution
        if close((columns @ fit).reshape(got.shape), got, case):
            named = [(name, x) for name, x in zip(terms, fit.flatten().tolist(), strict=True) if abs(x) > 1e-6 * size]
            formula = " ".join(f"{'+' if x > 0 else '-'} {abs(x):.4g}{name}" for name, x in named)
            weights = formula.removeprefix("+ ") or "all 0"
            yield f"on the first batch, {len(r)} groups of {r.shape[1]}, your weights are {weights}"
    mine, good = react(with_rewards(r + 1))
    if not still(mine) and still(good):
        yield "adding 1 to every return changes your weights, and should not (what is subtracted?)"
    if still(mine) and not still(good):
        yield "adding 1 to every return does not change your weights, and should"
    mine, good = react(with_rewards(2 * r))
    if still(mine) and not still(good):
        yield "doubling every return does not change your weights, and should"
    elif not still(mine - got) and still(good - want):
        yield "doubling every return does not double your weights, and should"
    order = torch.arange(r.shape[1]).roll(1)
    inputs = {name: x[:, order] for name, x in case.fields.items() if isinstance(x, Tensor) and x.shape[:2] == r.shape}
    mine, good = react(case.with_fields(**inputs))
    if not case.flat and still(good + want - want[:, order]) and not still(mine + got - got[:, order]):
        yield "the order of the answers in a group matters to yours, and should not"
    if still(want.sum(1)) and not still(got.sum(1)):
        yield "the right weights of a group add up to 0, yours do not"
    raised = r.clone()
    raised[0, 0] += 1
    mine, good = (x[0, 0].flatten()[0] for x in react(with_rewards(raised)))
    if not still(mine - good):
        yield f"raising a return by 1 changes its answer's weight by {float(mine):.3g}, and should by {float(good):.3g}"


def smallest(triples: Sequence[Triple], inputs: Sequence[str] = ()) -> str:
    """The smallest batch on which the outputs differ; of answers with tokens, the first that differs."""
    wrong = [t for t in triples if not close(t[1], t[2], t[0])]
    case, got, want = min(wrong, key=lambda t: ("far" in t[0].kind, t[0].rewards.numel(), t[1].numel()))
    given = f"with returns {numbers(case.rewards)}"
    given += f" and τ = {case.fields['tau']:.3f}" if "tau" in inputs else ""
    if got.ndim == 1:
        given += f" for the answers {case.fields['actions'].reshape(case.rewards.shape).tolist()}"
    if got.ndim == 3:
        b, g = divmod(int((got - want).abs().sum(2).argmax()), got.shape[1])
        given += f", for the {int(parts.mask(case)[b, g].sum())} tokens of answer {g} to prompt {b}"
        got, want = got[b, g], want[b, g]
    return f"{given} yours is {numbers(got)}, the right one {numbers(want)}"


def numbers(x: Tensor) -> str:
    """A small tensor, rounded."""
    return str((x.double() * 1000).round().div(1000).add(0.0).tolist())
