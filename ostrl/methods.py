"""Methods as rows of one table, and the loop that trains with any of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ostrl import checks, labeling, surrogate, weighting
from ostrl.batch import Batch, Policy, Task
from ostrl.labeling import Labeler
from ostrl.surrogate import surrogate_loss


@dataclass(frozen=True)
class Method:
    """Three answers: who writes the labels, how each is weighted, what is divided by.

    Attributes:
        name: as in ``METHODS``.
        label: who writes the labels.
        weigh: maps a :class:`~ostrl.batch.Batch` to weights ``[B, G]``, in the dtype of its rewards. A pure
            function of the batch, without state or randomness: exact enumeration runs it on every batch there is.
        normalize: maps the batch and its weights to Z, a positive number or tensor that broadcasts against the
            weights (one for each prompt is ``[B, 1]``). Pure, too.
        formula: the gradient estimate, in LaTeX.
        reference: the paper.
    """

    name: str
    label: Labeler
    weigh: Callable[[Batch], Tensor]
    normalize: Callable[[Batch, Tensor], float | Tensor]
    formula: str = ""
    reference: str = ""

    def weights(self, batch: Batch) -> Tensor:
        """What :attr:`weigh` gives for a batch, checked.

        Raises:
            TypeError: if it is not a floating-point tensor of the rewards' dtype.
            ValueError: if it has another shape than the rewards.
        """
        name = f"the weights of {self.name!r}"
        weights = checks.floating(name, self.weigh(batch))
        checks.shape(name, weights, tuple(batch.rewards.shape), "[B, G] =")
        return checks.like(name, weights, "Batch.rewards", batch.rewards)


def reinforce() -> Method:
    """The model's answers, weighted by their return."""
    return Method(
        "reinforce",
        labeling.on_policy,
        lambda batch: weighting.reward(batch.rewards),
        surrogate.samples,
        r"\frac{1}{BG}\sum_i R_i\,\nabla\log\pi_\theta(a_i\mid o_i)",
        "Williams (1992)",
    )


def rloo() -> Method:
    """REINFORCE with the mean of the group's other returns as baseline."""
    return Method(
        "rloo",
        labeling.on_policy,
        lambda batch: weighting.leave_one_out(batch.rewards),
        surrogate.samples,
        r"\frac{1}{BG}\sum_i \bigl(R_i - \bar R_{-i}\bigr)\,\nabla\log\pi_\theta(a_i\mid o_i)",
        "Kool et al. (2019); Ahmadian et al. (2024)",
    )


def dr_grpo() -> Method:
    """REINFORCE with the group's mean, own sample included, as baseline."""
    return Method(
        "dr_grpo",
        labeling.on_policy,
        lambda batch: weighting.mean_baseline(batch.rewards),
        surrogate.samples,
        r"\frac{1}{BG}\sum_i \bigl(R_i - \bar R\bigr)\,\nabla\log\pi_\theta(a_i\mid o_i)",
        "Liu et al. (2025)",
    )


def grpo(eps: float = 1e-4) -> Method:
    """Group z-scores as weights; ``eps`` is added to the standard deviation."""
    checks.number("eps", eps, above=0.0)
    return Method(
        "grpo",
        labeling.on_policy,
        lambda batch: weighting.group_normalized(batch.rewards, eps),
        surrogate.samples,
        r"\frac{1}{BG}\sum_i \frac{R_i - \bar R}{\sigma_R + \varepsilon}\,\nabla\log\pi_\theta(a_i\mid o_i)",
        "Shao et al. (2024)",
    )


def sft() -> Method:
    """Supervised fine-tuning: the demonstrators' answers, each with weight 1."""
    return Method(
        "sft",
        labeling.demonstrations,
        lambda batch: torch.ones_like(batch.rewards),
        surrogate.samples,
        r"\frac{1}{BG}\sum_i \nabla\log\pi_\theta(a_i\mid o_i)",
        "maximum likelihood",
    )


def self_training() -> Method:
    """G // 2 labels of each group from demonstrators, the others from the model, each with weight 1 and no filter."""
    return Method(
        "self_training",
        labeling.mixture,
        lambda batch: torch.ones_like(batch.rewards),
        surrogate.samples,
        r"\frac{1}{BG}\sum_i \nabla\log\pi_\theta(a_i\mid o_i)",
        "Gulcehre et al. (2023), without the filter",
    )


def rest(tau: float = 1.0) -> Method:
    """The model's answers with a return of at least ``tau``, pooled over the batch."""
    checks.number("tau", tau)
    return Method(
        "rest",
        labeling.on_policy,
        lambda batch: weighting.threshold(batch.rewards, tau),
        surrogate.kept,
        r"\frac{1}{\#\text{kept}}\sum_i 1[R_i\ge\tau]\,\nabla\log\pi_\theta(a_i\mid o_i)",
        "Gulcehre et al. (2023)",
    )


def rest_per_prompt(tau: float = 1.0) -> Method:
    """As :func:`rest`, but every prompt's kept answers share a weight of 1/B."""
    checks.number("tau", tau)
    return Method(
        "rest_per_prompt",
        labeling.on_policy,
        lambda batch: weighting.threshold(batch.rewards, tau),
        surrogate.kept_per_prompt,
        r"\frac{1}{B}\sum_o\frac{1}{\#\text{kept}_o}\sum_{i\in o} 1[R_i\ge\tau]\,\nabla\log\pi_\theta(a_i\mid o)",
        "Gulcehre et al. (2023), per prompt",
    )


def raft() -> Method:
    """Fine-tuning on the best of each group, ties to the earliest."""
    return Method(
        "raft",
        labeling.on_policy,
        lambda batch: weighting.top_k(batch.rewards, 1),
        surrogate.prompts,
        r"\frac{1}{B}\sum_o \nabla\log\pi_\theta(a_{o,\text{best}}\mid o)",
        "Dong et al. (2023)",
    )


def rwr(beta: float = 1.0) -> Method:
    """Soft selection within the group, at the temperature ``beta``."""
    checks.number("beta", beta, above=0.0)
    return Method(
        "rwr",
        labeling.on_policy,
        lambda batch: weighting.exponential(batch.rewards, beta),
        surrogate.prompts,
        r"\frac{1}{B}\sum_o\sum_{i\in o}\frac{e^{R_i/\beta}}{\sum_{j\in o} e^{R_j/\beta}}"
        r"\,\nabla\log\pi_\theta(a_i\mid o)",
        "Peters and Schaal (2007)",
    )


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        reinforce(), rloo(), dr_grpo(), grpo(), sft(), self_training(), rest(), rest_per_prompt(), raft(), rwr()
    )
}  # fmt: skip
"""The rows of the table, with their default parameters."""


@dataclass(frozen=True)
class Record:
    """What happened in one step of training.

    Attributes:
        step: counted from 1.
        loss: the surrogate's value before the step. It is not the objective.
        mean_reward: mean grade of the batch.
        batch: the labels that were learned from.
    """

    step: int
    loss: float
    mean_reward: float
    batch: Batch


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
    checks.instance("optimizer", optimizer, torch.optim.Optimizer)
    checks.positive_int("batch_size", batch_size)
    checks.positive_int("group_size", group_size)
    labeling.check_task(task)
    task.check_policy(policy)
    checks.generator(generator, next(policy.parameters()).device)
    if any(group.get("maximize") for group in optimizer.param_groups):
        raise ValueError("optimizer must minimize, got one with maximize=True: the surrogate has its minus sign")
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if not any(id(p) in held for p in policy.parameters()):
        raise ValueError("optimizer must hold parameters of the policy, got none of them")

    def steps() -> Iterator[Record]:
        for step in itertools.count(1):
            batch = method.label.sample(policy, task, batch_size, group_size, generator)
            mean_reward = batch.rewards.mean().item()
            weights = method.weights(batch)
            normalizer = method.normalize(batch, weights)
            with torch.enable_grad():
                log_prob = policy.log_prob(batch.prompts, batch.actions)
                loss = surrogate_loss(log_prob, weights, normalizer, batch.mask)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield Record(step, loss.item(), mean_reward, batch)

    return steps()
