"""``python -m simulations list | plan | run | sequential | check | replay | summarise | export | merge | ademp``.

Exit status: 0 every row is there; 1 complete, but some replications failed (or a replay gave other numbers); 2 bad
input or an unusable store; 3 rows are missing; 130 ended by Ctrl-C; 143 ended by SIGTERM.
"""

from __future__ import annotations

import difflib
import math
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from simulations.ademp import ademp_page
from simulations.design import Cell, Study
from simulations.engine.executor import run_study
from simulations.engine.planning import find_regime
from simulations.engine.planning import plan as plan_cells
from simulations.engine.planning import replay as replay_cells
from simulations.engine.progress import reporter, time_left
from simulations.engine.sequential import PrecisionRule, run_until
from simulations.engine.workers import BackendError
from simulations.measure import Measure
from simulations.measures.summarise import summarise as summary_table
from simulations.storage.export import export as write_export
from simulations.storage.frames import factors
from simulations.storage.shards import merge as merge_shards
from simulations.storage.store import Store, StoreError
from simulations.studies import find_study, studies

__all__ = ["app", "main"]

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False, rich_markup_mode=None
)

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study (see list) or a .toml file.")]
StorePath = Annotated[Path | None, typer.Option("--store", help="The store; results/<study>.sqlite when not given.")]
Replications = Annotated[int | None, typer.Option("--replications", min=1, help="Instead of the study's own number.")]
Methods = Annotated[list[str] | None, typer.Option("--method", help="Only the cells of this method; repeatable.")]


def _console(*, errors: bool = False) -> Console:
    return Console(stderr=errors, highlight=False, soft_wrap=True, markup=False)


def _study(name: str, replications: int | None = None, methods: list[str] | None = None) -> Study:
    study = find_study(name)
    if methods:
        known = sorted({cell.method.name for cell in study.cells})
        for method in methods:
            if method not in known:
                near = difflib.get_close_matches(method, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                raise ValueError(f"study {study.name}: unknown method {method!r}; {hint}")
        study = replace(study, cells=tuple(cell for cell in study.cells if cell.method.name in methods))
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


def _label(cell: Cell, varied: list[str]) -> str:
    mine = factors(cell)
    fields = ", ".join(f"{name.split('.', 1)[1]}={mine[name]}" for name in varied if mine.get(name) is not None)
    return f"{cell.regime.name} × {cell.method.name}" + (f" ({fields})" if fields else "")


def _varied(study: Study) -> list[str]:
    """Factors that tell the cells of a study apart, besides the names."""
    tables = [factors(cell) for cell in study.cells]
    names = dict.fromkeys(name for table in tables for name in table if "." in name)
    return [name for name in names if len({str(table[name]) for table in tables if name in table}) > 1]


@app.command("list")
def list_studies() -> None:
    """List the studies by name, with their size."""
    table = Table("study", "cells", "replications", "title", box=None)
    for name, study in studies().items():
        table.add_row(name, str(len(study.cells)), str(study.replications), study.title)
    Console().print(table)


@app.command()
def plan(
    name: StudyName,
    store: StorePath = None,
    replications: Replications = None,
    method: Methods = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Worker processes.")] = 2,
    probe: Annotated[float, typer.Option("--probe", min=0.0, help="Seconds to spend on timing cells.")] = 10.0,
) -> None:
    """Print cells, replications still to run and the expected time; writes nothing."""
    study = _study(name, replications, method)
    out, varied = _console(), _varied(study)
    total, unknown = 0.0, 0
    for line in plan_cells(study, _store_path(study, store), probe_seconds=probe):
        if line.seconds_each is None:
            unknown += line.to_run
            time = "time unknown"
        else:
            total += line.to_run * line.seconds_each
            time = f"{1000.0 * line.seconds_each:.3g} ms each ({line.source})"
        regime = f"regime {line.cell.regime_hash[:12]}"
        out.print(f"{_label(line.cell, varied)}: {line.to_run} to run, {line.present} there, {time}, {regime}")
    more = f" and {unknown} replications of unknown time" if unknown else ""
    out.print(
        f"{study.name}: {len(study.cells)} cells × {study.replications} replications, "
        f"about {time_left(total / jobs)} with {jobs} workers{more}"
    )


@app.command()
def run(
    name: StudyName,
    store: StorePath = None,
    replications: Replications = None,
    method: Methods = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Worker processes.")] = 2,
    backend: Annotated[str, typer.Option("--backend", help="loky, sequential or dask.")] = "loky",
    scheduler: Annotated[str | None, typer.Option("--scheduler", help="Address of a dask scheduler.")] = None,
    timeout: Annotated[float | None, typer.Option("--timeout", help="Seconds a replication may take.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Compute failed rows again.")] = False,
    shard: Annotated[str | None, typer.Option("--shard", help="i/n: the i-th of n parts, into its own store.")] = None,
) -> None:
    """Compute the rows that the store lacks; goes on where an earlier run ended, however it ended."""
    study = _study(name, replications, method)
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
    if report.interrupted is not None:
        _console(errors=True).print("interrupted; finished batches are stored, the same command goes on from here")
    else:
        for message in report.lost_workers:
            _console(errors=True).print(f"a worker died, its work was done again: {message}")
    _console().print(
        f"{study.name}: {report.written} rows written in {report.seconds:.1f} s, {report.failed} failed, "
        f"{report.missing} missing, store {path}"
    )
    if report.failed:
        _console(errors=True).print(f"see the tracebacks: python -m simulations check {name} --failures")
    raise typer.Exit(report.exit_status)


@app.command()
def sequential(
    name: StudyName,
    until: Annotated[
        list[str], typer.Option("--until", help="MEASURE=MCSE, a label of summarise and its target; repeatable.")
    ],
    budget: Annotated[int, typer.Option("--budget", min=30, help="Largest number of replications per cell.")],
    first: Annotated[int, typer.Option("--first", min=30, help="Replications at the first look.")] = 100,
    store: StorePath = None,
    method: Methods = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Worker processes.")] = 2,
) -> None:
    """Add replications until the monitored measures are precise enough, or the budget ends (status 3)."""
    study = _study(name, methods=method)
    rule = PrecisionRule(_targets(study, until), budget, first)
    out, varied = _console(), _varied(study)
    out.print(rule.statement())
    with reporter(study.name) as progress:
        result = run_until(study, _store_path(study, store), rule, n_jobs=jobs, progress=progress)
    for line in result.monitored:
        estimate = line.summary.estimate
        out.print(
            f"{_label(line.summary.cell, varied)}: {line.summary.measure.label} = "
            f"{_digits(estimate.value, estimate.mcse)} (MCSE {line.precision:.2g}, repeated interval {line.low:.6g} to "
            f"{line.high:.6g}){'' if line.reached else ', target not reached'}"
        )
    out.print(f"{study.name}: {'precise enough' if result.reached else 'stopped'} at {result.study.replications}")
    raise typer.Exit(result.report.exit_status or (0 if result.reached else 3))


def _targets(study: Study, until: list[str]) -> dict[Measure, float]:
    labels = {measure.label: measure for measure in study.measures}
    targets: dict[Measure, float] = {}
    for text in until:
        label, _, number = text.rpartition("=")
        if label not in labels:
            near = difflib.get_close_matches(label, labels, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the study declares {', '.join(labels) or 'no measures'}"
            raise ValueError(f"--until {text!r}: no measure {label!r}; {hint}")
        try:
            targets[labels[label]] = float(number)
        except ValueError:
            raise ValueError(f"--until {text!r}: {number!r} is no number; give MEASURE=MCSE") from None
    return targets


@app.command()
def check(
    name: StudyName,
    store: StorePath = None,
    replications: Replications = None,
    method: Methods = None,
    failures: Annotated[bool, typer.Option("--failures", help="Print the tracebacks of failed rows.")] = False,
) -> None:
    """List missing and failed rows of every cell, and check the file, without loading data."""
    study = _study(name, replications, method)
    out, varied = _console(), _varied(study)
    with Store(_store_path(study, store), study) as opened:
        damage = opened.integrity()
        if damage != "ok":
            raise StoreError(f"{opened.path}: damaged ({damage}); restore it from a copy")
        status = opened.status()
        for line in status:
            if line.missing or line.failed:
                counts = f"{line.missing} missing, {line.failed} failed, {line.ok} ok"
                out.print(f"{_label(line.cell, varied)}: {counts}")
        if failures:
            for cell, replication, error in opened.failures():
                regime = next(c.regime_hash for c in study.cells if c.hash == cell)
                out.print(f"cell {cell[:12]}, replay with: python -m simulations replay {regime[:12]} {replication}")
                out.print(error)
    missing, failed = sum(s.missing for s in status), sum(s.failed for s in status)
    out.print(f"{study.name}: {sum(s.ok for s in status)} ok, {failed} failed, {missing} missing")
    raise typer.Exit(3 if missing else 1 if failed else 0)


@app.command()
def replay(
    regime: Annotated[str, typer.Argument(metavar="REGIME", help="First digits of a regime's hash (see plan).")],
    replication: Annotated[int, typer.Argument(metavar="REP", min=0)],
    study: Annotated[
        str | None, typer.Option("--study", help="Its name or .toml file, where it is not unique.")
    ] = None,
    store: StorePath = None,
) -> None:
    """Compute one replication again, for all methods, and compare with the stored row bit for bit."""
    found, cells = find_regime({study: find_study(study)} if study else studies(), regime)
    out, varied = _console(), _varied(found)
    status = 0
    for result in replay_cells(found, cells, replication, _store_path(found, store)):
        verdict = {None: "not stored", True: "as stored", False: "NOT as stored"}[result.same]
        out.print(f"{_label(result.cell, varied)}, replication {replication}: {verdict}")
        if result.row.metrics is None:
            out.print(result.row.error)
        for metric, value in (result.row.metrics or {}).items():
            out.print(f"  {metric} = {value!r}")
        if result.same is False:
            status = 1
    raise typer.Exit(status)


def _digits(value: float, mcse: float) -> str:
    """The value to the second digit of its standard error."""
    if not (math.isfinite(mcse) and mcse > 0.0 and math.isfinite(value)):
        return f"{value:.6g}"
    return f"{value:.{max(0, 1 - math.floor(math.log10(mcse)))}f}"


@app.command()
def summarise(
    name: StudyName,
    store: StorePath = None,
    replications: Replications = None,
    method: Methods = None,
    output: Annotated[Path | None, typer.Option("--output", help="Also write all columns to this .csv file.")] = None,
) -> None:
    """Performance measures of every cell, each with its Monte Carlo standard error."""
    study = _study(name, replications, method)
    if output is not None and output.suffix != ".csv":
        raise ValueError(f"--output {output}: give a name ending in .csv")
    summary = summary_table(_store_path(study, store), study)
    varied = _varied(study)
    heads = ["regime", "method", *(column.split(".", 1)[1] for column in varied)]
    table = Table(*heads, "measure", "value", "MCSE", "n", "undefined", "failed", box=None)
    for line in summary.to_dict("records"):
        shown = ["" if (v := line[c]) is None or v != v else str(v) for c in ("regime", "method", *varied)]
        value, mcse = _digits(line["value"], line["mcse"]), f"{line['mcse']:.2g}"
        table.add_row(*shown, line["measure"], value, mcse, *(str(line[c]) for c in ("n", "undefined", "failed")))
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    if output is not None:
        try:
            temporary = output.with_name(f".{output.name}.part")
            summary.to_csv(temporary, index=False, lineterminator="\n")
            temporary.replace(output)
        except OSError as error:
            raise StoreError(f"{output}: cannot write ({error.strerror}); give another --output") from error


@app.command()
def export(
    name: StudyName,
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="A .csv or .parquet file.")],
    store: StorePath = None,
    replications: Replications = None,
    method: Methods = None,
    seconds: Annotated[bool, typer.Option("--seconds", help="Add measured times (not reproducible).")] = False,
) -> None:
    """Write all rows to csv or parquet, in the study's order."""
    study = _study(name, replications, method)
    n_rows = write_export(_store_path(study, store), study, output, seconds=seconds)
    _console().print(f"{study.name}: {n_rows} rows to {output}")


@app.command()
def merge(
    name: StudyName,
    shards: Annotated[list[Path], typer.Argument(metavar="SHARD...", help="Stores written with run --shard.")],
    store: StorePath = None,
) -> None:
    """Bring shards into one store; merging again changes nothing."""
    study = _study(name)
    path = _store_path(study, store)
    new = merge_shards(path, study, list(shards))
    _console().print(f"{study.name}: {new} new rows in {path}")


@app.command()
def ademp(
    name: StudyName,
    output: Annotated[Path | None, typer.Option("--output", help="A .md file; the terminal when not given.")] = None,
) -> None:
    """The study's ADEMP page in Markdown, generated from its design."""
    page = ademp_page(_study(name))
    if output is None:
        _console().print(page)
        return
    temporary = output.with_name(f".{output.name}.part")
    try:
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(output)
    except OSError as error:
        raise StoreError(f"{output}: cannot write ({error.strerror}); give another --output") from error


def main() -> None:
    """Run the command line; every error of the user's is one line and exit status 2."""
    try:
        app(prog_name="python -m simulations")
    except (ValueError, TypeError, StoreError, BackendError) as error:
        _console(errors=True).print(f"error: {error}")
        sys.exit(2)
