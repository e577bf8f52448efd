"""Commands of the registry: register a confirmatory study, decide it when its rows are there, list every try."""

from __future__ import annotations

from typing import Annotated

import typer

from simulations.commands.shared import StorePath, StudyName, asked_study, console, store_path
from simulations.confirmation import decide as decide_study
from simulations.confirmation import plan_of
from simulations.registration import REGISTRY, enter_earlier, read_registry, told
from simulations.registration import register as enter

__all__ = ["decide", "register", "registry"]


def register(
    name: StudyName,
    earlier: Annotated[
        str | None, typer.Option("--earlier", help="What came out of a run from before the registry; counts as a try.")
    ] = None,
) -> None:
    """Enter the next try of a confirmatory study; commit registry.jsonl then, and run it."""
    study = asked_study(name)
    if earlier is not None:
        entry = enter_earlier(plan_of(study), earlier)
        console().print(f"{entry.label}: {entry.outcome}")
        return
    entry = enter(plan_of(study))
    out = console()
    for criterion in study.criteria:
        out.print(f"to be shown: {criterion.statement}")
    out.print(
        f"{entry.label}, root seed {entry.root_seed}, decides at level {entry.level:g}; commit {REGISTRY.name} before "
        "it runs"
    )


def decide(name: StudyName, store: StorePath = None) -> None:
    """Test the criteria of a registered study at the level of its try, and enter the outcome."""
    study = asked_study(name)
    for line in decide_study(study, store_path(study, store)):
        console().print(line)


def registry() -> None:
    """Every try of everything that was registered, with its level and outcome."""
    entries = read_registry()
    for name in dict.fromkeys(entry.name for entry in entries):
        console().print(name)
        for line in told(name, entries):
            console().print(f"  {line}")
