"""Commands about large runs: agreement, region, null, maps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from theory_checks.commands.options import (
    STORES,
    AcceptMixedOption,
    BackendOption,
    EffortOption,
    JobsOption,
    StoresOption,
    chosen_effort,
    usage_errors,
)
from theory_checks.registry import find_claims

__all__ = ["agreement", "maps", "null", "proofs", "region"]


def agreement(
    instances: Annotated[int, typer.Option(min=2)] = 2000,
    jobs: JobsOption = 2,
    backend: BackendOption = "loky",
    stores: StoresOption = STORES,
    accept_mixed: AcceptMixedOption = False,
) -> None:
    """Certificate against empirical recovery on random and adversarial instances; ties are listed one by one."""
    from theory_checks.maps.bulk import agreement as compare

    with usage_errors():
        found = compare(instances, stores, n_jobs=jobs, backend=backend, accept_mixed=accept_mixed)
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


def proofs(
    instances: Annotated[int, typer.Option(min=2)] = 2000,
    jobs: JobsOption = 2,
    backend: BackendOption = "loky",
    stores: StoresOption = STORES,
    accept_mixed: AcceptMixedOption = False,
) -> None:
    """Certificates in ball arithmetic against floating point; needs python-flint.  Instances that differ are listed."""
    from theory_checks.maps.proofs import proofs as compare

    with usage_errors():
        found = compare(instances, stores, n_jobs=jobs, backend=backend, accept_mixed=accept_mixed)
    typer.echo(f"{found.n} instances, {found.failed} failed; floating point (rows) against ball arithmetic (columns):")
    typer.echo(found.table.to_string())
    typer.echo(f"widest enclosure of η: {found.largest_width:.1e}")
    typer.echo(f"dual point of the solution within its bounds: {', '.join(f'{k} {n}' for k, n in found.duals.items())}")
    typer.echo(
        f"relative duality gap: median {found.gaps['gap'].median():.1e}, largest {found.gaps['gap'].max():.1e}; "
        f"proved: median {found.gaps['proved_gap'].median():.1e}, largest {found.gaps['proved_gap'].max():.1e}; "
        f"blocks of S moved by at most {found.largest_move:.1e} of the largest block"
    )
    if len(found.different):
        columns = ["regime.common_component", "replication", "floating", "rigorous", "border"]
        typer.echo(f"different:\n{found.different[columns].to_string(index=False)}")
    raise typer.Exit(1 if found.contradictions or found.failed else 0)


def region(
    instances: Annotated[int, typer.Option(min=2)] = 100_000,
    jobs: JobsOption = 2,
    backend: BackendOption = "loky",
    stores: StoresOption = STORES,
    accept_mixed: AcceptMixedOption = False,
) -> None:
    """Instances inside the theorem regions: no violation may occur; prints the exact upper 95 % bound."""
    from theory_checks.maps.bulk import LARGEST_GAP
    from theory_checks.maps.bulk import region as inside

    with usage_errors():
        evidence, suspects = inside(instances, stores, n_jobs=jobs, backend=backend, accept_mixed=accept_mixed)
    typer.echo(evidence.detail)
    if len(suspects):
        unsolved = suspects[suspects["relative_gap"] > LARGEST_GAP]
        typer.echo(
            f"{len(unsolved)} not solved to a relative gap of {LARGEST_GAP:g} and left out of the count; "
            f"{int(unsolved['certified'].sum())} of them carry the instance certificate, which proves recovery"
        )
        typer.echo(suspects.to_string(index=False))
    raise typer.Exit(1 if evidence.p_value == 0 else 3 if len(suspects) else 0)


def null(
    repetitions: Annotated[int, typer.Option(min=1)] = 200,
    jobs: JobsOption = 2,
    backend: BackendOption = "loky",
    only_chance: Annotated[bool, typer.Option(help="only claims that chance can reject; Holm keeps its size")] = False,
    stores: Annotated[Path, typer.Option("--stores", help="folder of the repetitions' results")] = Path("results/null"),
    accept_mixed: AcceptMixedOption = False,
) -> None:
    """Repeat the whole quick family with fresh seeds: how often is a true claim called violated?"""
    from theory_checks.judge.family import family_error

    with usage_errors():
        found = family_error(
            find_claims([]),
            repetitions,
            stores,
            only_chance=only_chance,
            n_jobs=jobs,
            backend=backend,
            accept_mixed=accept_mixed,
        )
    for line in found.lines():
        typer.echo(line)
    raise typer.Exit(0 if found.acceptable else 1)


def maps(
    effort: EffortOption = "quick",
    jobs: JobsOption = 2,
    backend: BackendOption = "loky",
    stores: StoresOption = STORES,
    output: Annotated[Path, typer.Option("--output", help="folder of the figures")] = Path("results/maps"),
    accept_mixed: AcceptMixedOption = False,
) -> None:
    """Maps of theorem ⊂ certificate ⊂ empirical recovery, sampled adaptively near the border."""
    from theory_checks.maps.designs import MAPS
    from theory_checks.maps.draw import draw_map
    from theory_checks.maps.sample import sample_map

    for name in MAPS:
        with usage_errors():
            sampled = sample_map(
                name, chosen_effort(effort), stores, n_jobs=jobs, backend=backend, accept_mixed=accept_mixed
            )
            for path in draw_map(sampled, output / name):
                typer.echo(str(path))
        n = int(sampled.replications.sum())
        typer.echo(f"{name}: {n} instances, {sampled.not_nested} of them not nested")
