"""Ctrl-C at any moment ends a command in one line, imports included."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["INTERRUPTED", "without_traceback"]

# As the shell reports a process that was stopped from the keyboard.
INTERRUPTED = 130


@contextmanager
def without_traceback(command: str, told: str = "nothing was written") -> Iterator[None]:
    """End the process with status 130 and one line on standard error where it is interrupted inside this context.

    Parameters
    ----------
    command : str
        Name of the command, before the line.
    told : str
        What the interruption means for files.
    """
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write(f"{command}: interrupted; {told}\n")
        sys.stdout.flush()
        sys.stderr.flush()
        # Threads of numerical libraries may still be at work: leave without waiting for them.
        os._exit(INTERRUPTED)
