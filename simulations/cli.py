"""``python -m simulations list | plan | run | sequential | check | replay | summarise | export | merge | repair``.

``python -m simulations ademp`` writes a study's page.
``python -m simulations register`` enters a confirmatory study into the registry before it runs, ``decide`` tests its
criteria at the level of the try, ``registry`` lists every try.
``python -m simulations pooled heldout_designs`` pools a metric over settings, method against method.
``python -m simulations ablation`` prints the table of ``docs/detector.md`` from the store of detector_ablation,
``python -m simulations gains`` the page ``docs/refinement_gains.md`` from that of refinement_gains,
``python -m simulations intervals`` the table of ``docs/derivations/intervals.md`` from that of interval_coverage,
``widths`` the one below it from that of interval_widths, ``real`` the tables of ``docs/gallery/real_clients.md`` from
that of real_clients, ``incomplete`` that of ``docs/gallery/incomplete.md``.

Exit status: 0 every row is there; 1 complete, but some replications failed (or a replay gave other numbers); 2 bad
input or an unusable store; 3 rows are missing; 130 ended by Ctrl-C; 143 ended by SIGTERM.
"""

from __future__ import annotations

import sys

import typer

from simulations.commands.ablation import ablation
from simulations.commands.gains import gains
from simulations.commands.incomplete import incomplete
from simulations.commands.intervals import intervals
from simulations.commands.pooled import pooled
from simulations.commands.reading import ademp, check, export, list_studies, merge, names, summarise
from simulations.commands.real import real
from simulations.commands.registering import decide, register, registry
from simulations.commands.repairing import repair
from simulations.commands.running import plan, replay, run, sequential
from simulations.commands.shared import console
from simulations.commands.widths import widths
from simulations.engine.workers import BackendError
from simulations.storage.store import StoreError

__all__ = ["app", "main"]

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False, rich_markup_mode=None
)
app.command("list")(list_studies)
app.command()(names)
for command in (
    plan,
    run,
    sequential,
    check,
    replay,
    summarise,
    export,
    merge,
    repair,
    ademp,
    register,
    decide,
    registry,
):
    app.command()(command)
app.command()(ablation)
app.command()(gains)
app.command()(intervals)
app.command()(widths)
app.command()(pooled)
app.command()(real)
app.command()(incomplete)


def main() -> None:
    """Run the command line; every error of the user's is one line and exit status 2."""
    try:
        app(prog_name="python -m simulations")
    except (ValueError, TypeError, StoreError, BackendError) as error:
        console(errors=True).print(f"error: {error}")
        sys.exit(2)
