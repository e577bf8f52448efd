"""Commands: list, explain, run, agreement, region, null, maps.  Exit status 0, 1 (violated), 2 (usage), 3 (open)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from simulations.engine.workers import BackendError
from simulations.storage.store import StoreError
from theory_checks.claim import EFFORTS, Claim, Effort
from theory_checks.judge.complete import UnfinishedError
from theory_checks.judge.verdict import FAMILY_LEVEL, Verdict, write_verdicts
from theory_checks.registry import find_claims

__all__ = ["app", "main"]

app = typer.Typer(add_completion=False, no_args_is_help=True, help="The theorems of CLAIR as checks that can fail.")
# In a pipe rich takes 80 columns and folds every verdict over ten lines.
console = Console() if Console().is_terminal else Console(width=160)

EffortOption = Annotated[str, typer.Option("--effort", help="quick, standard or full")]
JobsOption = Annotated[int, typer.Option("--jobs", min=1, help="worker processes")]
BackendOption = Annotated[str, typer.Option("--backend", help="loky, sequential or dask")]
StoresOption = Annotated[Path, typer.Option("--stores", help="folder of the stores")]
VERDICTS = Path("results/verdicts.json")
STORES = Path("results/claims")


def _effort(name: str) -> Effort:
    for effort in EFFORTS:
        if name == effort:
            return effort
    raise typer.BadParameter(f"{name!r}; choose quick, standard or full", param_hint="--effort")


def _claims(names: list[str] | None) -> list[Claim]:
    try:
        return find_claims(list(names or ()))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="CLAIM") from error


@contextmanager
def _usage_errors() -> Iterator[None]:
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


def print_verdicts(verdicts: list[Verdict]) -> None:
    """The verdict table on the terminal."""
    for heading, part in (
        ("Claims", [v for v in verdicts if not v.sabotage]),
        ("Sabotages (each must be violated)", [v for v in verdicts if v.sabotage]),
    ):
        if not part:
            continue
        table = Table(title=heading, title_justify="left", expand=False)
        for column in ("claim", "verdict", "evidence", "adjusted p", "would detect"):
            table.add_column(column, overflow="fold", no_wrap=column == "verdict")
        for verdict in part:
            item = verdict.evidence
            name = verdict.claim + (f" / {verdict.sabotage}" if verdict.sabotage else "")
            counts = [
                f"{k} {n}"
                for k, n in (("failed", item.failed), ("unsolved", item.unsolved), ("skipped", item.skipped))
                if n
            ]
            detail = item.detail + (f" [{', '.join(counts)}]" if counts else "")
            colour = "green" if verdict.as_expected else "red" if verdict.status != "inconclusive" else "yellow"
            table.add_row(
                name,
                f"[{colour}]{verdict.status}[/{colour}]",
                detail.replace("[", r"\["),
                f"{verdict.adjusted_p_value:.3g}",
                verdict.smallest_violation,
            )
        console.print(table)


@app.command("list")
def list_claims() -> None:
    """Every claim with its theorem, rule and sabotage."""
    table = Table()
    for column in ("claim", "theorem", "title", "sabotage"):
        # A name that is folded cannot be copied into the next command.
        table.add_column(column, overflow="fold", no_wrap=column == "claim")
    for claim in _claims(None):
        theorem = str(claim.theorem) if claim.theorem else "–"
        table.add_row(claim.identifier, theorem, claim.title, claim.sabotage.name)
    console.print(table)


@app.command()
def explain(
    claim: Annotated[str, typer.Argument(help="identifier, see `list`")],
    effort: EffortOption = "quick",
    stores: StoresOption = STORES,
) -> None:
    """Statement, source, assumptions with their values, statistic, rule and power of one claim."""
    from theory_checks.judge.explanation import explanation

    (found,) = _claims([claim])
    for line in explanation(found, _effort(effort), stores):
        console.print(line, markup=False, soft_wrap=True, highlight=False)


@app.command()
def run(
    claims: Annotated[list[str] | None, typer.Argument(help="identifiers; all when none is given")] = None,
    effort: EffortOption = "quick",
    sabotage: Annotated[list[str] | None, typer.Option("--sabotage", help="run only this claim's sabotage")] = None,
    with_sabotages: Annotated[bool, typer.Option(help="also run the sabotages, each must be rejected")] = True,
    jobs: JobsOption = 2,
    backend: BackendOption = "loky",
    output: Annotated[Path, typer.Option("--output", help="verdict file")] = VERDICTS,
    stores: StoresOption = STORES,
) -> None:
    """Run what is missing, print the verdicts and write the verdict file.

    Exit status: 0 every claim supported (and every sabotage rejected), 1 a claim violated (or a sabotage not rejected),
    3 something inconclusive, 2 usage.  With --sabotage CLAIM the sabotaged claim is judged like a claim: it should
    exit 1.
    """
    from theory_checks.judge.run import exit_status, run_claims

    chosen = _effort(effort)
    options: dict[str, Any] = {"n_jobs": jobs, "backend": backend, "timeout": 300.0}

    def progress(name: str) -> None:
        if console.is_terminal:
            console.print(f"[dim]{name} …[/dim]")

    if sabotage:
        with _usage_errors():
            verdicts = run_claims(_claims(sabotage), chosen, stores, with_claims=False, progress=progress, **options)
        print_verdicts(verdicts)
        states = {verdict.status for verdict in verdicts}
        raise typer.Exit(1 if "violated" in states else 3 if "inconclusive" in states else 0)
    family = _claims(claims)
    with _usage_errors():
        verdicts = run_claims(family, chosen, stores, with_sabotages=with_sabotages, progress=progress, **options)
        write_verdicts(output, verdicts)
    print_verdicts(verdicts)
    status = exit_status(verdicts)
    meaning = {
        0: "every claim is supported" + (" and every sabotage is rejected" if with_sabotages else ""),
        1: "a claim is violated or a sabotage is not rejected",
        3: "some claim is inconclusive: more replications (--effort) may decide it",
    }
    typer.echo(f"{meaning[status]}; family-wise level {FAMILY_LEVEL:g}, verdicts in {output}")
    raise typer.Exit(status)


@app.command()
def agreement(
    instances: Annotated[int, typer.Option(min=2)] = 2000,
    jobs: JobsOption = 2,
    backend: BackendOption = "loky",
    stores: StoresOption = STORES,
) -> None:
    """Certificate against empirical recovery on random and adversarial instances; ties are listed one by one."""
    from theory_checks.maps.bulk import agreement as compare

    with _usage_errors():
        found = compare(instances, stores, n_jobs=jobs, backend=backend)
    typer.echo(f"{found.n} instances outside the ties, {len(found.ties)} ties within 1e-3, {found.unsolved} unsolved")
    typer.echo(f"certified: {found.certified_recovered} recovered, {found.certified_failed} not")
    typer.echo(f"not certified: {found.open_failed} not recovered, {found.open_recovered} recovered all the same")
    typer.echo(
        f"refuted (η > 1 or ‖V'_k‖ > λ): {found.refuted_failed} not recovered, {found.refuted_recovered} recovered"
    )
    columns = ["regime.common_component", "replication", "eta", "kappa", "polar_ratio", "recovered"]
    for title, rows in (("ties", found.ties), ("disagreements", found.disagreements)):
        if len(rows):
            typer.echo(f"{title}:\n{rows[columns].to_string(index=False)}")
    raise typer.Exit(1 if found.certified_failed or found.refuted_recovered else 0)


@app.command()
def region(
    instances: Annotated[int, typer.Option(min=2)] = 100_000,
    jobs: JobsOption = 2,
    backend: BackendOption = "loky",
    stores: StoresOption = STORES,
) -> None:
    """Instances inside the theorem regions: no violation may occur; prints the exact upper 95 % bound."""
    from theory_checks.maps.bulk import LARGEST_GAP
    from theory_checks.maps.bulk import region as inside

    with _usage_errors():
        evidence, suspects = inside(instances, stores, n_jobs=jobs, backend=backend)
    typer.echo(evidence.detail)
    if len(suspects):
        unsolved = suspects[suspects["relative_gap"] > LARGEST_GAP]
        typer.echo(
            f"{len(unsolved)} not solved to a relative gap of {LARGEST_GAP:g} and left out of the count; "
            f"{int(unsolved['certified'].sum())} of them carry the instance certificate, which proves recovery"
        )
        typer.echo(suspects.to_string(index=False))
    raise typer.Exit(1 if evidence.p_value == 0 else 3 if len(suspects) else 0)


@app.command()
def null(
    repetitions: Annotated[int, typer.Option(min=1)] = 200,
    jobs: JobsOption = 2,
    backend: BackendOption = "loky",
    only_chance: Annotated[bool, typer.Option(help="only claims that chance can reject; Holm keeps its size")] = False,
    stores: Annotated[Path, typer.Option("--stores", help="folder of the repetitions' results")] = Path("results/null"),
) -> None:
    """Repeat the whole quick family with fresh seeds: how often is a true claim called violated?"""
    from theory_checks.judge.family import family_error

    with _usage_errors():
        found = family_error(
            find_claims([]), repetitions, stores, only_chance=only_chance, n_jobs=jobs, backend=backend
        )
    for line in found.lines():
        typer.echo(line)
    raise typer.Exit(0 if found.acceptable else 1)


@app.command()
def maps(
    effort: EffortOption = "quick",
    jobs: JobsOption = 2,
    backend: BackendOption = "loky",
    stores: StoresOption = STORES,
    output: Annotated[Path, typer.Option("--output", help="folder of the figures")] = Path("results/maps"),
) -> None:
    """Maps of theorem ⊂ certificate ⊂ empirical recovery, sampled adaptively near the border."""
    from theory_checks.maps.maps import MAPS, draw_map, sample_map

    for name in MAPS:
        with _usage_errors():
            sampled = sample_map(name, _effort(effort), stores, n_jobs=jobs, backend=backend)
            for path in draw_map(sampled, output / name):
                typer.echo(str(path))
        n = int(sampled.replications.sum())
        typer.echo(f"{name}: {n} instances, {sampled.not_nested} of them not nested")


def main() -> None:
    """Entry point."""
    app()
