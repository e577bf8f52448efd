"""``python -m simulations pooled``: one metric of a study pooled over its settings, method against method."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pandas as pd
import typer

from simulations.commands.shared import StorePath, StudyName, asked_study, console, store_path
from simulations.storage.store import load_rows

__all__ = ["pooled", "pooled_table", "shortfalls"]

_SHORTFALL = 0.5  # of a probability: with six replications smaller differences are chance


def pooled(
    name: StudyName,
    metric: Annotated[str, typer.Option("--metric", help="A column of the rows.")] = "exact_set",
    against: Annotated[str | None, typer.Option("--against", help="Method to compare with, on the same data.")] = None,
    by: Annotated[str | None, typer.Option("--by", help="Field of the regime that splits the table.")] = None,
    store: StorePath = None,
) -> None:
    """Mean of a metric over all settings with its standard error, by method; settings that fall short of another."""
    study = asked_study(name)
    told = [
        {
            "cell": cell.hash,
            "design": cell.regime_hash,
            "method": type(cell.method).name,
            "group": "all" if by is None else str(getattr(cell.regime, by)),
        }
        for cell in study.cells
    ]
    rows = load_rows(store_path(study, store), study)[["cell", "replication", metric]]
    rows = rows.merge(pd.DataFrame(told), on="cell")
    out = console()
    table = pooled_table(rows, metric, against)
    out.print(" | ".join(("", "method", *table.columns)))
    for (group, method), line in zip(table.index, table.to_numpy(), strict=True):
        out.print(" | ".join((group, method, *map(str, line))))
    if against is not None:
        regimes = {cell.regime_hash: cell.regime for cell in study.cells}
        for method, design, difference in shortfalls(rows, metric, against):
            out.print(f"{method} {difference:+.2f} of {against}: {regimes[design]}")


def pooled_table(rows: pd.DataFrame, metric: str, against: str | None) -> pd.DataFrame:
    """Mean ± standard error over settings, each with its replications, by group and method.

    ``rows`` has the columns group, design, replication, method and the metric.  Settings are the units: the standard
    error is that of a mean of their means.
    """
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for group, part in rows.groupby("group", sort=False):
        means = part.groupby(["method", "design"], sort=False)[metric].mean().unstack("method")
        undefined = part[metric].isna().groupby(part["method"]).sum()
        for method in means.columns:
            own = means[method].dropna()
            line = {"settings": str(len(own)), "undefined": str(int(undefined[method])), metric: _shown(own)}
            if against is not None:
                line[f"minus {against}"] = _shown(own - means[against], signed=True)
            lines[str(group), str(method)] = line
    return pd.DataFrame(lines).T


def _shown(values: pd.Series, *, signed: bool = False) -> str:
    error = float(values.std(ddof=1)) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{values.mean():{'+' if signed else ''}.3f} ± {error:.3f}"


def shortfalls(rows: pd.DataFrame, metric: str, against: str) -> list[tuple[str, str, float]]:
    """(method, design, difference) where the mean is below the other method's by half or more, the largest first."""
    means = rows.groupby(["method", "design"], sort=False)[metric].mean().unstack("method")
    found = [
        (str(method), str(design), float(difference))
        for method in means.columns.drop(against)
        for design, difference in (means[method] - means[against]).items()
        if difference <= -_SHORTFALL
    ]
    return sorted(found, key=lambda line: line[2])
