"""Commands that compute rows: plan, run, sequential, replay."""

from __future__ import annotations

import difflib
import re
from typing import Annotated

import typer

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
from simulations.confirmation import refuse_unregistered
from simulations.design import Study
from simulations.engine.executor import run_study
from simulations.engine.planning import find_regime
from simulations.engine.planning import plan as plan_cells
from simulations.engine.planning import replay as replay_cells
from simulations.engine.progress import reporter, time_left
from simulations.engine.sequential import PrecisionRule, run_until
from simulations.measure import Measure
from simulations.studies import find_study, studies

__all__ = ["plan", "replay", "run", "sequential"]


def plan(
    name: StudyName,
    store: StorePath = None,
    replications: Replications = None,
    method: Methods = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Worker processes.")] = 2,
    probe: Annotated[float, typer.Option("--probe", min=0.0, help="Seconds to spend on timing cells.")] = 10.0,
) -> None:
    """Print cells, replications still to run and the expected time; writes nothing."""
    study = asked_study(name, replications, method)
    out, varied = console(), varied_factors(study)
    total, unknown = 0.0, 0
    for line in plan_cells(study, store_path(study, store), probe_seconds=probe):
        if line.seconds_each is None:
            unknown += line.to_run
            time = "time unknown"
        else:
            total += line.to_run * line.seconds_each
            time = f"{1000.0 * line.seconds_each:.3g} ms each ({line.source})"
        regime = f"regime {line.cell.regime_hash[:12]}"
        out.print(f"{cell_label(line.cell, varied)}: {line.to_run} to run, {line.present} there, {time}, {regime}")
    more = f" and {unknown} replications of unknown time" if unknown else ""
    out.print(
        f"{study.name}: {len(study.cells)} cells × {study.replications} replications, "
        f"about {time_left(total / jobs)} with {jobs} workers{more}"
    )


def _shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"--shard {text!r}: give i/n with 1 <= i <= n, for example 3/8")
    return int(match[1]), int(match[2])


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
    accept_mixed: AcceptMixed = False,
) -> None:
    """Compute the rows that the store lacks; goes on where an earlier run ended, however it ended."""
    study = asked_study(name, replications, method)
    for told in refuse_unregistered(study):
        console().print(told)
    if study.confirmatory and accept_mixed:
        raise ValueError(
            f"study {study.name} is confirmatory: rows of other sources than the registered ones cannot decide"
        )
    part = _shard(shard)
    path = store_path(study, store, f".shard{part[0]}of{part[1]}" if part else "")
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
            accept_mixed=accept_mixed,
        )
    if report.interrupted is not None:
        console(errors=True).print("interrupted; finished batches are stored, the same command goes on from here")
    else:
        for message in report.lost_workers:
            console(errors=True).print(f"a worker died, its work was done again: {message}")
    console().print(
        f"{study.name}: {report.written} rows written in {report.seconds:.1f} s, {report.failed} failed, "
        f"{report.missing} missing, store {path}"
    )
    if report.foreign:
        console(errors=True).print(
            f"{report.foreign} rows were made by other sources, packages or another machine than those at hand; a run "
            "into another --store computes them again"
        )
    if report.failed:
        console(errors=True).print(f"see the tracebacks: python -m simulations check {name} --failures")
    if study.confirmatory and not report.missing and part is None:
        console().print(f"every row is there; decide it: python -m simulations decide {name}")
    raise typer.Exit(report.exit_status)


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
    accept_mixed: AcceptMixed = False,
) -> None:
    """Add replications until the monitored measures are precise enough, or the budget ends (status 3)."""
    study = asked_study(name, methods=method)
    if study.confirmatory:
        raise ValueError(f"study {study.name} is confirmatory: its number of replications is registered; use `run`")
    refuse_unregistered(study)
    rule = PrecisionRule(_targets(study, until), budget, first)
    out, varied = console(), varied_factors(study)
    out.print(rule.statement())
    with reporter(study.name) as progress:
        result = run_until(
            study, store_path(study, store), rule, n_jobs=jobs, progress=progress, accept_mixed=accept_mixed
        )
    for line in result.monitored:
        estimate = line.summary.estimate
        out.print(
            f"{cell_label(line.summary.cell, varied)}: {line.summary.measure.label} = "
            f"{to_digits(estimate.value, estimate.mcse)} (MCSE {line.precision:.2g}, repeated interval "
            f"{line.low:.6g} to {line.high:.6g}){'' if line.reached else ', target not reached'}"
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
    out, varied = console(), varied_factors(found)
    status = 0
    for result in replay_cells(found, cells, replication, store_path(found, store)):
        verdict = {None: "not stored", True: "as stored", False: "NOT as stored"}[result.same]
        out.print(f"{cell_label(result.cell, varied)}, replication {replication}: {verdict}")
        if result.row.metrics is None:
            out.print(result.row.error)
        for metric, value in (result.row.metrics or {}).items():
            out.print(f"  {metric} = {value!r}")
        if result.same is False:
            status = 1
    raise typer.Exit(status)
