"""The command ``ostrl``, for what is done from a terminal: one file a command.

A command that fails says why in one line and exits with status 2; one that is stopped by Ctrl-C exits with 130.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ostrl.cli import compare, ledger, pretrain, sample, train


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="ostrl", description="One-step reinforcement learning, exactly.")
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
