"""Checks that run in Java: they say what they found, and loudly that they did not run where there is no Java."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable


def check(unchecked: str, find: Callable[[str], list[str]], done: str) -> int:
    """Print what ``find`` finds with the Java at that path, and the words ``done``; returns the exit status.

    Without Java a line that begins with ``unchecked`` says so, and with CI=true that is an error.
    """
    java = shutil.which("java")
    if not java:
        print(f"*** {unchecked}: no Java found. Install it (Debian: apt-get install default-jre-headless). ***")
        return int(os.environ.get("CI") == "true")
    found = find(java)
    for line in found:
        print(line, file=sys.stderr)
    print(f"{done}: {len(found)} problems")
    return int(bool(found))
