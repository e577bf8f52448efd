"""The command that registers confirmatory studies and records what came out."""

from __future__ import annotations

from typing import Annotated

import typer

from simulations.commands.shared import StudyName, asked_study, console
from simulations.registration import REGISTRY, conclude, level_at
from simulations.registration import register as enter

__all__ = ["register"]


def register(
    name: StudyName,
    rules: Annotated[str, typer.Option("--rules", help="The decision rules in words.")] = "",
    outcome: Annotated[str | None, typer.Option("--outcome", help="What came out of the latest try.")] = None,
) -> None:
    """Enter the next try of a confirmatory study, or the outcome of its latest one; commit registry.jsonl then."""
    study = asked_study(name)
    if outcome is not None:
        entry = conclude(study, outcome)
        console().print(f"try {entry.attempt} of {entry.study}: {entry.outcome}")
        return
    if not rules.strip():
        raise ValueError("--rules: say how the study decides, before it runs")
    entry = enter(study, rules=rules)
    console().print(
        f"try {entry.attempt} of {entry.study}, root seed {entry.root_seed}, decides at level "
        f"{level_at(entry.attempt):g}; commit {REGISTRY.name} before it runs"
    )
