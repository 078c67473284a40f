"""A function of one's own becomes a method whose w/Z is exactly what its gradient says."""

import functools
import itertools
import re

import enumeration
import pytest
import torch
from problems import problem

import ostrl
from ostrl import exact, labeling, weighting


def clipped(log_prob, rewards, clip=0.2):
    advantages = rewards - rewards.mean(1, keepdim=True)
    ratio = (log_prob - log_prob.detach()).exp()
    return -torch.min(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages).mean()


def undetached(log_prob, rewards):
    return -(rewards * log_prob.exp()).mean()


def entropy_bonus(log_prob, rewards):
    return -((rewards - 0.1 * log_prob.detach()) * log_prob).mean()


def branching(log_prob, rewards):
    return -log_prob.mean() if rewards.sum().item() > 2 else -(log_prob * rewards).mean()


def looped(log_prob, rewards):
    total = 0.0
    for row in range(rewards.shape[0]):
        for slot in range(rewards.shape[1]):
            total = total - rewards[row, slot] * log_prob[row, slot]
    return total / rewards.numel()


def through_numpy(log_prob, rewards):
    return -(torch.from_numpy(rewards.numpy().copy()) * log_prob).mean()


def expected_gradient(loss, policy, task, group_size):
    """The gradient of the loss itself, by autograd through the policy, averaged over every group."""
    total = 0.0
    table = policy.probs().detach()
    for prompt, weight in enumerate(task.prompt_probs):
        for group in torch.cartesian_prod(*[torch.arange(table.shape[1])] * group_size).view(-1, group_size):
            policy.zero_grad()
            log_prob = policy.log_prob(torch.tensor([prompt]), group[None])
            loss(log_prob, task.rewards[prompt, group][None]).backward()
            total = total - weight * table[prompt, group].prod() * policy.logits.grad.flatten()
    return total


@pytest.mark.parametrize("loss", [clipped, undetached, entropy_bonus, branching, looped, through_numpy])
def test_a_loss_has_the_expected_gradient_that_autograd_gives(loss):
    policy, task, _ = problem("graded", 2, 3, seed=5)
    got = exact.moments(ostrl.own(loss), policy, task, group_size=3).mean
    torch.testing.assert_close(got, expected_gradient(loss, policy, task, 3), rtol=0, atol=1e-12)


def test_weights_are_divided_by_the_number_of_labels():
    policy, task, numbers = problem("negative", 2, 3, seed=6)
    got = exact.moments(ostrl.own(weighting.leave_one_out), policy, task, 3, num_prompts=2)
    mean, covariance = enumeration.moments("rloo", *numbers, 3, 2)
    torch.testing.assert_close(got.mean, torch.from_numpy(mean), rtol=0, atol=1e-12)
    torch.testing.assert_close(got.covariance, torch.from_numpy(covariance), rtol=0, atol=1e-12)


def test_the_recovered_weights_stand_on_the_scale_of_the_table():
    policy, task, _ = problem("graded", 2, 3, seed=7)
    batch = labeling.on_policy.sample(policy, task, 5, 4, torch.Generator().manual_seed(0))
    method = ostrl.own(clipped)
    torch.testing.assert_close(method.weights(batch), weighting.mean_baseline(batch.rewards), rtol=0, atol=1e-14)
    assert method.normalize(batch, method.weights(batch)) == 20


def test_arguments_come_by_name():
    def weights(batch):
        return batch.rewards

    def of_another_name(anything):
        return anything.rewards * 2

    def with_the_batch(log_prob, batch):
        return -(log_prob * batch.rewards).mean()

    def with_a_default(rewards, power=2.0):
        return rewards**power

    def with_a_default_that_is_a_field(rewards, source=None):
        return rewards * (source == ostrl.SELF)

    policy, task, _ = problem("graded", 1, 3, seed=8)
    batch = labeling.on_policy.sample(policy, task, 2, 3, torch.Generator().manual_seed(0))
    r = batch.rewards
    for function, want in (
        (weights, r),
        (of_another_name, 2 * r),
        (with_the_batch, r),
        (with_a_default, r**2),
        (with_a_default_that_is_a_field, r),
    ):
        torch.testing.assert_close(ostrl.own(function).weights(batch), want, rtol=0, atol=1e-15)


def test_a_reference_policy_is_noted_for_those_who_ask():
    def kl(log_prob, ref_log_prob, rewards):
        return -((rewards - 0.1 * (log_prob - ref_log_prob).detach()) * log_prob).mean()

    policy, task, _ = problem("graded", 2, 3, seed=9)
    reference = ostrl.CategoricalPolicy(torch.zeros(2, 3, dtype=torch.float64))
    got = exact.ledger(kl, [exact.Problem("kl", policy, task, reference)], group_size=1)[0].entries["kl"].mean
    probs = policy.probs().detach()
    penalized = ostrl.TableTask(task.rewards - 0.1 * (probs * 3).log(), task.prompt_probs)
    torch.testing.assert_close(got, exact.gradient(policy, penalized), rtol=0, atol=1e-13)
    with pytest.raises(ValueError, match="asks for ref_log_prob, which these batches do not have"):
        exact.moments(ostrl.own(kl), policy, task, 1)


def test_a_function_may_change_what_it_gets():
    def in_place(log_prob, rewards):
        return -((rewards.sub_(1.0).mul_(2.0)) * log_prob).mean()

    policy, task, _ = problem("graded", 2, 3, seed=21)
    got = exact.moments(ostrl.own(in_place), policy, task, 3).mean
    torch.testing.assert_close(got, 2 * exact.gradient(policy, task), rtol=0, atol=1e-12)


def test_a_method_that_changes_its_batch_is_refused():
    method = ostrl.Method("greedy", labeling.on_policy, lambda b: b.rewards.mul_(2.0), lambda b, w: 1.0)
    policy, task, _ = problem("graded", 1, 3, seed=21)
    with pytest.raises(ValueError, match="'greedy' changes its batch in place"):
        exact.moments(method, policy, task, 2)


def test_randomness_and_memory_are_refused():
    calls = [0.0]

    def with_memory(rewards):
        calls[0] += 1.0
        return rewards - calls[0]

    policy, task, _ = problem("graded", 1, 3, seed=21)
    for function in (with_memory, lambda rewards: rewards * torch.rand(rewards.shape, dtype=rewards.dtype)):
        with pytest.raises(ValueError, match="must be a pure function"):
            exact.moments(ostrl.own(function), policy, task, 2)


def test_a_slow_function_says_so():
    policy, task, _ = problem("graded", 1, 4, seed=21)
    with pytest.warns(UserWarning, match="'branching' runs on 65,536 batches one by one"):
        exact.moments(ostrl.own(branching), policy, task, 8, covariance=False)


def test_a_batch_that_is_skipped_has_no_weights():
    def skipping(log_prob, rewards):
        if rewards.std() == 0:
            return torch.tensor(0.0, dtype=rewards.dtype)
        return -((rewards - rewards.mean()) * log_prob).mean()

    policy, task, numbers = problem("binary", 1, 3, seed=22)
    got = exact.moments(ostrl.own(skipping), policy, task, 3)
    mean, _ = enumeration.moments("dr_grpo", *numbers, 3, 1)
    torch.testing.assert_close(got.mean, torch.from_numpy(mean), rtol=0, atol=1e-12)


def test_what_a_batch_does_not_have_keeps_its_default():
    def optional(log_prob, rewards, mask=None, ref_log_prob=None):
        assert mask is None and ref_log_prob is None
        return -(rewards * log_prob).mean()

    policy, task, _ = problem("graded", 1, 3, seed=23)
    got = exact.moments(ostrl.own(optional), policy, task, 2).mean
    torch.testing.assert_close(got, exact.gradient(policy, task), rtol=0, atol=1e-12)


def test_modules_partials_and_objects():
    class Loss(torch.nn.Module):
        def forward(self, log_prob, rewards):
            return -(rewards * log_prob).mean()

    def scaled(log_prob, rewards, scale):
        return -scale * (rewards * log_prob).mean()

    policy, task, _ = problem("graded", 1, 3, seed=24)
    for function, factor, name in ((Loss(), 1.0, "Loss"), (functools.partial(scaled, scale=2.0), 2.0, "scaled")):
        method = ostrl.own(function)
        assert method.name == name
        got = exact.moments(method, policy, task, 2).mean
        torch.testing.assert_close(got, factor * exact.gradient(policy, task), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "function, hint",
    [
        (lambda logprobs, rewards: 0, "'logprobs' (perhaps log_prob?)"),
        (lambda log_prob, old_log_probs, rewards: 0, "'old_log_probs' (perhaps behavior_log_prob?)"),
        (lambda log_prob, advantages: 0, "advantages are not given: compute them from rewards"),
        (lambda log_prob, rewards, clip: 0, "'clip' (a setting needs a default"),
        (lambda self, log_prob, rewards: 0, "a method that is not bound"),
    ],
)
def test_wrong_names_get_a_hint(function, hint):
    with pytest.raises(ValueError, match=re.escape(hint)):
        ostrl.own(function)


def test_a_clip_acts_once_the_policy_has_moved():
    """Twenty steps on one batch: PPO's loss, as it is, against the same loss brought to the loop."""
    policy, task, _ = problem("graded", 1, 3, seed=25)
    began = policy.logits.detach().clone()

    def ppo(log_prob, behavior_log_prob, rewards):
        ratio = (log_prob - behavior_log_prob).exp()
        advantages = rewards - rewards.mean(1, keepdim=True)
        return -torch.min(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages).mean()

    optimizer = torch.optim.SGD(policy.parameters(), lr=1.0)
    loop = ostrl.grow_improve(
        [ostrl.own(ppo)], policy, task, optimizer, batch_size=2, group_size=4, improve_steps=20,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    records = list(itertools.islice(loop, 20))
    by_hand = ostrl.CategoricalPolicy(began)
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=1.0)
    batch = records[0].batch
    for _ in range(20):
        optimizer.zero_grad()
        ppo(by_hand.log_prob(batch.prompts, batch.actions), batch.behavior_log_prob, batch.rewards).backward()
        optimizer.step()
    torch.testing.assert_close(policy.logits, by_hand.logits, rtol=0, atol=1e-13)
    unclipped = (policy.logits.detach() - began).norm()
    ratio = (policy.log_prob(batch.prompts, batch.actions).detach() - batch.behavior_log_prob).exp()
    assert unclipped > 0 and float(ratio.max()) < 2  # without the clip it would go on


def test_what_is_no_loss_is_refused():
    policy, task, _ = problem("graded", 1, 3, seed=10)

    def run(function):
        exact.moments(ostrl.own(function), policy, task, 2)

    with pytest.raises(ValueError, match="'logp'"):
        run(lambda logp, rewards: logp)
    with pytest.raises(ValueError, match="does not depend on log_prob"):
        run(lambda log_prob, rewards: -(log_prob.detach() * rewards).mean())
    with pytest.raises(ValueError, match=r"\[B, G\] = \[1, 2\] or a scalar loss, got \[1\]"):
        run(lambda log_prob, rewards: -(log_prob * rewards).mean(1))
    with pytest.raises(TypeError, match="got float"):
        run(lambda rewards: 3.0)
    with pytest.raises(TypeError, match="function must be a function, got int"):
        ostrl.own(3)
    with pytest.raises(ValueError, match="got none"):
        ostrl.own(lambda: None)


def test_weights_that_still_carry_a_graph_from_an_unreduced_loss_are_refused():
    policy, task, _ = problem("graded", 1, 3, seed=10)
    with pytest.raises(ValueError, match="unreduced"):
        exact.moments(ostrl.own(lambda log_prob, rewards: -log_prob * rewards), policy, task, 2)
