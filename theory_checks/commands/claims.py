"""Commands that show claims: list, explain."""

from __future__ import annotations

from typing import Annotated

import typer

from theory_checks.commands.options import (
    STORES,
    STUDIES,
    EffortOption,
    RegimeOption,
    StoresOption,
    StudiesOption,
    chosen_claims,
    chosen_effort,
    console,
    usage_errors,
)
from theory_checks.commands.printing import print_claims
from theory_checks.judge.rows import Stores
from theory_checks.registry import families

__all__ = ["explain", "list_claims"]


def list_claims(regime: RegimeOption = "") -> None:
    """Every claim with its theorem, settings and sabotage."""
    print_claims(chosen_claims(None, regime))
    if not regime:
        for name, claims in families().items():
            if name:
                settings = sum(len(claim.judged) for claim in claims)
                typer.echo(f"--regime {name}: {len(claims)} claims in {settings} settings")


def explain(
    claim: Annotated[str, typer.Argument(help="identifier, see `list`")],
    effort: EffortOption = "quick",
    regime: RegimeOption = "",
    stores: StoresOption = STORES,
    studies: StudiesOption = STUDIES,
) -> None:
    """Statement, source, assumptions with their values, statistic, rule and power of one claim."""
    from theory_checks.judge.explanation import explanation

    (found,) = chosen_claims([claim], regime)
    with usage_errors():
        for line in explanation(found, chosen_effort(effort), Stores(stores, studies)):
            console.print(line, markup=False, soft_wrap=True, highlight=False)
