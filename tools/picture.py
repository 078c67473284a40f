"""Draw the picture of the README, and the card that stands for the book where a link to it is shared.

    python tools/picture.py

Paths of exact gradient ascent over all policies with three answers, and one run of a model that is only graded.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes

import ostrl
from ostrl import exact, plotting

BOOK = Path(__file__).resolve().parents[1] / "book"
ANSWERS = ["Sydney", "Canberra", "Melbourne"]


def ascend(start: torch.Tensor, task: ostrl.TableTask, steps: int, rate: float) -> torch.Tensor:
    policy, path = ostrl.CategoricalPolicy(start.log()[None]), []
    for _ in range(steps):
        path.append(policy.probs().detach())
        with torch.no_grad():
            policy.logits += rate * exact.gradient(policy, task).view(1, 3)
    return torch.cat(path)


def draw(ax: Axes) -> None:
    task = ostrl.TableTask(torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64))
    plotting.draw_simplex(ax, ANSWERS)
    for start in plotting.simplex_grid(9):
        xy = plotting.simplex_xy(ascend(start, task, 250, 0.4))
        ax.plot(*xy.T, color=plotting.GRAY, linewidth=0.8, alpha=0.6)
        ax.plot(*xy[0], ".", color=plotting.GRAY, markersize=3)

    policy = ostrl.CategoricalPolicy(torch.tensor([[0.6, 0.3, 0.1]], dtype=torch.float64).log())
    path = [policy.probs().detach()]
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.5)
    generator = torch.Generator().manual_seed(0)
    steps = ostrl.train_steps(
        ostrl.METHODS["rloo"], policy, task, optimizer, batch_size=1, group_size=8, generator=generator
    )
    for _ in itertools.islice(steps, 60):
        path.append(policy.probs().detach())
    xy = plotting.simplex_xy(torch.cat(path))
    ax.plot(*xy.T, "o-", color=plotting.BLUE, markersize=4, linewidth=1.5)
    ax.annotate(
        "the model, only graded", xy[0], color=plotting.BLUE, xytext=(60, -20), textcoords="offset points", ha="center"
    )


def main() -> None:
    plotting.use_style()
    picture, ax = plt.subplots(figsize=(5.6, 4.9))
    draw(ax)
    picture.savefig(BOOK / "images/ascent.png", dpi=180, metadata={"Software": None})

    card = plt.figure(figsize=(8, 4.2), layout="none")  # 1200 x 630, what those who show cards ask for
    draw(card.add_axes((0.5, 0.06, 0.48, 0.88)))
    for y, text, size in ((0.67, "One-Step\nReinforcement\nLearning", 23), (0.44, "and Policy Gradients", 17)):
        card.text(0.05, y, text, fontsize=size, color="black", va="center", fontweight="bold")
    card.text(0.05, 0.28, "A book that runs", fontsize=13, color="0.35")
    white = {"transparent": False, "facecolor": "white"}
    card.savefig(BOOK / "_static_src/card.png", dpi=150, metadata={"Software": None}, **white)


if __name__ == "__main__":
    main()
