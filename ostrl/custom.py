"""Bring your own: a function of a batch, or a whole loss, becomes a row of the table."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ostrl import checks, labeling, surrogate
from ostrl.batch import Batch
from ostrl.labeling import Labeler
from ostrl.methods import METHODS, Method

_FIELDS = [field.name for field in dataclasses.fields(Batch)]


def own(function: Callable[..., Any], *, name: str = "", label: Labeler = labeling.on_policy) -> Method:
    """Make a method of a function of your own, to see in :func:`ostrl.exact.ledger` what it really estimates.

    The function returns one of two things:

    - **weights** ``[B, G]``, one for each label, which are divided by Z = B·G;
    - **a loss**, a scalar that an optimizer would minimize. It may use the log-probabilities in any way: with or
      without ``detach``, as ratios, with any reduction. Its weights are recovered by differentiating it with respect
      to the log-probabilities, ``w = -B·G · ∂loss / ∂log_prob``, since ``-∇loss = -Σ (∂loss/∂log π_i) ∇log π_i`` by
      the chain rule (``eq-recovered-weights``). That is exact where the loss depends on the parameters through these
      log-probabilities only.

    It is called with what its parameters ask for by name: ``log_prob`` (with a graph), ``rewards``, ``source``,
    ``behavior_log_prob``, ``ref_log_prob``, any other field of :class:`~ostrl.batch.Batch`, or ``batch``, the
    whole. A single parameter of another name gets the whole batch. Parameters with a default keep it, unless they
    are named like a field that the batch has::

        def my_loss(log_prob, rewards, clip=0.2): ...
        ostrl.exact.ledger([ostrl.own(my_loss), "rloo", "grpo"])

    Where answers have tokens, log-probabilities are those of whole answers, ``[B, G]``, sums over their tokens;
    ``actions`` and ``mask`` are ``[B, G, T]``.

    A function that does something :func:`torch.vmap` cannot follow (NumPy, ``.item()``, a branch on values) works, and
    is slow. The weights of a loss are those at the present log-probabilities, so that a clip acts once they move.

    Args:
        function: pure, without randomness and without memory: enumeration calls it on every batch there is, and on
            some more than once.
        name: for the table; the function's own by default.
        label: who writes the labels; ``labeling.on_policy`` by default.

    Raises:
        TypeError: if it is not a function.
        ValueError: if it asks for something that a batch does not have. When it is called: if it returns neither
            weights nor a scalar, weights that carry a graph, or a scalar that does not depend on the
            log-probabilities.

    >>> import ostrl
    >>> def centered(log_prob, rewards):
    ...     return -((rewards - rewards.mean(1, keepdim=True)) * log_prob).mean()
    >>> row = ostrl.exact.ledger(own(centered))[0]
    >>> row.same_as, round(row.median("scale"), 4)  # the gradient of J, three quarters as long
    ('dr_grpo', 0.75)
    """
    checks.instance("label", label, Labeler)
    if not callable(function):
        raise TypeError(f"function must be a function, got {type(function).__name__}")
    inner = function.func if isinstance(function, functools.partial) else function
    name = name or getattr(inner, "__name__", type(inner).__name__)
    needed, extra = _arguments(function, name)

    def weigh(batch: Batch) -> Tensor:
        seen = dict(vars(batch))
        if batch.mask is not None:  # log-probabilities of tokens become those of answers
            for field in ("log_prob", "behavior_log_prob", "ref_log_prob"):
                if seen[field] is not None:
                    seen[field] = torch.where(batch.mask, seen[field], 0.0).sum(-1)
        present: Tensor = seen["log_prob"]

        def call(log_prob: Tensor) -> Tensor:
            # Copies, so that a function may change what it gets; it is called on the same batch more than once.
            copies = {key: value.clone() if isinstance(value, Tensor) else value for key, value in seen.items()}
            fields = {**copies, "log_prob": log_prob, "batch": batch}
            for field in needed.values():
                if fields[field] is None:
                    hint = "; give exact.Problem a reference policy" if field == "ref_log_prob" else ""
                    raise ValueError(f"{name} asks for {field}, which these batches do not have{hint}")
            given = {key: fields[field] for key, field in {**needed, **extra}.items() if fields[field] is not None}
            return _result(function(**given), name, batch)

        try:
            with torch.enable_grad():
                leaf = present.clone().requires_grad_()
                result = call(leaf)
                if result.ndim == 2 and result.requires_grad:
                    raise ValueError(
                        f"{name} returned {checks.shape_of(result)} with a graph to log_prob, an unreduced loss or "
                        "weights that are not held constant: reduce it to a scalar, or detach it"
                    )
                if result.ndim == 2:
                    return result
                slope = torch.autograd.grad(result, leaf, allow_unused=True)[0] if result.requires_grad else None
                if slope is None and float(result) == 0:  # a batch that was skipped
                    return torch.zeros_like(batch.rewards)
                if slope is None:
                    raise ValueError(
                        f"the loss of {name} does not depend on log_prob: is log_prob detached, or not an argument?"
                    )
        except RuntimeError as error:  # inside torch.vmap, only functional differentiation works
            if "functorch" not in str(error):
                raise
            result = call(present)
            if result.ndim == 2:
                return result.detach()
            slope = torch.func.grad(call)(present)
        return -slope * batch.rewards.numel()

    return Method(
        name,
        label,
        weigh,
        surrogate.samples,
        reference="your own",
        weight=f"of {name}",
        normalizer="B·G",
    )


def _arguments(function: Callable[..., Any], name: str) -> tuple[dict[str, str], dict[str, str]]:
    """Parameter -> field of the batch that it gets: those that must be given, and those that have a default."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    called = function.forward if isinstance(function, torch.nn.Module) else function
    try:
        parameters = list(inspect.signature(called).parameters.values())
    except ValueError as error:
        raise ValueError(f"{name} does not say what its parameters are: wrap it in a function") from error
    if any(p.kind is inspect.Parameter.POSITIONAL_ONLY for p in parameters):
        raise ValueError(f"{name} must have named parameters, got positional-only ones")
    parameters = [p for p in parameters if p.kind in kinds]
    known = [*_FIELDS, "batch"]
    needed = [p.name for p in parameters if p.default is inspect.Parameter.empty]
    extra = {p.name: p.name for p in parameters if p.name in known and p.name not in needed}
    if len(needed) == 1 and needed[0] not in known:
        return {needed[0]: "batch"}, extra
    unknown = [parameter for parameter in needed if parameter not in known]
    if unknown or not needed:
        got = ", ".join(f"{parameter!r}{_hint(parameter)}" for parameter in unknown) or "none"
        raise ValueError(f"the parameters of {name} must be named among {', '.join(known)}, got {got}")
    return {parameter: parameter for parameter in needed}, extra


def _hint(parameter: str) -> str:
    """What somebody who names a parameter so may have meant."""
    if "adv" in parameter:
        return " (advantages are not given: compute them from rewards)"
    if parameter in ("self", "cls"):
        return " (a method that is not bound to an object)"
    words = parameter.lower()
    for sign, field in (("ref", "ref_log_prob"), ("old", "behavior_log_prob"), ("behav", "behavior_log_prob"),
                        ("log", "log_prob"), ("rew", "rewards"), ("ret", "rewards"), ("mask", "mask")):  # fmt: skip
        if sign in words:
            return f" (perhaps {field}?)"
    return " (a setting needs a default, or functools.partial)"


def _result(result: object, name: str, batch: Batch) -> Tensor:
    """Weights ``[B, G]`` or a scalar loss, or an error that says what was got."""
    shape = tuple(batch.rewards.shape)
    if not isinstance(result, Tensor) or not result.is_floating_point():
        got = result.dtype if isinstance(result, Tensor) else type(result).__name__
        raise TypeError(f"{name} must return floating-point weights {list(shape)} or a scalar loss, got {got}")
    if result.ndim == 0:
        return result
    if tuple(result.shape) != shape:
        raise ValueError(
            f"{name} must return weights of shape [B, G] = {list(shape)} or a scalar loss, "
            f"got {checks.shape_of(result)}"
        )
    return result


def as_method(method: Method | str | Callable[..., Any]) -> Method:
    """A method, the name of a row of ``METHODS``, or a function of one's own, as a method.

    Raises:
        TypeError: for anything else.
        ValueError: for a name that is no row; the message names those that are.
    """
    if isinstance(method, Method):
        return method
    if isinstance(method, str):
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
        return METHODS[method]
    if callable(method):
        return own(method)
    raise TypeError(f"method must be a Method, the name of one, or a function, got {type(method).__name__}")
