"""Everything that was registered, with every try and its outcome: nothing that was tried is left out."""

from __future__ import annotations

from collections.abc import Sequence

from reports.numbers import number
from reports.tables import Column, Group, Table
from simulations.registration import Entry, outcome_of, tries_of

__all__ = ["registered_table"]


def registered_table(entries: Sequence[Entry]) -> Table | None:
    """Tries by plan; None where nothing was ever registered."""
    rows = []
    for name in dict.fromkeys(entry.name for entry in entries):
        for entry in tries_of(name, entries):
            level = "before the registry" if entry.kind == "earlier" else number(entry.level)
            came = outcome_of(entry, entries) or "no outcome yet"
            rows.append((f"`{name}`", str(entry.attempt), entry.time[:10], level, came))
    if not rows:
        return None
    return Table(
        name="registered",
        caption=(
            "Studies and families of claims that were registered before they ran: every try, oldest first. The root "
            "seed of a try is the hash of its entry; try k decides at level 0.05 over 2 to the k, so that all tries "
            "together err with probability 0.05 at most. A run from before the registry counts as a try. Everything "
            "else in this report is exploration, at seeds that stand in the study and claim files."
        ),
        columns=(
            Column("plan", is_number=False, width="0.18\\linewidth"),
            Column("try", is_number=False),
            Column("date", is_number=False),
            Column("level", is_number=False, width="0.10\\linewidth"),
            Column("outcome", is_number=False, width="0.44\\linewidth"),
        ),
        groups=(Group("", tuple(rows)),),
    )
