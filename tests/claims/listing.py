"""What the tests of several chapters list with, in NumPy: nothing of ``ostrl`` is used here.

Derivatives are taken by complex steps, ``Im f(x + ih) / h``: no autograd, exact to rounding.
"""

import numpy as np
import pytest

H = 1e-30
FEATURES = np.random.default_rng(7).normal(size=(2, 2))


def softmax(z):
    e = np.exp(z)
    return e / e.sum(-1, keepdims=True)


def own_logits(theta):
    """Two prompts with three answers and logits of their own."""
    return softmax(theta[:6].reshape(2, 3))


def network(theta):
    """Two prompts whose three logits come from one small network."""
    w, v = theta[:8].reshape(2, 4), theta[8:20].reshape(4, 3)
    return softmax(np.tanh(FEATURES @ w) @ v)


TABLES = [pytest.param(own_logits, 6, id="own logits"), pytest.param(network, 20, id="network")]


def jacobian(f, theta):
    """∂f/∂θ, the parameter's index last."""
    steps = theta[:, None] + 1j * H * np.eye(len(theta))
    return np.stack([f(steps[:, k]).imag / H for k in range(len(theta))], axis=-1)


def integrate(velocity, start, times, tolerance=1e-13):
    """States of dz/dt = velocity(z) at the given increasing times, stacked, by Runge-Kutta steps of checked error."""

    def step(z, h):
        k1 = velocity(z)
        k2 = velocity(z + h / 2 * k1)
        k3 = velocity(z + h / 2 * k2)
        k4 = velocity(z + h * k3)
        return z + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    states, z, now, h = [], np.asarray(start, float), 0.0, 1e-3
    for end in times:
        while now < end:
            last = h >= end - now
            h = end - now if last else h
            whole, halves = step(z, h), step(step(z, h / 2), h / 2)
            error = np.abs(whole - halves).max() / 15
            if error <= tolerance:
                z, now = halves, end if last else now + h
            h *= min(4.0, max(0.2, 0.9 * (tolerance / (error + 1e-300)) ** 0.2))
        states.append(z)
    return np.stack(states)
