"""What samples say: Monte Carlo estimates in bulk, and how they compare with the truth."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ostrl import checks
from ostrl.estimates import gradient_estimates
from ostrl.methods import Method
from ostrl.policies import TablePolicy
from ostrl.tasks import TableTask

_CHUNK_ENTRIES = 2**22


def estimate_gradient(
    method: Method,
    policy: TablePolicy,
    task: TableTask,
    num_prompts: int,
    group_size: int,
    replicas: int,
    generator: torch.Generator,
) -> Float[Tensor, "replicas P"]:
    """Independent gradient estimates, each from its own ``num_prompts`` prompts times ``group_size`` answers.

    Memory is that of the result plus a constant: replicas are drawn a chunk at a time.

    Args:
        method: a row of ``METHODS``, or one of your own.
        policy: the policy being trained.
        task: prompts and grades.
        num_prompts: B, prompts an estimate.
        group_size: G, answers a prompt.
        replicas: how many independent estimates.
        generator: the source of randomness, on the policy's device.

    Returns:
        One estimate a row, columns in the order of ``torch.nn.utils.parameters_to_vector``.

    Raises:
        TypeError: for a missing generator, or a policy and a task that differ in dtype.
        ValueError: for sizes below 1, or a policy and a task that do not fit.
    """
    checks.instance("method", method, Method, "; for example METHODS['rloo']")
    checks.instance("task", task, TableTask)
    for name, size in {"num_prompts": num_prompts, "group_size": group_size, "replicas": replicas}.items():
        checks.positive_int(name, size)
    entries = 2 * task.rewards.numel() + 8 * num_prompts * group_size
    chunk = max(1, _CHUNK_ENTRIES // entries)
    estimates = []
    for start in range(0, replicas, chunk):
        count = min(chunk, replicas - start)
        pile = method.label.sample(policy, task, count * num_prompts, group_size, generator)
        estimates.append(gradient_estimates(method, policy, pile, num_prompts))
    return torch.cat(estimates)


def cosine(a: Float[Tensor, "*N P"], b: Float[Tensor, "*N P"]) -> Float[Tensor, "*N"]:
    """Cosine of the angle between vectors along the last dimension.

    Raises:
        ValueError: for shapes that differ, or if a vector is zero: it has no direction.
    """
    checks.shape("b", checks.finite("b", b), tuple(checks.finite("a", a).shape), "that of a,")
    units = []
    for name, x in {"a": a, "b": b}.items():
        largest = x.abs().amax(-1, keepdim=True)  # divided out first, so that squares neither over- nor underflow
        if not bool((largest > 0).all()):
            raise ValueError(f"{name} must not be zero: a zero vector has no direction")
        units.append(torch.nn.functional.normalize(x / largest, dim=-1))
    return (units[0] * units[1]).sum(-1)


def snr(mean: Float[Tensor, "P"], covariance: Float[Tensor, "P P"]) -> Float[Tensor, ""]:
    """Signal-to-noise ratio ``‖mean‖² / trace(covariance)``. Implements ``eq-snr``.

    It is infinite where there is signal and no noise.

    Raises:
        ValueError: for shapes that do not fit, a negative trace, or neither signal nor noise.
    """
    checks.ndim("mean", checks.finite("mean", mean), 1, "[P]")
    checks.shape("covariance", checks.finite("covariance", covariance), (len(mean), len(mean)), "[P, P] =")
    signal, noise = mean.square().sum(), covariance.trace()
    if noise < 0 or (noise == 0 and signal == 0):
        raise ValueError(f"covariance must have a positive trace, got {noise.item():g} (signal {signal.item():g})")
    return signal / noise


@dataclass(frozen=True)
class ZTest:
    """The outcome of :func:`z_test`.

    Attributes:
        statistic: the largest ``|z|`` over coordinates.
        threshold: what it stays below with probability ``1 - false_alarm`` when the mean is as claimed.
        passed: whether it did.
    """

    statistic: float
    threshold: float
    passed: bool


def z_test(estimates: Float[Tensor, "replicas P"], mean: Float[Tensor, "P"], false_alarm: float = 1e-6) -> ZTest:
    """Test whether independent estimates have the claimed mean.

    Each coordinate's mean is compared in units of its standard error, and the threshold is the normal quantile
    corrected for the number of coordinates (Bonferroni), so that a true claim fails with probability of about
    ``false_alarm`` at most. The normal quantile is an approximation: it needs many replicas of estimates that are
    not too skewed. A coordinate that never varies must agree to rounding.

    Raises:
        ValueError: for fewer than 30 replicas, shapes that do not fit, or a false-alarm rate outside (0, 1).
    """
    checks.ndim("estimates", checks.finite("estimates", estimates), 2, "[replicas, P]")
    checks.shape("mean", checks.finite("mean", mean), (estimates.shape[1],), "[P] =")
    if len(estimates) < 30:
        raise ValueError(f"estimates must have at least 30 replicas for a normal quantile, got {len(estimates)}")
    if not 0 < checks.number("false_alarm", false_alarm) < 1:
        raise ValueError(f"false_alarm must be in (0, 1), got {false_alarm}")
    error = (estimates.mean(0) - mean).abs()
    deviation = estimates.std(0)
    rounding = 1e3 * torch.finfo(estimates.dtype).eps * torch.maximum(estimates.abs().amax(), mean.abs().amax())
    varies = deviation > rounding
    z = torch.where(varies, error / (deviation / len(estimates) ** 0.5), torch.where(error > rounding, torch.inf, 0.0))
    quantile = -torch.special.ndtri(torch.tensor(false_alarm / (2 * len(mean)), dtype=torch.float64))
    statistic, threshold = float(z.max()), float(quantile)
    return ZTest(statistic, threshold, statistic <= threshold)
