"""Checks of a reader's own version of a row of the book's table, by the method's name.

>>> from ostrl import exercises
>>> exercises.check("rloo", lambda rewards: rewards - rewards.mean(1, keepdim=True))
rloo: not yet: parallel to the right answer on every batch, but 0.75 of its length (with B = 3, G = 4): is the own \
sample in your baseline?
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ostrl import methods
from ostrl.batch import Batch
from ostrl.exercises import diagnose
from ostrl.exercises.diagnose.calling import ALIASES, required
from ostrl.methods import Method
from ostrl.surrogate import surrogate_loss

_SETTINGS: dict[str, tuple[str, tuple[float, ...]]] = {
    "grpo": ("eps", (1e-4, 1e-5, 1e-6, 1e-8)),
    "dapo": ("eps", (1e-4, 1e-5, 1e-6, 1e-8)),
    "rest": ("tau", (1.0,)),
    "rest_per_prompt": ("tau", (1.0,)),
    "rwr": ("beta", (1.0,)),
}
"""The setting that a function may ask for, and the values that are right if it does not."""

_LENGTHS: dict[str, Callable[[Tensor], Tensor | float]] = {
    "grpo": lambda mask: mask.sum(2, keepdim=True),
    "dapo": lambda mask: mask.sum() / mask[..., 0].numel(),
}
"""What a method divides by for language models, besides what it divides by for tables."""


_THRESHOLDS: dict[str, Callable[[Tensor], Tensor]] = {
    "is that a threshold (R ≥ 1) in place of the best of the group?": lambda r: r >= 1,
    "is that a threshold (R ≥ ½) in place of the best of the group?": lambda r: r >= 0.5,
    "is that a threshold (R > 0) in place of the best of the group?": lambda r: r > 0,
}
"""Weights that are taken for RAFT's where returns are 0 and 1."""

_KNOWN = {alias: name for name, aliases in ALIASES.items() for alias in (name, *aliases)}


def _batch(rewards: Tensor) -> Batch:
    nothing = torch.zeros_like(rewards, dtype=torch.long)
    return Batch(nothing[:, 0], nothing, rewards, nothing, torch.zeros_like(rewards), torch.zeros_like(rewards))


def _loss(method: Method, log_prob: Tensor, rewards: Tensor, mask: Tensor | None = None) -> Tensor:
    batch = _batch(rewards)
    w = method.weights(batch)
    coefficient = w / method.normalize(batch, w)
    if mask is None:
        return surrogate_loss(log_prob, coefficient, 1.0)
    per_token = coefficient[..., None] / _LENGTHS.get(method.name, lambda mask: 1.0)(mask)
    return surrogate_loss(log_prob, per_token.expand(mask.shape), 1.0, mask)


def _estimate(method: Method, policy: Tensor, actions: Tensor, rewards: Tensor, given: str) -> Tensor:
    logits = (policy.log() if given == "probs" else policy).clone().requires_grad_()
    with torch.enable_grad():
        value = -_loss(method, torch.log_softmax(logits, 0)[actions], rewards)
    return torch.autograd.grad(value, logits)[0]


def _inputs(answer: Callable[..., Any], setting: str) -> tuple[str, ...]:
    """What a function asks for: returns, and perhaps log-probabilities, a mask, the policy, or a setting."""
    names = [_KNOWN.get(p, p) for p in required(answer)]
    for policy in ("probs", "logits"):
        if policy in names:
            return policy, "actions", "rewards"
    if setting in names:
        return "rewards", setting
    return (("rewards",), ("log_prob", "rewards"), ("log_prob", "rewards", "mask"))[min(max(len(names), 1), 3) - 1]


def _is_loss(answer: Callable[..., Any]) -> bool:
    """Whether a function of a batch gives a single number, not weights."""
    try:
        out = answer(_batch(torch.arange(6.0, dtype=torch.float64).reshape(2, 3)))
    except Exception:  # the reader's own code: reported when it is compared
        return False
    return isinstance(out, Tensor) and out.numel() == 1


def check(name: str, answer: object) -> str | None:
    """What is wrong with weights, a loss or an estimator that should be those of a method; ``None`` if it is right.

    Args:
        name: of the method.
        answer: a function of the returns ``[B, G]`` (and perhaps of ``tau``, ``beta`` or ``eps``) that gives
            weights; of ``log_prob`` and the returns that gives a loss, or with a ``mask`` the loss of a language
            model; of a ``batch`` that gives weights; or of ``probs`` (or ``logits``), ``actions`` and the returns that
            gives a gradient estimate.
    """
    if not callable(answer):
        return f"expected a function of the returns [B, G], got {type(answer).__name__}."
    setting = _SETTINGS.get(name, ("", ()))[0]
    if required(answer) == ["batch"] and _is_loss(answer):
        return (
            "a function of a batch means weights [B, G] here, yours gives a single number: if that is a loss, let it "
            "ask for log_prob and rewards by name (batch.log_prob has no graph)."
        )
    inputs = _inputs(answer, setting)
    wrong = _compare(name, answer, inputs)
    unknown = [p for p in required(answer) if p not in _KNOWN]
    if wrong is None or len(inputs) == 1 or not unknown:
        return wrong
    return f"{wrong} I call it as ({', '.join(inputs)}); name your arguments so."


def _compare(name: str, answer: Callable[..., Any], inputs: tuple[str, ...]) -> str | None:
    build = getattr(methods, name)
    setting, values = _SETTINGS.get(name, ("", ()))
    if setting in inputs:
        return diagnose.weights(answer, lambda rewards, x: build(x).weights(_batch(rewards)), inputs)
    rows: list[Method] = [build(value) for value in values] or [build()]
    fixed: dict[str, Any] = {setting: values[0]} if setting else {}
    if inputs[0] == "log_prob":
        return diagnose.loss(answer, [partial(_loss, row) for row in rows], inputs, **fixed)
    if inputs[0] != "rewards":
        return diagnose.estimator(answer, [partial(_estimate, row, given=inputs[0]) for row in rows], inputs, **fixed)
    told = _THRESHOLDS if name == "raft" else None
    return diagnose.weights(answer, [lambda r, row=row: row.weights(_batch(r)) for row in rows], inputs, told, **fixed)


CHECKS: dict[str, Callable[[object], str | None]] = {
    name: partial(check, name)
    for name in ("reinforce", "rloo", "dr_grpo", "grpo", "dapo", "rest", "rest_per_prompt", "raft", "rwr")
}
"""What is wrong with an answer, by the name of the method; ``None`` if it is right."""
