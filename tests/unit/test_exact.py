"""The exact answers agree with a second enumeration that shares no code with the first."""

import math

import enumeration
import pytest
import torch
from problems import REWARD_KINDS, problem

import ostrl
from ostrl import exact

SIZES = [(1, 5, 4, 1), (3, 4, 2, 1), (2, 2, 3, 2), (3, 2, 2, 2)]


@pytest.mark.parametrize("kind", REWARD_KINDS)
def test_value_and_gradient(kind):
    policy, task, (logits, rewards, prompt_probs, _) = problem(kind, 3, 5, seed=1)
    scale = abs(rewards).max()
    assert float(exact.value(policy, task)) == pytest.approx(
        enumeration.value(logits, rewards, prompt_probs), abs=1e-13 * scale
    )
    expected = torch.from_numpy(enumeration.gradient(logits, rewards, prompt_probs))
    torch.testing.assert_close(exact.gradient(policy, task), expected, rtol=0, atol=1e-13 * scale)


@pytest.mark.parametrize("num_prompts, num_answers, group_size, batch_prompts", SIZES)
@pytest.mark.parametrize("kind", REWARD_KINDS)
@pytest.mark.parametrize("name", ostrl.METHODS)
def test_moments_of_every_method(name, kind, num_prompts, num_answers, group_size, batch_prompts):
    policy, task, numbers = problem(kind, num_prompts, num_answers, seed=2)
    got = exact.moments(ostrl.METHODS[name], policy, task, group_size, batch_prompts)
    mean, covariance = enumeration.moments(name, *numbers, group_size, batch_prompts)
    scale = max(1.0, abs(numbers[1]).max())
    torch.testing.assert_close(got.mean, torch.from_numpy(mean), rtol=0, atol=1e-12 * scale)
    torch.testing.assert_close(got.covariance, torch.from_numpy(covariance), rtol=0, atol=1e-12 * scale**2)


def test_moments_do_not_depend_on_the_chunk(monkeypatch):
    policy, task, _ = problem("graded", 2, 3, seed=3)
    whole = exact.moments(ostrl.METHODS["rest"], policy, task, 2, 2)
    monkeypatch.setattr("ostrl.exact.enumeration._CHUNK_ENTRIES", 300)
    cut = exact.moments(ostrl.METHODS["rest"], policy, task, 2, 2)
    torch.testing.assert_close(cut.mean, whole.mean, rtol=0, atol=1e-14)
    torch.testing.assert_close(cut.covariance, whole.covariance, rtol=0, atol=1e-14)


def test_covariance_can_be_left_out():
    policy, task, _ = problem("graded", 2, 3, seed=3)
    with_it = exact.moments(ostrl.METHODS["rloo"], policy, task, 3)
    without = exact.moments(ostrl.METHODS["rloo"], policy, task, 3, covariance=False)
    assert without.covariance is None
    torch.testing.assert_close(without.mean, with_it.mean, rtol=0, atol=1e-14)


def test_too_many_states_are_refused_with_their_number():
    policy, task, _ = problem("graded", 2, 5, seed=3)
    with pytest.raises(ValueError, match=r"5\^12 groups.* = 488,281,250 states"):
        exact.moments(ostrl.METHODS["rloo"], policy, task, 12)


def test_scores_have_mean_zero_and_are_the_gradient_of_log_prob():
    policy = ostrl.StringPolicy(2, 3, 3, torch.Generator().manual_seed(0))
    scores = exact.scores(policy)
    mean = torch.einsum("oa,oap->op", policy.probs(), scores)
    torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-13)
    (one,) = torch.autograd.grad(policy.log_probs()[1, 4], policy.parameters())
    torch.testing.assert_close(scores[1, 4], one.flatten(), rtol=0, atol=1e-14)


def test_fisher_matrix_of_a_softmax():
    policy, task, (logits, _, prompt_probs, _) = problem("graded", 1, 4, seed=5)
    pi = torch.from_numpy(enumeration.softmax(logits))[0]
    expected = float(prompt_probs[0]) * (pi.diag() - torch.outer(pi, pi))
    torch.testing.assert_close(exact.fisher(policy, task), expected, rtol=0, atol=1e-14)


def test_no_baseline_has_less_variance_than_the_optimal_one():
    policy, task, _ = problem("graded", 2, 4, seed=6)
    best = exact.optimal_baseline(policy, task)

    def trace(baseline):
        method = ostrl.Method(
            "with_baseline",
            ostrl.labeling.on_policy,
            lambda batch: ostrl.weighting.constant_baseline(batch.rewards, baseline[batch.prompts][:, None]),
            ostrl.surrogate.samples,
            "",
            "",
        )
        moments = exact.moments(method, policy, task, 1)
        torch.testing.assert_close(moments.mean, exact.gradient(policy, task), rtol=0, atol=1e-13)
        return float(moments.covariance.trace())

    for step in torch.tensor([[0.1, 0.0], [-0.1, 0.0], [0.0, 0.1], [0.0, -0.1]], dtype=torch.float64):
        assert trace(best) < trace(best + step)
    tiny = torch.tensor([1e-3, 0.0], dtype=torch.float64)
    assert math.isclose(trace(best + tiny), trace(best - tiny), rel_tol=1e-12)  # the bottom of a parabola


def test_where_scores_vanish_any_baseline_does():
    policy = ostrl.CategoricalPolicy(torch.zeros(1, 1, dtype=torch.float64))
    task = ostrl.TableTask(torch.tensor([[3.0]], dtype=torch.float64))
    assert float(exact.optimal_baseline(policy, task)) == 3.0


def test_answers_that_never_happen_are_left_out():
    # A demonstrator that never writes answer 0: its log-probability is -inf, and no state may contain it.
    demonstrations = torch.tensor([[0.0, 0.25, 0.75]], dtype=torch.float64)
    policy = ostrl.CategoricalPolicy(torch.zeros(1, 3, dtype=torch.float64))
    task = ostrl.TableTask(torch.zeros(1, 3, dtype=torch.float64), None, demonstrations)
    moments = exact.moments(ostrl.METHODS["sft"], policy, task, 2)
    expected = demonstrations[0] - 1 / 3
    torch.testing.assert_close(moments.mean, expected, rtol=0, atol=1e-14)


def test_what_nobody_writes_cannot_spoil_an_importance_weight():
    # π/q is infinite where q = 0; such states never happen and must not be visited.
    demonstrations = torch.tensor([[0.0, 0.25, 0.75]], dtype=torch.float64)
    policy = ostrl.CategoricalPolicy(torch.tensor([[0.5, 0.2, 0.3]], dtype=torch.float64).log())
    task = ostrl.TableTask(torch.tensor([[0.0, 1.0, 2.0]], dtype=torch.float64), None, demonstrations)
    method = ostrl.Method(
        "reweighted",
        ostrl.labeling.demonstrations,
        lambda batch: ostrl.weighting.importance(batch.log_prob, batch.behavior_log_prob, batch.rewards),
        ostrl.surrogate.samples,
    )
    got = exact.moments(method, policy, task, 2).mean  # answer 0 earns nothing, so nothing is missed
    torch.testing.assert_close(got, exact.gradient(policy, task), rtol=0, atol=1e-14)


def test_a_weighting_that_branches_on_values_is_enumerated_too():
    # torch.vmap cannot follow the branch; the result must be the same as without one.
    def clumsy(batch):
        if bool((batch.rewards == batch.rewards[:, :1]).all()):
            return torch.zeros_like(batch.rewards)
        return ostrl.weighting.leave_one_out(batch.rewards)

    policy, task, _ = problem("binary", 2, 3, seed=7)
    rloo = ostrl.METHODS["rloo"]
    method = ostrl.Method("clumsy", rloo.label, clumsy, rloo.normalize, "", "")
    got, expected = (exact.moments(m, policy, task, 3) for m in (method, rloo))
    torch.testing.assert_close(got.mean, expected.mean, rtol=0, atol=1e-14)
    torch.testing.assert_close(got.covariance, expected.covariance, rtol=0, atol=1e-14)


def test_a_weighting_over_the_whole_batch_sees_one_batch_at_a_time():
    # Mean and normalizer over the batch of two prompts, not over the pile that is enumerated.
    method = ostrl.Method(
        "batch_mean",
        ostrl.labeling.on_policy,
        lambda batch: batch.rewards - batch.rewards.mean(),
        lambda batch, weights: batch.rewards.shape[0] * batch.rewards.shape[1],
        "",
        "",
    )
    policy, task, numbers = problem("graded", 2, 2, seed=8)
    got = exact.moments(method, policy, task, 1, num_prompts=2).mean
    logits, rewards, prompt_probs, _ = numbers
    pi = enumeration.softmax(logits)
    expected = 0
    for o in range(2):
        for p in range(2):
            for a in range(2):
                for b in range(2):
                    center = (rewards[o, a] + rewards[p, b]) / 2
                    total = (rewards[o, a] - center) * enumeration.score(logits, o, a) / 2
                    total = total + (rewards[p, b] - center) * enumeration.score(logits, p, b) / 2
                    expected = expected + prompt_probs[o] * prompt_probs[p] * pi[o, a] * pi[p, b] * total
    torch.testing.assert_close(got, torch.from_numpy(expected), rtol=0, atol=1e-14)


def test_gradients_are_the_same_inside_no_grad():
    policy, task, _ = problem("graded", 2, 3, seed=9)
    with torch.no_grad():
        inside = exact.gradient(policy, task), exact.moments(ostrl.METHODS["rloo"], policy, task, 2).mean
    assert torch.equal(inside[0], exact.gradient(policy, task))
    torch.testing.assert_close(inside[1], inside[0], rtol=0, atol=1e-14)
