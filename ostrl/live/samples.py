"""What a language model answers along training: how likely every character was, and what the teacher said."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from numbers import Real
from typing import Any

import traitlets

from ostrl.live.figure import LiveFigure, Number, bundle

ALL = "all"


def _fields(where: str, value: Any, needed: str, optional: str = "") -> dict[str, Any]:
    """A dictionary with these keys and no others."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{where} must be a dictionary with {needed.replace(' ', ', ')}, got {value!r:.60}")
    if missing := [name for name in needed.split() if name not in value]:
        raise ValueError(f"{where} must have {needed.replace(' ', ', ')}; it lacks {', '.join(missing)}")
    if unknown := [str(name) for name in value if name not in f"{needed} {optional}".split()]:
        raise ValueError(f"{where} must have {needed.replace(' ', ', ')}; it has {', '.join(unknown)} besides")
    return dict(value)


def _list(where: str, value: Any, length: int | None = None, entries: str = "") -> list[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{where} must be a list, got {value!r:.60}")
    if length is not None and len(value) != length:
        raise ValueError(f"{where} must have {entries or f'{length} entries'}, got {len(value)}")
    return list(value)


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{where} must be a string, got {value!r:.60}")
    return value


def _number(where: str, value: Any, low: float = -math.inf, high: float = math.inf, whole: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{where} must be a number, got {value!r:.60}")
    number = float(value)
    if not math.isfinite(number) or not low <= number <= high or (whole and not number.is_integer()):
        bounds = f" from {low:g} to {high:g}" if high < math.inf else f" of at least {low:g}" if low > -math.inf else ""
        raise ValueError(f"{where} must be a {'whole' if whole else 'finite'} number{bounds}, got {value!r}")
    return int(number) if number.is_integer() else number


class Recording(traitlets.TraitType[dict[str, Any], Mapping[str, Any]]):
    """Answers along training, as :func:`ostrl.lm.recording.record` notes them."""

    def validate(self, obj: Any, value: Any) -> dict[str, Any]:
        name = str(self.name)
        given = _fields(name, value, "steps accuracy prompts", "method")
        where = f"{name}['steps']"
        steps = [_number(f"{where}[{i}]", x, 0, whole=True) for i, x in enumerate(_list(where, given["steps"]))]
        if any(late <= early for early, late in pairwise(steps)):
            raise ValueError(f"{where} must grow from entry to entry, got {steps}")
        where, count = f"{name}['accuracy']", len(steps)
        rates = [_number(f"{where}[{i}]", x, 0, 1) for i, x in enumerate(_list(where, given["accuracy"], count))]
        where = f"{name}['prompts']"
        prompts = [self._prompt(f"{where}[{i}]", x, count) for i, x in enumerate(_list(where, given["prompts"]))]
        if steps and not prompts:
            raise ValueError(f"{where} must hold at least one prompt")
        method = _text(f"{name}['method']", given.get("method", ""))
        return {"steps": steps, "accuracy": rates, "prompts": prompts, "method": method}

    def _prompt(self, where: str, value: Any, steps: int) -> dict[str, Any]:
        given = _fields(where, value, "prompt kind key samples")
        words = {name: _text(f"{where}[{name!r}]", given[name]) for name in ("prompt", "kind", "key")}
        if words["kind"] == ALL:
            raise ValueError(f"{where}['kind'] must not be {ALL!r}, which means every kind")
        where = f"{where}['samples']"
        answers = [
            [self._answer(f"{where}[{i}][{j}]", x) for j, x in enumerate(_list(f"{where}[{i}]", group))]
            for i, group in enumerate(_list(where, given["samples"], steps, f"{steps} lists, one a step"))
        ]
        if not all(answers):
            raise ValueError(f"{where}[{answers.index([])}] must hold at least one answer")
        return words | {"samples": answers}

    def _answer(self, where: str, value: Any) -> dict[str, Any]:
        given = _fields(where, value, "tokens probs reward", "note")
        place = f"{where}['tokens']"
        tokens = [_text(f"{place}[{i}]", x) for i, x in enumerate(_list(place, given["tokens"]))]
        if not tokens:
            raise ValueError(f"{place} must hold at least one token")
        place = f"{where}['probs']"
        entries = _list(place, given["probs"], len(tokens), f"one entry a token, {len(tokens)}")
        probs = [_number(f"{place}[{i}]", x, 0, 1) for i, x in enumerate(entries)]
        answer = {"tokens": tokens, "probs": probs, "reward": _number(f"{where}['reward']", given["reward"])}
        note = given.get("note")
        return answer | ({"note": _text(f"{where}['note']", note)} if note is not None and note != "" else {})


class Samples(LiveFigure):
    """Browse a language model's answers along training, with the probability of every character.

    Args:
        data: a recording, as :func:`ostrl.lm.recording.record` makes it; none for an empty figure, which a recording
            can be given to later: ``figure.data = recording``.
        step: which of the recorded steps is on show; the first, if none is named.
        kind: which kind of prompts is on show, or ``all``.

    Raises:
        TypeError: for a wrong kind of value; names the field, such as ``data['prompts'][0]['key']``.
        ValueError: for a value out of range, a step that was not recorded, or a kind that does not occur.
    """

    _esm = bundle("samples.mjs")
    data = Recording({"steps": [], "accuracy": [], "prompts": [], "method": ""}).tag(sync=True)
    step = Number(0, 0, whole=True).tag(sync=True)
    kind = traitlets.Unicode(ALL).tag(sync=True)

    def __init__(self, data: Mapping[str, Any] | None = None, **values: Any) -> None:
        super().__init__(**values, **({} if data is None else {"data": data}))

    @property
    def kinds(self) -> list[str]:
        """The kinds of prompts in the recording."""
        return list(dict.fromkeys(prompt["kind"] for prompt in self.data["prompts"]))

    @traitlets.validate("step")
    def _recorded(self, proposal: Any) -> Any:
        step, steps = proposal["value"], self.data["steps"]
        if steps and step not in steps:
            raise ValueError(f"step must be one of those recorded, {', '.join(map(str, steps))}; got {step}")
        return step

    @traitlets.validate("kind")
    def _occurring(self, proposal: Any) -> Any:
        if (kind := proposal["value"]) not in (ALL, *self.kinds) and self.data["steps"]:
            raise ValueError(f"kind must be {ALL} or one of {', '.join(self.kinds)}; got {kind!r}")
        return kind

    @traitlets.observe("data")
    def _still_there(self, change: Any) -> None:
        """Another recording: the last step not after the one on show, and every kind where the one on show is none."""
        steps = self.data["steps"]
        if steps and self.step not in steps:
            self.step = max((step for step in steps if step <= self.step), default=steps[0])
        if steps and self.kind not in (ALL, *self.kinds):
            self.kind = ALL

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        data, metadata = super()._repr_mimebundle_(**kwargs)
        if steps := self.data["steps"]:  # not the whole recording a second time
            what = f"{len(self.data['prompts'])} prompts at steps {', '.join(map(str, steps))}"
            data["text/plain"] = f"Samples(<{what}>, kind={self.kind!r}, step={self.step})"
        return data, metadata
