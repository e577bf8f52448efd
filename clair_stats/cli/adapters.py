"""``clair adapters``: contaminated adapter folders are flagged, the others are averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clair_stats.cli.console import clear_errors, plain_console
from clair_stats.cli.options import EXIT_FLAGGED, EXIT_NO_MAJORITY, EXIT_OK, Level

if TYPE_CHECKING:
    from clair_stats.adapters.report import AdapterReport

__all__ = ["adapters_command"]

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
) -> None:
    """Find contaminated LoRA adapters, average the benign ones exactly, refine each.  Exits 3 when one is flagged."""
    from clair_stats.adapters import aggregate_adapters
    from clair_stats.files import check_output, written_whole

    with clear_errors():
        if json_file is not None:
            check_output(json_file, (".json",), inputs=folders)
        with _progress() as tell:
            found = aggregate_adapters(
                folders, output=output, rank=rank, level=level, refined=refined, progress=tell
            ).report
        if json_file is not None:
            with written_whole(json_file) as beside:
                beside.write_text(found.as_json() + "\n", encoding="utf-8")
        _print(found, output)
    raise typer.Exit(_STATUS[found.verdict])


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """On a terminal one line that changes; elsewhere nothing, so that logs stay short."""
    from rich.console import Console

    with Console(stderr=True, highlight=False, markup=False).status("") as status:
        yield status.update


def _print(report: AdapterReport, output: Path) -> None:
    from rich.text import Text

    from clair_stats.cli.client_table import client_table, p_text
    from clair_stats.report.printable import printable

    console = plain_console()
    console.print(printable(report.explanation, longest=2000), soft_wrap=True)
    styles = {"flagged": "bold red", "quarantined": "red", "undecided": "yellow", "benign": ""}
    rows = []
    for row in report.rows:
        score = "–" if row.score != row.score else f"{row.score:.3g}"
        rows.append((row.name, (score, p_text(row.p_value)), Text(row.verdict, style=styles[row.verdict]), row.reason))
    console.print(client_table(("score", "p-value"), rows, console.width))
    if report.aggregate_energy_lost:
        console.print(f"the aggregate loses {100 * report.aggregate_energy_lost:.2g} % of its squared norm to the rank")
    console.print(f"written: {output}", soft_wrap=True)
