"""ω(p) against closed forms, against the enumerated gradient on other problems, and where it does not apply."""

import itertools
import math

import numpy as np
import pytest
import torch

import ostrl
from ostrl import exact, labeling

RATES = torch.tensor([0.01, 0.05, 0.3, 0.5, 0.77, 0.95, 0.99], dtype=torch.float64)
SIZES = [1, 2, 3, 4, 8, 64]


def grpo(p, size, eps=1e-4):
    total = 0.0
    for k in range(1, size):
        deviation = math.sqrt(k * (size - k) / (size * (size - 1)))
        weight = math.comb(size, k) * p**k * (1 - p) ** (size - k)
        total += weight * k * (size - k) / (size**2 * (deviation + eps))
    return total / (p * (1 - p))


CLOSED = {
    "reinforce": lambda p, size: 1.0,
    "rloo": lambda p, size: 1.0,
    "dr_grpo": lambda p, size: 1 - 1 / size,
    "grpo": grpo,
    "dapo": grpo,
    "rest_per_prompt": lambda p, size: (1 - (1 - p) ** size) / p,
    "rest": lambda p, size: (1 - (1 - p) ** size) / p,  # one prompt: pooled is per prompt
    "raft": lambda p, size: (1 - (1 - p) ** size - p) / (p * (1 - p)),
    "rwr": lambda p, size: sum(
        math.comb(size, k) * p**k * (1 - p) ** (size - k)
        * (k * math.e / p - (size - k) / (1 - p)) / (k * math.e + size - k)
        for k in range(size + 1)
    ),
}  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms(name, size):
    if size == 1 and name in ("rloo", "dr_grpo", "grpo", "dapo"):
        with pytest.raises(ValueError, match="groups of at least 2"):
            exact.omega(ostrl.METHODS[name], RATES, size)
        return
    want = torch.tensor([CLOSED[name](float(p), size) for p in RATES], dtype=torch.float64)
    torch.testing.assert_close(exact.omega(ostrl.METHODS[name], RATES, size), want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", CLOSED)
def test_any_number_of_right_answers_and_any_parameters(name):
    """E g = ω(p) ∇p on five answers, two of them right, with parameters that answers share."""
    features = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 5, 3)))
    policy = ostrl.LinearPolicy(features, torch.tensor([0.5, -1.0, 0.3], dtype=torch.float64))
    task = ostrl.TableTask(torch.tensor([[0.0, 1.0, 0.0, 1.0, 0.0]], dtype=torch.float64))
    mean = exact.moments(ostrl.METHODS[name], policy, task, 4, covariance=False).mean
    p = exact.value(policy, task)
    want = exact.omega(ostrl.METHODS[name], p[None], 4) * exact.gradient(policy, task)
    torch.testing.assert_close(mean, want, rtol=0, atol=1e-12)


def test_demonstrators_labels():
    for share in (1.0, 0.6):
        got = exact.omega(ostrl.METHODS["sft"], RATES, 3, demonstrators=share)
        torch.testing.assert_close(got, (share - RATES) / (RATES * (1 - RATES)), rtol=1e-12, atol=1e-12)
        half = exact.omega(ostrl.METHODS["self_training"], RATES, 4, demonstrators=share)
        torch.testing.assert_close(half, got / 2, rtol=1e-10, atol=1e-12)


def test_weights_that_depend_on_the_order_of_a_group():
    def first_is_the_baseline(rewards):
        return rewards - rewards[:, :1]

    want = []
    for p in RATES.tolist():
        total = 0.0
        for group in itertools.product([1.0, 0.0], repeat=3):
            prob = math.prod(p if r else 1 - p for r in group)
            weights = [(r - group[0]) / 3 for r in group]
            plus = sum(w for w, r in zip(weights, group, strict=True) if r)
            minus = sum(w for w, r in zip(weights, group, strict=True) if not r)
            total += prob * (plus / p - minus / (1 - p))
        want.append(total)
    got = exact.omega(ostrl.own(first_is_the_baseline), RATES, 3)
    torch.testing.assert_close(got, torch.tensor(want, dtype=torch.float64), rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="depend on the order of a group"):
        exact.omega(ostrl.own(first_is_the_baseline), RATES, 40)


@pytest.mark.parametrize("size", [7, 12])
def test_one_slot_alone_is_noticed_wherever_it_stands(size):
    """REINFORCE on one slot of each group: 1/G of ∇p, whatever the shuffles that look for a dependence on order."""
    for slot in (0, size // 2, size - 1):
        only = torch.zeros(size, dtype=torch.float64)
        only[slot] = 1
        got = exact.omega(ostrl.own(lambda rewards, only=only: rewards * only), RATES, size)
        torch.testing.assert_close(got, torch.full_like(RATES, 1 / size), rtol=1e-10, atol=1e-12)


def test_who_asks_for_a_reference_gets_a_uniform_one():
    def pull(log_prob, ref_log_prob, rewards):
        return -((rewards - 0.5 * (log_prob - ref_log_prob).detach()) * log_prob).mean()

    logit = (RATES / (1 - RATES)).log()
    torch.testing.assert_close(exact.omega(ostrl.own(pull), RATES, 2), 1 - 0.5 * logit, rtol=1e-10, atol=1e-10)


def test_weights_made_of_log_probabilities():
    """REINFORCE with R π in place of R: ω = p, since E[W₊] = p² and wrong answers weigh nothing."""
    got = exact.omega(ostrl.own(lambda batch: batch.rewards * batch.log_prob.exp()), RATES, 5)
    torch.testing.assert_close(got, RATES, rtol=1e-12, atol=1e-12)


def test_wrong_arguments():
    for bad in ([0.0, 0.5], [0.5, 1.0]):
        with pytest.raises(ValueError, match="strictly between 0 and 1"):
            exact.omega(ostrl.METHODS["rloo"], torch.tensor(bad, dtype=torch.float64), 2)
    with pytest.raises(ValueError, match="must be a probability"):
        exact.omega(ostrl.METHODS["sft"], RATES, 2, demonstrators=1.5)
    with pytest.raises(TypeError, match="must be of class Method"):
        exact.omega("rloo", RATES, 2)
    with pytest.raises(ValueError, match=r"success_rates must have shape \[K\]"):
        exact.omega(ostrl.METHODS["rloo"], torch.tensor(0.5, dtype=torch.float64), 2)
    with pytest.raises(ValueError, match="group_size must be at most 1000"):
        exact.omega(ostrl.METHODS["rloo"], RATES, 1001)


def test_labels_of_a_demonstrator_in_some_slots_are_summed_in_order():
    one_of_three = labeling.Labeler("one of three", lambda size: [ostrl.DEMONSTRATOR] + [ostrl.SELF] * (size - 1))
    method = ostrl.own(lambda batch: torch.ones_like(batch.rewards), label=one_of_three)
    got = exact.omega(method, RATES, 3, demonstrators=0.9)
    torch.testing.assert_close(got, (0.9 - RATES) / (3 * RATES * (1 - RATES)), rtol=1e-10, atol=1e-12)
