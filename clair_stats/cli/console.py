"""Output of the commands: text without markup, bad input as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from clair_stats.cli.options import EXIT_BAD_INPUT

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["clear_errors", "plain_console"]


@contextmanager
def clear_errors() -> Iterator[None]:
    """Bad input becomes one line on standard error and exit status 2; a bug still shows its traceback."""
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        from clair_stats.report.printable import printable

        typer.echo(f"clair: {printable(' '.join(str(error).split()), longest=2000)}", err=True)
        raise typer.Exit(EXIT_BAD_INPUT) from error


def plain_console() -> Console:
    """Full width on a terminal; 120 columns in a pipe, where 80 would fold every sentence.  No markup in any text."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if console.is_terminal:
        return console
    return Console(highlight=False, markup=False, width=max(console.width, 120))
