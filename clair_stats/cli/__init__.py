"""The command line: ``clair inspect | refine | certify``."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]

# As the shell reports a process that was stopped from the keyboard.
INTERRUPTED = 130


def main() -> None:
    """Entry point of the ``clair`` command; an interruption ends it without a traceback, imports included."""
    try:
        from clair_stats.cli.app import run

        run(sys.argv[1:])
    except KeyboardInterrupt:
        sys.stderr.write("clair: interrupted; nothing was written\n")
        sys.stderr.flush()
        # Threads of numerical libraries may still be at work: leave without waiting for them.
        os._exit(INTERRUPTED)
