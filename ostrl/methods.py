"""Methods as rows of one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ostrl import checks, labeling, surrogate, weighting
from ostrl.batch import Batch
from ostrl.labeling import Labeler
from ostrl.table import Table


@dataclass(frozen=True)
class Method:
    """Three answers: who writes the labels, how each is weighted, what is divided by.

    They fill in ``eq-labels-and-weights``.

    Attributes:
        name: as in ``METHODS``.
        label: who writes the labels.
        weigh: maps a :class:`~ostrl.batch.Batch` to weights ``[B, G]``, in the dtype of its rewards; for answers in
            tokens they may be ``[B, G, T]``, one a token. A pure function of the batch, without state or randomness:
            exact enumeration runs it on every batch there is.
        normalize: maps the batch and its weights to Z, a positive number or tensor that broadcasts against the
            weights (one for each prompt is ``[B, 1]``). Pure, too.
        formula: the gradient estimate, in LaTeX.
        reference: the paper.
        weight: the weight in words, for the table.
        normalizer: Z in words, for the table.
    """

    name: str
    label: Labeler
    weigh: Callable[[Batch], Tensor]
    normalize: Callable[[Batch, Tensor], float | Tensor]
    formula: str = ""
    reference: str = ""
    weight: str = ""
    normalizer: str = ""

    def weights(self, batch: Batch) -> Tensor:
        """What :attr:`weigh` gives for a batch, checked.

        Raises:
            TypeError: if it is not a floating-point tensor of the rewards' dtype.
            ValueError: if it has another shape than the rewards (or, in tokens, the actions), or is not finite.
        """
        name = f"the weights of {self.name!r}"
        weights = checks.finite(name, self.weigh(batch))
        if batch.mask is None or weights.shape != batch.mask.shape:
            checks.shape(name, weights, tuple(batch.rewards.shape), "[B, G] =")
        return checks.like(name, weights, "Batch.rewards", batch.rewards)


Baseline = float | Float[Tensor, "O"] | Callable[[Any], Tensor]


def reinforce(baseline: Baseline | None = None) -> Method:
    """The model's answers, weighted by their return, or by their return minus a baseline.

    Args:
        baseline: a number; one number for each of the task's prompts, ``[O]``, such as
            :func:`ostrl.exact.optimal_baseline` gives; or a function that maps a batch's prompts to ``[B]``. The
            tensor and the function are read anew in every step, so a learned baseline is one that is updated
            between the steps.

    Raises:
        TypeError: for a baseline of another kind.
        ValueError: for a baseline that is not finite or not ``[O]``; at a step, for a function that does not give
            ``[B]``.
    """
    if baseline is None:
        weight, formula = "R", r"R_i"
    elif isinstance(baseline, Tensor):
        checks.ndim("baseline", checks.finite("baseline", baseline), 1, "[O] (one for each prompt)")
        weight, formula = "R − b(o)", r"\bigl(R_i - b(o_i)\bigr)"
    elif callable(baseline):
        weight, formula = "R − b(o)", r"\bigl(R_i - b(o_i)\bigr)"
    else:
        weight, formula = f"R − {checks.number('baseline', baseline):g}", r"(R_i - b)"

    def weigh(batch: Batch) -> Tensor:
        if baseline is None:
            return weighting.reward(batch.rewards)
        if not isinstance(baseline, Tensor) and not callable(baseline):
            return weighting.constant_baseline(batch.rewards, baseline)
        if isinstance(baseline, Tensor):
            if not isinstance(batch.prompts, Tensor):
                raise TypeError("a baseline [O] needs prompts that are indices, got strings: pass a function")
            b = baseline[batch.prompts]
        else:
            b = baseline(batch.prompts)
        checks.shape("the baseline", checks.tensor("the baseline", b), (batch.rewards.shape[0],), "[B] =")
        return weighting.constant_baseline(batch.rewards, b.unsqueeze(1))

    return Method(
        "reinforce",
        labeling.on_policy,
        weigh,
        surrogate.samples,
        rf"\frac{{1}}{{BG}}\sum_i {formula}\,\nabla\log\pi_\theta(a_i\mid o_i)",
        "Williams (1992)",
        weight,
        "B·G",
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
        "R − mean of the others",
        "B·G",
    )


def dr_grpo(constant: float = 1.0) -> Method:
    """REINFORCE with the group's mean, own sample included, as baseline; Z is ``constant`` times the labels.

    For language models Liu et al. (2025) divide by the most tokens that an answer may have, which only scales the step.
    """
    checks.number("constant", constant, above=0.0)
    return Method(
        "dr_grpo",
        labeling.on_policy,
        lambda batch: weighting.mean_baseline(batch.rewards),
        lambda batch, weights: constant * surrogate.samples(batch, weights),
        r"\frac{1}{BG}\sum_i \bigl(R_i - \bar R\bigr)\,\nabla\log\pi_\theta(a_i\mid o_i)",
        "Liu et al. (2025)",
        "R − group mean",
        "B·G" if constant == 1 else f"B·G·{constant:g}",
    )


def grpo(eps: float = 1e-4) -> Method:
    """Group z-scores as weights; ``eps`` is added to the standard deviation.

    In tokens, each answer's are divided by its length, too, as in the paper.
    """
    checks.number("eps", eps, above=0.0)
    return Method(
        "grpo",
        labeling.on_policy,
        lambda batch: weighting.group_normalized(batch.rewards, eps),
        surrogate.lengths,
        r"\frac{1}{BG}\sum_i \frac{R_i - \bar R}{\sigma_R + \varepsilon}\,\nabla\log\pi_\theta(a_i\mid o_i)",
        "Shao et al. (2024)",
        f"(R − mean)/(std + {eps:g})",
        "B·G·length (tables: B·G)",
    )


def dapo(eps: float = 1e-4) -> Method:
    """As :func:`grpo`, but divided by the tokens of the batch; without tokens (tables) the two are one."""
    checks.number("eps", eps, above=0.0)
    return Method(
        "dapo",
        labeling.on_policy,
        lambda batch: weighting.group_normalized(batch.rewards, eps),
        surrogate.tokens,
        r"\frac{1}{\#\text{tokens}}\sum_i \frac{R_i - \bar R}{\sigma_R + \varepsilon}"
        r"\,\nabla\log\pi_\theta(a_i\mid o_i)",
        "Yu et al. (2025)",
        f"(R − mean)/(std + {eps:g})",
        "tokens (tables: B·G)",
    )


def sft() -> Method:
    """Supervised fine-tuning: the demonstrators' answers, each with weight 1. Its mean is ``eq-sft``."""
    return Method(
        "sft",
        labeling.demonstrations,
        lambda batch: torch.ones_like(batch.rewards),
        surrogate.samples,
        r"\frac{1}{BG}\sum_i \nabla\log\pi_\theta(a_i\mid o_i)",
        "maximum likelihood",
        "1",
        "B·G",
    )


def self_training() -> Method:
    """G // 2 labels of each group from demonstrators, the others from the model, each with weight 1 and no filter.

    Its mean is ``eq-unfiltered``.
    """
    return Method(
        "self_training",
        labeling.mixture,
        lambda batch: torch.ones_like(batch.rewards),
        surrogate.samples,
        r"\frac{1}{BG}\sum_i \nabla\log\pi_\theta(a_i\mid o_i)",
        "Gulcehre et al. (2023), without the filter",
        "1",
        "B·G",
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
        f"1[R ≥ {tau:g}]",
        "answers kept",
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
        f"1[R ≥ {tau:g}]",
        "B · kept of the prompt",
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
        "1[best of its group]",
        "B",
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
        f"exp(R/{beta:g}) / group sum",
        "B",
    )


class Rows(dict[str, Method]):
    """Methods by name; prints, and renders in a notebook, as the table of their three answers."""

    def __repr__(self) -> str:
        header = ["method", "who labels", "weight w", "divided by Z", "source"]
        return repr(Table(header, [[m.name, m.label.name, m.weight, m.normalizer, m.reference] for m in self.values()]))

    def _repr_html_(self) -> str:
        header = ["method", "who labels", "gradient estimate", "weight w", "divided by Z", "source"]
        formulas = {name: rf"\({method.formula}\)" if method.formula else "" for name, method in self.items()}
        rows = [[m.name, m.label.name, formulas[k], m.weight, m.normalizer, m.reference] for k, m in self.items()]
        return Table(header, rows)._repr_html_()


METHODS: dict[str, Method] = Rows(
    (method.name, method)
    for method in (
        reinforce(), rloo(), dr_grpo(), grpo(), dapo(), sft(), self_training(),
        rest(), rest_per_prompt(), raft(), rwr(),
    )
)  # fmt: skip
"""The rows of the table, with their default parameters."""
