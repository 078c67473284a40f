"""The Monte Carlo lab with a kernel behind it: torch draws, on the GPU if there is one, up to a million samples."""

from __future__ import annotations

import base64
import io
import os
import time
from html import escape
from typing import Any

import ipywidgets  # type: ignore[import-untyped]
import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure

from ostrl import exact
from ostrl.diagnostics import estimate_gradient, snr
from ostrl.live.monte_carlo import Experiment
from ostrl.plotting import BLUE, GRAY, ORANGE, STYLE
from ostrl.policies import CategoricalPolicy
from ostrl.tasks import TableTask

SAMPLES = (100_000, 300_000, 1_000_000)
SIZES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 100, 128, 200, 256, 400, 512, 700, 1000)
_BASELINES = (
    ("none", "none"),
    ("a number b", "constant"),
    ("the mean return J", "mean"),
    ("the best number b*", "optimal"),
    ("mean of the other answers", "leave_one_out"),
    ("mean of the group, itself included", "group_mean"),
)
_LEAST = 0.001


def monte_carlo(samples: int = 1_000_000, device: str | None = None, **values: Any) -> MonteCarloLab:
    """The lab, to be shown at the end of a cell.

    Args:
        samples: answers drawn in all, from 1000 to a million; with N answers behind one estimate they make
            ``samples // N`` estimates.
        device: where torch draws; a GPU if there is one.
        **values: of the :class:`~ostrl.live.monte_carlo.Experiment`: ``probs``, ``rewards``, ``answers``, ``size``,
            ``baseline``, ``constant``, ``logit``, ``seed``.

    Raises:
        TypeError: for a value that the experiment does not have, or a wrong kind of value.
        ValueError: for a value out of bounds.
    """
    return MonteCarloLab(samples, device, **values)


class MonteCarloLab(ipywidgets.VBox):
    """Controls, a histogram and its numbers; see :func:`monte_carlo`.

    With ``BOOK_BUILD`` set the output is the picture of the first state, drawn on the CPU, in place of a widget that
    nobody could move.

    Attributes:
        experiment: what is repeated. Set its values, and controls and picture follow.
        controls: the widgets by name.
        numbers: what the picture shows: ``truth``, ``mean``, ``sd``, ``snr`` (exact, the last for all three slopes),
            ``sample_mean``, ``sample_sd``, ``replicas``.
        figure: the matplotlib figure.
    """

    def __init__(self, samples: int = 1_000_000, device: str | None = None, **values: Any) -> None:
        known = sorted(Experiment.class_trait_names(sync=True))
        for name in values:
            if name not in known:
                raise TypeError(f"the lab has no {name!r}; it has samples, device, {', '.join(known)}")
        if isinstance(samples, bool) or not isinstance(samples, int):
            raise TypeError(f"samples must be an int, got {samples!r}")
        if not 1000 <= samples <= 1_000_000:
            raise ValueError(f"samples must be from 1,000 to 1,000,000, got {samples:,}")
        here = os.environ.get("BOOK_BUILD") is None and torch.cuda.is_available()
        self.device = torch.device(device or ("cuda" if here else "cpu"))
        self.experiment = Experiment(**values)
        self.numbers: dict[str, Any] = {}
        self.figure = Figure()
        self._view = ipywidgets.HTML()
        self._busy = False
        self.controls = self._build(samples)
        for name, control in self.controls.items():
            if name != "again":
                control.observe(self._on_control, "value")
        self.controls["again"].on_click(self._on_again)
        self.experiment.observe(self._on_experiment)
        super().__init__([self._layout(), self._view])
        self._show()

    # ---- controls

    def _build(self, samples: int) -> dict[str, Any]:
        e = self.experiment
        narrow, wide = ipywidgets.Layout(width="8.5em"), ipywidgets.Layout(width="26em")
        style = {"description_width": "10em"}

        controls: dict[str, Any] = {}
        for a, name in enumerate(e.answers):
            controls[f"prob_{a}"] = ipywidgets.BoundedFloatText(
                value=e.probs[a], min=0, max=1, step=0.05, layout=narrow, tooltip=f"probability of {name}"
            )
            controls[f"reward_{a}"] = ipywidgets.FloatText(
                value=e.rewards[a], step=0.1, layout=narrow, tooltip=f"reward of {name}"
            )
        controls["size"] = ipywidgets.SelectionSlider(
            options=_options(SIZES, int(e.size)), value=e.size, description="N, answers each", continuous_update=False,
            layout=wide, style=style,
        )  # fmt: skip
        controls["samples"] = ipywidgets.SelectionSlider(
            options=_options(SAMPLES, samples), value=samples, description="answers in all", continuous_update=False,
            layout=wide, style=style,
        )  # fmt: skip
        controls["baseline"] = ipywidgets.Dropdown(
            options=_BASELINES, value=e.baseline, description="baseline", layout=wide, style=style
        )
        controls["constant"] = ipywidgets.FloatText(
            value=e.constant, step=0.1, description="b", disabled=e.baseline != "constant", layout=wide, style=style
        )
        controls["logit"] = ipywidgets.Dropdown(
            options=[(name, a) for a, name in enumerate(e.answers)], value=e.logit, description="slope of",
            layout=wide, style=style,
        )  # fmt: skip
        controls["again"] = ipywidgets.Button(description="Draw again")
        return controls

    def _layout(self) -> Any:
        c = self.controls
        heads = [ipywidgets.HTML(), *(ipywidgets.HTML(escape(name)) for name in self.experiment.answers)]
        rows = [ipywidgets.HTML("probability"), *(c[f"prob_{a}"] for a in range(3))]
        rows += [ipywidgets.HTML("reward"), *(c[f"reward_{a}"] for a in range(3))]
        grid = ipywidgets.GridBox([*heads, *rows], layout=ipywidgets.Layout(grid_template_columns="6em repeat(3, 9em)"))
        row = ipywidgets.Layout(flex_flow="row wrap", grid_gap="0.5em 2em", margin="0 0 0.5em")
        left = ipywidgets.VBox([c["size"], c["samples"], c["baseline"], c["constant"], c["logit"]])
        return ipywidgets.Box([left, ipywidgets.VBox([grid, c["again"]])], layout=row)

    def _on_control(self, change: Any) -> None:
        if self._busy:
            return
        name = next(name for name, control in self.controls.items() if control is change["owner"])
        e, value = self.experiment, change["new"]
        kind, _, index = name.rpartition("_")
        if name == "samples":
            self._show()
        elif kind == "prob":
            e.probs = _with_probability(e.probs, int(index), value)
        elif kind == "reward":
            e.rewards = [value if a == int(index) else x for a, x in enumerate(e.rewards)]
        else:
            from_group = {"size": e.baseline, "baseline": value}.get(name) in ("leave_one_out", "group_mean")
            if from_group and (value if name == "size" else e.size) == 1:
                with self.experiment.hold_trait_notifications():
                    e.size = 2
                    if name == "baseline":
                        e.baseline = value
                self._follow()
            else:
                setattr(e, name, value)

    def _on_again(self, _: Any) -> None:
        self.experiment.seed = (self.experiment.seed + 1) % 2**32

    def _on_experiment(self, _: Any) -> None:
        self._follow()
        self._show()

    def _follow(self) -> None:
        """Put the controls where the experiment is."""
        e, c, self._busy = self.experiment, self.controls, True
        try:
            for a in range(3):
                c[f"prob_{a}"].value, c[f"reward_{a}"].value = e.probs[a], e.rewards[a]
            if e.size not in [n for _, n in c["size"].options]:
                c["size"].options = _options(SIZES, int(e.size))
            for name in ("size", "baseline", "constant", "logit"):
                c[name].value = getattr(e, name)
            c["constant"].disabled = e.baseline != "constant"
        finally:
            self._busy = False

    # ---- the experiment, many times

    def _show(self) -> None:
        e, k, size = self.experiment, int(self.experiment.logit), int(self.experiment.size)
        policy = CategoricalPolicy(e.policy.logits.detach().to(self.device))
        task = TableTask(e.task.rewards.to(self.device))
        replicas = max(2, self.controls["samples"].value // size)
        start = time.perf_counter()
        generator = torch.Generator(self.device).manual_seed(int(e.seed))
        estimates = estimate_gradient(e.method, policy, task, 1, size, replicas, generator)[:, k].cpu()
        seconds = time.perf_counter() - start
        moments = e.moments
        assert moments.covariance is not None
        noise = float(moments.covariance.trace())
        self.numbers = {
            "truth": float(exact.gradient(e.policy, e.task)[k]),
            "mean": float(moments.mean[k]),
            "sd": float(moments.covariance[k, k].clamp_min(0).sqrt()),
            "snr": float(snr(moments.mean, moments.covariance)) if noise > 0 else None,
            "sample_mean": float(estimates.mean()),
            "sample_sd": float(estimates.std()),
            "replicas": replicas,
        }
        self.figure = _picture(estimates.numpy(), e.answers[k], size, self.numbers)
        alt = escape(self._summary())
        image = base64.b64encode(self._png()).decode()
        n = self.numbers
        cells = [[f"{x:.5f}" if x is not None else "" for x in row] for row in (
            (n["truth"], n["mean"], n["sample_mean"]), (None, n["sd"], n["sample_sd"]))]  # fmt: skip
        cells.append(["", "" if n["snr"] is None else f"{n['snr']:.4g}", ""])
        head = "".join(f'<th scope="col" style="padding:0 1em">{x}</th>' for x in ("", "truth", "exact", "drawn"))
        body = "".join(
            f'<tr><th scope="row" style="text-align:left">{name}</th>'
            + "".join(f'<td style="text-align:right;padding:0 1em">{x}</td>' for x in row) + "</tr>"
            for name, row in zip(("mean", "standard deviation", "SNR, all three slopes"), cells, strict=True)
        )  # fmt: skip
        self._view.value = (
            '<div style="display:flex;flex-wrap:wrap;gap:1em 2em;align-items:center">'
            f'<img src="data:image/png;base64,{image}" alt="{alt}" style="width:34em;max-width:100%">'
            f"<div><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f"<p>{replicas:,} estimates from {size:,} answers each,<br>"
            f"on {self.device.type}, in {seconds:.2f} s</p></div></div>"
        )

    def _summary(self) -> str:
        e, n = self.experiment, self.numbers
        name = e.answers[int(e.logit)]
        return (
            f"Histogram of {n['replicas']:,} estimates of {name}'s slope from N = {e.size:,} answers each: "
            f"truth {n['truth']:.4f}, exact mean {n['mean']:.4f}, exact standard deviation {n['sd']:.4f}"
        )

    def _png(self) -> bytes:
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=200, transparent=True, metadata={"Software": None})
        return buffer.getvalue()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        text = f"MonteCarloLab: {self._summary()}"
        if os.environ.get("BOOK_BUILD"):
            width, height = (round(100 * x) for x in self.figure.get_size_inches())
            data = {"text/plain": text, "image/png": base64.b64encode(self._png()).decode()}
            return data, {"image/png": {"width": width, "height": height}}
        bundle = super()._repr_mimebundle_(**kwargs) or {}
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**data, "text/plain": text}, metadata


def _options(known: tuple[int, ...], own: int) -> list[tuple[str, int]]:
    return [(f"{n:,}", n) for n in sorted({*known, own})]


def _with_probability(probs: list[float], index: int, value: float) -> list[float]:
    """One probability set; the other two keep their proportion, and none falls below the least that is allowed."""
    value = min(max(value, _LEAST), 1 - 2 * _LEAST)
    others = sum(p for a, p in enumerate(probs) if a != index)
    new = [value if a == index else max(_LEAST, p * (1 - value) / others) for a, p in enumerate(probs)]
    return [p / sum(new) for p in new]


def _picture(estimates: np.ndarray, name: str, size: int, numbers: dict[str, Any]) -> Figure:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 3.2))
        ax = figure.add_subplot()
        values, counts = np.unique(estimates.round(12), return_counts=True)
        if len(values) <= 150:
            gap = np.diff(values).min() if len(values) > 1 else 0.02
            shares = counts / len(estimates)
            ax.bar(values, shares, width=0.8 * gap, color=BLUE, alpha=0.8)
        else:
            low, high = np.quantile(estimates, [0.0005, 0.9995])
            counts, edges = np.histogram(estimates, bins=60, range=(low, high))
            ax.stairs(counts / len(estimates), edges, fill=True, color=BLUE, alpha=0.8)
        mean, sd = numbers["mean"], numbers["sd"]
        ax.axvspan(mean - sd, mean + sd, color=ORANGE, alpha=0.16, linewidth=0, zorder=0, label="± one SD, exact")
        ax.axvline(numbers["truth"], color=GRAY, linewidth=2, label="the truth")
        ax.axvline(mean, color=ORANGE, linewidth=2, linestyle=(0, (3, 2)), label="exact mean")
        ax.set(xlabel=f"estimate of {name}'s slope of J, N = {size:,}", ylabel="share of estimates")
        ax.legend(loc="upper right", labelcolor=GRAY)
    return figure
