"""The registry for families of claims: the command that registers one, and the two ends of a confirmatory run."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from simulations.registration import (
    REGISTRY,
    Entry,
    conclude,
    outcome_of,
    read_registry,
    registered,
    told,
)
from simulations.registration import register as enter
from theory_checks.claim import Effort
from theory_checks.commands.options import EffortOption, RegimeOption, chosen_claims, chosen_effort, usage_errors
from theory_checks.judge.registration import outcome, plan_of_family
from theory_checks.judge.verdict import Verdict

__all__ = ["announced_try", "concluded_try", "register"]


def register(effort: EffortOption = "standard", regime: RegimeOption = "") -> None:
    """Enter the next try of a whole family into the registry; commit registry.jsonl, then `run --confirmatory`."""
    chosen_claims(None, regime)
    with usage_errors():
        entry = enter(plan_of_family(regime, chosen_effort(effort)))
    typer.echo(
        f"{entry.label}, root seed {entry.root_seed}, decides at level {entry.level:g}; commit {REGISTRY.name} before "
        "it runs"
    )


def announced_try(regime: str, effort: Effort) -> Entry:
    """The registered try of a family, after every try was told.

    Raises
    ------
    ValueError
        It is not registered as it is, or not committed.
    """
    entry = registered(plan_of_family(regime, effort))
    for line in told(entry.name, read_registry()):
        typer.echo(line)
    return entry


def concluded_try(entry: Entry, verdicts: Sequence[Verdict], foreign: int) -> None:
    """Enter what came out; a try that has an outcome keeps it.

    Raises
    ------
    ValueError
        Rows that other sources made are among the judged ones.
    """
    if foreign:
        raise ValueError(f"{entry.label}: {foreign} rows were made by other sources or packages; nothing is concluded")
    if not outcome_of(entry, read_registry()):
        typer.echo(f"{entry.label}: {conclude(entry, outcome(verdicts)).outcome}; commit {REGISTRY.name}")
