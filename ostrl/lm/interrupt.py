"""Ctrl-C asks a run to stop where it can go on later; a second one stops at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Stopped(KeyboardInterrupt):
    """Ctrl-C, after the step in hand was finished and a checkpoint written; says how to go on."""


@contextlib.contextmanager
def stopping() -> Iterator[list[int]]:
    """A list that is no longer empty once the user has asked to stop; when asked again, it stops at once."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield asked
        return

    def ask(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt("stopped at once; steps since the last checkpoint will be taken again")
        asked.append(number)
        os.write(2, b"\nstopping after this step (again: at once)\n")  # print could be what was interrupted

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
