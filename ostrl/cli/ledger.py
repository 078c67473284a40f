"""``ostrl ledger``: what a loss or a weighting of your own really estimates, beside rows of the table."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.backend_bases import FigureCanvasBase

from ostrl import exact, labeling, plotting
from ostrl.custom import as_method, own
from ostrl.methods import METHODS, Method

LABELS = {"model": labeling.on_policy, "demonstrators": labeling.demonstrations, "mixture": labeling.mixture}


def function_of(place: str) -> Callable[..., Any]:
    """The function that ``path/to/file.py:function`` (or ``path/to/file.py:Class.method``) names.

    Raises:
        ValueError: if the address has another form, or there is no such file or function; the message says what
            the file does define.
    """
    path, colon, name = place.rpartition(":")
    if not colon or not path.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f"expected path/to/file.py:function, got {place!r}")
    if not Path(path).is_file():
        raise ValueError(f"there is no file {path}")
    folder = str(Path(path).resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # the file may import its neighbors, also later
    title = f"ostrl_user_file_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(title, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[title] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    function: Any = module
    for part in name.split("."):
        function = getattr(function, part, None)
    if not callable(function):
        there = [key for key, value in vars(module).items() if callable(value) and value.__module__ == title]
        raise ValueError(f"{path} has no function {name!r}; it defines {', '.join(there) or 'none'}")
    return function


def run(arguments: argparse.Namespace) -> int:
    """Print the ledger; returns the exit status."""
    known = [name.strip() for name in arguments.beside.split(",") if name.strip()]
    picture = Path(arguments.plot) if arguments.plot else None
    try:
        if picture and picture.suffix.removeprefix(".") not in FigureCanvasBase.get_supported_filetypes():
            raise ValueError(f"--plot must end in .png, .svg or .pdf, got {arguments.plot}")
        if picture and not picture.resolve().parent.is_dir():
            raise ValueError(f"--plot: there is no folder {picture.resolve().parent}")
        mine: list[Method] = [own(function_of(place), label=LABELS[arguments.labels]) for place in arguments.function]
        chosen = mine + [as_method(name) for name in known] if mine else list(METHODS.values())
        result = exact.ledger(chosen, group_size=arguments.group_size, num_prompts=arguments.num_prompts)
    except Exception as error:  # your own code may raise anything: say where in it
        print(f"ostrl ledger: {type(error).__name__}: {error}", file=sys.stderr)
        own_files = {str(Path(place.rpartition(":")[0]).resolve()) for place in arguments.function}
        for frame in traceback.extract_tb(error.__traceback__):
            if str(Path(frame.filename).resolve()) in own_files:
                print(f"  {frame.filename}:{frame.lineno}, in {frame.name}: {frame.line}", file=sys.stderr)
        return 2
    print(result)
    for row in result.rows[: len(mine)]:
        print(f"\n{row.method.name}: {row.verdict()}")
    if arguments.by_problem:
        print(f"\n{result.by_problem(arguments.by_problem)}")
    if picture:
        plotting.use_style()
        figure, ax = plt.subplots()
        for row in result.rows:
            plotting.draw_omega(ax, row.method, arguments.group_size)
        figure.savefig(picture, dpi=200, facecolor="white")
        plt.close(figure)
        print(f"\nω(p) drawn in {picture}")
    return 0


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser(
        "ledger",
        help="what a loss of your own really estimates",
        description="Exact bias, scale, cosine to the policy gradient and variance of a method's estimate, on the same "
        "small problems. FUNCTION is path/to/file.py:function, and the function either maps a batch to weights or is "
        "a whole loss of log_prob, rewards, and so on (see the documentation of ostrl.own). Without one, the rows of "
        "the table are listed.",
        epilog="example: ostrl ledger my_losses.py:variant --plot omega.png",
    )
    command.add_argument("function", nargs="*", metavar="FUNCTION", help="path/to/file.py:function")
    option = command.add_argument
    option("--beside", default="reinforce,rloo,grpo", metavar="ROWS", help="rows to compare with (%(default)s)")
    option("--group-size", type=int, default=4, metavar="G", help="answers a prompt (%(default)s)")
    option("--num-prompts", type=int, default=1, metavar="B", help="prompts an estimate (%(default)s)")
    option("--labels", choices=LABELS, default="model", help="who writes the labels (%(default)s)")
    option("--by-problem", choices=exact.QUANTITIES, help="list this quantity problem by problem, too")
    option("--plot", metavar="FILE", help="draw ω(p) into a file (.png, .svg, .pdf)")
    command.set_defaults(run=run)
