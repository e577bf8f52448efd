"""Mean ranks of competing methods over the settings of a study."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reports.inputs import StudyInput
from reports.labels import by_setting
from reports.tables import Column, Group, Table

__all__ = ["rank_table"]

# Which way is better; measures that are not listed are not ranked.
_LOWER = ("refined_mse", "sin_theta", "relative_error", "false_alarm")
_HIGHER = ("accuracy", "worst_accuracy", "exact_set", "precision", "recall")
_FEWEST_METHODS = 3
_NORMAL = 1.96


def _better(metric: str) -> int:
    return -1 if metric in _LOWER else 1 if metric in _HIGHER else 0


def _metric(measure: str) -> str:
    text = measure.removeprefix("mean ")
    return text[2:-1] if text.startswith("P(") else text


def _cells(own: pd.DataFrame, better: int, methods: list[str]) -> list[str]:
    """Per method: its mean rank, and in how many settings it is within 1.96 standard errors of the best one."""
    values = own.pivot_table(index="setting", columns="label", values="value", sort=False)
    errors = own.pivot_table(index="setting", columns="label", values="mcse", sort=False)
    signed = -better * values
    ranks = signed.rank(axis=1)
    winners = [list(signed.columns).index(str(name)) for name in signed.idxmin(axis=1)]
    spread = np.hypot(errors.to_numpy(), errors.to_numpy()[np.arange(len(winners)), winners, np.newaxis])
    near = pd.DataFrame(
        signed.sub(signed.min(axis=1), axis=0).to_numpy() <= _NORMAL * spread, signed.index, signed.columns
    )
    return [
        f"{ranks[method].mean():.2f} ({near[method].sum()}/{values[method].notna().sum()})"
        if method in values
        else "--"
        for method in methods
    ]


def rank_table(item: StudyInput) -> Table | None:
    """Mean rank of every method over the settings, and in how many it is within Monte Carlo error of the best.

    None where fewer than three methods compete or no measure has a known better side.
    """
    grid = by_setting(item.summary)
    methods = list(dict.fromkeys(grid["label"]))
    ranked = [m for m in dict.fromkeys(grid["measure"]) if " − " not in m and _better(_metric(m))]
    columns: list[Column] = [Column("method", is_number=False, width="0.22\\linewidth")]
    cells: list[list[str]] = []
    for measure in ranked:
        own = grid[grid["measure"] == measure]
        if own["label"].nunique() < _FEWEST_METHODS:
            continue
        columns.append(Column(_metric(measure).replace("_", " "), is_number=False))
        cells.append(_cells(own, _better(_metric(measure)), methods))
    if not cells:
        return None
    return Table(
        name=f"ranks-{item.study.name}",
        caption=f"{item.study.title}: mean rank of each method over the settings (1 is best).",
        columns=tuple(columns),
        groups=(Group("", tuple((method, *row) for method, *row in zip(methods, *cells, strict=True))),),
        provenance=item.provenance,
        notes=("In parentheses: in how many settings the method is within 1.96 standard errors of the best one.",),
    )
