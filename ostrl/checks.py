"""Argument checks, written once.

Every check raises before anything is computed and says what was wrong, what was got and what was expected:
``TypeError`` for a wrong kind of thing, ``ValueError`` for a wrong shape or value.
"""

from __future__ import annotations

import math
from numbers import Integral, Real

import torch
from torch import Tensor


def _kind(value: object) -> str:
    return f"{type(value).__name__} {value!r}" if isinstance(value, int | float | str) else type(value).__name__


def instance(name: str, value: object, kind: type, hint: str = "") -> None:
    """Require an object of a class of the package."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be of class {kind.__name__}, got {_kind(value)}{hint}")


def differentiable() -> None:
    """Require a place where gradients can be taken; ``torch.no_grad()`` is one, ``inference_mode`` is not."""
    if torch.is_inference_mode_enabled():
        raise RuntimeError("gradients cannot be taken inside torch.inference_mode(); use torch.no_grad() instead")


def shape_of(tensor: Tensor) -> str:
    """A tensor's shape as it is written in error messages, e.g. ``[4, 2]``."""
    return str(list(tensor.shape))


def holds(condition: Tensor) -> bool:
    """Whether a boolean tensor is true everywhere.

    Inside :func:`torch.vmap` values cannot be looked at. Whoever maps a function over a stack of batches has
    checked the whole stack already, so there the answer is yes.
    """
    try:
        return bool(condition.all())
    except RuntimeError as error:
        if "vmap" in str(error):
            return True
        raise


def tensor(name: str, value: object) -> Tensor:
    """Require a tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {_kind(value)}")
    return value


def floating(name: str, value: object) -> Tensor:
    """Require a floating-point tensor."""
    x = tensor(name, value)
    if not x.is_floating_point():
        raise TypeError(f"{name} must be floating point (float64 for exact answers), got {x.dtype}")
    return x


def finite(name: str, value: object) -> Tensor:
    """Require a floating-point tensor without NaN or infinity."""
    x = floating(name, value)
    if not holds(x.isfinite()):
        bad = int((~x.isfinite()).sum())
        raise ValueError(f"{name} must be finite, got {bad} NaN or infinite of {x.numel()} entries")
    return x


def ndim(name: str, value: Tensor, expected: int, layout: str) -> Tensor:
    """Require a number of dimensions and no empty one; ``layout`` names them for the message."""
    if value.ndim != expected:
        raise ValueError(f"{name} must have shape {layout}, got shape {shape_of(value)}")
    if 0 in value.shape:
        raise ValueError(f"{name} must not be empty, got shape {shape_of(value)} for {layout}")
    return value


def shape(name: str, value: Tensor, expected: tuple[int, ...], layout: str = "") -> Tensor:
    """Require an exact shape."""
    if tuple(value.shape) != tuple(expected):
        of = f" {layout}" if layout else ""
        raise ValueError(f"{name} must have shape{of} {list(expected)}, got {shape_of(value)}")
    return value


def rewards(value: object, name: str = "rewards") -> Tensor:
    """Require rewards ``[B, G]``: floating point, finite, not empty, and without a graph."""
    x = floating(name, value)
    ndim(name, x, 2, "[B, G] (prompts, answers per prompt)")
    no_graph(name, x)
    return finite(name, x)


def no_graph(name: str, value: Tensor) -> Tensor:
    """Require a tensor that carries no graph: a teacher's grade is a number, not a function of the policy."""
    if value.requires_grad:
        raise ValueError(f"{name} must not require grad, it is held constant; pass {name}.detach()")
    return value


def group(name: str, value: Tensor) -> Tensor:
    """Require groups of at least two answers."""
    if value.shape[1] < 2:
        raise ValueError(
            f"{name} must have groups of at least 2 answers to compare them, "
            f"got a group of {value.shape[1]} (shape {shape_of(value)})"
        )
    return value


def same_device(name: str, value: Tensor, other_name: str, other: Tensor) -> Tensor:
    """Require two tensors to live on one device."""
    if value.device != other.device:
        raise ValueError(f"{name} is on {value.device}, {other_name} on {other.device}: expected one device")
    return value


def like(name: str, value: Tensor, other_name: str, other: Tensor) -> Tensor:
    """Require two tensors to share device and dtype."""
    same_device(name, value, other_name, other)
    if value.dtype != other.dtype:
        raise TypeError(f"{name} has dtype {value.dtype}, {other_name} {other.dtype}: expected one dtype")
    return value


def probabilities(name: str, value: object, expected: tuple[int, ...], layout: str) -> Tensor:
    """Require non-negative entries that sum to one over the last dimension."""
    x = no_graph(name, finite(name, value))
    shape(name, x, expected, layout)
    if bool((x < 0).any()):
        raise ValueError(f"{name} must not be negative, got {x.min().item():g}")
    total = x.sum(-1)
    error = float((total - 1).abs().max())
    if error > 1e3 * torch.finfo(x.dtype).eps:
        raise ValueError(f"{name} must sum to 1 along its last dimension, got a sum that is off by {error:.3g}")
    return x


def integer(name: str, value: object, what: str) -> Tensor:
    """Require an integer tensor; returns it as ``int64``."""
    x = tensor(name, value)
    if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
        raise TypeError(f"{name} must be an integer tensor ({what}), got {x.dtype}")
    return x.long()


def indices(name: str, value: object, limit: int, what: str) -> Tensor:
    """Require an integer tensor with entries in ``0 … limit - 1``; returns it as ``int64``."""
    x = integer(name, value, f"indices of {what}")
    if x.numel() == 0:
        raise ValueError(f"{name} must not be empty, got shape {shape_of(x)}")
    low, high = int(x.min()), int(x.max())
    if low < 0 or high >= limit:
        raise ValueError(f"{name} must be indices of {what} in 0 … {limit - 1}, got {low if low < 0 else high}")
    return x


def positive_int(name: str, value: object) -> int:
    """Require a whole number of at least one."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an int, got {_kind(value)}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return int(value)


def number(name: str, value: object, *, above: float = -math.inf) -> float:
    """Require a finite number, optionally greater than a bound."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {_kind(value)}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    if value <= above:
        raise ValueError(f"{name} must be greater than {above:g}, got {value:g}")
    return float(value)


def generator(value: object, device: torch.device) -> torch.Generator:
    """Require a ``torch.Generator`` on the device where samples are drawn: no hidden global state."""
    if not isinstance(value, torch.Generator):
        raise TypeError(
            f"generator must be a torch.Generator, got {_kind(value)}; "
            f"for example torch.Generator('{device}').manual_seed(0)"
        )
    if value.device.type != device.type:
        raise ValueError(f"generator is on {value.device}, the policy or task on {device}: expected one device")
    return value
