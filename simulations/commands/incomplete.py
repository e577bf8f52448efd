"""``python -m simulations incomplete``: table and picture of the page on missing features, from its study's store."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pandas as pd
import typer

from simulations.commands.fragments import write_fragment
from simulations.commands.parts import write_parts
from simulations.commands.shared import StorePath, asked_study, console, store_path
from simulations.storage.store import load_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["incomplete", "table_of_handlings"]

_FIELDS = ("pattern", "missing", "handling", "share")


def incomplete(
    store: StorePath = None,
    page: Annotated[Path | None, typer.Option("--page", help="Renew the table of this page, and its picture.")] = None,
    labels: Annotated[bool, typer.Option("--labels", help="Of the study incomplete_labels; no picture.")] = False,
) -> None:
    """Errors and coverage of local fits by handling of missing features, and level and power of CLAIR on them."""
    study = asked_study("incomplete_labels" if labels else "incomplete")
    rows = load_rows(store_path(study, store), study).rename(columns={f"regime.{name}": name for name in _FIELDS})
    table = table_of_handlings(rows)
    console().print(table)
    if page is not None:
        write_parts(page, {"labels" if labels else "handlings": table})
        if not labels:
            write_fragment(_picture(rows), page.with_suffix(".png"))


def _told(values: pd.Series, digits: int = 3) -> str:
    """Mean and, in brackets, Monte Carlo standard error."""
    known = values.dropna()
    if known.empty:
        return "–"
    error = float(known.std(ddof=1)) / math.sqrt(len(known)) if len(known) > 1 else math.nan
    return f"{known.mean():.{digits}f} ({error:.{digits}f})"


def table_of_handlings(rows: pd.DataFrame) -> str:
    """Markdown, one line per pattern, share of missing entries and handling.

    Rows as the store has them, with columns pattern, missing, handling and share.  Where there is no majority nobody is
    flagged: such a replication is no false alarm and finds nobody.
    """
    decided = rows["majority"].fillna(0.0) > 0.0
    clair = rows["method"] == "CLAIR with covariance"
    rows = rows.assign(
        alarm=rows["false_alarm"].where(decided, 0.0).where(clair & (rows["status"] == "ok")),
        found=rows["recall"].where(decided, 0.0).where(clair & (rows["status"] == "ok") & (rows["share"] > 0.0)),
    )
    lines = [
        "| pattern | missing | handling | error | coverage | common bias | alarms | found | exact "
        "| majority | refined | failed |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (pattern, missing, handling), part in rows.groupby(["pattern", "missing", "handling"], sort=False):
        named = dict(iter(part.groupby("method")))
        attacked = named["CLAIR with covariance"][named["CLAIR with covariance"]["share"] > 0.0]
        level = named["CLAIR with covariance"][named["CLAIR with covariance"]["share"] == 0.0]
        told = (
            _told(named["Local"]["excess"]),
            _told(named["Local law"]["coverage"]),
            _told(named["Local law"]["shared_bias"], 1),
            _told(level["alarm"], 2),
            _told(attacked["found"], 2),
            _told(attacked["exact_set"], 2),
            _told(attacked["majority"], 2),
            _told(attacked["excess"]),
            str(int((named["Local"]["status"] != "ok").sum())),
        )
        name = "none needed" if missing == 0.0 else handling
        lines.append(f"| {pattern if missing else '–'} | {missing:g} | {name} | {' | '.join(told)} |")
    return "\n".join(lines)


def _picture(rows: pd.DataFrame) -> Figure:
    """Excess error against the share of missing entries, a curve per handling and a panel per pattern."""
    from matplotlib.figure import Figure

    own = rows[(rows["method"] == "Local") & (rows["status"] == "ok")]
    complete = own[own["missing"] == 0.0]["excess"].mean()
    figure = Figure(figsize=(7.0, 3.0), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, pattern in zip(panels, ("random", "block"), strict=True):
        for place, (handling, part) in enumerate(
            own[(own["pattern"] == pattern) & (own["missing"] > 0.0)].groupby("handling", sort=False)
        ):
            means = part.groupby("missing")["excess"].mean()
            errors = 2.0 * part.groupby("missing")["excess"].sem()
            panel.errorbar(
                [0.0, *means.index],
                [complete, *means],
                yerr=[0.0, *errors],
                marker="osD^v"[place],
                ms=4,
                lw=1,
                label=str(handling),
            )
        panel.set_yscale("log")
        panel.set_xlabel(f"share of missing entries ({pattern})", fontsize=8)
        panel.tick_params(labelsize=7)
    panels[0].set_ylabel("excess prediction error of local fits", fontsize=8)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, fontsize=8, frameon=False)
    return figure
