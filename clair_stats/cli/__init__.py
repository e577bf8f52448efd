"""The command line: ``clair inspect | refine | certify | adapters``."""

from __future__ import annotations

import sys

from clair_stats.cli.interruption import without_traceback

__all__ = ["main"]


def main() -> None:
    """Entry point of the ``clair`` command."""
    with without_traceback("clair") as begin:
        from clair_stats.cli.app import run

        begin()
        run(sys.argv[1:])
