"""The ledger's numbers against the second enumeration, and what it says about them."""

import math

import enumeration
import numpy as np
import pytest
import torch
from problems import REWARD_KINDS, problem

import ostrl
from ostrl import exact, methods


@pytest.mark.parametrize("kind", REWARD_KINDS)
def test_every_entry(kind):
    policy, task, numbers = problem(kind, 2, 3, seed=11)
    rows = exact.ledger(problems=[(policy, task)], group_size=3)
    true = enumeration.gradient(*numbers[:3])
    unit = max(1.0, abs(numbers[1]).max())
    for row in rows:
        mean, covariance = enumeration.moments(row.method.name, *numbers, 3, 1)
        entry = row.entries["problem 1"]
        assert entry.bias == pytest.approx(np.linalg.norm(mean - true) / np.linalg.norm(true), abs=1e-11 * unit)
        assert entry.scale == pytest.approx(mean @ true / (true @ true), abs=1e-11 * unit)
        assert entry.variance == pytest.approx(np.trace(covariance), rel=1e-10)
        if np.linalg.norm(mean) > 1e-10 * unit:
            cosine = mean @ true / np.linalg.norm(mean) / np.linalg.norm(true)
            assert entry.cosine == pytest.approx(cosine, abs=1e-10 * unit)
            assert entry.snr == pytest.approx(mean @ mean / np.trace(covariance), rel=1e-9)


def test_the_table_over_problems():
    rows = exact.ledger(["rloo", "dr_grpo", "grpo"], group_size=3)
    assert [row.method.name for row in rows] == ["rloo", "dr_grpo", "grpo"]
    assert len(rows["rloo"].entries) == len(exact.panel()) >= 8
    assert rows["rloo"].worst("bias") < 1e-12
    assert rows["dr_grpo"].values("scale") == pytest.approx([2 / 3] * len(exact.panel()), abs=1e-12)
    biases = sorted(rows["grpo"].values("bias"))
    assert rows["grpo"].median("bias") == pytest.approx(biases[len(biases) // 2], abs=1e-12)
    assert rows["grpo"].worst("bias") == biases[-1]
    assert rows["grpo"].worst("cosine") < 0  # the jackpot
    assert rows[-1] is rows["grpo"]
    with pytest.raises(KeyError, match="rloo, dr_grpo, grpo"):
        rows["ppo"]
    header, *_, caption = repr(rows).splitlines()
    assert header.split()[:3] == ["method", "who", "labels"]
    assert "9 problems" in caption
    assert rows._repr_html_().count("<tr>") == 4
    assert repr(rows.by_problem("cosine")).count("\n") == 1 + len(exact.panel()) + 1
    with pytest.raises(ValueError, match="quantity must be one of bias"):
        rows.by_problem("beauty")


def test_a_problem_without_a_gradient_counts_only_where_it_can():
    policy = ostrl.CategoricalPolicy(torch.zeros(1, 3, dtype=torch.float64))
    flat = ostrl.TableTask(torch.full((1, 3), 0.3, dtype=torch.float64))
    row = exact.ledger("reinforce", [(policy, flat)], 2)[0]
    entry = row.entries["problem 1"]
    assert math.isnan(entry.bias) and math.isnan(entry.cosine) and math.isnan(row.median("bias"))
    assert entry.snr == 0.0
    assert "no gradient" in row.verdict().lower() or "No problem" in row.verdict()
    assert math.isnan(exact.ledger("rloo", [(policy, flat)], 2)[0].entries["problem 1"].snr)


def rloo_in_other_words(batch):
    r = batch.rewards
    others = torch.stack([torch.cat([r[:, :i], r[:, i + 1 :]], 1).mean(1) for i in range(r.shape[1])], 1)
    return r - others


def forgotten_mean(log_prob, rewards):
    return -((rewards - rewards.mean(1, keepdim=True)) * log_prob).sum()


def climbs_backward(log_prob, rewards):
    return (rewards * log_prob).mean()


def population_deviation(log_prob, rewards):
    centered = rewards - rewards.mean(1, keepdim=True)
    return -(centered / (rewards.std(1, keepdim=True, correction=0) + 1e-4) * log_prob).mean()


def best_of_group(log_prob, rewards):
    return -log_prob.gather(1, rewards.argmax(1, keepdim=True)).mean()


def something_else(log_prob, rewards):
    return -(rewards * log_prob.exp()).mean()


@pytest.mark.parametrize(
    "function, name",
    [
        (rloo_in_other_words, "rloo"),
        (forgotten_mean, "B·G x dr_grpo"),
        (climbs_backward, "-1 x reinforce"),
        (population_deviation, "nearly 1.155 x grpo (within 0.005 %)"),
        (best_of_group, "raft"),
        (something_else, ""),
        (ostrl.weighting.mean_baseline, "dr_grpo"),
    ],
)
def test_a_row_in_other_words_is_recognized(function, name):
    assert exact.ledger(function)[0].same_as == name


@pytest.mark.parametrize("group_size", [2, 3, 5])
def test_every_row_is_recognized_as_itself_or_as_an_equal_one(group_size):
    twins = {"dapo": {"dapo", "grpo"}, "grpo": {"dapo", "grpo"}}
    for row in exact.ledger(group_size=group_size):
        assert row.same_as in twins.get(row.method.name, {row.method.name})


def test_the_number_of_prompts_is_told_from_other_numbers():
    def times(factor):
        return lambda log_prob, rewards: factor * forgotten_mean(log_prob, rewards) / rewards.numel()

    def a_prompt(log_prob, rewards):
        return forgotten_mean(log_prob, rewards) / len(rewards)

    assert exact.ledger(times(5))[0].same_as == "5 x dr_grpo"
    assert exact.ledger(times(0.2))[0].same_as == "0.2 x dr_grpo"
    assert exact.ledger(a_prompt, group_size=5)[0].same_as == "5 x dr_grpo"
    over_prompts = exact.ledger(lambda log_prob, rewards: times(1)(log_prob, rewards) / len(rewards))
    assert over_prompts[0].same_as == "1/B x dr_grpo"


def test_a_rare_group_tells_two_methods_apart():
    policy = ostrl.CategoricalPolicy(torch.tensor([[0.5, 0.4999, 0.0001]], dtype=torch.float64).log())
    task = ostrl.TableTask(torch.tensor([[0.0, 1.0, 1000.0]], dtype=torch.float64))
    clamped = ostrl.own(lambda rewards: ostrl.weighting.leave_one_out(rewards.clamp(max=1.0)))
    row = exact.ledger(clamped, [(policy, task)])[0]
    assert row.same_as == "" and row.worst("bias") > 0.3


def test_names_are_kept_apart():
    named = exact.ledger({"mine": climbs_backward, "sum": forgotten_mean})
    assert [row.method.name for row in named] == ["mine", "sum"]
    twice = exact.ledger([lambda rewards: rewards, lambda rewards: 2 * rewards])
    assert [row.method.name for row in twice] == ["<lambda>", "<lambda> (2)"]
    one = exact.panel()[0]
    assert len(exact.ledger("rloo", one)[0].entries) == 1
    with pytest.raises(ValueError, match="got 'capital' more than once"):
        exact.ledger("rloo", [one, one])


def test_a_row_that_does_not_fit_is_named():
    policy, task, _ = problem("graded", 1, 3, seed=31)
    bare = ostrl.TableTask(task.rewards)
    with pytest.raises(ValueError, match="the row of 'sft': this task has no demonstrators"):
        exact.ledger(["rloo", "sft"], [(policy, bare)])


def test_baselines_for_each_prompt_have_a_row():
    policy, task, _ = problem("graded", 5, 3, seed=32)
    row = exact.ledger(methods.reinforce(exact.optimal_baseline(policy, task)), [(policy, task)])[0]
    assert row.worst("bias") < 1e-12
    assert row.omega == pytest.approx((1, 1, 1), abs=1e-12)


def test_a_labeler_of_ones_own_is_compared_by_its_slots_and_keeps_its_reference():
    policy, task, _ = problem("graded", 1, 3, seed=33)
    reference = ostrl.CategoricalPolicy(torch.tensor([[2.0, 0.0, -1.0]], dtype=torch.float64))
    label = ostrl.Labeler("the model", lambda size: [ostrl.SELF] * size, reference=reference)
    assert exact.ledger(ostrl.own(ostrl.weighting.leave_one_out, label=label), [(policy, task)])[0].same_as == "rloo"
    pulled = ostrl.own(lambda batch: batch.rewards - (batch.log_prob - batch.ref_log_prob), label=label)
    other = exact.Problem("with another", policy, task, ostrl.CategoricalPolicy(torch.zeros(1, 3, dtype=torch.float64)))
    entry = exact.ledger(pulled, other, group_size=2)[0].entries["with another"]
    torch.testing.assert_close(entry.mean, exact.moments(pulled, policy, task, 2).mean, rtol=0, atol=1e-13)


def test_verdicts_at_the_edges():
    def verdict(function, problems=None):
        return exact.ledger(function, problems)[0].verdict()

    def against(log_prob, rewards):
        return (ostrl.weighting.group_normalized(rewards) * log_prob).mean()

    assert "exactly against" in verdict(against, exact.panel()[:4])
    assert "nothing moves" in verdict(lambda rewards: torch.zeros_like(rewards))
    single = [
        exact.Problem(p.name, ostrl.CategoricalPolicy(p.policy.logits.detach().float()),
                      ostrl.TableTask(p.task.rewards.float()))
        for p in exact.panel()[:5]
    ]  # fmt: skip
    assert "it is unbiased" in verdict("rloo", single)
    assert "it is unbiased" in verdict("reinforce", single)


def test_a_method_of_other_labels_is_not_taken_for_a_row():
    assert exact.ledger(ostrl.own(ostrl.weighting.reward, label=ostrl.labeling.demonstrations))[0].same_as == ""


def test_verdicts():
    said = {row.method.name: row.verdict() for row in exact.ledger(["rloo", "dr_grpo", "grpo", "rest", "sft"])}
    assert "unbiased" in said["rloo"]
    assert "0.75 ∇J on every problem" in said["dr_grpo"]
    assert "downhill on jackpot" in said["grpo"]
    assert "not parallel" in said["rest"]
    assert "descends" in exact.ledger(climbs_backward)[0].verdict()
    assert "at random" in exact.ledger(ostrl.own(lambda rewards: torch.ones_like(rewards)))[0].verdict()
    assert "same estimates as rloo" in exact.ledger(rloo_in_other_words)[0].verdict()


def test_pooling_shows_with_two_prompts():
    shared = exact.panel()[-1:]
    one, two = (exact.ledger(["rest", "rest_per_prompt"], shared, 2, num_prompts=b) for b in (1, 2))
    assert one[0].median("bias") == pytest.approx(one[1].median("bias"), abs=1e-13)
    assert abs(two[0].median("bias") - two[1].median("bias")) > 1e-3


def test_wrong_arguments():
    with pytest.raises(ValueError, match="method must be one of reinforce, rloo"):
        exact.ledger("ppo")
    with pytest.raises(TypeError, match="got int"):
        exact.ledger([3])
    with pytest.raises(ValueError, match="problems must hold at least one"):
        exact.ledger(problems=[])
    with pytest.raises(TypeError, match="pairs, got str"):
        exact.ledger(problems=["capital"])
    with pytest.raises(ValueError, match="methods must name at least one"):
        exact.ledger([])


def test_methods_print_as_a_table():
    lines = repr(ostrl.METHODS).splitlines()
    assert len(lines) == 2 + len(ostrl.METHODS)
    for method, line in zip(ostrl.METHODS.values(), lines[2:], strict=True):
        for part in (method.name, method.label.name, method.weight, method.normalizer, method.reference):
            assert part and part in line
    page = ostrl.METHODS._repr_html_()
    assert page.count("<tr>") == 1 + len(ostrl.METHODS)
    assert all(rf"\({method.formula}\)" in page.replace("&amp;", "&") for method in ostrl.METHODS.values())


@pytest.mark.parametrize("kind", REWARD_KINDS)
def test_baselines_of_one_row(kind):
    policy, task, (logits, rewards, prompt_probs, _) = problem(kind, 2, 3, seed=12)
    constants = torch.tensor([0.3, -0.7], dtype=torch.float64)
    best = exact.optimal_baseline(policy, task)
    settings = {
        "none": (None, [0.0, 0.0]),
        "number": (0.5, [0.5, 0.5]),
        "per prompt": (constants, constants.tolist()),
        "optimal": (best, best.tolist()),
        "learned": (lambda prompts: constants[prompts] * 2, (2 * constants).tolist()),
    }
    unit = max(1.0, abs(rewards).max())
    for baseline, numbers in settings.values():
        got = exact.moments(methods.reinforce(baseline), policy, task, 2)
        mean, covariance = enumeration.moments(
            "reinforce", logits, rewards - np.array(numbers)[:, None], prompt_probs, None, 2, 1
        )
        torch.testing.assert_close(got.mean, torch.from_numpy(mean), rtol=0, atol=1e-12 * unit)
        torch.testing.assert_close(got.covariance, torch.from_numpy(covariance), rtol=0, atol=1e-12 * unit**2)


def test_a_learned_baseline_is_read_anew_at_every_step():
    values = torch.zeros(1, dtype=torch.float64)
    method = methods.reinforce(values)
    policy, task, _ = problem("binary", 1, 3, seed=13)
    batch = method.label.sample(policy, task, 2, 2, torch.Generator().manual_seed(0))
    before = method.weights(batch)
    values += 0.25
    torch.testing.assert_close(method.weights(batch), before - 0.25, rtol=0, atol=0)


def test_wrong_baselines():
    with pytest.raises(TypeError, match="baseline must be a number"):
        methods.reinforce("mean")
    with pytest.raises(ValueError, match=r"baseline must have shape \[O\]"):
        methods.reinforce(torch.zeros(2, 2))
    policy, task, _ = problem("binary", 1, 3, seed=13)
    with pytest.raises(ValueError, match=r"the baseline must have shape \[B\] = \[1\], got \[1, 1\]"):
        exact.moments(methods.reinforce(lambda o: torch.zeros(len(o), 1, dtype=torch.float64)), policy, task, 2)
