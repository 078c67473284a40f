"""The settings of a training run, as plain values that a JSON file holds."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ostrl import checks, methods


@dataclass(frozen=True)
class Settings:
    """Everything that the result of a run depends on, apart from the machine.

    Attributes:
        method: a row of ``METHODS``.
        parameters: of its builder, for example ``{"tau": 0.5}`` of ``rest``.
        model: where it begins: a model that ships, a folder, or a name on the Hugging Face Hub.
        split: the prompts of the homework it practices on (:func:`ostrl.lm.homework.task`).
        demonstrators: who writes demonstrations, ``"class"`` or ``"key"``.
        batch_size: B, prompts a Grow.
        group_size: G, answers a prompt.
        improve_steps: gradient steps on the same labels.
        learning_rate: of Adam.
        steps: gradient steps in all.
        seed: of the training and of the evaluation.
        temperature: of sampling and scoring.
        max_new_tokens: most tokens of an answer; ``None`` for what the model is loaded with.
        micro_batch_size: most answers in a forward or backward pass; ``None`` for all at once.
        autocast: precision of matrix products, ``"bfloat16"`` or ``"float16"``; ``None`` for float32.
        device: ``"cpu"`` or ``"cuda"``; ``None`` for a GPU if there is one.
        checkpoint_every: steps from one checkpoint to the next.
        evaluate: held-out prompts of the evaluation at the end; 0 for none.

    Raises:
        TypeError: for a value of another type.
        ValueError: for one out of range, or parameters that the method does not have.
    """

    method: str = "rloo"
    parameters: dict[str, Any] = field(default_factory=dict)
    model: str = "homework"
    split: str = "train"
    demonstrators: str = "class"
    batch_size: int = 64
    group_size: int = 4
    improve_steps: int = 1
    learning_rate: float = 5e-4
    steps: int = 100
    seed: int = 0
    temperature: float = 1.0
    max_new_tokens: int | None = None
    micro_batch_size: int | None = None
    autocast: str | None = None
    device: str | None = None
    checkpoint_every: int = 10
    evaluate: int = 256

    def __post_init__(self) -> None:
        for name in ("method", "model", "split", "demonstrators"):
            checks.instance(name, getattr(self, name), str)
        for name in ("batch_size", "group_size", "improve_steps", "steps", "checkpoint_every"):
            checks.positive_int(name, getattr(self, name))
        for name in ("max_new_tokens", "micro_batch_size"):
            if getattr(self, name) is not None:
                checks.positive_int(name, getattr(self, name))
        for name in ("learning_rate", "temperature"):
            checks.number(name, getattr(self, name), above=0.0)
        for name in ("seed", "evaluate"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be an int, got {type(value).__name__}")
            if value < 0:
                raise ValueError(f"{name} must not be negative, got {value}")
        for name, known in {"autocast": (None, "bfloat16", "float16"), "device": (None, "cpu", "cuda")}.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(map(str, known))}, got {getattr(self, name)!r}")
        if self.steps % self.improve_steps:
            raise ValueError(
                f"steps must be a multiple of improve_steps = {self.improve_steps}, got {self.steps}: a run ends where "
                "a Grow ends"
            )
        self.row()

    def row(self) -> methods.Method:
        """The method, with its parameters.

        Raises:
            TypeError: for parameters that are no dictionary, or of another type than the builder's.
            ValueError: for an unknown method or parameter.
        """
        if self.method not in methods.METHODS:
            raise ValueError(f"method must be one of {', '.join(methods.METHODS)}, got {self.method!r}")
        checks.instance("parameters", self.parameters, dict)
        build = getattr(methods, self.method)
        known = list(inspect.signature(build).parameters)
        if unknown := sorted(set(self.parameters) - set(known)):
            raise ValueError(
                f"parameters of {self.method} are {', '.join(known) or 'none'}, got {', '.join(map(repr, unknown))}"
            )
        row: methods.Method = build(**self.parameters)
        return row

    @classmethod
    def of(cls, values: Mapping[str, Any], where: str) -> Settings:
        """Settings from what a JSON file holds.

        Raises:
            ValueError: for unknown or missing settings, or as the constructor; the message says where.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(values, Mapping) or set(values) != names:
            odd = sorted(set(values) ^ names) if isinstance(values, Mapping) else [repr(values)]
            raise ValueError(f"the settings in {where} do not parse: unknown or missing: {', '.join(odd)}")
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"the settings in {where} do not parse: {error}") from error

    def differences(self, other: Settings) -> str:
        """In words, what is set differently here than there."""
        pairs = [(name, value, getattr(other, name)) for name, value in vars(self).items()]
        return ", ".join(f"{name} is {value!r}, not {theirs!r}" for name, value, theirs in pairs if value != theirs)
