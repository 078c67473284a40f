"""Where a gradient leads: the flow of training with infinitely small steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ostrl import checks


def integrate(
    velocity: Callable[[Tensor], Tensor], start: Tensor, times: Sequence[float], tolerance: float = 1e-12
) -> Float[Tensor, "times *state"]:
    """Solve ``dz/dt = velocity(z)`` by classical Runge-Kutta steps, halved or doubled to keep to a tolerance.

    Args:
        velocity: maps a state to its velocity, in the same shape; a batch of states may be one state.
        start: the state at time 0, floating point.
        times: increasing, not negative; the unit is the inverse of a step size.
        tolerance: the largest error of a step in any coordinate, estimated from two half steps.

    Returns:
        The states at the given times, stacked.

    Raises:
        ValueError: if the times are not increasing or negative, the tolerance is not positive, or the velocity has
            another shape than the state or is not finite.
    """
    checks.finite("start", start)
    checks.number("tolerance", tolerance, above=0.0)
    ends = [checks.number("times", float(time)) for time in times]
    if not ends or ends[0] < 0 or ends != sorted(set(ends)):
        raise ValueError(f"times must be increasing and not negative, got {ends}")
    checks.shape("velocity(start)", checks.finite("velocity(start)", velocity(start)), tuple(start.shape))

    def step(z: Tensor, h: float) -> Tensor:
        k1 = velocity(z)
        k2 = velocity(z + h / 2 * k1)
        k3 = velocity(z + h / 2 * k2)
        k4 = velocity(z + h * k3)
        return z + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    states, z, now, h = [], start, 0.0, 1e-3
    for end in ends:
        while now < end:
            last = h >= end - now
            h = end - now if last else h
            whole, halves = step(z, h), step(step(z, h / 2), h / 2)
            error = float((whole - halves).abs().max()) / 15
            checks.finite("the state", halves)
            if error <= tolerance:
                z, now = halves, end if last else now + h
            h *= min(4.0, max(0.2, 0.9 * (tolerance / (error + 1e-300)) ** 0.2))
        states.append(z)
    return torch.stack(states)
