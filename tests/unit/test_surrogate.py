import pytest
import torch
from problems import problem

import ostrl
from ostrl import surrogate, surrogate_loss


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_gradient_is_minus_the_weighted_sum_of_scores():
    logits = numbers(2, 3).requires_grad_()
    actions = torch.tensor([[0, 2], [1, 1]])
    weight = numbers(2, 2, seed=1)
    loss = surrogate_loss(torch.log_softmax(logits, -1).gather(1, actions), weight, 4.0)
    loss.backward()
    expected = torch.zeros_like(logits)
    for o in range(2):
        for g in range(2):
            expected[o] -= weight[o, g] / 4 * (torch.eye(3)[actions[o, g]] - torch.softmax(logits[o], -1)).detach()
    torch.testing.assert_close(logits.grad, expected, rtol=0, atol=1e-14)


def test_no_gradient_flows_through_the_weights_or_the_normalizer():
    log_prob, weight = numbers(2, 2).requires_grad_(), numbers(2, 2, seed=1).requires_grad_()
    z = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    surrogate_loss(log_prob, weight, z).backward()
    assert weight.grad is None
    assert z.grad is None
    torch.testing.assert_close(log_prob.grad, -weight.detach() / 3)


@pytest.mark.parametrize("cut", [1, 2, 3, 6])
@pytest.mark.parametrize("name", ["rest", "grpo", "raft"])
def test_any_cut_into_micro_batches_gives_the_same_gradient(name, cut):
    policy, task, _ = problem("binary", 3, 4, seed=0)
    method = ostrl.METHODS[name]
    batch = method.label.sample(policy, task, 6, 4, torch.Generator().manual_seed(1))
    weights = method.weigh(batch)
    z = method.normalize(batch, weights)

    def gradient(pieces):
        policy.zero_grad()
        for rows in pieces:
            loss = surrogate_loss(policy.log_prob(batch.prompts[rows], batch.actions[rows]), weights[rows], z)
            loss.backward()
        return policy.logits.grad.clone()

    torch.testing.assert_close(gradient(torch.arange(6).split(cut)), gradient([torch.arange(6)]), rtol=0, atol=1e-14)


def test_a_weight_for_each_answer_is_spread_over_its_tokens():
    log_prob, weight = numbers(2, 3, 4), numbers(2, 3, seed=1)
    spread = weight.unsqueeze(-1).expand(2, 3, 4)
    z = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    torch.testing.assert_close(surrogate_loss(log_prob, weight, z), surrogate_loss(log_prob, spread, z.unsqueeze(-1)))


def test_masked_nan_and_infinity_never_reach_the_gradient():
    log_prob = numbers(1, 2, 3)
    log_prob[0, 0, 2] = torch.nan
    log_prob[0, 1, 1] = -torch.inf
    log_prob.requires_grad_()
    mask = torch.tensor([[[True, True, False], [True, False, False]]])
    loss = surrogate_loss(log_prob, torch.ones(1, 2, dtype=torch.float64), 2.0, mask)
    loss.backward()
    expected = -(log_prob[0, 0, 0] + log_prob[0, 0, 1] + log_prob[0, 1, 0]) / 2
    torch.testing.assert_close(loss, expected)
    assert torch.equal(log_prob.grad, torch.where(mask, -0.5, 0.0).double())


def test_a_single_label_is_a_batch():
    log_prob = torch.tensor([[-0.5]], requires_grad=True)
    loss = surrogate_loss(log_prob, torch.tensor([[3.0]]), 1.0)
    loss.backward()
    assert loss.detach().item() == 1.5
    assert log_prob.grad.tolist() == [[-3.0]]


def test_masked_nan_in_the_weights_is_left_out_too():
    mask = torch.tensor([[[True, False]]])
    log_prob = torch.tensor([[[-1.0, torch.nan]]], requires_grad=True)
    loss = surrogate_loss(log_prob, torch.tensor([[[2.0, torch.nan]]]), 1.0, mask)
    loss.backward()
    assert float(loss.detach()) == 2.0
    assert log_prob.grad.tolist() == [[[-2.0, 0.0]]]


def batch_of(rewards):
    shape = rewards.shape
    zeros = torch.zeros(shape, dtype=torch.long)
    return ostrl.Batch(zeros[:, 0], zeros, rewards, zeros, torch.zeros_like(rewards), torch.zeros_like(rewards))


def test_normalizers_by_hand():
    batch = batch_of(torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]], dtype=torch.float64))
    weights = batch.rewards
    assert surrogate.samples(batch, weights) == 6
    assert surrogate.prompts(batch, weights) == 2
    assert surrogate.kept(batch, weights) == 2
    assert surrogate.kept_per_prompt(batch, weights).tolist() == [[4.0], [2.0]]


@pytest.mark.parametrize("name", ["rest", "rest_per_prompt"])
def test_where_nothing_is_kept_the_gradient_is_exactly_zero(name):
    batch = batch_of(torch.zeros(2, 3, dtype=torch.float64))
    method = ostrl.METHODS[name]
    weights = method.weigh(batch)
    log_prob = numbers(2, 3).requires_grad_()
    surrogate_loss(log_prob, weights, method.normalize(batch, weights)).backward()
    assert torch.equal(log_prob.grad, torch.zeros(2, 3, dtype=torch.float64))
