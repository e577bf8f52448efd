"""Options, exit statuses and one-line errors that the commands share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from simulations.engine.workers import BackendError
from simulations.storage.store import StoreError
from theory_checks.claim import EFFORTS, Claim, Effort
from theory_checks.judge.complete import UnfinishedError
from theory_checks.registry import find_claims

__all__ = [
    "STORES",
    "STUDIES",
    "AcceptMixedOption",
    "BackendOption",
    "EffortOption",
    "JobsOption",
    "RegimeOption",
    "StoresOption",
    "StudiesOption",
    "chosen_claims",
    "chosen_effort",
    "console",
    "usage_errors",
]

# In a pipe rich takes 80 columns and folds every verdict over ten lines.
console = Console() if Console().is_terminal else Console(width=200)

EffortOption = Annotated[str, typer.Option("--effort", help="quick, standard or full")]
JobsOption = Annotated[int, typer.Option("--jobs", min=1, help="worker processes")]
BackendOption = Annotated[str, typer.Option("--backend", help="loky, sequential or dask")]
AcceptMixedOption = Annotated[
    bool, typer.Option("--accept-mixed", help="add to rows that other sources, packages or machines made")
]
RegimeOption = Annotated[str, typer.Option("--regime", help="claims on this regime instead of those on the theorems")]
StoresOption = Annotated[Path, typer.Option("--stores", help="folder of the claims' stores")]
StudiesOption = Annotated[Path, typer.Option("--studies", help="folder of the stores of regime studies")]
STORES = Path("results/claims")
STUDIES = Path("results")


def chosen_effort(name: str) -> Effort:
    """The effort of that name, or a usage error."""
    for effort in EFFORTS:
        if name == effort:
            return effort
    raise typer.BadParameter(f"{name!r}; choose quick, standard or full", param_hint="--effort")


def chosen_claims(names: Sequence[str] | None, regime: str = "") -> list[Claim]:
    """The claims of that name in one family, or a usage error."""
    try:
        return find_claims(list(names or ()), regime)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="CLAIM") from error


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turn what the caller can mend (a store, a backend, a path) into one line and exit status 2.

    An interrupted run is one line as well, with the status of its signal.
    """
    try:
        yield
    except UnfinishedError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.report.exit_status) from error
    except (ValueError, OSError, StoreError, BackendError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
