"""``python -m simulations intervals``: coverage and length of intervals after selection, as the table of the docs."""

from __future__ import annotations

import math

import pandas as pd

from simulations.commands.shared import StorePath, asked_study, console, store_path
from simulations.design import Cell, factors
from simulations.storage.store import load_rows

__all__ = ["intervals", "table"]

_MEASURES = ("coverage_given_set", "coverage", "together", "length", "exact_set")
# Settings in which the true set was found less often than this say nothing about intervals on it.
_FEWEST = 20


def intervals(store: StorePath = None) -> None:
    """Coverage, alone and together, and length of intervals, smallest to largest over the settings of a line."""
    study = asked_study("interval_coverage")
    lines = pd.DataFrame([_line(cell) for cell in study.cells])
    rows = load_rows(store_path(study, store), study).merge(lines, on="cell")
    console().print(table(rows))


def _line(cell: Cell) -> dict[str, object]:
    told = factors(cell)
    contaminated = "none"
    if float(told["regime.share"]) > 0:
        contaminated = "found (three times)" if float(told["regime.contamination_scale"]) > 1 else "missed (a quarter)"
    differences = "none" if float(told["regime.heterogeneity_scale"]) == 0 else "σ"
    return {"cell": cell.hash, "differences": differences, "contamination": contaminated}


def table(rows: pd.DataFrame) -> str:
    """The table in Markdown.

    Parameters
    ----------
    rows : DataFrame
        Columns cell, differences, contamination and the metrics of the method.

    Returns
    -------
    str
    """
    lines = [
        "| differences | contamination | single, given Ĉ = C | single | together | length over own | P(Ĉ = C) |",
        "|---|---|---|---|---|---|---|",
    ]
    largest = {"coverage": 0.0, "together": 0.0}
    for (differences, contamination), part in rows.groupby(["differences", "contamination"], sort=False):
        cells = part.groupby("cell")
        means = cells[list(_MEASURES)].mean()
        means.loc[cells["coverage_given_set"].count() < _FEWEST, "coverage_given_set"] = math.nan
        shown = (_range(means[name], 2 if name != "coverage" and "given" not in name else 3) for name in _MEASURES)
        lines.append(f"| {differences} | {contamination} | {' | '.join(shown)} |")
        for name in largest:
            largest[name] = max(largest[name], float((cells[name].std() / cells[name].count() ** 0.5).max()))
    lines += [
        "",
        f"Standard errors at most {largest['coverage']:.3f} for single intervals and {largest['together']:.3f} for all "
        f"together; {len(rows)} rows.",
    ]
    return "\n".join(lines)


def _range(values: pd.Series, digits: int) -> str:
    if values.isna().any():
        return "too few"
    low, high = (f"{value:.{digits}f}".removeprefix("0") for value in (values.min(), values.max()))
    return f"{low}–{high}"
