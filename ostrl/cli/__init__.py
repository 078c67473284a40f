"""The command ``ostrl``, for what is done from a terminal: one file a command.

A command that fails says why in one line and exits with status 2; one that is stopped by Ctrl-C exits with 130.
``ostrl --version`` prints what a report of an error should say: the versions, the system, and where PyTorch computes.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence

import torch

import ostrl
from ostrl.cli import compare, ledger, pretrain, sample, train


def version() -> str:
    """Versions, system and device in one line."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    versions = f"ostrl {ostrl.__version__}, Python {platform.python_version()}, torch {torch.__version__}"
    return f"{versions}, {platform.system()} {platform.machine()}, {device}"


class Version(argparse.Action):
    """Prints on one line, to be copied; argparse's own action would break it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(version())
        parser.exit()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="ostrl", description="One-step reinforcement learning, exactly.")
    parser.add_argument("--version", action=Version, nargs=0, help="print versions and device, and exit")
    commands = parser.add_subparsers(required=True, metavar="command", dest="command")
    for command in (ledger, pretrain, train, sample, compare):
        command.add(commands)
    parsed = parser.parse_args(arguments)
    try:
        status: int = parsed.run(parsed)
    except KeyboardInterrupt as stop:
        print(f"ostrl {parsed.command}: {str(stop) or 'stopped'}", file=sys.stderr)
        return 130
    except (ArithmeticError, ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        print(f"ostrl {parsed.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return status
