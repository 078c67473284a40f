"""How an answer is compared with the exact one. Each returns what is wrong, in words, or ``None``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ostrl.exercises.diagnose.calling import required

ORDER = "the numbers are right, but in another order"


def as_tensor(answer: object) -> Tensor | str:
    """A reader's number, list, array or tensor as float64, or what is wrong with it."""
    if isinstance(answer, list | tuple) and any(hasattr(part, "shape") or isinstance(part, list) for part in answer):
        rows = [as_tensor(part) for part in answer]
        if wrong := [row for row in rows if isinstance(row, str)]:
            return wrong[0]
        tensors = [row for row in rows if isinstance(row, Tensor)]
        if len({row.shape for row in tensors}) > 1:
            return f"the parts of your {type(answer).__name__} have different shapes."
        return torch.stack(tensors)
    try:
        x = torch.as_tensor(answer, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError):
        return f"expected a number or a tensor, got {type(answer).__name__}."
    if not bool(x.isfinite().all()):
        return "your answer is not finite."
    return x


def value(
    answer: object, expected: float | Tensor, mistakes: Mapping[str, float | Tensor] | None = None, tol: float = 1e-6
) -> str | None:
    """Compare a number or a tensor.

    Args:
        answer: the reader's.
        expected: the exact one.
        mistakes: typical wrong values by their diagnosis.
        tol: relative tolerance, to leave room for rounded numbers where an exercise allows them.
    """
    got = as_tensor(answer)
    if isinstance(got, str):
        return got
    want = torch.as_tensor(expected, dtype=torch.float64)
    if got.numel() == want.numel() == 1:
        got = got.reshape(want.shape)
    if got.shape != want.shape:
        return f"expected {_shape(want)}, got {_shape(got)}."
    if _close(got, want, tol):
        return None
    for diagnosis, wrong in (mistakes or {}).items():
        if _close(got, torch.as_tensor(wrong, dtype=torch.float64), tol):
            return diagnosis
    if got.ndim > 0 and _close(got.flatten().sort().values, want.flatten().sort().values, tol):
        return f"{ORDER}."
    return direction(got, want, tol)


def function(
    answer: object,
    expected: Callable[..., float | Tensor],
    inputs: Sequence[tuple[object, ...]],
    mistakes: Mapping[str, Callable[..., float | Tensor]] | None = None,
    tol: float = 1e-6,
) -> str | None:
    """Compare a function with the exact one on several inputs; ``mistakes`` are typical wrong functions."""
    if not callable(answer):
        return f"expected a function, got {type(answer).__name__}."
    names, mine = required(expected), required(answer)
    by_name = mine != names and sorted(mine) == sorted(names) and len(names) == len(inputs[0])
    known = sorted(mine) == sorted(names) or len(mine) < 2
    called = "" if known else f". It is called with ({', '.join(names)}), in this order."
    outputs = []
    for args in inputs:
        try:
            outputs.append(answer(**dict(zip(names, args, strict=True))) if by_name else answer(*args))
        except Exception as error:  # the reader's own code: say what it raised
            return f"your function raised {type(error).__name__}: {error}{called}"
    verdicts = [value(out, expected(*args), tol=tol) for out, args in zip(outputs, inputs, strict=True)]
    if all(v is None for v in verdicts):
        return None
    for diagnosis, wrong in (mistakes or {}).items():
        if all(value(out, wrong(*args), tol=tol) is None for out, args in zip(outputs, inputs, strict=True)):
            return diagnosis
    verdict = next(v for v in verdicts if v is not None)
    return verdict + called.removeprefix(".")


def direction(got: Tensor, want: Tensor, tol: float) -> str:
    """How two different vectors are related: sign, length, or direction."""
    norms = float(got.norm()), float(want.norm())
    if got.ndim == 0 or min(norms) == 0:
        return "that is not the exact value."
    cosine = float((got * want).sum()) / (norms[0] * norms[1])
    if cosine < -1 + tol:
        return "it points exactly the other way: check the sign."
    if cosine > 1 - tol:
        return f"the direction is right, but it has {norms[0] / norms[1]:.4g} of the exact length."
    digits = max(3, math.ceil(-math.log10(1 - abs(cosine))) + 1)  # never rounded to 1
    return f"it makes an angle with the exact answer (cosine {cosine:.{digits}f})."


def _close(got: Tensor, want: Tensor, tol: float) -> bool:
    return got.shape == want.shape and bool(((got - want).abs() <= tol * (want.abs().max() + 1e-9)).all())


def _shape(x: Tensor) -> str:
    return "a single number" if x.ndim == 0 else f"a tensor of shape {list(x.shape)}"
