"""``ostrl compare``: methods over seeds, with the same budget and the same tuning."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

from ostrl.methods import METHODS


def run(arguments: argparse.Namespace) -> int:
    """Compare, print a line for each arm, and write the results; returns the exit status."""
    from ostrl.lm import comparison, studies

    names = arguments.what
    out = Path(arguments.out)
    if not out.resolve().parent.is_dir():
        raise ValueError(f"--out: there is no folder {out.resolve().parent}")
    budget = studies.Budget(model=arguments.model, labels=arguments.labels)
    typed = {"seeds": arguments.seeds, "labels": arguments.labels, "model": arguments.model}
    command = shlex.join(["ostrl", "compare", *names, *(f"--{name}={value}" for name, value in typed.items())])
    if names == ["gradients"]:
        _write(out, comparison.gradients(budget=budget, command=command))
        print(f"the gradients are in {out}")
        return 0
    if len(names) == 1 and names[0] in studies.STUDIES:
        arms, title = studies.STUDIES[names[0]], names[0]
    elif unknown := [name for name in names if name not in METHODS]:
        raise ValueError(
            f"{unknown[0]!r} is neither a study ({', '.join(studies.STUDIES)}, gradients) nor a row of the table "
            f"({', '.join(METHODS)})"
        )
    else:
        arms, title = {name: studies.Arm(name) for name in names}, ", ".join(names)
    result = comparison.compare(
        arms,
        seeds=arguments.seeds,
        budget=budget,
        workers=arguments.workers,
        folder=arguments.runs,
        command=command,
        title=title,
    )
    _write(out, result)
    for name, arm in result["arms"].items():
        print(f"{name:<28} {_accuracies(arm['runs'])}  (learning rate {arm['learning_rate']:g})")
    print(f"\nheld-out accuracy, lowest to highest over {arguments.seeds} seeds; all of it is in {out}")
    return 0


def _write(out: Path, result: dict[str, Any]) -> None:
    rounded = json.loads(json.dumps(result), parse_float=lambda digits: float(f"{float(digits):.6g}"))
    out.write_text(json.dumps(rounded, separators=(",", ":")) + "\n", "utf-8")


def _accuracies(runs: list[dict[str, Any]]) -> str:
    found = sorted(run["held_out"]["exact"]["accuracy"] for run in runs)
    return f"{found[0]:.3f} to {found[-1]:.3f}"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser(
        "compare",
        help="compare methods over seeds, at the same budget",
        description="Every arm may have the same number of answers labeled, is tuned on the same grid of learning "
        "rates with seeds of its own, and is then run with fresh seeds and measured on other held-out prompts. Each "
        "run is written down when it ends: after Ctrl-C the same command goes on with what is missing.",
        epilog="examples: ostrl compare labels --seeds 10 --out labels.json; ostrl compare rloo grpo rest --seeds 3",
    )
    option = command.add_argument
    studies = "a study of the book (baselines, labels or gradients), or rows of the table"
    option("what", nargs="+", metavar="WHAT", help=studies)
    option("--seeds", type=int, default=10, metavar="N", help="runs of each arm (%(default)s)")
    option("--labels", type=int, default=16_384, metavar="N", help="answers labeled in a run (%(default)s)")
    option("--model", default="homework", metavar="MODEL", help="where every run begins (%(default)s)")
    option("--workers", type=int, default=1, metavar="N", help="processes side by side, one thread each (%(default)s)")
    option("--runs", default="runs", metavar="FOLDER", help="where finished runs are kept (%(default)s)")
    option("--out", default="comparison.json", metavar="FILE", help="where the results go (%(default)s)")
    command.set_defaults(run=run)
