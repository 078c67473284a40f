"""Right answers to the exercises of chapter 02 pass, also written differently; typical wrong ones are named."""

import math

import numpy as np
import pytest
import torch
from answers import judged

from ostrl.exercises import compare

RIGHT = {
    "2.1": [
        [-0.06, 0.12, -0.06],
        np.array([-0.06, 0.12, -0.06]),
        torch.tensor([-0.06, 0.12, -0.06]),
    ],
    "2.2": [
        lambda z, a, T: (torch.eye(len(z), dtype=z.dtype)[a] - torch.softmax(z / T, 0)) / T,
        lambda z, a, T: torch.autograd.functional.jacobian(lambda x: torch.log_softmax(x / T, 0)[a], z),
        lambda z, a, T: [((k == a) - math.exp(z[k] / T) / sum(math.exp(y / T) for y in z)) / T for k in range(len(z))],
    ],
    "2.3": [
        lambda pi, r, beta: pi * ((r - beta * pi.log()) - (pi * (r - beta * pi.log())).sum()),
        lambda pi, r, beta: (torch.diag(pi) - torch.outer(pi, pi)) @ (r - beta * (pi.log() + 1)),
        lambda pi, r, beta: torch.autograd.functional.jacobian(
            lambda z: torch.softmax(z, 0) @ (r - beta * torch.log_softmax(z, 0)), pi.log()
        ),
    ],
    "2.4": [3, 3.0, torch.tensor(3.0), 0.6 / 0.2],
    "2.5": [
        lambda p0, p1, good, bad: (
            (
                (2 * p1 - 1) / (2 * p1 * (1 - p1))
                - (2 * p0 - 1) / (2 * p0 * (1 - p0))
                + math.log(p1 * (1 - p0) / (p0 * (1 - p1)))
            )
            / (good - bad)
        ),
        lambda p0, p1, good, bad: (
            np.trapezoid(
                1 / (1 - np.tanh(np.linspace(*(math.log(p / (1 - p)) for p in (p0, p1)), 200_001) / 2) ** 2) * 2,
                np.linspace(*(math.log(p / (1 - p)) for p in (p0, p1)), 200_001),
            )
            / (good - bad)
        ),
    ],
    "2.6": [lambda m: m / (m + 1), lambda m: 1 - 1 / (1 + m), lambda m: {1: 0.5, 2: 0.667, 3: 0.75, 10: 0.909}[m]],
}

WRONG = {
    "2.1": [
        ([0.3, 0.3, 0.0], "mean return is still to be subtracted"),
        ([-0.1, 0.4, -0.6], "multiply it by the probability"),
        ([0.0, 0.15, -0.05], "plain average"),
        ([-0.18, 0.21, -0.03], "old returns"),
        ([0.06, -0.12, 0.06], "check the sign"),
        ([-0.12, 0.24, -0.12], "direction is right"),
        ([-0.06, 0.12], "shape"),
        ("Canberra", "expected a number or a tensor"),
    ],
    "2.2": [
        (lambda z, a, T: torch.eye(len(z), dtype=z.dtype)[a] - torch.softmax(z / T, 0), "another factor 1/T"),
        (lambda z, a, T: (torch.eye(len(z), dtype=z.dtype)[a] - torch.softmax(z, 0)) / T, "must be those at"),
        (lambda z, a, T: torch.eye(len(z), dtype=z.dtype)[a] - torch.softmax(z, 0), "missing altogether"),
        (lambda z, a, T: (torch.eye(len(z), dtype=z.dtype)[a] - torch.softmax(z / T, 0)) * T, "not by T"),
        (lambda z, a, T: (torch.softmax(z / T, 0) - torch.eye(len(z), dtype=z.dtype)[a]) / T, "check the sign"),
        (lambda z, a, T: None, "expected a number or a tensor"),
        (lambda z, a: z, "raised TypeError"),
    ],
    "2.3": [
        (lambda pi, r, beta: pi * (r - pi @ r), "bonus is missing"),
        (lambda pi, r, beta: pi * ((r + beta * pi.log()) - pi @ (r + beta * pi.log())), "turned around"),
        (lambda pi, r, beta: pi * (r - beta * pi.log()), "mean was not subtracted"),
        (lambda pi, r, beta: pi * (r - beta * pi.log() - pi @ r), "not the mean of the bonus"),
        (lambda pi, r, beta: pi * ((r - beta * pi.log()) - pi @ (r - beta * pi.log()) - beta), "which is zero"),
        (lambda pi, r, beta: pi * (r - beta * pi.log() - beta - pi @ r), "did not subtract the mean of the bonus"),
        (lambda pi, r, beta: (r - beta * pi.log()) - pi @ (r - beta * pi.log()), "multiply it by the probability"),
    ],
    "2.4": [
        (0.6, "e^z at the end"),
        (5 / 3, "e^-z at the end"),
        (1.5, "use the invariant"),
        (0.15 / 0.1, "in the chapter"),
        (1 / 3, "one over the factor"),
        (math.log(3), "growth of the logit"),
        (7.0, "not the exact value"),
    ],
    "2.5": [
        (lambda p0, p1, good, bad: _clock(p1) - _clock(p0), "returns are missing"),
        (lambda p0, p1, good, bad: (_clock(p1) - _clock(p0)) * (good - bad), "do not multiply"),
        (lambda p0, p1, good, bad: (_logit(p1) - _logit(p0)) / (good - bad), "natural gradient"),
        (lambda p0, p1, good, bad: 2 * (_clock(p1) - _clock(p0)) / (good - bad), "twice too long"),
        (lambda p0, p1, good, bad: (_clock(p0) - _clock(p1)) / (good - bad), "sign"),
        (lambda p0, p1, good, bad: -_clock(p0) / (good - bad), "time to one half"),
        (lambda p0, p1, good, bad: 0.5 / p0 / (good - bad), "1/(2p) for a small p"),
        (lambda p0, p1, good, bad: (1 / p0 - 1 / p1) / 2 / (good - bad), "at both ends"),
        (lambda p0, p1, good, bad: (1 / p0 - 1 / p1) / 2, "returns are missing"),
        (lambda p0, p1, good, bad: p1 - p0, "not the exact value"),
    ],
    "2.6": [
        (lambda m: 1, "wrong answer vanishes"),
        (lambda m: 0.5, "one wrong answer only"),
        (lambda m: -m / (m + 1), "a positive number"),
        (lambda m: 1 / (m + 1), "e^-z of a wrong answer"),
        (0.5, "expected a function"),
        ({1: 0.5, 2: 0.667, 3: 0.75}, "a function of m"),
        (lambda m: {1: 0.5, 2: 0.667, 3: 0.75}[m], "a function of m"),
        (lambda m: [0, 0.5, 0.667, 0.75][m], "a function of m"),
        (lambda m: m / 0, "raised ZeroDivisionError"),
    ],
}


def _logit(p):
    return math.log(p / (1 - p))


def _clock(p):
    return _logit(p) + math.sinh(_logit(p))


test_right, test_wrong, test_none = judged("2", RIGHT, WRONG)


@pytest.mark.parametrize("slip", [1e-2, 3e-3, 1.5e-3])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_cosine_is_never_rounded_to_one(slip, sign):
    """A small angle is still an angle: the message shows enough digits to see it."""
    want = torch.tensor([1.0, 0.0])
    message = compare.direction(sign * torch.tensor([1.0, slip]), want, 1e-6)
    shown = float(message.split("cosine ")[1].rstrip(")."))
    assert abs(shown) < 1
    assert math.isclose(1 - abs(shown), 1 - 1 / math.hypot(1, slip), rel_tol=0.5)
