"""The one loss, and what it is divided by.

Every method in the book has the gradient ``(1/Z) Σ w ∇ log π``. :func:`surrogate_loss` is the scalar whose
backward pass gives it (with a minus sign, since optimizers go downhill). Its value is not the objective.
Weights are held constant here, so no method has to remember to.

A normalizer takes the batch and its weights and returns Z, a number or a tensor that broadcasts against the
weights. Z belongs to the whole batch, never to a micro-batch.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ostrl import checks
from ostrl.batch import Batch


def surrogate_loss(
    log_prob: Float[Tensor, "B G"] | Float[Tensor, "B G T"],
    weight: Float[Tensor, "B G"] | Float[Tensor, "B G T"],
    normalizer: float | Tensor,
    mask: Bool[Tensor, "B G T"] | None = None,
) -> Float[Tensor, ""]:
    """The scalar ``-Σ w · log π / Z``, with w and Z held constant and masked tokens left out. ``eq-surrogate``.

    Args:
        log_prob: log-probabilities (nats) of the labels, with a graph.
        weight: one weight a log-probability, or one dimension fewer: then each is spread over the tokens.
        normalizer: Z, a positive number or a tensor that broadcasts against ``weight``.
        mask: which log-probabilities count; same shape as ``log_prob``. What is masked out may even be NaN.

    Returns:
        A scalar. ``backward()`` leaves minus the policy-gradient estimate in ``.grad``.

    Raises:
        TypeError: for arguments that are not floating-point tensors, or mixed dtypes.
        ValueError: for shapes that do not fit, weights or (unmasked) log-probabilities that are not finite, or a Z
            that is not positive.

    >>> logits = torch.tensor([0.6, 0.3, 0.1]).log().requires_grad_()
    >>> log_prob = torch.log_softmax(logits, 0)[torch.tensor([[0, 1, 0, 0]])]  # of four answers to one prompt
    >>> surrogate_loss(log_prob, torch.tensor([[0.0, 1.0, 0.0, 0.0]]), 4).backward()
    >>> -logits.grad  # up for what was right, down for the others
    tensor([-0.1500,  0.1750, -0.0250])
    """
    checks.floating("log_prob", log_prob)
    checks.floating("weight", weight)
    checks.like("weight", weight, "log_prob", log_prob)
    if log_prob.numel() == 0:
        raise ValueError(f"log_prob must not be empty, got shape {checks.shape_of(log_prob)}")
    spread = weight.ndim == log_prob.ndim - 1
    if weight.shape != log_prob.shape and not (spread and weight.shape == log_prob.shape[:-1]):
        raise ValueError(
            f"weight must have the shape of log_prob, {checks.shape_of(log_prob)}, or that without its last "
            f"dimension, got {checks.shape_of(weight)}"
        )
    if mask is not None:
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
            got = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
            raise TypeError(f"mask must be a boolean tensor, got {got}")
        checks.shape("mask", mask, tuple(log_prob.shape), "that of log_prob,")
        log_prob = torch.where(mask, log_prob, 0.0)
        if not spread:
            weight = torch.where(mask, weight, 0.0)
    checks.finite("log_prob", log_prob)
    coefficient = divide(checks.finite("weight", weight).detach(), normalizer)
    return -((coefficient.unsqueeze(-1) if spread else coefficient) * log_prob).sum()


def divide(weight: Tensor, normalizer: float | Tensor) -> Tensor:
    """``w / Z`` with Z checked: the coefficient of each ``∇ log π``.

    Raises:
        ValueError: if Z is not positive and finite, or does not broadcast against the weights.
    """
    if isinstance(normalizer, Tensor):
        checks.same_device("normalizer", normalizer, "weight", weight)
        if normalizer.is_complex():
            raise TypeError(f"normalizer must be real, got {normalizer.dtype}")
        z = normalizer.detach().to(weight.dtype)
        if not checks.holds(valid(z)):
            raise ValueError(f"normalizer must be positive and finite, got {z[~valid(z)].flatten()[0].item():g}")
        fits = z.ndim == weight.ndim and all(n in (1, m) for n, m in zip(z.shape, weight.shape, strict=True))
        if z.ndim > 0 and not fits:
            raise ValueError(
                f"normalizer must be a number or broadcast against weight, {checks.shape_of(weight)}, dimension by "
                f"dimension (one for each prompt is [B, 1]), got {checks.shape_of(z)}"
            )
    else:
        z = torch.as_tensor(checks.number("normalizer", normalizer, above=0.0), dtype=weight.dtype)
    return checks.finite("weight / normalizer", weight / z.to(weight.device))


def valid(normalizer: float | Tensor) -> Tensor:
    """Whether Z is positive and finite, entry by entry."""
    z = torch.as_tensor(normalizer)
    return z.isfinite() & (z > 0)


def samples(batch: Batch, weights: Tensor) -> float:
    """Z = B·G, the number of labels."""
    return float(batch.rewards.numel())


def prompts(batch: Batch, weights: Tensor) -> float:
    """Z = B, the number of prompts."""
    return float(batch.rewards.shape[0])


def kept(batch: Batch, weights: Float[Tensor, "B G"]) -> Float[Tensor, ""]:
    """Z = the number of labels in the batch with a weight other than zero (1 where there is none).

    For filters, whose weights are 0 or 1: a centered weight may miss zero by a rounding error.
    """
    return (weights != 0).sum().clamp_min(1).to(weights.dtype)


def kept_per_prompt(batch: Batch, weights: Float[Tensor, "B G"]) -> Float[Tensor, "B 1"]:
    """Z = B · (labels of that prompt with a weight other than zero), 1 in place of no label. For filters."""
    return weights.shape[0] * (weights != 0).sum(1, keepdim=True).clamp_min(1).to(weights.dtype)


def tokens(batch: Batch, weights: Tensor) -> float | Float[Tensor, ""]:
    """Z = the tokens of the batch that count; for tables, whose answers are whole, the labels, B·G."""
    return float(batch.rewards.numel()) if batch.mask is None else batch.mask.sum().to(batch.rewards.dtype)


def lengths(batch: Batch, weights: Float[Tensor, "B G"]) -> float | Float[Tensor, "B G"]:
    """Z = B·G · (the tokens of that answer that count); for tables, whose answers are whole, the labels, B·G."""
    if batch.mask is None:
        return samples(batch, weights)
    counted = batch.mask.sum(-1).clamp_min(1).to(batch.rewards.dtype)
    return batch.rewards.numel() * counted
