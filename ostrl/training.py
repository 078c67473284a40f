"""The loop that trains with any row of the table, and ReST's loop of Grow and Improve, of which it is a case."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ostrl import checks, labeling
from ostrl.batch import Batch, Policy, Task, score
from ostrl.methods import Method
from ostrl.surrogate import divide, surrogate_loss


@dataclass(frozen=True)
class Record:
    """What happened in one step of training.

    Attributes:
        step: counted from 1.
        loss: the surrogate's value before the step. It is not the objective.
        mean_reward: mean grade of the batch.
        batch: the labels that were learned from.
        grow: how many batches have been labeled so far, this one included.
        improve: which of the methods the step was taken with, counted from 0.
    """

    step: int
    loss: float
    mean_reward: float
    batch: Batch
    grow: int
    improve: int


def train_steps(
    method: Method,
    policy: Policy,
    task: Task,
    optimizer: torch.optim.Optimizer,
    *,
    batch_size: int,
    group_size: int,
    generator: torch.Generator,
) -> Iterator[Record]:
    """The training loop: label, weigh, normalize, step, for as long as it is asked for another record.

    Bars, checkpoints and stopping wrap it from outside::

        for record in itertools.islice(train_steps(...), 100): ...

    Args:
        method: a row of ``METHODS``, or one of your own.
        policy: what is trained; ``optimizer`` holds its parameters.
        task: prompts and grades.
        optimizer: any of ``torch.optim``; it minimizes the surrogate, so the policy climbs.
        batch_size: B, prompts a step.
        group_size: G, answers a prompt.
        generator: the source of randomness.

    Raises:
        TypeError: for another kind of method or optimizer, or a missing generator.
        ValueError: for sizes below 1, a policy and a task that do not fit, or an optimizer that maximizes or holds
            none of the policy's parameters.
    """
    checks.instance("method", method, Method, "; for example METHODS['rloo']")
    return grow_improve(
        [method],
        policy,
        task,
        optimizer,
        batch_size=batch_size,
        group_size=group_size,
        improve_steps=1,
        generator=generator,
    )


def grow_improve(
    methods: Sequence[Method],
    policy: Policy,
    task: Task,
    optimizer: torch.optim.Optimizer,
    *,
    batch_size: int,
    group_size: int,
    improve_steps: int,
    restart: bool = False,
    generator: torch.Generator,
) -> Iterator[Record]:
    """Grow a batch of labels, Improve on it several times, and repeat for as long as it is asked for a record.

    Grow has ``batch_size`` times ``group_size`` labels written and graded. Improve takes ``improve_steps`` gradient
    steps on all of them with the first method, then as many with the second, and so on. Weights and Z always come from
    the whole batch; those that depend on the log-probabilities (a ratio, a clip) follow them from step to step. The
    relatives are settings:

    ====================  ==========================================  =============  =======
    name                  ``methods``                                 steps          restart
    ====================  ==========================================  =============  =======
    ReST                  ``[rest(0.3), rest(0.6), rest(0.9)]``       many           no
    RAFT                  ``[raft()]``                                several        no
    STaR                  ``[rest(1.0)]``                             many           yes
    expert iteration      ``[rest_per_prompt(1.0)]``                  many           no
    SFT on best-of-n      ``[raft()]``, for one Grow                  many           no
    on-policy training    ``[any row]``                               1              no
    ====================  ==========================================  =============  =======

    Source: Gulcehre et al. (2023), algorithm 1.

    Args:
        methods: one for each Improve, in their order, for example with rising thresholds. The first says who
            labels, and the others must say the same.
        policy: what is trained; ``optimizer`` holds its parameters.
        task: prompts and grades.
        optimizer: any of ``torch.optim``; it minimizes the surrogate, so the policy climbs.
        batch_size: B, prompts of a Grow.
        group_size: G, answers a prompt.
        improve_steps: gradient steps of an Improve.
        restart: whether policy and optimizer go back to where they began, after each Grow and before its first
            Improve, so that only the labels carry over.
        generator: the source of randomness.

    Raises:
        TypeError: for another kind of method or optimizer, or a missing generator.
        ValueError: for no method or methods that differ in who labels, sizes below 1, a policy and a task that do not
            fit, or an optimizer that maximizes or holds none of the policy's parameters.
    """
    methods = list(methods)
    if not methods:
        raise ValueError("methods must name at least one method, got an empty list")
    for method in methods:
        checks.instance("methods", method, Method, "; for example [methods.rest(0.5), methods.rest(1.0)]")
        if method.label != methods[0].label:
            raise ValueError(
                f"methods must agree on who labels, got {methods[0].label.name!r} and {method.label.name!r}: "
                "every Improve learns from the same batch"
            )
    checks.instance("optimizer", optimizer, torch.optim.Optimizer)
    checks.positive_int("batch_size", batch_size)
    checks.positive_int("group_size", group_size)
    checks.positive_int("improve_steps", improve_steps)
    labeling.check_task(task)
    task.check_policy(policy)
    checks.generator(generator, next(policy.parameters()).device)
    if any(group.get("maximize") for group in optimizer.param_groups):
        raise ValueError("optimizer must minimize, got one with maximize=True: the surrogate has its minus sign")
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if not any(id(p) in held for p in policy.parameters()):
        raise ValueError("optimizer must hold parameters of the policy, got none of them")
    if restart:
        began = [p.detach().clone() for p in policy.parameters()], copy.deepcopy(optimizer.state_dict())

    def steps() -> Iterator[Record]:
        step = itertools.count(1)
        for grow in itertools.count(1):
            log_prob: Tensor | None
            batch, log_prob = label(methods[0], policy, task, batch_size, group_size, generator)
            mean_reward = batch.rewards.mean().item()
            if restart:
                with torch.no_grad():
                    for parameter, start in zip(policy.parameters(), began[0], strict=True):
                        parameter.copy_(start)
                optimizer.load_state_dict(copy.deepcopy(began[1]))
                log_prob = None
            for improve, method in enumerate(methods):
                for _ in range(improve_steps):
                    optimizer.zero_grad()
                    loss = backward(method, policy, batch, log_prob)
                    optimizer.step()
                    log_prob = None
                    yield Record(next(step), loss, mean_reward, batch, grow, improve)

    return steps()


def label(
    method: Method, policy: Policy, task: Task, batch_size: int, group_size: int, generator: torch.Generator
) -> tuple[Batch, Tensor]:
    """A batch of labels, and their log-probabilities with the graph, so that :func:`backward` need not score again.

    Args:
        method: says who labels.
        policy: is scored.
        task: prompts and grades.
        batch_size: B, prompts in a batch.
        group_size: G, answers to each prompt.
        generator: the source of randomness.

    Raises:
        TypeError: for a missing generator.
        ValueError: as :meth:`ostrl.labeling.Labeler.sample`.
    """
    prompts, actions, mask = method.label.draw(policy, task, batch_size, group_size, generator)
    log_prob = _forward(policy, prompts, actions, mask)
    return method.label.batch(policy, task, prompts, actions, mask, log_prob), log_prob


def _forward(policy: Policy, prompts: Any, actions: Tensor, mask: Tensor | None) -> Tensor:
    """Log-probabilities (nats) of all labels, with their graph, unless the policy asks for few at a time."""
    with torch.set_grad_enabled(not _cut(policy, actions)):
        return score(policy, prompts, actions, mask)


@torch.enable_grad()
def backward(method: Method, policy: Policy, batch: Batch, log_prob: Tensor | None = None) -> float:
    """Add the gradient of the surrogate to ``.grad`` of the policy's parameters; returns the surrogate's value.

    A policy may ask for few answers at a time (``micro_batch_size``): weights and Z come from the whole batch whatever
    it is cut into.

    Args:
        method: weighs and normalizes.
        policy: is scored; gradients accumulate, as always in PyTorch, so set them to zero first.
        batch: the labels.
        log_prob: from :func:`label` for these labels, if the parameters are still as they were.
    """
    if log_prob is None:
        log_prob = _forward(policy, batch.prompts, batch.actions, batch.mask)
    now = dataclasses.replace(batch, log_prob=log_prob.detach())
    weights = method.weights(now)
    normalizer = method.normalize(now, weights)
    cut = _cut(policy, batch.actions)
    if not cut:
        loss = surrogate_loss(log_prob, weights, normalizer, batch.mask)
        loss.backward()
        return loss.item()
    coefficient = divide(weights, normalizer).flatten(0, 1)
    group = batch.rewards.shape[1]
    value = 0.0
    for start in range(0, len(coefficient), cut):
        rows = range(start, min(start + cut, len(coefficient)))
        part = slice(rows.start, rows.stop)
        prompts: Any = [batch.prompts[row // group] for row in rows]
        actions = batch.actions.flatten(0, 1)[part, None]
        mask = None if batch.mask is None else batch.mask.flatten(0, 1)[part, None]
        prompts = torch.stack(prompts) if isinstance(batch.prompts, Tensor) else prompts
        loss = surrogate_loss(score(policy, prompts, actions, mask), coefficient[part, None], 1.0, mask)
        loss.backward()
        value += loss.item()
    return value


def _cut(policy: Policy, actions: Tensor) -> int:
    """How many answers are learned from at a time, or 0 for all at once."""
    size: int | None = getattr(policy, "micro_batch_size", None)
    return size if size is not None and size < actions.shape[:2].numel() else 0
