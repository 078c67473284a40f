import itertools

import pytest
import torch
from problems import problem

import ostrl
from ostrl import DEMONSTRATOR, SELF, exact, labeling, methods


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_rows_of_the_table():
    for name in (
        "reinforce",
        "rloo",
        "dr_grpo",
        "grpo",
        "dapo",
        "sft",
        "self_training",
        "rest",
        "rest_per_prompt",
        "raft",
        "rwr",
    ):
        assert ostrl.METHODS[name].name == name
        assert ostrl.METHODS[name].formula
        assert ostrl.METHODS[name].reference


def test_who_writes_which_slot():
    assert labeling.on_policy.slots(3) == [SELF] * 3
    assert labeling.demonstrations.slots(3) == [DEMONSTRATOR] * 3
    assert labeling.mixture.slots(5) == [DEMONSTRATOR] * 2 + [SELF] * 3


def test_a_batch_says_what_was_written_how_likely_it_was_and_by_whom():
    policy, task, (_, rewards, _, demonstrations) = problem("graded", 3, 4, seed=0)
    batch = labeling.mixture.sample(policy, task, 50, 4, generator())
    o, a = batch.prompts[:, None], batch.actions
    assert torch.equal(batch.rewards, torch.from_numpy(rewards)[o, a])
    torch.testing.assert_close(batch.log_prob, policy.log_probs().detach()[o, a], rtol=0, atol=1e-15)
    shown = batch.source == DEMONSTRATOR
    torch.testing.assert_close(batch.behavior_log_prob[shown], torch.from_numpy(demonstrations)[o, a].log()[shown])
    torch.testing.assert_close(batch.behavior_log_prob[~shown], batch.log_prob[~shown], rtol=0, atol=0)
    assert not batch.log_prob.requires_grad


@pytest.mark.parametrize("labeler", [labeling.on_policy, labeling.demonstrations, labeling.mixture])
def test_slots_are_drawn_from_the_distributions_that_enumeration_uses(labeler):
    # Chi-squared for each prompt and slot, fixed seed, false-alarm rate 1e-6 each.
    policy, task, _ = problem("graded", 2, 3, seed=1)
    batch = labeler.sample(policy, task, 100_000, 2, generator(1))
    probs = labeler.probs(policy, task, 2)
    for prompt, slot in itertools.product(range(2), range(2)):
        column = batch.actions[batch.prompts == prompt, slot]
        counts, expected = torch.bincount(column, minlength=3), len(column) * probs[prompt, slot]
        statistic = ((counts - expected).square() / expected).sum()
        assert float(torch.special.gammaincc(torch.tensor(1.0, dtype=torch.float64), statistic / 2)) > 1e-6


@pytest.mark.parametrize("name", ["reinforce", "rloo", "dr_grpo", "grpo", "rest", "rest_per_prompt", "raft", "rwr"])
def test_training_climbs(name):
    policy = ostrl.CategoricalPolicy(torch.zeros(2, 3, dtype=torch.float64))
    task = ostrl.TableTask(torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64))
    optimizer = torch.optim.SGD(policy.parameters(), lr=1.0)
    steps = ostrl.train_steps(
        ostrl.METHODS[name], policy, task, optimizer, batch_size=16, group_size=4, generator=generator(2)
    )
    records = list(itertools.islice(steps, 60))
    assert [r.step for r in records] == list(range(1, 61))
    assert float(exact.value(policy, task)) > 0.8


def test_one_step_moves_by_the_estimate():
    policy, task, _ = problem("graded", 2, 3, seed=2)
    before = policy.logits.detach().clone()
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    record = next(
        ostrl.train_steps(
            ostrl.METHODS["rloo"], policy, task, optimizer, batch_size=3, group_size=4, generator=generator(3)
        )
    )
    start = ostrl.CategoricalPolicy(before)
    scores = exact.scores(start)[record.batch.prompts[:, None], record.batch.actions]
    weights = ostrl.weighting.leave_one_out(record.batch.rewards)
    estimate = torch.einsum("bg,bgp->p", weights, scores) / 12
    torch.testing.assert_close(policy.logits.detach() - before, 0.1 * estimate.view(2, 3), rtol=0, atol=1e-14)


def test_the_same_seed_gives_the_same_run():
    def run():
        policy, task, _ = problem("graded", 2, 3, seed=4)
        optimizer = torch.optim.Adam(policy.parameters(), lr=0.1)
        steps = ostrl.train_steps(
            ostrl.METHODS["grpo"], policy, task, optimizer, batch_size=4, group_size=4, generator=generator(5)
        )
        for _ in itertools.islice(steps, 5):
            pass
        return policy.logits.detach()

    assert torch.equal(run(), run())


@pytest.mark.parametrize("build", [methods.rest, methods.rest_per_prompt])
def test_builders_take_their_parameter(build):
    policy, task, _ = problem("graded", 1, 3, seed=6)
    everything = exact.moments(build(tau=-1e9), policy, task, 2).mean
    torch.testing.assert_close(everything, torch.zeros_like(everything), rtol=0, atol=1e-14)  # own labels, weight 1
