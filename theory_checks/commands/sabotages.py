"""The command that runs gross and fine sabotages of the claims on the theorems and writes the page about them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clair_stats.files import written_whole
from theory_checks.commands.options import (
    STORES,
    BackendOption,
    EffortOption,
    JobsOption,
    StoresOption,
    chosen_claims,
    chosen_effort,
    usage_errors,
)
from theory_checks.judge.grades import Graded, page
from theory_checks.judge.run import run_claims

__all__ = ["sabotages"]


def sabotages(
    claims: Annotated[list[str] | None, typer.Argument(help="identifiers; all when none is given")] = None,
    effort: EffortOption = "quick",
    jobs: JobsOption = 2,
    backend: BackendOption = "loky",
    stores: StoresOption = STORES,
    output: Annotated[Path | None, typer.Option("--output", help="write the page about all claims here")] = None,
) -> None:
    """Run gross and fine sabotages, print how large they are and whether they are rejected.

    Exit status 1 when one is not rejected: a fine one at 1.5 times the smallest detectable violation is missed in about
    one run of a hundred.
    """
    chosen, level = chosen_claims(claims), chosen_effort(effort)
    finer = [claim.finely_sabotaged() for claim in chosen if claim.fine is not None]
    with usage_errors():
        verdicts = run_claims(chosen, level, stores, n_jobs=jobs, backend=backend)
        fine = run_claims(finer, level, stores, with_claims=False, n_jobs=jobs, backend=backend)
    own = {v.claim: v for v in verdicts if not v.sabotage}
    gross = {v.claim: v for v in verdicts if v.sabotage}
    small = {v.claim: v for v in fine}
    graded = [Graded(c, own[c.identifier], gross[c.identifier], small.get(c.identifier)) for c in chosen]
    for item in graded:
        sizes = [item.sized(v) for v in (item.gross, item.fine) if v is not None]
        told = "; ".join(
            f"{s.verdict.sabotage} {s.size:.1f} × {'rejected' if s.rejected else 'NOT rejected'}" for s in sizes
        )
        typer.echo(f"{item.grade}  {item.claim.identifier} ({item.verdict.status}): {told}")
    if output is not None:
        with usage_errors(), written_whole(output) as beside:
            beside.write_text(page(graded, level), encoding="utf-8")
    raise typer.Exit(1 if any(item.grade == "C" for item in graded) else 0)
