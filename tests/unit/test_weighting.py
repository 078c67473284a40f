import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ostrl import weighting

R = torch.tensor([[0.0, 1.0, 1.0, 3.0], [2.0, 2.0, 2.0, 2.0]], dtype=torch.float64)


def close(got, expected, atol=1e-14):
    torch.testing.assert_close(got, torch.tensor(expected, dtype=got.dtype), rtol=0, atol=atol)


def test_each_weighting_on_a_group_worked_out_by_hand():
    close(weighting.reward(R)[0], [0.0, 1.0, 1.0, 3.0])
    close(weighting.constant_baseline(R, 1.0)[0], [-1.0, 0.0, 0.0, 2.0])
    close(weighting.mean_baseline(R)[0], [-1.25, -0.25, -0.25, 1.75])
    close(weighting.leave_one_out(R)[0], [-5 / 3, -1 / 3, -1 / 3, 7 / 3])
    sd = ((1.25**2 + 2 * 0.25**2 + 1.75**2) / 3) ** 0.5
    close(weighting.group_normalized(R)[0], [x / (sd + 1e-4) for x in (-1.25, -0.25, -0.25, 1.75)])
    close(weighting.threshold(R, 1.0)[0], [0.0, 1.0, 1.0, 1.0])
    close(weighting.top_k(R, 2)[0], [0.0, 1.0, 0.0, 1.0])  # a tie: the earlier one
    close(weighting.top_k(R, 1)[1], [1.0, 0.0, 0.0, 0.0])
    e = [1.0, 2.718281828459045, 2.718281828459045, 20.085536923187668]
    close(weighting.exponential(R, 1.0)[0], [x / sum(e) for x in e])


def test_a_baseline_for_each_prompt():
    baseline = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    close(weighting.constant_baseline(R, baseline), [[-1.0, 0.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0]])


CENTERED = [weighting.mean_baseline, weighting.leave_one_out, weighting.group_normalized]


@pytest.mark.parametrize("weigh", CENTERED)
@given(value=st.floats(-(2.0**90), 2.0**90, width=32, allow_subnormal=False), size=st.integers(2, 50))
@settings(deadline=None, max_examples=60)
def test_equal_rewards_weigh_exactly_zero(weigh, value, size):
    for dtype in (torch.float32, torch.float64):
        weights = weigh(torch.full((1, size), value, dtype=dtype))
        assert torch.equal(weights, torch.zeros_like(weights))


def test_a_plain_mean_would_not_have_managed():
    rewards = torch.full((1, 7), 0.1, dtype=torch.float32)
    assert (rewards - rewards.mean(1, keepdim=True)).abs().max() > 0


@pytest.mark.parametrize("weigh", CENTERED)
@given(st.lists(st.integers(-4, 4), min_size=2, max_size=8), st.integers(-(2**20), 2**20))
@settings(deadline=None, max_examples=60)
def test_a_shift_of_all_rewards_changes_nothing(weigh, rewards, shift):
    group = torch.tensor([rewards], dtype=torch.float64)
    assert torch.equal(weigh(group + shift), weigh(group))


@pytest.mark.parametrize("weigh", CENTERED)
@given(st.lists(st.floats(-10, 10), min_size=2, max_size=8))
@settings(deadline=None, max_examples=60)
def test_centered_weights_sum_to_zero_and_keep_the_order(weigh, rewards):
    group = torch.tensor([rewards], dtype=torch.float64)
    weights = weigh(group)
    assert abs(float(weights.sum())) < 1e-8
    order = group.argsort(stable=True)
    assert bool((weights.gather(1, order).diff() >= -1e-12).all())


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=8), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_the_order_of_the_samples_does_not_matter(rewards, random):
    group = torch.tensor([rewards], dtype=torch.float64)
    order = list(range(len(rewards)))
    random.shuffle(order)
    for weigh in [*CENTERED, lambda r: weighting.exponential(r, 0.5), lambda r: weighting.threshold(r, 1.0)]:
        torch.testing.assert_close(weigh(group[:, order]), weigh(group)[:, order], rtol=0, atol=1e-12)


def test_exponential_survives_large_rewards():
    weights = weighting.exponential(torch.tensor([[1e4, 1e4 + 1.0]], dtype=torch.float64), 1.0)
    torch.testing.assert_close(weights, weighting.exponential(torch.tensor([[0.0, 1.0]], dtype=torch.float64), 1.0))


@pytest.mark.parametrize("dtype, offset", [(torch.float32, 1e6), (torch.float64, 1e14)])
def test_exponential_does_not_feel_an_offset(dtype, offset):
    group = torch.tensor([[0.0, 1.0, 2.0]], dtype=dtype)
    assert torch.equal(weighting.exponential(group + offset, 0.7), weighting.exponential(group, 0.7))
    assert torch.equal(weighting.exponential(group, 1e-300), torch.tensor([[0.0, 0.0, 1.0]], dtype=dtype))


def test_importance_and_its_clip():
    old = torch.full((1, 4), 0.5, dtype=torch.float64).log()
    new = torch.tensor([[0.75, 0.75, 0.25, 0.25]], dtype=torch.float64).log()
    advantages = torch.tensor([[1.0, -1.0, 1.0, -1.0]], dtype=torch.float64)
    close(weighting.importance(new, old, advantages), [[1.5, -1.5, 0.5, -0.5]])
    close(weighting.clipped_importance(new, old, advantages, clip=0.2), [[0.0, -1.5, 0.5, 0.0]])
    close(weighting.clipped_importance(new, old, advantages, clip=0.6), [[1.5, -1.5, 0.5, -0.5]])


def test_the_clipped_weight_is_the_gradient_of_ppos_objective():
    g = torch.Generator().manual_seed(0)
    old = torch.randn(3, 5, generator=g, dtype=torch.float64)
    new = (old + 0.4 * torch.randn(3, 5, generator=g, dtype=torch.float64)).requires_grad_()
    advantages = torch.randn(3, 5, generator=g, dtype=torch.float64)
    rho = (new - old).exp()
    objective = torch.minimum(rho * advantages, rho.clamp(0.8, 1.2) * advantages).sum()
    (expected,) = torch.autograd.grad(objective, new)
    got = weighting.clipped_importance(new.detach(), old, advantages)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-14)


def test_the_ratio_multiplies_the_advantage():
    old = torch.full((1, 2), 0.5, dtype=torch.float64).log()
    advantages = torch.tensor([[4.0, -0.5]], dtype=torch.float64)
    new = torch.tensor([[0.55, 0.45]], dtype=torch.float64).log()
    close(weighting.importance(new, old, advantages), [[4.4, -0.45]])
    close(weighting.clipped_importance(new, old, advantages), [[4.4, -0.45]])


def test_the_k_best_may_be_all_and_ties_go_to_the_earliest_in_large_groups_too():
    close(weighting.top_k(R, 4)[0], [1.0, 1.0, 1.0, 1.0])
    kept = weighting.top_k(torch.ones(1, 5000), 7)[0]
    assert kept.nonzero().flatten().tolist() == list(range(7))


def test_no_weight_carries_a_graph():
    baseline = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    log_prob = torch.zeros(2, 4, dtype=torch.float64, requires_grad=True)
    assert not weighting.constant_baseline(R, baseline).requires_grad
    assert not weighting.importance(log_prob, log_prob, R).requires_grad
    assert not weighting.clipped_importance(log_prob, log_prob, R).requires_grad


def test_weights_do_not_share_memory_with_rewards():
    rewards = R.clone()
    weighting.reward(rewards).zero_()
    assert torch.equal(rewards, R)
