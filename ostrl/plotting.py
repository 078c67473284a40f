"""The book's figures: one palette, one style.

Figures have a transparent background, and every color is of middle lightness, so that the same picture can be
read on a white page and on a dark one. Colors are told apart by color-blind readers too, and a method keeps its
color and its marker through the whole book.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from cycler import cycler
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from torch import Tensor

from ostrl import exact
from ostrl.batch import DEMONSTRATOR, SELF
from ostrl.custom import as_method
from ostrl.methods import Method

BLUE, ORANGE, GREEN, PURPLE, GRAY = "#1f7fc0", "#cf5a00", "#008a64", "#b3609b", "#7a7a7a"

METHOD_STYLE: dict[str, tuple[str, str]] = {
    "rl": (BLUE, "o"),
    "sft": (ORANGE, "s"),
    "self-training": (GREEN, "^"),
}
"""Color and marker of the three gradients, the same everywhere."""

STYLE: Any = {
    "figure.figsize": (5.2, 3.3),
    "figure.dpi": 110,
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "none",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GRAY,
    "axes.labelcolor": GRAY,
    "axes.titlecolor": GRAY,
    "axes.titlesize": 11,
    "axes.labelsize": 11,
    "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, PURPLE, GRAY]),
    "xtick.color": GRAY,
    "ytick.color": GRAY,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "text.color": GRAY,
    "font.size": 11,
    "lines.linewidth": 2.0,
    "legend.frameon": False,
    "legend.labelcolor": "linecolor",
    "svg.hashsalt": "ostrl",
}


def use_style() -> None:
    """Set the book's style for all figures that follow; in a notebook, also crisp and reproducible pictures."""
    mpl.rcParams.update(STYLE)
    try:
        from IPython.core.getipython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    if get_ipython() is not None:
        set_matplotlib_formats("retina", bbox_inches=None, metadata={"Software": None})


def label_line(ax: Axes, x: float, y: float, text: str, color: str, **kwargs: Any) -> None:
    """Write a line's name beside it, in its color: easier to read than a legend."""
    ax.annotate(text, (x, y), color=color, **{"xytext": (4, 4), "textcoords": "offset points", **kwargs})


def simplex_xy(probs: Float[Tensor, "*N 3"]) -> np.ndarray:
    """Points of the plane for distributions over three answers: corners of an equilateral triangle of side 1.

    Answer 0 sits at the bottom left, answer 1 at the bottom right, answer 2 at the top.
    """
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]], dtype=probs.dtype)
    return (probs.detach().cpu() @ corners).numpy()


def draw_simplex(ax: Axes, names: Sequence[str] = ("answer 0", "answer 1", "answer 2")) -> None:
    """Draw the triangle of all distributions over three answers, with its corners named."""
    top = 0.75**0.5
    ax.plot([0, 1, 0.5, 0], [0, 0, top, 0], color=GRAY, linewidth=1.2, zorder=1)
    ax.text(0, -0.03, names[0], ha="center", va="top")
    ax.text(1, -0.03, names[1], ha="center", va="top")
    ax.text(0.5, top + 0.02, names[2], ha="center", va="bottom")
    ax.set(aspect="equal", xlim=(-0.12, 1.12), ylim=(-0.12, top + 0.1))
    ax.axis("off")


def simplex_grid(steps: int, dtype: torch.dtype = torch.float64) -> Float[Tensor, "N 3"]:
    """Every distribution over three answers whose probabilities are positive multiples of ``1 / steps``."""
    points = [(i, j, steps - i - j) for i in range(1, steps) for j in range(1, steps - i)]
    return torch.tensor(points, dtype=dtype) / steps


def draw_field(
    ax: Axes,
    velocity: Callable[[Tensor], Tensor],
    steps: int = 15,
    clear: np.ndarray | None = None,
    width: float = 0.0045,
) -> None:
    """Draw a velocity of distributions over three answers: arrows for its direction, a tint where it is fast.

    Args:
        ax: with a triangle from :func:`draw_simplex`.
        velocity: maps distributions ``[N, 3]`` to velocities ``[N, 3]`` whose rows sum to zero.
        steps: the number of arrows along a side, about.
        clear: points ``[M, 2]`` of the plane near which no arrow is drawn, to leave room for text.
        width: of an arrow's shaft, as a share of the axes' width.
    """
    top = 0.75**0.5
    y, x = torch.meshgrid((torch.arange(180) + 0.5) / 180 * top, (torch.arange(200) + 0.5) / 200, indexing="ij")
    third = y / top
    pixels = torch.stack([1 - x - third / 2, x - third / 2, third], -1).clamp_min(1e-9).double()
    flow = simplex_xy(velocity((pixels / pixels.sum(-1, keepdim=True)).view(-1, 3)))  # velocities map like points
    speed = np.linalg.norm(flow, axis=1).reshape(180, 200)
    tint = np.empty((180, 200, 4))
    tint[...] = to_rgba(PURPLE)
    tint[..., 3] = 0.45 * speed / max(speed.max(), 1e-9)
    picture = ax.imshow(tint, origin="lower", extent=(0, 1, 0, top), interpolation="bilinear", zorder=0)
    picture.set_clip_path(Polygon([(0, 0), (1, 0), (0.5, top)], transform=ax.transData))
    points = simplex_grid(steps)
    if clear is not None:
        points = points[torch.cdist(torch.from_numpy(simplex_xy(points)), torch.from_numpy(clear)).amin(1) > 0.055]
    flow = simplex_xy(velocity(points))
    length = np.linalg.norm(flow, axis=1, keepdims=True)
    moving = length[:, 0] > 1e-9
    ax.quiver(
        *simplex_xy(points[moving]).T, *(0.62 / steps * flow[moving] / length[moving]).T,
        angles="xy", scale_units="xy", scale=1, pivot="mid",
        color=GRAY, alpha=0.85, width=width, headwidth=4.5, headlength=5, headaxislength=4.5, zorder=2,
    )  # fmt: skip


def method_color(method: Method, group_size: int = 2) -> str:
    """A method's color by who labels: that of RL for the model, of SFT for demonstrators, of self-training for both."""
    slots = set(method.label.sources(group_size))
    kind = {frozenset([SELF]): "rl", frozenset([DEMONSTRATOR]): "sft"}.get(frozenset(slots), "self-training")
    return METHOD_STYLE[kind][0]


def draw_omega(ax: Axes, method: Any, group_size: int, **line: Any) -> None:
    """Draw ω(p), the weight that a method puts on the gradient of a prompt's success rate (:func:`ostrl.exact.omega`).

    Args:
        ax: where to draw.
        method: a row of ``METHODS``, the name of one, or a function of one's own.
        group_size: G, answers to each prompt.
        line: passed on to ``ax.plot``; ``label=`` is written beside the line.
    """
    known = as_method(method)
    p = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    curve = exact.omega(known, p, group_size)
    text = line.pop("label", known.name)
    (drawn,) = ax.plot(p.numpy(), curve.cpu().numpy(), **line)
    color: Any = drawn.get_color()
    label_line(ax, float(p[-1]), float(curve[-1]), text, color, va="center", annotation_clip=False)
    ax.set_xlabel("success rate p of the prompt")
    ax.set_ylabel("ω(p), the weight on ∇p")


def draw_ledger(figure: Figure, ledger: exact.Ledger) -> None:
    """Draw a ledger: for each method its scale, cosine and SNR on every problem, a dot each, the median as a bar.

    Args:
        figure: an empty figure; three panels are drawn into it.
        ledger: what :func:`ostrl.exact.ledger` gives.
    """
    panels = {"scale": "scale", "cosine": "cosine to ∇J", "snr": "SNR"}
    axes = figure.subplots(1, 3, sharey=True, gridspec_kw={"wspace": 0.12})
    for ax, (quantity, title) in zip(axes, panels.items(), strict=True):
        for y, row in enumerate(ledger.rows):
            color = method_color(row.method, ledger.group_size)
            x = [value for value in row.values(quantity) if np.isfinite(value) and (value > 0 or quantity != "snr")]
            ax.plot(x, [y] * len(x), "o", color=color, markersize=4.5, alpha=0.75, markeredgewidth=0)
            ax.plot([row.median(quantity)], [y], "|", color=color, markersize=15, markeredgewidth=2.5)
        ax.set_title(title)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
    axes[0].set_yticks(range(len(ledger)), [row.method.name for row in ledger.rows])
    axes[0].set_ylim(len(ledger) - 0.5, -0.5)
    axes[0].axvline(1, color=GRAY, linewidth=1, zorder=0)
    axes[0].set_xscale("symlog", linthresh=1)
    axes[0].set_xticks([0, 1, 10], ["0", "1", "10"])
    axes[1].axvline(0, color=GRAY, linewidth=1, zorder=0)
    axes[1].set_xlim(-1.05, 1.05)
    axes[2].set_xscale("log")
