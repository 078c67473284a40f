"""What all live figures share: their module in one piece, checked values, and a twin that needs no kernel."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import torch
import traitlets

from ostrl.policies import CategoricalPolicy
from ostrl.tasks import TableTask

try:
    import anywidget
except ImportError as error:
    raise ImportError('live figures need anywidget; install it with pip install "ostrl[notebooks]"') from error

_FOLDER = Path(__file__).parent
_ASIDE = re.compile(r"^ *(?:(?://|/?\*).*\n)?", re.MULTILINE)
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([a-z_]+\.mjs)";\n', re.MULTILINE)


def bundle(name: str) -> str:
    """A module of this folder and all that it imports, as one module.

    Modules import by name from their own folder (``import { … } from "./drawing.mjs";``), names are unique over all of
    them, and only the figure itself has a default export; so putting them one after another is all there is to do.
    Comments on lines of their own and indentation stay behind: every stored output holds the module.
    """
    order: list[str] = []

    def visit(file: str) -> None:
        for needed in _IMPORT.findall((_FOLDER / file).read_text(encoding="utf8")):
            if needed not in order:
                visit(needed)
        order.append(file)

    visit(name)
    whole = "".join((_FOLDER / file).read_text(encoding="utf8") for file in order)
    return re.sub(r"^export (?!default)", "", _ASIDE.sub("", _IMPORT.sub("", whole)), flags=re.MULTILINE)


class Number(traitlets.TraitType[float, float]):
    """A finite number, from ``low`` to ``high``; with ``whole`` an int."""

    def __init__(
        self, default: float, low: float = -math.inf, high: float = math.inf, *, above: float = -math.inf,
        whole: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(default)
        self.low, self.high, self.above, self.whole = low, high, above, whole

    def validate(self, obj: Any, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{self.name} must be a number, got {value!r}")
        number = float(value)
        if self.whole and not number.is_integer():
            raise ValueError(f"{self.name} must be a whole number, got {value!r}")
        if not math.isfinite(number) or not self.low <= number <= self.high or number <= self.above:
            more = [f"from {self.low:g} to {self.high:g}"] if self.high < math.inf else []
            more += [f"at least {self.low:g}"] if not more and self.low > -math.inf else []
            more += [f"greater than {self.above:g}"] if self.above > -math.inf else []
            raise ValueError(f"{self.name} must be {' and '.join(['finite', *more])}, got {value!r}")
        return int(number) if self.whole else number


class Numbers(traitlets.TraitType[list[float], Sequence[float]]):
    """Three finite numbers, one for each answer."""

    def validate(self, obj: Any, value: Any) -> list[float]:
        entries = value.tolist() if hasattr(value, "tolist") else value
        if not isinstance(entries, list | tuple) or len(entries) != 3:
            raise ValueError(f"{self.name} must be a list of 3 numbers, one for each answer, got {value!r}")
        if any(isinstance(x, bool) or not isinstance(x, Real) for x in entries):
            raise TypeError(f"{self.name} must be numbers, got {value!r}")
        numbers = [float(x) for x in entries]
        if not all(map(math.isfinite, numbers)):
            raise ValueError(f"{self.name} must be finite, got {value!r}")
        return numbers


class Distribution(Numbers):
    """Three probabilities; with ``open`` none of them is zero, as a softmax makes them."""

    def __init__(self, default: Sequence[float], *, open: bool = False) -> None:
        super().__init__(list(default))
        self.open = open

    def validate(self, obj: Any, value: Any) -> list[float]:
        numbers = super().validate(obj, value)
        if min(numbers) < 0 or (self.open and min(numbers) == 0):
            least = "greater than 0 (a softmax never gives 0)" if self.open else "at least 0"
            raise ValueError(f"{self.name} must each be {least}, got {numbers}")
        if abs(sum(numbers) - 1) > 1e-6:
            raise ValueError(f"{self.name} must sum to 1, got {numbers} with sum {sum(numbers):g}")
        return numbers


class Choice(traitlets.TraitType[str, str]):
    """One of several words."""

    def __init__(self, options: Sequence[str], default: str) -> None:
        super().__init__(default)
        self.options = tuple(options)

    def validate(self, obj: Any, value: Any) -> str:
        if value not in self.options:
            raise ValueError(f"{self.name} must be one of {', '.join(self.options)}; got {value!r}")
        return str(value)


class Names(traitlets.TraitType[list[str], Sequence[str]]):
    """What the three answers are called."""

    def validate(self, obj: Any, value: Any) -> list[str]:
        if not isinstance(value, list | tuple) or len(value) != 3 or not all(isinstance(x, str) for x in value):
            raise ValueError(f"{self.name} must be 3 names, got {value!r}")
        return list(value)


class LiveFigure(anywidget.AnyWidget):
    """A figure that answers the reader's hand, with a kernel or without.

    A subclass has traits tagged ``sync=True`` (its whole state) and ``_esm``, a bundle of modules. Beside the widget
    its output holds the same module and state as ``text/html``, which book/_static_src/live.js brings to life on
    a page, and a note for paper. With ``BOOK_BUILD`` set the widget itself is left out, so that stored outputs are
    the same from run to run.

    Raises:
        TypeError: for an argument that is not a value of the figure, or a wrong kind of value.
        ValueError: for a value out of bounds.
    """

    def __init__(self, **values: Any) -> None:
        for name in values:
            if name not in self.value_names():
                raise TypeError(f"{type(self).__name__} has no {name!r}; it has {', '.join(self.value_names())}")
        super().__init__(**values)

    @classmethod
    def value_names(cls) -> list[str]:
        """The names of the figure's values."""
        inherited = anywidget.AnyWidget.class_trait_names()
        return sorted(name for name in set(cls.class_trait_names(sync=True)).difference(inherited) if name[0] != "_")

    @property
    def values(self) -> dict[str, Any]:
        """What the figure shows, as it would be typed."""
        return {name: getattr(self, name) for name in self.value_names()}

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        name = type(self).__name__
        payload = json.dumps({"esm": str(self._esm), "state": self.values}, sort_keys=True).replace("</", "<\\/")
        data["text/html"] = (
            f'<div class="ostrl-live-host" data-figure="{name}"><script type="application/json">{payload}</script>'
            '<p class="ostrl-live-fallback"><em>A live figure: run this cell to use it.</em></p></div>'
        )
        data["text/markdown"] = "*A live figure: use it in the web edition, or run this cell in a notebook.*"
        data["text/plain"] = f"{name}({', '.join(f'{key}={value!r}' for key, value in self.values.items())})"
        if os.environ.get("BOOK_BUILD"):
            data.pop("application/vnd.jupyter.widget-view+json", None)
        return data, metadata


class OnePrompt(traitlets.HasTraits):
    """What is on show where one prompt has three answers: a policy, and the teacher's grades."""

    probs = Distribution([0.6, 0.3, 0.1], open=True).tag(sync=True)
    rewards = Numbers([0.0, 1.0, 0.0]).tag(sync=True)
    answers = Names(["Sydney", "Canberra", "Melbourne"]).tag(sync=True)

    @property
    def policy(self) -> CategoricalPolicy:
        """The policy on show, for :mod:`ostrl.exact`."""
        return CategoricalPolicy(torch.tensor([self.probs], dtype=torch.float64).log())

    @property
    def task(self) -> TableTask:
        """The task on show."""
        return TableTask(torch.tensor([self.rewards], dtype=torch.float64))
