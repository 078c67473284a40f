"""The ledger: what each method's estimate is worth, exactly, on the same problems."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ostrl.custom import as_method
from ostrl.exact.coincidence import coincides
from ostrl.exact.difficulty import omega
from ostrl.exact.enumeration import moments
from ostrl.exact.problems import Problem, panel
from ostrl.exact.values import gradient
from ostrl.methods import METHODS, Method
from ostrl.policies import TablePolicy
from ostrl.table import Table
from ostrl.tasks import TableTask

SUCCESS_RATES = (0.05, 0.5, 0.95)
"""Where the ledger states ω."""
QUANTITIES = ("bias", "scale", "cosine", "variance", "snr")


@dataclass(frozen=True, eq=False)
class Entry:
    """One method on one problem, with ``g`` its estimate, ``‖·‖`` the Euclidean norm.

    Attributes:
        mean: ``E g``, ``[P]``.
        gradient: ``∇J``, ``[P]``.
        bias: ``‖E g - ∇J‖ / ‖∇J‖``; NaN, like scale and cosine, where ``∇J`` is zero.
        scale: the multiple of ``∇J`` in ``E g``, ``⟨E g, ∇J⟩ / ‖∇J‖²``; 1 if unbiased.
        cosine: of the angle between ``E g`` and ``∇J``; NaN where ``E g`` is zero, too.
        variance: the trace of the covariance of ``g``.
        snr: ``‖E g‖² / variance``; infinite without noise.
    """

    mean: Float[Tensor, "P"]
    gradient: Float[Tensor, "P"]
    bias: float
    scale: float
    cosine: float
    variance: float
    snr: float


@dataclass(frozen=True, eq=False)
class Row:
    """One method on all problems.

    Attributes:
        method: what was measured.
        entries: by the name of the problem.
        omega: ω at the success rates ``SUCCESS_RATES``.
        same_as: the row of ``METHODS`` that gives the same estimate on every batch, if it is one, up to a constant
            factor: ``"rloo"``, ``"0.75 x rloo"``, ``"nearly grpo (within 0.02 %)"``, or ``""``.
        tolerance: what :meth:`verdict` takes for rounding, in units of bias, scale and cosine.
    """

    method: Method
    entries: dict[str, Entry]
    omega: tuple[float, ...]
    same_as: str
    tolerance: float

    def values(self, quantity: str) -> list[float]:
        """A quantity of :class:`Entry` over the problems, without those where it is not defined."""
        found = [getattr(entry, quantity) for entry in self.entries.values()]
        return [x for x in found if not math.isnan(x)]

    def median(self, quantity: str) -> float:
        """The median of a quantity over the problems; NaN where it is defined on none."""
        return median(self.values(quantity)) if self.values(quantity) else math.nan

    def worst(self, quantity: str) -> float:
        """The largest bias or variance, the smallest cosine or SNR, the scale that is furthest from 1."""
        found = self.values(quantity)
        if not found:
            return math.nan
        if quantity == "scale":
            return max(found, key=lambda x: abs(x - 1))
        return max(found) if quantity in ("bias", "variance") else min(found)

    def verdict(self) -> str:
        """What the method's estimate is, in words."""
        name, bare = self.method.name, self.same_as.removeprefix("nearly ")
        said = []
        if self.same_as not in ("", name):
            nearly = "nearly " if bare != self.same_as else ""
            said.append(f"{name} gives {nearly}the same estimates as {bare}.")
        scales, cosines, slack = self.values("scale"), self.values("cosine"), self.tolerance
        if not scales:
            return " ".join([*said, "No problem has a gradient to compare with."])
        least, most = min(scales), max(scales)
        downhill = [key for key, entry in self.entries.items() if entry.cosine < -slack]
        if max(self.values("variance")) == 0 and not cosines:
            said.append("It is zero on every batch: nothing moves.")
        elif self.worst("bias") < slack:
            said.append("Its expectation is ∇J on every problem: it is unbiased.")
        elif not cosines:
            said.append("Its expectation is zero on every problem: it moves at random.")
        elif min(cosines) > 1 - slack and most - least < slack:
            length = "the direction is right, the length is not"
            said.append(f"Its expectation is {least:.4g} ∇J on every problem: {length}.")
        elif min(cosines) > 1 - slack:
            said.append(f"Its expectation is parallel to ∇J everywhere, by factors from {least:.3g} to {most:.3g}.")
        elif max(cosines) < -1 + slack:
            said.append("Its expectation points exactly against ∇J on every problem: it descends.")
        else:
            said.append("Its expectation is not parallel to ∇J.")
            if downhill:
                where = "on every problem" if len(downhill) == len(cosines) else f"on {', '.join(downhill)}"
                said.append(f"It points downhill {where} (cosine {min(cosines):.2f}, at worst).")
        low, middle, high = self.omega
        if max(self.omega) - min(self.omega) > slack and middle != 0:
            said.append(
                "With a right answer and a wrong one, a hard prompt "
                f"(p = {SUCCESS_RATES[0]:g}) weighs {low / middle:.3g} times as much as an even one, "
                f"an easy one (p = {SUCCESS_RATES[2]:g}) {high / middle:.3g} times."
            )
        return " ".join(said)


class Ledger(Sequence[Row]):
    """The rows, in the order of the methods; prints, and renders in a notebook, as a table.

    ``ledger[0]`` or ``ledger["rloo"]`` is a :class:`Row`, with the exact numbers on every problem.
    """

    def __init__(self, rows: Sequence[Row], problems: Sequence[Problem], group_size: int, num_prompts: int) -> None:
        self.rows = list(rows)
        self.problems = list(problems)
        self.group_size = group_size
        self.num_prompts = num_prompts

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            for row in self.rows:
                if row.method.name == key:
                    return row
            raise KeyError(f"the ledger has no row {key!r}, but {', '.join(row.method.name for row in self.rows)}")
        return self.rows[key]

    def __len__(self) -> int:
        return len(self.rows)

    def table(self) -> Table:
        """What is printed: medians over the problems, and the worst."""
        header = ["method", "who labels", "bias", "worst bias", "scale", "cosine", "worst cosine", "variance", "SNR"]
        header += [f"ω({p:g})" for p in SUCCESS_RATES]
        named = any(row.same_as and row.same_as != row.method.name for row in self.rows)
        cells = []
        for row in self.rows:
            numbers = [row.median("bias"), row.worst("bias"), row.median("scale"), row.median("cosine")]
            numbers += [row.worst("cosine"), row.median("variance"), row.median("snr"), *row.omega]
            same = [row.same_as if row.same_as != row.method.name else ""] if named else []
            cells.append([row.method.name, row.method.label.name, *map(_number, numbers), *same])
        caption = (
            f"{self._size()}; medians over {len(self.problems)} problems, where defined, and the worst of them; "
            "bias relative to ‖∇J‖, variance the trace of the covariance; ω(p), the weight on ∇p"
        )
        return Table(header + (["coincides with"] if named else []), cells, caption)

    def by_problem(self, quantity: str) -> Table:
        """One quantity (``"bias"``, ``"scale"``, ``"cosine"``, ``"variance"`` or ``"snr"``) on every problem.

        Raises:
            ValueError: for another quantity.
        """
        if quantity not in QUANTITIES:
            raise ValueError(f"quantity must be one of {', '.join(QUANTITIES)}, got {quantity!r}")
        header = ["problem", *(row.method.name for row in self.rows)]
        names = [problem.name for problem in self.problems]
        cells = [[name, *(_number(getattr(row.entries[name], quantity)) for row in self.rows)] for name in names]
        return Table(header, cells, f"{quantity}; {self._size()}")

    def _size(self) -> str:
        prompts = "1 prompt" if self.num_prompts == 1 else f"{self.num_prompts} prompts"
        return f"{prompts} × {self.group_size} answers an estimate"

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def ledger(
    methods: Mapping[str, Method] | Iterable[Any] | Method | str | Callable[..., Any] = METHODS,
    problems: Iterable[Problem | tuple[TablePolicy, TableTask]] | None = None,
    group_size: int = 4,
    num_prompts: int = 1,
) -> Ledger:
    """What each method really estimates: exact bias, scale, cosine to ∇J and variance, on the same problems.

    Args:
        methods: rows of ``METHODS``, names of them, or functions of your own (see :func:`ostrl.custom.own`); one,
            several or a dictionary of them.
        problems: what to estimate the gradient of, each a :class:`Problem` or a pair of policy and task;
            :func:`panel` by default.
        group_size: G, answers to each prompt.
        num_prompts: B, prompts in a batch. Pooling over prompts shows only with two or more.

    Returns:
        A :class:`Ledger`, one :class:`Row` a method.

    Raises:
        TypeError: for something that is neither a method, nor the name of one, nor a function.
        ValueError: for an unknown name, no problems, or too many states to enumerate
            (see :func:`ostrl.exact.moments`).
    """
    if isinstance(methods, Mapping):
        chosen = [dataclasses.replace(as_method(method), name=str(name)) for name, method in methods.items()]
    elif isinstance(methods, Method | str) or callable(methods) or not isinstance(methods, Iterable):
        chosen = [as_method(methods)]
    else:
        chosen = [as_method(method) for method in methods]
    if not chosen:
        raise ValueError("methods must name at least one method, got none")
    if problems is None:
        problems = panel()
    listed = [problems] if isinstance(problems, Problem) else list(problems)
    if not listed:
        raise ValueError("problems must hold at least one problem, got none")
    posed = [_problem(item, number) for number, item in enumerate(listed, 1)]
    names = Counter(problem.name for problem in posed)
    if len(names) < len(posed):
        raise ValueError(f"problems must have names of their own, got {names.most_common(1)[0][0]!r} more than once")
    rows = []
    for method in _named(chosen):
        try:
            rows.append(_row(method, posed, group_size, num_prompts))
        except (TypeError, ValueError) as error:
            raise type(error)(f"the row of {method.name!r}: {error}") from error
    return Ledger(rows, posed, group_size, num_prompts)


def _problem(item: object, number: int) -> Problem:
    if isinstance(item, Problem):
        return item
    if isinstance(item, tuple) and len(item) == 2:
        return Problem(f"problem {number}", *item)
    raise TypeError(f"problems must hold exact.Problem or (policy, task) pairs, got {type(item).__name__}")


def _named(methods: list[Method]) -> list[Method]:
    """The same methods, with numbers behind names that occur again, so that each row has its own."""
    seen: Counter[str] = Counter()
    unique = []
    for method in methods:
        seen[method.name] += 1
        again = f" ({seen[method.name]})" if seen[method.name] > 1 else ""
        unique.append(dataclasses.replace(method, name=method.name + again) if again else method)
    return unique


def _row(method: Method, problems: list[Problem], group_size: int, num_prompts: int) -> Row:
    entries: dict[str, Entry] = {}
    slack = 0.0
    for problem in problems:
        found = moments(problem.labeled(method), problem.policy, problem.task, group_size, num_prompts)
        true = gradient(problem.policy, problem.task)
        assert found.covariance is not None
        signal, size, noise = float(found.mean.norm()), float(true.norm()), float(found.covariance.trace())
        flat = 1e-14 * float(problem.task.rewards.abs().max())
        signal = signal if signal > flat else 0.0
        along = float(found.mean @ true) if signal else 0.0
        rounding = 1e4 * torch.finfo(true.dtype).eps
        slack = max(slack, rounding * max(1.0, float(problem.task.rewards.abs().max()) / size) if size > flat else 0.0)
        entries[problem.name] = Entry(
            found.mean,
            true,
            bias=float((found.mean - true).norm()) / size if size > flat else math.nan,
            scale=along / size**2 if size > flat else math.nan,
            cosine=along / (size * signal) if size > flat and signal else math.nan,
            variance=noise,
            snr=signal**2 / noise if noise > flat**2 else (math.inf if signal else math.nan),
        )
    pulled = omega(method, torch.tensor(SUCCESS_RATES, dtype=torch.float64), group_size)
    means = [entries[problem.name].mean for problem in problems]
    same_as = coincides(method, means, problems, group_size, num_prompts)
    return Row(method, entries, tuple(pulled.tolist()), same_as, slack)


def _number(x: float) -> str:
    if math.isnan(x):
        return "–"
    if math.isinf(x):
        return "∞"
    if abs(x) < 5e-9:
        return "0"
    if abs(x) != 1 and f"{abs(x):.4g}" == "1":
        return f"{x:.0f}" if abs(abs(x) - 1) < 1e-9 else f"≈{x:.0f}"
    return f"{x:.4g}" if abs(x) < 1e4 else f"{x:.2e}"
