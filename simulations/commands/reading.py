"""Commands that read stores and designs: list, check, summarise, export, merge, ademp."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from simulations.ademp import ademp_page
from simulations.commands.fragments import latex_fragment, summary_figure, write_fragment
from simulations.commands.pairing import print_best, print_paired
from simulations.commands.shared import (
    AcceptMixed,
    Methods,
    Replications,
    StorePath,
    StudyName,
    asked_study,
    cell_label,
    console,
    store_path,
    to_digits,
    varied_factors,
)
from simulations.design import Study
from simulations.engine.audit import audited
from simulations.measures.summarise import summarise as summary_table
from simulations.presentation import RegimeSweeps
from simulations.storage.database import REPAIR
from simulations.storage.export import export as write_export
from simulations.storage.provenance import foreign_rows, origins
from simulations.storage.shards import merge as merge_shards
from simulations.storage.store import Store, StoreError
from simulations.studies import studies

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ademp", "check", "export", "list_studies", "merge", "names", "summarise"]


def names(
    exploratory: Annotated[bool, typer.Option("--exploratory", help="Without confirmatory studies.")] = False,
) -> None:
    """Names of all studies but the regimes' (see `python -m theory_checks list`), one a line, for scripts."""
    for name, study in studies().items():
        if not (exploratory and study.confirmatory) and not isinstance(study.presentation, RegimeSweeps):
            console().print(name)


def list_studies() -> None:
    """List the studies by name, with their size."""
    table = Table("study", "cells", "replications", "title", box=None)
    for name, study in studies().items():
        table.add_row(name, str(len(study.cells)), str(study.replications), study.title)
    Console().print(table)


def check(
    name: StudyName,
    store: StorePath = None,
    replications: Replications = None,
    method: Methods = None,
    failures: Annotated[bool, typer.Option("--failures", help="Print the tracebacks of failed rows.")] = False,
    again: Annotated[float, typer.Option("--again", min=0.0, max=1.0, help="Share of rows to compute again.")] = 0.01,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of the draw of these rows.")] = None,
) -> None:
    """List missing and failed rows of every cell, check the file, and compute a random 1 % of the rows again."""
    study = asked_study(name, replications, method)
    out, varied = console(), varied_factors(study)
    drawn = secrets.randbelow(2**32) if seed is None else seed
    with Store(store_path(study, store), study) as opened:
        damage = opened.integrity()
        if damage != "ok":
            raise StoreError(f"{opened.path}: damaged ({damage}); {REPAIR}")
        status = opened.status()
        for line in status:
            if line.missing or line.failed:
                counts = f"{line.missing} missing, {line.failed} failed, {line.ok} ok"
                out.print(f"{cell_label(line.cell, varied)}: {counts}")
        if failures:
            _print_failures(opened)
        other = foreign_rows(opened, origins(study))
        replayed = list(audited(opened, again, drawn))
    different = [result for result in replayed if not result.same]
    for result in different:
        out.print(f"{cell_label(result.cell, varied)}, replication {result.row.replication}: NOT as stored")
    missing, failed = sum(s.missing for s in status), sum(s.failed for s in status)
    out.print(f"{study.name}: {sum(s.ok for s in status)} ok, {failed} failed, {missing} missing")
    out.print(f"{len(replayed)} rows computed again (--seed {drawn}), {len(different)} of them differ")
    if other:
        out.print(f"{other} rows were made by other sources, packages or another machine than those at hand")
    raise typer.Exit(3 if missing else 1 if failed or different else 0)


def _print_failures(store: Store) -> None:
    """The tracebacks, each with the command that computes its replication again."""
    for cell, replication, error in store.failures():
        regime = next(c.regime_hash for c in store.study.cells if c.hash == cell)
        console().print(f"cell {cell[:12]}, replay with: python -m simulations replay {regime[:12]} {replication}")
        console().print(error)


def summarise(
    name: StudyName,
    store: StorePath = None,
    replications: Replications = None,
    method: Methods = None,
    output: Annotated[Path | None, typer.Option("--output", help="Also write all columns to this .csv file.")] = None,
    latex: Annotated[Path | None, typer.Option("--latex", help="Also write a table for a paper, a .tex file.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Also draw all values (.pdf, .png or .svg).")] = None,
    paired: Annotated[str | None, typer.Option("--paired", help="Instead: differences to methods FIELD=VALUE.")] = None,
    best: Annotated[str | None, typer.Option("--best", help="Instead: this or FIELD=VALUE beside the best.")] = None,
    among: Annotated[str, typer.Option("--among", help="Name of the others of --best.")] = "Baseline",
    metric: Annotated[str, typer.Option("--metric", help="Of --best; less is better.")] = "refined_mse",
) -> None:
    """Performance measures of every cell, each with its Monte Carlo standard error."""
    study = asked_study(name, replications, method)
    if paired is not None:
        print_paired(study, store_path(study, store), paired)
        return
    if best is not None:
        print_best(study, store_path(study, store), best, among, metric)
        return
    for option, path, suffixes in (
        ("--output", output, (".csv",)),
        ("--latex", latex, (".tex",)),
        ("--plot", plot, (".pdf", ".png", ".svg")),
    ):
        if path is not None and path.suffix not in suffixes:
            raise ValueError(f"{option} {path}: give a name ending in {' or '.join(suffixes)}")
    summary = summary_table(store_path(study, store), study)
    varied = varied_factors(study)
    heads = ["regime", "method", *(column.split(".", 1)[1] for column in varied)]
    table = Table(*heads, "measure", "value", "MCSE", "n", "undefined", "failed", box=None)
    for line in summary.to_dict("records"):
        shown = ["" if (v := line[c]) is None or v != v else str(v) for c in ("regime", "method", *varied)]
        value, mcse = to_digits(line["value"], line["mcse"]), f"{line['mcse']:.2g}"
        table.add_row(*shown, line["measure"], value, mcse, *(str(line[c]) for c in ("n", "undefined", "failed")))
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    _write_summary(summary, study, output, latex, plot)


def _write_summary(
    summary: pd.DataFrame, study: Study, output: Path | None, latex: Path | None, plot: Path | None
) -> None:
    """The files that were asked for beside the table."""
    contents: dict[Path, str | Figure] = {}
    if output is not None:
        contents[output] = summary.to_csv(index=False, lineterminator="\n")
    if latex is not None:
        contents[latex] = latex_fragment(summary, study, varied_factors(study))
    if plot is not None:
        contents[plot] = summary_figure(summary, varied_factors(study))
    for path, content in contents.items():
        try:
            write_fragment(content, path)
        except OSError as error:
            raise StoreError(f"{path}: cannot write ({error.strerror}); give another place") from error


def export(
    name: StudyName,
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="A .csv or .parquet file.")],
    store: StorePath = None,
    replications: Replications = None,
    method: Methods = None,
    seconds: Annotated[bool, typer.Option("--seconds", help="Add measured times (not reproducible).")] = False,
) -> None:
    """Write all rows to csv or parquet, in the study's order."""
    study = asked_study(name, replications, method)
    n_rows = write_export(store_path(study, store), study, output, seconds=seconds)
    console().print(f"{study.name}: {n_rows} rows to {output}")


def merge(
    name: StudyName,
    shards: Annotated[list[Path], typer.Argument(metavar="SHARD...", help="Stores written with run --shard.")],
    store: StorePath = None,
    accept_mixed: AcceptMixed = False,
) -> None:
    """Bring shards into one store; merging again changes nothing."""
    study = asked_study(name)
    path = store_path(study, store)
    new = merge_shards(path, study, list(shards), accept_mixed=accept_mixed)
    console().print(f"{study.name}: {new} new rows in {path}")


def ademp(
    name: StudyName,
    output: Annotated[Path | None, typer.Option("--output", help="A .md file; the terminal when not given.")] = None,
) -> None:
    """The study's ADEMP page in Markdown, generated from its design."""
    page = ademp_page(asked_study(name))
    if output is None:
        console().print(page)
        return
    temporary = output.with_name(f".{output.name}.part")
    try:
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(output)
    except OSError as error:
        raise StoreError(f"{output}: cannot write ({error.strerror}); give another --output") from error
