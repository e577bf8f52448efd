"""The command that saves what is whole in a damaged store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simulations.commands.shared import Replications, StorePath, StudyName, asked_study, console, store_path
from simulations.storage.repair import repair as save_whole_rows

__all__ = ["repair"]


def repair(
    name: StudyName,
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="A new store.")],
    store: StorePath = None,
    replications: Replications = None,
) -> None:
    """Write the rows that agree with their checksums into a new store; status 3 where some were lost."""
    study = asked_study(name, replications)
    done = save_whole_rows(store_path(study, store), study, output)
    for cell, replication in done.lost:
        console(errors=True).print(f"lost: replication {replication} of cell {cell[:12]}")
    console().print(
        f"{study.name}: {done.saved} rows saved to {output}, {len(done.lost)} lost; a run with --store {output} "
        "computes what is missing"
    )
    raise typer.Exit(3 if done.lost else 0)
