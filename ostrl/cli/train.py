"""``ostrl train``: train a language model in a folder, or go on where a run was stopped."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ostrl.methods import METHODS

Option = tuple[str, type, Any, str]

OPTIONS: dict[str, dict[str, Option]] = {
    "what is learned, and from whom": {
        "method": ("ROW", str, "rloo", f"a row of the table: {', '.join(METHODS)}"),
        "model": ("MODEL", str, "homework", "where it begins: a model that ships, a folder, a run, a name on the Hub"),
        "split": ("SPLIT", str, "train", "prompts it practices on: homework, train, held_out, longer or kinds"),
        "demonstrators": ("WHO", str, "class", "who writes demonstrations: class, with its mistakes, or key"),
    },
    "how long, and how much at a time": {
        "steps": ("N", int, 100, "gradient steps in all"),
        "batch_size": ("B", int, 64, "prompts of a batch"),
        "group_size": ("G", int, 4, "answers to each"),
        "improve_steps": ("N", int, 1, "gradient steps on each batch of answers"),
        "learning_rate": ("RATE", float, 5e-4, "of Adam"),
        "seed": ("SEED", int, 0, "of training and evaluation"),
    },
    "how answers are written": {
        "temperature": ("T", float, 1.0, "of sampling and scoring"),
        "max_new_tokens": ("N", int, None, "most tokens of an answer; the model's own limit if not given"),
    },
    "the machine": {
        "device": ("DEVICE", str, None, "cpu or cuda; a GPU if there is one if not given"),
        "micro_batch_size": ("N", int, None, "most answers in a forward or backward pass; all at once if not given"),
        "autocast": ("DTYPE", str, None, "precision of matrix products, bfloat16 or float16; float32 if not given"),
    },
    "what is kept": {
        "checkpoint_every": ("N", int, 10, "steps from one checkpoint to the next"),
        "evaluate": ("N", int, 256, "held-out prompts of the evaluation at the end; 0 for none"),
    },
}
"""The settings of :class:`ostrl.lm.settings.Settings` in words, with their defaults; transformers is not needed yet."""


def parameter(text: str) -> tuple[str, float]:
    """``NAME=NUMBER``."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"expected NAME=NUMBER, got {text!r}")
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected NAME=NUMBER, got {text!r}") from None


def run(arguments: argparse.Namespace) -> int:
    """Train, and print how good the model was before and is after; returns the exit status."""
    if (arguments.folder is None) == (arguments.resume is None):
        raise ValueError("name a new folder for the run (ostrl train FOLDER), or one to go on in (--resume FOLDER)")
    place = arguments.folder or arguments.resume

    from ostrl.lm import folder
    from ostrl.lm.interrupt import Stopped
    from ostrl.lm.run import train
    from ostrl.lm.settings import Settings

    names = [name for group in OPTIONS.values() for name in group]
    given = {name: getattr(arguments, name) for name in [*names, "parameters"] if hasattr(arguments, name)}
    if "parameters" in given:
        given["parameters"] = dict(given["parameters"])
    if "model" in given:
        given["model"] = folder.model_folder(given["model"])
    stored = vars(folder.stored(place)) if arguments.resume is not None else {}
    settings = Settings(**{**stored, **given})
    try:
        done = train(place, settings, resume=arguments.resume is not None)
    except KeyboardInterrupt as stop:
        if isinstance(stop, Stopped) or not (Path(place) / "run.json").is_file():
            raise
        raise KeyboardInterrupt(f"{str(stop) or 'stopped'}; go on with: ostrl train --resume {place}") from stop
    print(done)
    print(f"\nthe model is in {folder.model_folder(place)}")
    return 0


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser(
        "train",
        help="train a small language model, resumably",
        description="Train a language model on the class's homework with any row of the table of methods. Settings, "
        "log, checkpoints and a final evaluation on held-out prompts are kept in FOLDER. Ctrl-C finishes the step in "
        "hand and writes a checkpoint; a run that was stopped or killed goes on with --resume FOLDER, and on a CPU "
        "ends with the very same weights as if it had never stopped.",
        epilog="examples: ostrl train runs/rloo; ostrl train runs/rest --method rest --parameter tau=1 --improve-steps "
        "4; ostrl train --resume runs/rloo --steps 120",
        usage="ostrl train FOLDER [options]\n       ostrl train --resume FOLDER [--steps N]",
    )
    command.add_argument("folder", nargs="?", metavar="FOLDER", help="a new folder for the run")
    command.add_argument("--resume", metavar="FOLDER", help="go on with the run in this folder, to --steps if given")
    for title, options in OPTIONS.items():
        group = command.add_argument_group(title)
        for name, (metavar, kind, default, text) in options.items():
            text = f"{text} ({default})" if default is not None else text
            flag = f"--{name.replace('_', '-')}"
            group.add_argument(flag, dest=name, metavar=metavar, type=kind, default=argparse.SUPPRESS, help=text)
            if name == "method":
                group.add_argument(
                    "--parameter", dest="parameters", action="append", metavar="NAME=NUMBER", type=parameter,
                    default=argparse.SUPPRESS, help="a parameter of the row, such as tau=0.5; may be given again",
                )  # fmt: skip
    command.set_defaults(run=run)
