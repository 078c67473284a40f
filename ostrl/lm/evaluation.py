"""How good a language model is: accuracy, pass@k, entropy, length, and how far it has moved, each with its error.

The prompts are drawn first, then the answers to each, so every standard error here is that of a mean over prompts:
answers to one prompt are not independent of each other, and counting them as if they were would make it too small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ostrl import checks
from ostrl.lm.policy import LanguageModelPolicy
from ostrl.lm.task import TextTask
from ostrl.table import Table


def pass_at_k(correct: Int[Tensor, "..."], n: int, k: int) -> Float[Tensor, "..."]:
    """Probability that at least one of k answers is right, estimated without bias from n answers to each prompt.

    Of the C(n, k) ways to choose k of the n answers, C(n − c, k) choose none of the c right ones, so the estimate is
    1 − C(n − c, k) / C(n, k). It is computed in whole numbers of any size and rounded once, so that neither large n nor
    a difference of almost equal numbers hurts it. Implements ``eq-pass-at-k``. Source: Chen et al. (2021).

    Args:
        correct: c, how many of the n answers to each prompt are right; any shape.
        n: answers drawn.
        k: answers a user may look at, at most n.

    Returns:
        the estimates, float64, in the shape of ``correct``.

    Raises:
        TypeError: if ``correct`` is no integer tensor, or ``n`` or ``k`` no int.
        ValueError: if k is greater than n (no unbiased estimate exists then), or a count is not in 0 … n.

    >>> pass_at_k(torch.tensor([0, 1, 2]), n=4, k=2)
    tensor([0.0000, 0.5000, 0.8333], dtype=torch.float64)
    """
    counts = checks.integer("correct", correct, "how many of the n answers are right")
    checks.positive_int("n", n)
    checks.positive_int("k", k)
    if k > n:
        raise ValueError(f"k must be at most n, got k = {k} and n = {n}: draw at least k answers to each prompt")
    if counts.numel() and (int(counts.min()) < 0 or int(counts.max()) > n):
        raise ValueError(f"correct must be counts in 0 … n = {n}, got {int(counts.min())} to {int(counts.max())}")
    ways = math.comb(n, k)
    seen, place = counts.unique(return_inverse=True)
    exact = [(ways - math.comb(n - c, k)) / ways for c in seen.tolist()]
    return torch.tensor(exact, dtype=torch.float64, device=counts.device)[place]


@dataclass(frozen=True)
class Evaluation:
    """What was measured on some prompts; prints, and renders in a notebook, as a table with a row for each kind.

    Attributes:
        prompts: how many prompts it is from.
        samples: answers drawn to each.
        accuracy: share of answers with full marks, as the policy samples them.
        greedy: share of prompts whose greedy answer has full marks.
        pass_at: for each k, the probability that one of k answers has full marks (:func:`pass_at_k`).
        entropy: nats of a whole answer: the mean of −log π over the answers drawn.
        length: tokens of an answer, its end included.
        kl: nats, or ``None`` without a reference: KL(π ‖ reference), estimated by the mean of
            log π − log π_reference over the policy's own answers. Unbiased, so it may come out below zero.
        errors: standard error of each, over prompts; ``"pass@4"`` names that of ``pass_at[4]``. NaN where there is
            a single prompt.
        by_kind: the same for the prompts of each kind.
    """

    prompts: int
    samples: int
    accuracy: float
    greedy: float
    pass_at: dict[int, float]
    entropy: float
    length: float
    kl: float | None
    errors: dict[str, float]
    by_kind: dict[str, Evaluation] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON can hold them; what is not a number is ``None``."""

        def plain(value: Any) -> Any:
            if isinstance(value, Evaluation):
                return plain({name: entry for name, entry in vars(value).items() if entry or name != "by_kind"})
            if isinstance(value, dict):
                return {str(key): plain(entry) for key, entry in value.items()}
            return None if isinstance(value, float) and not math.isfinite(value) else value

        plain_values: dict[str, Any] = plain(self)
        return plain_values

    def table(self) -> Table:
        """All prompts in the first row, then a row for each kind."""

        def cell(row: Evaluation, name: str, value: float, digits: int) -> str:
            error = row.errors[name]
            return f"{value:.{digits}f}" + (f" ± {1.96 * error:.{digits}f}" if error > 0 else "")

        measures = [("accuracy", 3), ("greedy", 3), *((f"pass@{k}", 3) for k in self.pass_at if k > 1)]
        measures += [("entropy", 2), ("length", 1), *([("kl", 2)] if self.kl is not None else [])]
        rows = []
        for kind, row in {"all": self, **self.by_kind}.items():
            values = {**vars(row), **{f"pass@{k}": value for k, value in row.pass_at.items()}}
            rows.append([kind, str(row.prompts), *(cell(row, name, values[name], d) for name, d in measures)])
        return Table(
            ["prompts", "number", *(name.replace("kl", "KL") for name, _ in measures)],
            rows,
            f"{self.samples} answers a prompt; entropy and KL in nats, length in tokens; "
            "± is 1.96 standard errors over prompts",
        )

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def evaluate(
    policy: LanguageModelPolicy,
    task: TextTask,
    *,
    prompts: int | Sequence[str] = 256,
    samples: int = 4,
    k: Sequence[int] | None = None,
    generator: torch.Generator,
    reference: LanguageModelPolicy | None = None,
    kind: Callable[[str], str] | None = None,
    full_marks: float = 1.0,
) -> Evaluation:
    """Have the policy answer prompts, as it samples and greedily, and measure the answers.

    Where the policy's sampler is truncated (top-k, top-p), entropy and KL are those of the truncated sampler.

    Args:
        policy: evaluated at its own temperature; for another one, pass ``policy.at(temperature=...)``.
        task: grades the answers.
        prompts: how many to draw from the task, with replacement, or a list of them.
        samples: answers to each.
        k: of pass@k, each at most ``samples``; ``None`` for 1, 2, 4, … up to it.
        generator: the source of randomness.
        reference: a policy with the same tokens, for KL(policy ‖ reference) between the two as they sample; ``None``
            for none.
        kind: maps a prompt to the name of its kind, for the rows of the table; ``None`` for no such rows.
        full_marks: the least grade that counts as right.

    Raises:
        TypeError: for a missing generator or another wrong kind of argument.
        ValueError: for no prompts, sizes below 1, or a k above ``samples``.
    """
    checks.positive_int("samples", samples)
    ks = [2**power for power in range(samples.bit_length())] if k is None else sorted(set(k))
    for value in ks:
        if checks.positive_int("k", value) > samples:
            raise ValueError(f"k must be at most samples = {samples}, got {value}: draw more answers")
    device = next(policy.parameters()).device
    checks.generator(generator, device)
    if isinstance(prompts, str):
        raise TypeError("prompts must be a number or a list of prompts, got a single string")
    if isinstance(prompts, Sequence):
        asked = list(prompts)
        if not asked:
            raise ValueError("prompts must not be empty")
    else:
        asked = task.sample_prompts(checks.positive_int("prompts", prompts), generator)

    with torch.no_grad():
        actions, mask = policy.sample(asked, samples, generator)
        log_prob = policy.behavior_log_prob(asked, actions, mask).double().sum(-1)
        correct = task.reward(asked, policy.decode(actions, mask)).cpu() >= full_marks
        best = policy.at(temperature=0.0, top_k=None, top_p=None)
        greedy = task.reward(asked, best.decode(*best.sample(asked, 1, generator))).cpu() >= full_marks
        by_prompt = {
            "accuracy": correct.double().mean(1),
            "greedy": greedy.double()[:, 0],
            **{f"pass@{value}": pass_at_k(correct.sum(1), samples, value) for value in ks},
            "entropy": -log_prob.mean(1),
            "length": mask.sum(-1).double().mean(1),
        }
        if reference is not None:
            other = reference.behavior_log_prob(asked, actions, mask).double().sum(-1)
            by_prompt["kl"] = (log_prob - other).mean(1)

    def measured(rows: Tensor, by_kind: dict[str, Evaluation]) -> Evaluation:
        means = {name: values.cpu()[rows].mean().item() for name, values in by_prompt.items()}
        return Evaluation(
            prompts=len(rows),
            samples=samples,
            accuracy=means["accuracy"],
            greedy=means["greedy"],
            pass_at={value: means[f"pass@{value}"] for value in ks},
            entropy=means["entropy"],
            length=means["length"],
            kl=means.get("kl"),
            errors={name: _standard_error(values.cpu()[rows]) for name, values in by_prompt.items()},
            by_kind=by_kind,
        )

    kinds: dict[str, list[int]] = {}
    for row, prompt in enumerate(asked if kind is not None else []):
        kinds.setdefault(kind(prompt) if kind is not None else "", []).append(row)
    return measured(torch.arange(len(asked)), {name: measured(torch.tensor(kinds[name]), {}) for name in sorted(kinds)})


def _standard_error(values: Float[Tensor, "P"]) -> float:
    """Of the mean of one number a prompt."""
    return (values.std() / math.sqrt(len(values))).item() if len(values) > 1 else math.nan
