"""Ctrl-C or a request to end (SIGTERM) at any moment ends a command in one line, imports included."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["INTERRUPTED", "without_traceback"]

# As the shell reports a process that was stopped from the keyboard, or asked to end.
INTERRUPTED, TERMINATED = 130, 143


@contextmanager
def without_traceback(command: str, told: str = "nothing was written") -> Iterator[None]:
    """End the process with status 130 and one line on standard error where it is interrupted inside this context.

    SIGTERM ends it with status 143 after the same clearing up: files that are half written are removed.

    Parameters
    ----------
    command : str
        Name of the command, before the line.
    told : str
        What the interruption means for files.
    """

    def terminate(*_: object) -> None:
        raise SystemExit(TERMINATED)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write(f"{command}: interrupted; {told}\n")
        sys.stdout.flush()
        sys.stderr.flush()
        # Threads of numerical libraries may still be at work: leave without waiting for them.
        os._exit(INTERRUPTED)
