"""``ostrl sample``: have a language model answer prompts, and see how likely each answer was."""

from __future__ import annotations

import argparse
import math
from collections import Counter

from ostrl.table import Table


def run(arguments: argparse.Namespace) -> int:
    """Print the answers, the most frequent first; returns the exit status."""
    if arguments.prompts and arguments.split:
        raise ValueError("name prompts or a split of the homework, not both")

    import torch

    from ostrl import lm
    from ostrl.lm import folder, homework

    names = ("temperature", "max_new_tokens", "top_k", "top_p", "device")
    settings = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    policy = lm.load(folder.model_folder(arguments.model), **settings)
    generator = torch.Generator(policy.device).manual_seed(arguments.seed)
    prompts = arguments.prompts or homework.task(arguments.split or "held_out").sample_prompts(
        arguments.number, generator
    )
    actions, mask = policy.sample(prompts, arguments.samples, generator)
    scorer = policy.at(temperature=1.0) if policy.temperature == 0 else policy
    with torch.no_grad():
        log_prob = scorer.log_prob(prompts, actions, mask).double().sum(-1).tolist()
    rows = []
    for prompt, answers, scores in zip(prompts, policy.decode(actions, mask), log_prob, strict=True):
        likely = dict(zip(answers, scores, strict=True))
        for answer, count in sorted(Counter(answers).items(), key=lambda pair: (-pair[1], -likely[pair[0]])):
            rows.append([prompt, answer, str(count), f"{math.exp(likely[answer]):.3f}", _grade(prompt, answer)])
    at = f"probability at temperature {scorer.temperature:g}"
    print(Table(["prompt", "answer", f"of {arguments.samples}", "probability", "grade"], rows, at))
    return 0


def _grade(prompt: str, answer: str) -> str:
    """What a teacher says of homework, and which mistake it looks like; nothing of other prompts."""
    from ostrl.lm import homework, students

    try:
        right = homework.grade(prompt, answer)
    except ValueError:
        return ""
    return "right" if right else f"wrong: {students.mistake(prompt, answer) or 'no known mistake'}"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser(
        "sample",
        help="have a language model answer prompts",
        description="Draw answers to prompts; each comes with its probability, and homework with its grade. Without "
        "prompts, some are drawn from a split of the homework.",
        epilog='example: ostrl sample "add 47 38:" --samples 16; of a training run: ostrl sample --model runs/rloo',
    )
    option = command.add_argument
    option("prompts", nargs="*", metavar="PROMPT", help="prompts, each in quotes")
    option("--model", default="homework", help="a model that ships, a folder, a run, a name on the Hub (%(default)s)")
    option("--split", help="draw prompts from this split: homework, train, held_out, longer or kinds")
    option("--number", type=int, default=4, metavar="N", help="how many prompts to draw (%(default)s)")
    option("--samples", type=int, default=8, metavar="N", help="answers to each prompt (%(default)s)")
    option("--temperature", type=float, metavar="T", help="0 takes the most likely token (1)")
    option("--max-new-tokens", type=int, metavar="N", help="most tokens of an answer")
    option("--top-k", type=int, metavar="K", help="draw from the K most likely tokens only")
    option("--top-p", type=float, metavar="P", help="draw from the most likely tokens that hold a share P only")
    option("--seed", type=int, default=0, help="of the draws (%(default)s)")
    option("--device", choices=("cpu", "cuda"), help="where to run; a GPU if there is one if not given")
    command.set_defaults(run=run)
