"""What selection does to a distribution, against the enumeration of every group."""

import itertools

import numpy as np
import pytest
import torch

from ostrl import exact

PROBS = torch.tensor([0.4, 0.1, 0.2, 0.25, 0.05], dtype=torch.float64)
GRADES = [
    torch.tensor([0.0, 1.0, 0.0, 0.5, 1.0], dtype=torch.float64),
    torch.tensor([3.0, -1.0, 2.0, 0.5, 1.0], dtype=torch.float64),
    torch.full((5,), 2.0, dtype=torch.float64),
]


@pytest.mark.parametrize("rewards", GRADES)
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_best_of_n(rewards, n):
    want = np.zeros(5)
    for group in itertools.product(range(5), repeat=n):
        winner = max(range(n), key=lambda i: (float(rewards[group[i]]), -i))
        want[group[winner]] += np.prod([float(PROBS[a]) for a in group])
    torch.testing.assert_close(exact.best_of_n(PROBS, rewards, n), torch.from_numpy(want), rtol=0, atol=1e-13)


def test_best_of_very_many_is_the_best():
    far = exact.best_of_n(PROBS, GRADES[0], 2000)
    torch.testing.assert_close(far, exact.filtered(PROBS, GRADES[0], 1.0), rtol=0, atol=1e-12)


def test_filtered():
    got = exact.filtered(PROBS.expand(2, 5), torch.stack([GRADES[0], GRADES[1]]), 0.5)
    want = torch.tensor([[0, 0.1, 0, 0.25, 0.05], [0.4, 0, 0.2, 0.25, 0.05]], dtype=torch.float64)
    torch.testing.assert_close(got, want / want.sum(1, keepdim=True), rtol=0, atol=1e-15)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="tau = 4 above"):
        exact.filtered(PROBS, GRADES[1], 4.0)
    with pytest.raises(ValueError, match="n must be at least 1"):
        exact.best_of_n(PROBS, GRADES[0], 0)
    with pytest.raises(ValueError, match="probs must sum to 1"):
        exact.best_of_n(2 * PROBS, GRADES[0], 2)
    with pytest.raises(ValueError, match=r"rewards must have shape that of probs, \[5\], got \[4\]"):
        exact.filtered(PROBS, GRADES[0][:4], 0.0)
    with pytest.raises(ValueError, match="answers along their last dimension"):
        exact.filtered(torch.tensor(1.0), torch.tensor(1.0), 0.0)


def test_best_of_n_prompt_by_prompt():
    probs = torch.stack([PROBS, PROBS.flip(0)])
    rewards = torch.stack([GRADES[0], GRADES[1]])
    want = torch.stack([exact.best_of_n(p, r, 3) for p, r in zip(probs, rewards, strict=True)])
    torch.testing.assert_close(exact.best_of_n(probs, rewards, 3), want, rtol=0, atol=1e-15)
