"""``python -m simulations list | plan | run | check | replay | summarise | export | merge | ademp``.

Exit status: 0 every row is there; 1 complete, but some replications failed; 2 bad input or an unusable store;
3 rows are missing; 130 ended by Ctrl-C; 143 ended by SIGTERM.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from simulations.backends import BackendError
from simulations.design import Study
from simulations.executor import run_study
from simulations.progress import reporter
from simulations.store import Store, StoreError
from simulations.studies import find_study, studies

__all__ = ["app", "main"]

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study (see list) or a .toml file.")]
StorePath = Annotated[Path | None, typer.Option("--store", help="The store; results/<study>.sqlite when not given.")]
Replications = Annotated[int | None, typer.Option("--replications", min=1, help="Instead of the study's own number.")]


def _study(name: str, replications: int | None) -> Study:
    study = find_study(name)
    return study if replications is None else replace(study, replications=replications)


def _store_path(study: Study, store: Path | None, suffix: str = "") -> Path:
    return store if store is not None else Path("results") / f"{study.name}{suffix}.sqlite"


def _shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"--shard {text!r}: give i/n with 1 <= i <= n, for example 3/8")
    return int(match[1]), int(match[2])


@app.command("list")
def list_studies() -> None:
    """List the studies by name, with their size."""
    table = Table("study", "cells", "replications", "title", box=None)
    for name, study in studies().items():
        table.add_row(name, str(len(study.cells)), str(study.replications), study.title)
    Console().print(table)


@app.command()
def run(
    name: StudyName,
    store: StorePath = None,
    replications: Replications = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Worker processes.")] = 2,
    backend: Annotated[str, typer.Option("--backend", help="loky, sequential or dask.")] = "loky",
    scheduler: Annotated[str | None, typer.Option("--scheduler", help="Address of a dask scheduler.")] = None,
    timeout: Annotated[float | None, typer.Option("--timeout", help="Seconds a replication may take.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Compute failed rows again.")] = False,
    shard: Annotated[str | None, typer.Option("--shard", help="i/n: the i-th of n parts, into its own store.")] = None,
) -> None:
    """Compute the rows that the store lacks; goes on where an earlier run ended, however it ended."""
    study = _study(name, replications)
    part = _shard(shard)
    path = _store_path(study, store, f".shard{part[0]}of{part[1]}" if part else "")
    with reporter(study.name) as progress:
        report = run_study(
            study,
            path,
            n_jobs=jobs,
            backend=backend,
            scheduler=scheduler,
            timeout=timeout,
            retry_failed=retry_failed,
            shard=part,
            progress=progress,
        )
    out = Console(stderr=True, highlight=False)
    for message in report.lost_workers:
        out.print(f"a worker died and its work was done again: {message}")
    if report.interrupted is not None:
        out.print("interrupted; the finished batches are stored, the same command goes on from here")
    print_line = f"{study.name}: {report.written} rows written in {report.seconds:.1f} s, "
    print_line += f"{report.failed} failed, {report.missing} missing, store {path}"
    Console(highlight=False, soft_wrap=True).print(print_line)
    raise typer.Exit(report.exit_status)


@app.command()
def check(
    name: StudyName,
    store: StorePath = None,
    replications: Replications = None,
    failures: Annotated[bool, typer.Option("--failures", help="Print the tracebacks of failed rows.")] = False,
) -> None:
    """List missing and failed rows of every cell and check the file."""
    study = _study(name, replications)
    out = Console(highlight=False, soft_wrap=True)
    with Store(_store_path(study, store), study) as opened:
        damage = opened.integrity()
        if damage != "ok":
            raise StoreError(f"{opened.path}: damaged ({damage}); restore it from a copy")
        status = opened.status()
        for line in status:
            if line.missing or line.failed:
                out.print(
                    f"{line.cell.regime.name} × {line.cell.method.name} [{line.cell.hash[:12]}]: "
                    f"{line.missing} missing, {line.failed} failed, {line.ok} ok",
                    markup=False,
                )
        if failures:
            for cell, replication, error in opened.failures():
                out.print(f"{cell[:12]} replication {replication}:\n{error}", markup=False)
    missing, failed = sum(s.missing for s in status), sum(s.failed for s in status)
    out.print(f"{study.name}: {sum(s.ok for s in status)} ok, {failed} failed, {missing} missing")
    raise typer.Exit(3 if missing else 1 if failed else 0)


def main() -> None:
    """Run the command line; every error of the user's is one line and exit status 2."""
    try:
        app(prog_name="python -m simulations")
    except (ValueError, TypeError, StoreError, BackendError) as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"error: {error}", markup=False)
        sys.exit(2)
