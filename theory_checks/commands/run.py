"""The command that runs claims, judges them and keeps their verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from simulations.engine.executor import RunReport
from simulations.registration import Entry
from simulations.streams import CONFIRMATORY
from theory_checks.claim import Claim, Effort
from theory_checks.commands.options import (
    STORES,
    STUDIES,
    AcceptMixedOption,
    BackendOption,
    EffortOption,
    JobsOption,
    RegimeOption,
    StoresOption,
    StudiesOption,
    chosen_claims,
    chosen_effort,
    console,
    usage_errors,
)
from theory_checks.commands.printing import print_verdicts, progress_line, support_sentence
from theory_checks.commands.registering import announced_try, concluded_try
from theory_checks.judge.merge import merged, not_run
from theory_checks.judge.progress import Judged
from theory_checks.judge.rows import Stores
from theory_checks.judge.run import exit_status, run_claims
from theory_checks.judge.verdict import FAMILY_LEVEL, Verdict
from theory_checks.judge.verdict_file import read_verdicts, write_verdicts
from theory_checks.registry import families

__all__ = ["run"]

VERDICTS = Path("results/verdicts.json")
_SECONDS = 300.0  # limit of one replication; the slowest takes about two
_WORTH_TELLING = 1.0  # seconds


def run(
    claims: Annotated[list[str] | None, typer.Argument(help="identifiers; all when none is given")] = None,
    effort: EffortOption = "quick",
    regime: RegimeOption = "",
    sabotage: Annotated[list[str] | None, typer.Option("--sabotage", help="run only this claim's sabotage")] = None,
    with_sabotages: Annotated[bool, typer.Option(help="also run the sabotages, each must be rejected")] = True,
    root_seed: Annotated[
        int | None, typer.Option("--root-seed", min=0, help="other random numbers, in stores of their own")
    ] = None,
    jobs: JobsOption = 2,
    backend: BackendOption = "loky",
    output: Annotated[Path, typer.Option("--output", help="verdict file; other verdicts in it stay")] = VERDICTS,
    stores: StoresOption = STORES,
    studies: StudiesOption = STUDIES,
    accept_mixed: AcceptMixedOption = False,
    confirmatory: Annotated[
        bool, typer.Option("--confirmatory", help="the registered try of the whole family, at its seed and level")
    ] = False,
) -> None:
    """Run what is missing, print the verdicts and put them into the verdict file.

    Exit status: 0 every claim supported (and every sabotage rejected), 1 a claim violated (or a sabotage not rejected),
    3 something inconclusive, 2 usage.  Settings of a regime that bend its assumptions are findings and do not count.
    With --sabotage CLAIM the sabotaged claim is judged like a claim: it should exit 1.  With --root-seed the stores and
    the verdict file get the seed into their names.  With --confirmatory they belong to the registered try, which is
    refused unless it was registered exactly so; its outcome goes into the registry.
    """
    chosen = chosen_effort(effort)
    parts = bool(claims or sabotage or accept_mixed or not with_sabotages)
    entry = _asked_try(regime, chosen, root_seed, parts=parts) if confirmatory else None
    root_seed = _seed(root_seed, entry)
    if root_seed is not None:
        stores, studies = stores / f"seed-{root_seed}", studies / f"seed-{root_seed}"
        output = output.with_name(f"{output.stem}-{root_seed}{output.suffix}")
    run_it = _Runner(chosen, Stores(stores, studies), root_seed, jobs, backend, accept_mixed, entry)
    if sabotage:
        with usage_errors():
            verdicts = run_it(chosen_claims(sabotage, regime), with_claims=False)
        print_verdicts(verdicts)
        states = {verdict.status for verdict in verdicts}
        raise typer.Exit(1 if "violated" in states else 3 if "inconclusive" in states else 0)
    family = chosen_claims(claims, regime)
    with usage_errors():
        earlier = read_verdicts(output) if output.is_file() else []  # before any work: a broken file costs no run
        verdicts = run_it(family, with_sabotages=with_sabotages)
        kept = merged(earlier, verdicts)
        write_verdicts(output, kept)
    again = {verdict.identity for verdict in verdicts}
    if run_it.foreign:
        typer.echo(
            f"{run_it.foreign} rows were made by other sources, packages or another machine than those at hand; "
            "remove the stores, or give another --stores, to compute them again"
        )
    if entry is not None:
        with usage_errors():
            concluded_try(entry, kept, run_it.foreign)
    raise typer.Exit(
        _conclusion([v for v in kept if v.identity in again], kept, regime, output, with_sabotages=with_sabotages)
    )


def _asked_try(regime: str, effort: Effort, root_seed: int | None, *, parts: bool) -> Entry:
    """The registered try of the whole family, or a usage error."""
    if parts or root_seed is not None:
        raise typer.BadParameter("a registered family runs as a whole, at its own seed", param_hint="--confirmatory")
    with usage_errors():
        return announced_try(regime, effort)


def _seed(asked: int | None, entry: Entry | None) -> int | None:
    """Root seed of the run; None: the claims' own."""
    if entry is not None:
        return entry.root_seed
    if asked is not None and asked >= CONFIRMATORY:
        raise typer.BadParameter("seeds from 2**64 on belong to the registry", param_hint="--root-seed")
    return asked


@dataclass
class _Runner:
    """What one call of the command runs claims with."""

    effort: Effort
    stores: Stores
    root_seed: int | None
    jobs: int
    backend: str
    accept_mixed: bool
    entry: Entry | None = None  # the registered try that this is
    foreign: int = 0  # rows that were there and that other sources made

    def __call__(
        self, claims: Sequence[Claim], *, with_claims: bool = True, with_sabotages: bool = True
    ) -> list[Verdict]:
        running = console.status("")

        def announce(name: str) -> None:
            if console.is_terminal:
                running.update(f"running {name} …")

        def told(step: Judged) -> None:
            # A study on a regime serves all of its settings: only the lines that took time are worth reading.
            if not step.setting or step.seconds >= _WORTH_TELLING:
                console.print(progress_line(step), markup=False, highlight=False, soft_wrap=True)
                console.file.flush()  # a file shows every line when it is there

        def finished(report: RunReport) -> None:
            self.foreign += report.foreign

        with running if console.is_terminal else nullcontext():
            verdicts = run_claims(
                claims,
                self.effort,
                self.stores,
                with_claims=with_claims,
                with_sabotages=with_sabotages,
                level=FAMILY_LEVEL if self.entry is None else self.entry.level,
                root_seed=self.root_seed,
                announce=announce,
                finished=finished,
                told=told,
                n_jobs=self.jobs,
                backend=self.backend,
                timeout=_SECONDS,
                accept_mixed=self.accept_mixed,
            )
        label = "" if self.entry is None else self.entry.label
        return [replace(verdict, registered=label) for verdict in verdicts]


def _conclusion(
    verdicts: Sequence[Verdict], kept: Sequence[Verdict], regime: str, output: Path, *, with_sabotages: bool
) -> int:
    """Print what was found, and return the exit status."""
    print_verdicts(verdicts)
    status = exit_status(verdicts)
    meaning = {
        0: "every claim is supported" + (" and every sabotage is rejected" if with_sabotages else ""),
        1: "a claim is violated or a sabotage is not rejected",
        3: "some claim is inconclusive: more replications (--effort) may decide it",
    }
    level = min((verdict.level for verdict in verdicts), default=FAMILY_LEVEL)
    typer.echo(f"{meaning[status]}; family-wise level {level:g}, verdicts in {output}")
    typer.echo(support_sentence(verdicts))
    missing = not_run(kept, regime)
    if missing:
        typer.echo(f"{len(missing)} of {len(families()[regime])} claims not run; they count in the correction")
    return status
