"""``clair adapters``: contaminated adapter folders are flagged, the others are averaged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clair_stats.cli.console import clear_errors, plain_console
from clair_stats.cli.options import EXIT_FLAGGED, EXIT_NO_MAJORITY, EXIT_OK, Level

if TYPE_CHECKING:
    from clair_stats.adapters.progress import Progress
    from clair_stats.adapters.report import AdapterReport

__all__ = ["adapters_command"]

# A scheduler that does not answer within this many seconds is not there.
_CONNECT_SECONDS = 15
_STATUS = {"nobody flagged": EXIT_OK, "somebody flagged": EXIT_FLAGGED, "no verdict": EXIT_NO_MAJORITY}


def adapters_command(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="one PEFT folder per client, or one folder that holds them")
    ],
    output: Annotated[
        Path, typer.Option(help="a new folder for aggregate, refined adapters and report", metavar="OUT")
    ],
    rank: Annotated[
        int | None, typer.Option(min=1, help="largest rank of a written product; exact when not given")
    ] = None,
    refined: Annotated[bool, typer.Option("--refined/--no-refined", help="write a refined adapter per client")] = True,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the report there too", metavar="FILE")] = None,
    level: Level = 0.05,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="modules at a time, one thread each; all processors when not given")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="a dask scheduler whose workers see the same folders; needs the extra 'distributed'", metavar="ADDRESS"
        ),
    ] = None,
) -> None:
    """Find contaminated LoRA adapters, average the benign ones exactly, refine each.  Exits 3 when one is flagged."""
    for library in ("OPENBLAS", "OMP", "MKL"):  # before numpy is there: the same bytes with any number of jobs
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    from clair_stats.adapters import aggregate_adapters
    from clair_stats.files import check_output, written_whole

    with clear_errors():
        if json_file is not None:
            check_output(json_file, (".json",), inputs=folders)
        with _progress() as tell, _workers(scheduler):
            n_jobs = -1 if scheduler is not None else jobs or os.cpu_count()
            found = aggregate_adapters(
                folders, output=output, rank=rank, level=level, refined=refined, n_jobs=n_jobs, progress=tell
            ).report
        if json_file is not None:
            with written_whole(json_file) as beside:
                beside.write_text(found.as_json() + "\n", encoding="utf-8")
        _print(found, output)
    raise typer.Exit(_STATUS[found.verdict])


@contextmanager
def _workers(scheduler: str | None) -> Iterator[None]:
    """The workers of a dask scheduler in place of this process's threads, where one is given."""
    if scheduler is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError("--scheduler: dask is not installed; pip install 'clair-stats[distributed]'") from error
    from joblib import parallel_config

    try:
        client = Client(scheduler, timeout=_CONNECT_SECONDS)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        raise ValueError(f"--scheduler: {scheduler} does not answer ({error}); check the address") from error
    with client, parallel_config(backend="dask"):
        yield


@contextmanager
def _progress() -> Iterator[Progress]:
    """On a terminal one bar that changes; elsewhere nothing, so that logs stay short."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True, highlight=False, markup=False)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def tell(what: str, done: int, total: int, /) -> None:
            bar.update(task, description=what, completed=done, total=total or None)

        yield tell


def _print(report: AdapterReport, output: Path) -> None:
    from rich.text import Text

    from clair_stats.cli.client_table import client_table, p_text
    from clair_stats.report.printable import printable

    console = plain_console()
    console.print(printable(report.explanation, longest=2000), soft_wrap=True)
    styles = {"flagged": "bold red", "quarantined": "red", "undecided": "yellow", "benign": "", "capped": "yellow"}
    cut = any(row.energy_lost for row in report.rows)  # to the rank of written adapters
    aligned = any(row.alignment is not None for row in report.rows)
    rows = []
    for row in report.rows:
        score = "–" if row.score != row.score else f"{row.score:.3g}"
        numbers = [score, p_text(row.p_value)]
        if aligned:
            numbers.append("–" if row.alignment is None else f"{row.alignment:.2f}")
        if cut:
            numbers.append("–" if row.energy_lost is None else f"{100 * row.energy_lost:.2g} %")
        rows.append((row.name, numbers, Text(row.verdict, style=styles[row.verdict]), row.reason))
    headings = ("score", "p-value", *["alignment"] * aligned, *["lost"] * cut)
    console.print(client_table(headings, rows, console.width))
    if report.aggregate_energy_lost:
        console.print(f"the aggregate loses {100 * report.aggregate_energy_lost:.2g} % of its squared norm to the rank")
    console.print(f"written: {output}", soft_wrap=True)
