"""Grow and Improve, of which training step by step is a case."""

import itertools

import pytest
import torch
from problems import problem

import ostrl
from ostrl import METHODS, methods


def start(seed=20, kind="graded", lr=0.3):
    policy, task, _ = problem(kind, 3, 4, seed)
    return policy, task, torch.optim.SGD(policy.parameters(), lr=lr)


def run(count, names, policy, task, optimizer, **settings):
    settings = {"batch_size": 6, "group_size": 4, "improve_steps": 1} | settings
    loop = ostrl.grow_improve(names, policy, task, optimizer, generator=torch.Generator().manual_seed(1), **settings)
    return list(itertools.islice(loop, count))


def test_one_method_and_one_step_is_the_training_loop():
    a, task, optimizer = start()
    grown = run(5, [METHODS["rloo"]], a, task, optimizer)
    b, task, optimizer = start()
    generator = torch.Generator().manual_seed(1)
    stepped = ostrl.train_steps(METHODS["rloo"], b, task, optimizer, batch_size=6, group_size=4, generator=generator)
    for one, other in zip(grown, stepped, strict=False):
        assert torch.equal(one.batch.actions, other.batch.actions)
        assert (one.loss, one.step, one.grow) == (other.loss, other.step, other.grow)
    assert torch.equal(a.logits, b.logits)


def test_the_order_of_grow_improve_and_steps():
    policy, task, optimizer = start()
    records = run(14, [methods.rest(0.2), methods.rest(0.8)], policy, task, optimizer, improve_steps=3)
    assert [r.step for r in records] == list(range(1, 15))
    assert [r.grow for r in records] == [1] * 6 + [2] * 6 + [3] * 2
    assert [r.improve for r in records] == ([0] * 3 + [1] * 3) * 2 + [0] * 2
    assert records[0].batch is records[5].batch
    assert records[5].batch is not records[6].batch


def test_an_improve_is_gradient_descent_on_the_frozen_batch():
    """The same steps by hand: weighted negative log-likelihood of labels that the starting model wrote."""
    policy, task, optimizer = start()
    began = policy.logits.detach().clone()
    records = run(4, [methods.rest(0.5), methods.rest(1.2)], policy, task, optimizer, improve_steps=2)
    batch = records[0].batch
    logits = began.clone().requires_grad_()
    for tau in (0.5, 0.5, 1.2, 1.2):
        keep = (batch.rewards >= tau).double()
        log_prob = torch.log_softmax(logits, 1)[batch.prompts[:, None], batch.actions]
        loss = -(keep * log_prob).sum() / keep.sum()
        (slope,) = torch.autograd.grad(loss, logits)
        logits = (logits - 0.3 * slope).detach().requires_grad_()
    torch.testing.assert_close(policy.logits, logits, rtol=0, atol=1e-14)


def test_restart_keeps_only_the_labels():
    policy, task, _ = start()
    began = policy.logits.detach().clone()
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.1)
    records = run(4, [METHODS["rest"]], policy, task, optimizer, improve_steps=4, restart=True)
    first = policy.logits.detach().clone()
    again, task, _ = start()
    optimizer = torch.optim.Adam(again.parameters(), lr=0.1)
    records = run(8, [METHODS["rest"]], again, task, optimizer, improve_steps=4, restart=True)
    # The second Improve began where the first did, with Adam's memory empty: redo it by hand.
    by_hand = ostrl.CategoricalPolicy(began)
    optimizer = torch.optim.Adam(by_hand.parameters(), lr=0.1)
    batch = records[-1].batch
    assert batch is not records[0].batch
    for _ in range(4):
        keep = (batch.rewards >= 1).double()
        loss = -(keep * by_hand.log_prob(batch.prompts, batch.actions)).sum() / keep.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(again.logits, by_hand.logits, rtol=0, atol=1e-14)
    assert not torch.equal(first, again.logits)


def test_where_nothing_is_kept_nothing_moves():
    policy, task, optimizer = start()
    began = policy.logits.detach().clone()
    run(3, [methods.rest(1e6)], policy, task, optimizer)
    assert torch.equal(policy.logits, began)


def test_wrong_arguments_are_refused_before_the_first_step():
    policy, task, optimizer = start()
    with pytest.raises(ValueError, match="at least one method"):
        run(1, [], policy, task, optimizer)
    with pytest.raises(ValueError, match="agree on who labels, got 'the model' and 'demonstrators'"):
        run(1, [METHODS["rest"], METHODS["sft"]], policy, task, optimizer)
    with pytest.raises(TypeError, match="methods must be of class Method"):
        run(1, ["rest"], policy, task, optimizer)
    with pytest.raises(ValueError, match="improve_steps must be at least 1"):
        run(1, [METHODS["rest"]], policy, task, optimizer, improve_steps=0)
