"""``ostrl pretrain``: make the homework model, or a larger one, from random weights."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def run(arguments: argparse.Namespace) -> int:
    """Pre-train, save, and print how the model does; returns the exit status."""
    place = Path(arguments.folder)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ValueError(f"{place} is not an empty folder; name a new one for the model")

    import torch
    from tqdm import tqdm

    from ostrl import lm
    from ostrl.lm import homework
    from ostrl.lm.evaluation import evaluate
    from ostrl.lm.pretrain import new_policy, pretrain

    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    policy = new_policy(
        seed=arguments.seed,
        hidden_size=arguments.hidden_size,
        layers=arguments.layers,
        heads=arguments.heads,
        device=device,
    )
    size = sum(parameter.numel() for parameter in policy.parameters())
    print(f"a Llama of {size:,} parameters reads the class's homework", file=sys.stderr)
    records = pretrain(
        policy,
        seed=arguments.seed,
        steps=arguments.steps,
        batch_size=arguments.batch_size,
        group_size=arguments.group_size,
        learning_rate=arguments.learning_rate,
    )
    with tqdm(records, total=arguments.steps, unit="step") as bar:
        for record in bar:
            bar.set_postfix(loss=f"{record.loss:.3f}", refresh=False)
    lm.save(policy, place)
    for split in ("held_out", "longer", "kinds"):
        generator = torch.Generator(policy.device).manual_seed(arguments.seed)
        result = evaluate(policy, homework.task(split), generator=generator, kind=homework.kind)
        print(f"{split}:\n{result}\n")
    print(f"the model is in {place}")
    return 0


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser(
        "pretrain",
        help="make the homework model from random weights",
        description="Have a small random Llama imitate the class, mistakes included, and save it into FOLDER in the "
        "format of Hugging Face. Without options it makes the model that ships, in eight minutes on two cores. It is "
        "no resumable run: what is stopped begins again.",
        epilog="example: ostrl pretrain my-homework; a model of 25 million parameters on a GPU: ostrl pretrain large "
        "--hidden-size 512 --layers 8",
    )
    option = command.add_argument
    option("folder", metavar="FOLDER", help="a new folder for the model")
    option("--steps", type=int, default=3500, metavar="N", help="gradient steps (%(default)s)")
    option("--batch-size", type=int, default=64, metavar="B", help="prompts of a step (%(default)s)")
    option("--group-size", type=int, default=4, metavar="G", help="students who answer each prompt (%(default)s)")
    option("--learning-rate", type=float, default=2e-3, metavar="RATE", help="the highest, of AdamW (%(default)s)")
    option("--seed", type=int, default=0, help="of weights, prompts and answers (%(default)s)")
    option("--hidden-size", type=int, default=128, metavar="N", help="width of the model (%(default)s)")
    option("--layers", type=int, default=3, metavar="N", help="its layers (%(default)s)")
    option("--heads", type=int, default=8, metavar="N", help="attention heads of a layer (%(default)s)")
    option("--device", choices=("cpu", "cuda"), help="where to train; a GPU if there is one if not given")
    command.set_defaults(run=run)
