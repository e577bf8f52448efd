"""Ctrl-C or a request to end (SIGTERM) at any moment ends a command in one line, imports included."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["INTERRUPTED", "without_traceback"]

# As the shell reports a process that was stopped from the keyboard, or asked to end.
INTERRUPTED, TERMINATED = 130, 143


@contextmanager
def without_traceback(command: str, told: str = "nothing was written") -> Iterator[Callable[[], None]]:
    """End the process with status 130 and one line on standard error where it is interrupted inside this context.

    SIGTERM ends it with status 143 after the same clearing up: files that are half written are removed.

    Yields a function that is to be called when all is imported.  Until then nothing has to be cleared up, and Ctrl-C
    leaves at once: an exception that is raised while a compiled module is imported can be swallowed there, and the
    command would go on.

    Parameters
    ----------
    command : str
        Name of the command, before the line.
    told : str
        What the interruption means for files.
    """

    def terminate(*_: object) -> None:
        raise SystemExit(TERMINATED)

    def leave(*_: object) -> None:
        # Not through sys.stderr, which the signal may have caught in the middle of a write.
        os.write(2, f"{command}: interrupted; {told}\n".encode())
        # Threads of numerical libraries may still be at work: leave without waiting for them.
        os._exit(INTERRUPTED)

    def quiet(*_: object) -> None:
        os._exit(INTERRUPTED)

    def begin() -> None:
        if signal.getsignal(signal.SIGINT) is leave:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    with suppress(ValueError):  # only the main thread may say what a signal does
        signal.signal(signal.SIGTERM, terminate)
        # A command in the background of a shell ignores Ctrl-C, and goes on doing so.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, leave)
    try:
        yield begin
    except (KeyboardInterrupt, SystemError) as error:
        # Compiled code that goes on after the interrupt is told off by the interpreter, which keeps it as the cause.
        if not isinstance(error, KeyboardInterrupt) and not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        leave()
    finally:
        # All is said and written: while the interpreter clears up, Ctrl-C could only add a traceback of its own.
        with suppress(ValueError):
            if signal.getsignal(signal.SIGINT) in (leave, signal.default_int_handler):
                signal.signal(signal.SIGINT, quiet)
