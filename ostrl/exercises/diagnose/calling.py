"""Runs a reader's function and says in words what stands in the way of a comparison."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ostrl.exercises.diagnose.cases import Case

Function = Callable[..., Any]

ALIASES = {
    "rewards": ("reward", "returns", "return_", "rs", "r", "R"),
    "log_prob": ("log_probs", "logprob", "logprobs", "logp", "logps", "log_pi", "lp", "per_token_logps"),
    "behavior_log_prob": ("behavior_log_probs", "old_log_prob", "old_log_probs", "old_logp", "logq", "log_q"),
    "probs": ("prob", "pi", "p", "policy"),
    "logits": ("theta", "logit", "z"),
    "actions": ("action", "answers", "drawn", "a"),
    "mask": ("masks", "m", "completion_mask", "token_mask"),
    "tau": ("threshold", "cutoff", "t"),
    "beta": ("temperature", "temp"),
    "eps": ("epsilon",),
}
"""Other names under which a reader may ask for an input."""


@dataclass(frozen=True)
class Door:
    """A way to write an estimator.

    Attributes:
        name: ``"weights"``, ``"loss"`` or ``"estimator"``.
        inputs: what a function gets, by the names of :class:`ostrl.exercises.diagnose.cases.Case`.
        run: a function's output on a batch: weights or coefficients ``[B, G]`` (``[B, G, T]`` for tokens), or an
            estimate ``[A]``; raises :class:`Mistake`.
    """

    name: str
    inputs: Sequence[str]
    run: Callable[[Function, Case], Tensor]


class Mistake(Exception):
    """What is wrong with an answer, as a sentence.

    Attributes:
        kind: the kind of batch it was seen on.
    """

    def __init__(self, sentence: str, kind: str = "") -> None:
        super().__init__(sentence)
        self.kind = kind


def shape_of(x: Tensor) -> str:
    """A shape in words."""
    return "a single number" if x.ndim == 0 else f"shape {list(x.shape)}"


def where(case: Case) -> str:
    """A batch in words."""
    size = f"rewards of {shape_of(case.fields['rewards'])}"
    return f"{size}, {case.kind}" if case.kind else size


def parameters(answer: Function) -> list[inspect.Parameter] | None:
    """What a function, or a module's ``forward``, asks for by name; ``None`` where its signature is unknown."""
    try:
        asked = inspect.signature(answer.forward if isinstance(answer, torch.nn.Module) else answer).parameters
    except (TypeError, ValueError):
        return None
    return [p for p in asked.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def required(answer: Function) -> list[str]:
    """The names of the parameters without a default."""
    return [p.name for p in parameters(answer) or [] if p.default is p.empty]


def arguments(answer: Function, names: Sequence[str]) -> list[str] | None:
    """The input that each parameter of a function stands for, in order; ``None`` where its signature is unknown.

    Parameters that have an input's name, or an alias of it, get that input; the other inputs go to the remaining
    parameters in order.
    """
    asked = parameters(answer)
    if asked is None or any(p.kind is p.POSITIONAL_ONLY for p in asked):
        return None
    asked = [p for p in asked if p.kind is p.POSITIONAL_OR_KEYWORD]
    by_name = {p.name: n for n in names for p in asked if p.name == n or p.name in ALIASES.get(n, ())}
    rest = [n for n in names if n not in by_name.values()]
    order: list[str] = []
    for p in asked:
        if p.name in by_name:
            order.append(by_name[p.name])
        elif rest:
            order.append(rest.pop(0))
        elif p.default is p.empty:
            return None
        else:
            break
    return order if not rest and sorted(order) == sorted(names) else None


@torch.enable_grad()
def call(answer: Function, case: Case, names: Sequence[str], **leaves: Tensor) -> object:
    """The reader's output on one batch, with ``leaves`` in place of some of its fields.

    A function with one parameter called ``batch`` gets a :class:`ostrl.Batch`, any other its inputs as
    :func:`arguments` says.

    Raises:
        Mistake: if the function raises, returns nothing, or changes what it was given.
    """
    before = {n: leaves.get(n, case.fields[n]) for n in names}
    given = {n: x.clone() if isinstance(x, Tensor) else x for n, x in before.items()}
    wants_batch = "batch" not in names and required(answer) == ["batch"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = answer(case.batch) if wants_batch else answer(*(given[n] for n in arguments(answer, names) or names))
    except Exception as error:  # the reader's own code: say what it raised
        raise Mistake(_raised(error, case, names), case.kind) from error
    if out is None:
        raise Mistake("your function returned None: is a `return` missing?")
    for name, x in given.items():
        if isinstance(x, Tensor) and not x.requires_grad and not torch.equal(x.nan_to_num(), before[name].nan_to_num()):
            raise Mistake(f"your function changes {name} in place, so that others get other numbers: work on a copy.")
    return out


def _raised(error: Exception, case: Case, names: Sequence[str]) -> str:
    text = _text(error)
    sentence = f"your function raised {type(error).__name__} on {where(case)}: {text}"
    if "must match the size" in text or "broadcast" in text:
        return f"{sentence}. Has a mean or sum lost its dimension (keepdim=True)?"
    if isinstance(error, TypeError) and "argument" in text:
        return f"{sentence}. It is called with ({', '.join(names)})."
    return f"{sentence}."


def _text(error: Exception) -> str:
    """The first line of what an error says."""
    return (str(error).strip() or "no message").split("\n")[0].rstrip(".")


def as_tensor(out: object) -> Tensor:
    """Numbers, lists, arrays and tensors as float64, without a graph."""
    if isinstance(out, Tensor):
        return out.detach().to(torch.float64)
    if isinstance(out, list | tuple) and out:
        rows = [as_tensor(row) for row in out]
        if len({tuple(row.shape) for row in rows}) > 1:
            raise Mistake("your function returned rows of different lengths.")
        return torch.stack(rows)
    try:
        return torch.as_tensor(out, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise Mistake(f"expected numbers, your function returned {type(out).__name__}.") from None


def fitted(out: Tensor, shape: Sequence[int], case: Case, meaning: str) -> Tensor:
    """The output in the expected shape and finite, or a mistake."""
    if [n for n in out.shape if n != 1] != [n for n in shape if n != 1]:
        raise Mistake(f"expected shape {list(shape)} ({meaning}) for {where(case)}, got {shape_of(out)}.", case.kind)
    if not bool(out.isfinite().all()):
        what = "NaN" if bool(out.isnan().any()) else "infinity"
        raise Mistake(f"your function gives {what} on {where(case)}: is something divided by 0?", case.kind)
    return out.reshape(tuple(shape))


@torch.enable_grad()
def minus_slope(answer: Function, case: Case, names: Sequence[str]) -> Tensor:
    """``-d loss / d log_prob`` of a loss, in the shape of ``log_prob``: the coefficient of every ``∇ log π``."""
    leaf = case.fields["log_prob"].detach().clone().requires_grad_()
    loss = call(answer, case, names, log_prob=leaf)
    if not isinstance(loss, Tensor):
        raise Mistake(
            f"a loss must be a tensor that backward() can be called on, yours is a {type(loss).__name__}: "
            "was it turned into a plain number (.item(), float(), NumPy)?"
        )
    if loss.numel() > 1:
        raise Mistake(f"a loss is a single number, yours has {shape_of(loss)}: add up its terms and divide by Z.")
    if not bool(loss.isfinite().all()):
        cause = "did padding get into it (choose with torch.where)" if "mask" in names else "is something divided by 0"
        raise Mistake(f"the loss is not finite on {where(case)}: {cause}?", case.kind)
    try:
        slope = torch.autograd.grad(loss.sum(), leaf, allow_unused=True)[0] if loss.requires_grad else None
    except RuntimeError as error:
        if "second time" in str(error):
            raise Mistake("your function calls backward() itself: it should only return the loss.") from error
        raise Mistake(f"backward() of your loss raised {_text(error)}.") from error
    if slope is None:
        raise Mistake(
            "no gradient reaches log_prob: is log_prob detached, used under torch.no_grad(), or not in the loss at "
            "all? Only the weights are held constant."
        )
    return -slope.to(torch.float64)


@torch.enable_grad()
def trains_baseline(answer: Function, case: Case, names: Sequence[str]) -> bool:
    """Whether the loss sends a gradient into a learned baseline that it is given."""
    if "baseline" not in names:
        return False
    leaves = {name: case.fields[name].detach().clone().requires_grad_() for name in ("log_prob", "baseline")}
    loss = call(answer, case, names, **leaves)
    slope = torch.autograd.grad(loss, leaves["baseline"], allow_unused=True)[0] if isinstance(loss, Tensor) else None
    return slope is not None and bool((slope != 0).any())
