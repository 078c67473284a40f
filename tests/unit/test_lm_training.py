"""The rows of the table and the one loop, on answers in tokens."""

import dataclasses
import itertools

import pytest
import tiny_models as tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import DEVICES, KINDS, PROMPTS, generator

import ostrl
from ostrl import METHODS, lm, methods, surrogate, training
from ostrl.batch import DEMONSTRATOR, OLD, SELF, Batch, score
from ostrl.methods import Method


def grade(prompt, answer):
    """Graded, so that every method has something to learn, and 1 often enough for a filter."""
    return 1.0 if len(answer) % 2 else 0.25 * (len(answer) % 3)


def task(**more):
    return lm.TextTask(PROMPTS, more.get("grade", grade), lambda prompt: {"47": 0.5, "4": 0.25, "reverse": 0.25})


def labeled(name, policy, batch_size=4, group_size=4, seed=0):
    method = METHODS[name]
    return method, method.label.sample(policy, task(), batch_size, group_size, generator(seed, policy.device.type))


def slope(method, policy, batch):
    policy.zero_grad()
    value = training.backward(method, policy, batch)
    gradient = torch.cat([p.grad.flatten() for p in policy.parameters()])
    policy.zero_grad()
    return value, gradient


def reordered(batch, prompts, answers):
    """The same batch with its prompts, and every group's answers, in another order."""
    moved = {
        field.name: value[prompts][:, answers]
        for field in dataclasses.fields(batch)
        if isinstance(value := getattr(batch, field.name), torch.Tensor)
    }
    return dataclasses.replace(batch, prompts=[batch.prompts[i] for i in prompts], **moved)


# Whatever it is cut into


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "name, kind", [*((name, "gpt2") for name in METHODS), ("grpo", "llama"), ("rest", "qwen2"), ("rwr", "smollm2")]
)
def test_padding_and_micro_batches_change_no_gradient(name, kind, device):
    policy = tiny.load(kind, device, max_new_tokens=6)
    method, batch = labeled(name, policy)
    value, expected = slope(method, policy, batch)
    assert expected.norm() > 1e-3 and expected.isfinite().all()
    for side, cut in [
        ("right", None),
        ("left", 1),
        ("right", 7),
        ("left", 99),
    ]:
        got_value, got = slope(method, policy.at(padding_side=side, micro_batch_size=cut), batch)
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-5 * max(1.0, expected.abs().max().item()))
        assert got_value == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("name", METHODS)
@settings(max_examples=3)
@given(data=st.data())
def test_order_and_wider_padding_change_no_gradient(name, data):
    policy = tiny.load("gpt2", dtype=torch.float64, max_new_tokens=5)
    method, batch = labeled(name, policy)
    _, expected = slope(method, policy, batch)
    if name != "raft":  # ties go to the earliest
        answers = data.draw(st.permutations(range(4)))
        if name == "self_training":  # the first two slots are the demonstrators'
            answers = [0, 1, *(2 + i for i in data.draw(st.permutations(range(2))))]
    else:
        answers = [0, 1, 2, 3]
    moved = reordered(batch, data.draw(st.permutations(range(4))), answers)
    wide = data.draw(st.integers(0, 3))
    pad = torch.nn.functional.pad
    moved = dataclasses.replace(
        moved,
        actions=pad(moved.actions, (0, wide), value=7),
        mask=pad(moved.mask, (0, wide)),
        log_prob=pad(moved.log_prob, (0, wide)),
        behavior_log_prob=pad(moved.behavior_log_prob, (0, wide)),
    )
    policy.micro_batch_size = data.draw(st.none() | st.integers(1, 17))
    torch.testing.assert_close(slope(method, policy, moved)[1], expected, rtol=0, atol=1e-10)


def test_a_cut_that_leaves_out_the_batch_would_be_noticed():
    """The power of the tests above: Z of each micro-batch instead of the whole changes the gradient."""
    policy = tiny.load("gpt2", max_new_tokens=6)
    for name in ("rest", "dapo", "rloo", "grpo"):
        method, batch = labeled(name, policy)
        _, expected = slope(method, policy, batch)
        halves = [reordered(batch, [0, 1], [0, 1, 2, 3]), reordered(batch, [2, 3], [0, 1, 2, 3])]
        wrong = sum(slope(method, policy, half)[1] for half in halves)
        assert (wrong - expected).abs().max() > 1e-3


def test_steps_with_and_without_micro_batches_end_with_the_same_weights():
    ends = []
    for cut in (None, 3):
        policy = tiny.load("gpt2", dtype=torch.float64, micro_batch_size=cut, max_new_tokens=6)
        optimizer = torch.optim.SGD(policy.parameters(), lr=0.05)
        loop = ostrl.train_steps(
            METHODS["rloo"], policy, task(), optimizer, batch_size=3, group_size=4, generator=generator(2)
        )
        rewards = [record.mean_reward for record in itertools.islice(loop, 4)]
        ends.append((rewards, torch.nn.utils.parameters_to_vector(policy.parameters()).detach()))
    assert ends[0][0] == ends[1][0]
    torch.testing.assert_close(ends[0][1], ends[1][1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("improve_steps", [3])
def test_grow_and_improve_on_tokens(improve_steps):
    """Several steps on one batch, and back to the start with ``restart``; the plain loop's first step is the same."""
    policy = tiny.load("gpt2", dtype=torch.float64, max_new_tokens=5)
    began = [p.detach().clone() for p in policy.parameters()]
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.01)
    loop = ostrl.grow_improve(
        [methods.rest(0.25), methods.rest(1.0)], policy, task(), optimizer,
        batch_size=3, group_size=4, improve_steps=improve_steps, restart=True, generator=generator(),
    )  # fmt: skip
    records = list(itertools.islice(loop, 2 * improve_steps + 1))
    assert [record.grow for record in records] == [1] * 6 + [2]
    assert all(record.batch is records[0].batch for record in records[:6])
    stepped = torch.nn.utils.parameters_to_vector(policy.parameters()).detach()  # one step from the start
    for parameter, start in zip(policy.parameters(), began, strict=True):
        parameter.data.copy_(start)
    _, gradient = slope(methods.rest(0.25), policy, records[-1].batch)
    flat = torch.cat([start.flatten() for start in began])
    torch.testing.assert_close(stepped, flat - 0.01 * gradient, rtol=0, atol=1e-12)


# Normalizers


def test_what_each_row_divides_by():
    policy = tiny.load("gpt2", max_new_tokens=6)
    _, batch = labeled("rloo", policy, batch_size=3, group_size=5)
    lengths = batch.mask.sum(-1)
    assert len(set(lengths.flatten().tolist())) > 2
    for name, expected in {
        "reinforce": 15, "rloo": 15, "sft": 15, "dr_grpo": 15, "self_training": 15, "raft": 3, "rwr": 3,
        "dapo": int(lengths.sum()), "rest": int((batch.rewards >= 1).sum()), "grpo": 15 * lengths,
    }.items():  # fmt: skip
        z = METHODS[name].normalize(batch, METHODS[name].weights(batch))
        assert torch.equal(torch.as_tensor(z).double(), torch.as_tensor(expected).double()), name
    longest = methods.dr_grpo(constant=6)
    assert longest.normalize(batch, longest.weights(batch)) == 15 * 6


@pytest.mark.parametrize("name", METHODS)
def test_the_gradient_of_every_row_is_the_sum_that_its_formula_says(name):
    """Answer by answer: (1/Z) Σ w Σ ∇ log π(token), each from the model's own forward pass, in float64."""
    policy = tiny.load("gpt2", dtype=torch.float64, max_new_tokens=5)
    method, batch = labeled(name, policy, batch_size=2, group_size=4)
    rewards, lengths = batch.rewards, batch.mask.sum(-1)
    spread = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    kept = (rewards >= 1).double()
    soft = torch.softmax(rewards, 1)
    best = torch.zeros_like(rewards).scatter(1, rewards.argmax(1, keepdim=True), 1.0)
    coefficient = {
        "reinforce": rewards / 8,
        "rloo": (rewards - (rewards.sum(1, keepdim=True) - rewards) / 3) / 8,
        "dr_grpo": (rewards - rewards.mean(1, keepdim=True)) / 8,
        "grpo": spread / (8 * lengths),
        "dapo": spread / lengths.sum(),
        "sft": torch.ones_like(rewards) / 8,
        "self_training": torch.ones_like(rewards) / 8,
        "rest": kept / kept.sum().clamp_min(1),
        "rest_per_prompt": kept / (2 * kept.sum(1, keepdim=True).clamp_min(1)),
        "raft": best / 2,
        "rwr": soft / 2,
    }[name]
    scores = tiny.plain(policy, batch.prompts, batch.actions, batch.mask)
    value = (coefficient * scores.sum(-1)).sum()
    expected = -torch.cat([g.flatten() for g in torch.autograd.grad(value, list(policy.parameters()))])
    torch.testing.assert_close(slope(method, policy, batch)[1], expected, rtol=0, atol=1e-10)


def by_token(batch):
    """Less for every token that stands further behind."""
    return batch.rewards[..., None] / (1 + torch.arange(batch.mask.shape[-1]).to(batch.rewards))


@pytest.mark.parametrize("cut", [None, 3])
def test_weights_of_single_tokens(cut):
    policy = tiny.load("gpt2", dtype=torch.float64, max_new_tokens=5, micro_batch_size=cut)
    method = Method("by token", METHODS["rloo"].label, by_token, surrogate.tokens)
    batch = method.label.sample(policy, task(), 2, 4, generator())
    weights = method.weights(batch)
    assert weights.shape == batch.mask.shape
    value = (weights * policy.log_prob(batch.prompts, batch.actions, batch.mask)).sum() / batch.mask.sum()
    expected = -torch.cat([g.flatten() for g in torch.autograd.grad(value, list(policy.parameters()))])
    torch.testing.assert_close(slope(method, policy, batch)[1], expected, rtol=0, atol=1e-12)


def my_loss(log_prob, rewards):
    advantage = rewards - rewards.mean(dim=1, keepdim=True)
    ratio = (log_prob - log_prob.detach()).exp()
    return -(ratio * advantage).mean()


@pytest.mark.parametrize("texts", [["47", "4", "reverse", ""], ["47", "+1", ""]])  # and as many tokens as answers
def test_a_loss_of_ones_own_sees_whole_answers(texts):
    policy = tiny.load("llama")
    actions, mask = policy.encode([texts] * len(PROMPTS))
    assert len(texts) == 4 or mask.shape[1] == mask.shape[2] == len(PROMPTS)
    batch = ostrl.labeling.on_policy.batch(policy, task(), PROMPTS, actions, mask)
    weights = ostrl.own(my_loss).weights(batch)
    assert torch.allclose(weights, batch.rewards - batch.rewards.mean(1, keepdim=True), atol=1e-6)

    def lengths_seen(log_prob, ref_log_prob, behavior_log_prob, mask):
        assert log_prob.shape == ref_log_prob.shape == behavior_log_prob.shape == mask.shape[:2]
        return torch.zeros_like(log_prob).detach()

    noted = dataclasses.replace(batch, ref_log_prob=batch.log_prob)
    assert not ostrl.own(lengths_seen).weights(noted).any()


def test_weights_of_another_shape_are_refused():
    policy = tiny.load("gpt2", max_new_tokens=5)
    _, batch = labeled("rloo", policy)
    for weigh in (lambda b: b.rewards[0], lambda b: b.rewards[..., None], lambda b: b.log_prob[..., :1]):
        with pytest.raises(ValueError, match=r"the weights of 'strange' must have shape \[B, G\]"):
            Method("strange", METHODS["rloo"].label, weigh, surrogate.samples).weights(batch)


# Who writes the labels


def test_what_is_known_of_the_models_own_answers():
    policy = tiny.load("gpt2", max_new_tokens=6)
    _, batch = labeled("rloo", policy)
    assert (batch.source == SELF).all() and not batch.log_prob.requires_grad
    assert torch.equal(batch.log_prob, batch.behavior_log_prob)
    assert torch.equal(batch.log_prob, policy.log_prob(batch.prompts, batch.actions, batch.mask).detach())
    texts = policy.decode(batch.actions, batch.mask)
    graded = [[grade(prompt, text) for text in group] for prompt, group in zip(batch.prompts, texts, strict=True)]
    assert batch.rewards.tolist() == graded
    assert batch.rewards.dtype == batch.log_prob.dtype == torch.float32


@pytest.mark.parametrize("device", DEVICES)
def test_how_likely_a_demonstrator_was_is_not_known(device):
    policy = tiny.load("gpt2", device, max_new_tokens=6)
    _, batch = labeled("sft", policy)
    assert (batch.source == DEMONSTRATOR).all()
    assert batch.behavior_log_prob.isnan().all() and batch.log_prob.isfinite().all()
    assert {text for group in policy.decode(batch.actions, batch.mask) for text in group} <= {"47", "4", "reverse"}
    _, batch = labeled("self_training", policy, group_size=5)
    assert batch.source.tolist() == [[DEMONSTRATOR, DEMONSTRATOR, SELF, SELF, SELF]] * 4
    assert batch.behavior_log_prob[:, :2].isnan().all()
    assert torch.equal(batch.behavior_log_prob[:, 2:], batch.log_prob[:, 2:])
    assert batch.actions.device.type == batch.rewards.device.type == device
    scores = policy.log_prob(batch.prompts, batch.actions, batch.mask).detach()
    assert torch.equal(batch.log_prob, scores)


@pytest.mark.parametrize("source", [SELF, OLD])
def test_nan_is_refused_wherever_somebody_else_wrote(source):
    policy = tiny.load("gpt2", max_new_tokens=6)
    _, batch = labeled("sft", policy, batch_size=2, group_size=2)
    sources = torch.tensor([[DEMONSTRATOR, source], [DEMONSTRATOR, DEMONSTRATOR]])
    with pytest.raises(ValueError, match=r"Batch\.behavior_log_prob must not be NaN"):
        dataclasses.replace(batch, source=sources)
    masked = torch.where(sources == source, 0.0, torch.nan)[..., None].expand(batch.mask.shape)
    masked = torch.where(batch.mask, masked, torch.nan)  # and it may be anything where masked
    assert dataclasses.replace(batch, source=sources, behavior_log_prob=masked).source is sources
    with pytest.raises(ValueError, match=r"Batch\.log_prob must not be NaN"):
        dataclasses.replace(batch, log_prob=torch.full_like(batch.log_prob, torch.nan))


def test_a_reference_that_is_a_language_model_is_noted():
    policy, reference = tiny.load("gpt2", max_new_tokens=6), tiny.load("gpt2", temperature=2.0)
    labeler = dataclasses.replace(METHODS["rloo"].label, reference=reference)
    batch = labeler.sample(policy, task(), 3, 2, generator())
    assert torch.equal(batch.ref_log_prob, score(reference, batch.prompts, batch.actions, batch.mask).detach())
    assert not torch.equal(batch.ref_log_prob, batch.log_prob)


def test_a_batch_of_tokens_needs_shapes_that_fit():
    policy = tiny.load("gpt2", max_new_tokens=6)
    _, batch = labeled("rloo", policy)
    fields = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    for change, kind, message in [
        ({"mask": batch.mask[..., :1]}, ValueError, "Batch.mask must have shape that of actions"),
        ({"mask": batch.mask.long()}, TypeError, "Batch.mask must be boolean, got torch.int64"),
        ({"log_prob": batch.log_prob.sum(-1)}, ValueError, "Batch.log_prob must have shape that of actions"),
        ({"prompts": batch.prompts[:2]}, ValueError, "Batch.prompts must have length B = 4, got 2"),
        ({"prompts": tuple(batch.prompts)}, TypeError, "Batch.prompts must be a tensor of indices or a list"),
        ({"actions": -batch.actions - 1}, ValueError, "Batch.actions must not be negative"),
    ]:
        with pytest.raises(kind, match=message):
            Batch(**fields | change)


def test_greedy_answers_cannot_be_learned_from():
    policy = tiny.load("gpt2", temperature=0)
    with pytest.raises(ValueError, match="temperature must be greater than 0 to score"):
        labeled("rloo", policy)


# Learning


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["rloo", "grpo", "rest", "sft"])
def test_a_trivial_task_is_learned_in_a_few_steps(name, device):
    """Full marks for an answer that begins with a: at first one in twenty or so, soon nearly all."""
    policy = tiny.load("llama", device, max_new_tokens=3)
    easy = lm.TextTask(
        PROMPTS, lambda prompt, answer: float(answer.startswith("a")), lambda prompt: {"a": 0.5, "ab": 0.5}
    )
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.02)
    loop = ostrl.train_steps(
        METHODS[name], policy, easy, optimizer, batch_size=6, group_size=24, generator=generator(0, device)
    )
    before = METHODS["rloo"].label.sample(policy, easy, 12, 24, generator(1, device)).rewards.mean()
    records = list(itertools.islice(loop, 30))
    after = METHODS["rloo"].label.sample(policy, easy, 12, 24, generator(1, device)).rewards.mean()
    assert before < 0.3 and after > 0.8
    assert [record.step for record in records] == list(range(1, 31))


@pytest.mark.parametrize("kind", KINDS)
def test_supervised_steps_raise_the_likelihood_of_the_labels_on_every_architecture(kind):
    policy = tiny.load(kind)
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.005)
    records = ostrl.grow_improve(
        [METHODS["sft"]], policy, task(), optimizer, batch_size=3, group_size=2, improve_steps=4, generator=generator()
    )
    losses = [record.loss for record in itertools.islice(records, 4)]
    assert losses == sorted(losses, reverse=True) and losses[0] - losses[-1] > 0.1


@pytest.mark.parametrize("device", DEVICES)
def test_training_in_mixed_precision(device):
    policy = tiny.load("llama", device, max_new_tokens=3, autocast=torch.bfloat16, micro_batch_size=16)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.01)
    loop = ostrl.train_steps(
        METHODS["rloo"], policy, task(), optimizer, batch_size=4, group_size=8, generator=generator(0, device)
    )
    for record in itertools.islice(loop, 3):
        assert record.batch.log_prob.dtype == torch.float32 and torch.isfinite(torch.tensor(record.loss))
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in policy.parameters())
