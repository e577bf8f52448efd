"""Commands: build, study, gallery, verify.

Exit status 0 written; 2 nothing to report, broken input or unwritable output; ``verify`` has its own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table as RichTable

if TYPE_CHECKING:
    from reports.inputs import Inputs

__all__ = ["app", "main"]

# Help is plain text: as markup, the brackets of [/REPLICATIONS] were a tag, and the help of ``verify`` a traceback.
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Verdicts and studies as tables, figures, one PDF.",
)


@app.callback()
def _root() -> None:
    """Verdicts and studies as LaTeX tables, figures, one PDF and one HTML page."""


# A part that was left out, and the command that computes it.
_LEFT_OUT = re.compile(r"(regime|study) (\S+): left out; run `(.+ )\S+`")


def _grouped(messages: Iterable[str]) -> list[str]:
    """Messages, those on parts that were not run as one line per command."""
    told: list[str] = []
    names: dict[tuple[str, str], list[str]] = {}
    for message in messages:
        found = _LEFT_OUT.fullmatch(message)
        if found is None:
            told.append(message)
        else:
            names.setdefault((found[1], found[3]), []).append(message.removesuffix("`").rsplit(" ", 1)[1])
    plural = {"regime": "regimes", "study": "studies"}
    told += [
        f"{len(own)} {plural[kind]} left out, each computed by `{command}NAME`: {', '.join(own)}"
        for (kind, command), own in names.items()
    ]
    return told


def _print_verdicts(inputs: Inputs, console: Console) -> None:
    """Claims that are not supported, and claims whose sabotage was not rejected; all others are in the report."""
    from reports.claims import verdict_table

    doubtful = [
        item
        for item in inputs.claims
        if item.verdict.status != "supported" or (item.sabotage is not None and item.sabotage.status != "violated")
    ]
    if not doubtful:
        return
    table = verdict_table(tuple(doubtful))
    shown = RichTable(title="Not as it should be", title_justify="left")
    for column in table.columns:
        shown.add_column(column.heading, overflow="fold")
    colours = {"supported": "green", "violated": "red", "inconclusive": "yellow"}
    for group in table.groups:
        for row in group.rows:
            *cells, status, sabotage = row
            good = sabotage == "rejected"
            verdict = f"[{colours[status]}]{status}[/]"
            shown.add_row(*cells, verdict, f"[{'green' if good else 'red'}]{sabotage}[/]")
    console.print(shown)


@app.command()
def build(
    results: Annotated[Path, typer.Option("--results", help="Folder of the stores and verdicts.")] = Path("results"),
    output: Annotated[Path, typer.Option("--output", help="Folder to write.")] = Path("reports/generated"),
    pdf: Annotated[bool, typer.Option(help="Compile report.pdf where latexmk is installed.")] = True,
) -> None:
    """Write LaTeX tables, figures (PDF and PNG), report.pdf and index.html; what is missing is omitted and reported.

    The same results give the same files, byte for byte.
    """
    from reports.document import build as build_all
    from reports.reading import read_inputs

    console = Console(width=None if sys.stdout.isatty() else 160)
    inputs = read_inputs(results)
    if not inputs.claims and not inputs.regimes and not inputs.studies:
        raise ValueError(f"{results}: no verdicts and no studies to report; run `make verify`")
    built = build_all(inputs, output, pdf=pdf)
    typer.echo(built.verdict)
    _print_verdicts(inputs, console)
    for message in _grouped(built.messages):
        typer.echo(message)
    last = next((path for path in built.files if path.name == "report.pdf"), output / "report.tex")
    typer.echo(f"{len(built.files)} files in {output}; read {last} or {output / 'index.html'}")


@app.command()
def study(
    name: Annotated[str, typer.Argument(help="Name of a study or a .toml file.")],
    results: Annotated[Path, typer.Option("--results", help="Folder of the stores.")] = Path("results"),
    output: Annotated[Path, typer.Option("--output", help="Folder to write.")] = Path("reports/generated"),
) -> None:
    """Write one study's LaTeX tables and figures alone, for a paper; the rest of the folder stays as it is."""
    from reports.reading import read_study
    from reports.sections import Writer

    writer = Writer(output)
    section = writer.study(read_study(results, name))
    for file in writer.files:
        typer.echo(str(file))
    for finding in section.losses:
        typer.echo(finding.text)


@app.command()
def gallery(
    page: Annotated[str, typer.Argument(help="copying, vision or verse")] = "copying",
    results: Annotated[Path, typer.Option("--results", help="Folder of the stores.")] = Path("results"),
    output: Annotated[Path, typer.Option("--output", help="Folder to write.")] = Path("docs/gallery"),
) -> None:
    """Write a page of the gallery with its pictures; needs the stores of its studies and PyTorch."""
    from reports.gallery import write_gallery_page

    files = write_gallery_page(page, results, output)
    typer.echo(f"{len(files)} files in {output}; read {files[0]}")


@app.command()
def verify(
    effort: Annotated[str, typer.Option("--effort", help="quick, standard or full")] = "quick",
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="worker processes")] = 2,
    study: Annotated[
        list[str] | None, typer.Option("--study", help="NAME=MINUTES[/REPLICATIONS] of its first run; repeatable")
    ] = None,
) -> None:
    """Check every theorem, run the studies, write the report; what is already stored is not computed again.

    Exit status: 0 every claim is supported and every sabotage rejected, 1 or 3 not so, 2 a step could not run.
    """
    from reports.verify import run_steps, study_minutes, verify_steps

    steps = verify_steps(effort, jobs, [study_minutes(text) for text in study or ()])
    raise typer.Exit(run_steps(steps, jobs, typer.echo))


def main() -> None:
    """Run the command line; every error of the user's is one line and exit status 2."""
    from simulations.storage.store import StoreError

    try:
        app(prog_name="python -m reports")
    except (ValueError, OSError, RuntimeError, StoreError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
