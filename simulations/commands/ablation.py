"""``python -m simulations ablation``: what each piece of the detector is worth, pooled over groups of designs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from simulations.commands.shared import StorePath, asked_study, console, store_path
from simulations.storage.store import load_rows

__all__ = ["ablation", "ablation_table"]


def ablation(
    store: StorePath = None,
    output: Annotated[Path | None, typer.Option("--output", help="Also write the table to this .csv file.")] = None,
) -> None:
    """What each piece of the detector is worth: exact sets and false alarms without it, in points, paired."""
    from simulations.studies.detector_ablation import GROUPS

    study = asked_study("detector_ablation")
    cells = pd.DataFrame({"cell": cell.hash, "design": cell.regime_hash} for cell in study.cells)
    sizes = [len(regimes) for regimes in GROUPS.values()]
    groups = dict(zip(cells["design"].unique(), np.repeat(list(GROUPS), sizes), strict=True))
    rows = load_rows(store_path(study, store), study).merge(cells, on="cell")
    table = ablation_table(rows.assign(group=rows["design"].map(groups)))
    lines = [" | ".join(("without", *table.columns)), " | ".join(["---"] * (len(table.columns) + 1))]
    lines += [" | ".join((str(piece), *line)) for piece, line in zip(table.index, table.to_numpy(), strict=True)]
    for line in lines:
        console().print(f"| {line} |")
    if output is not None:
        table.to_csv(output)


def ablation_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows by piece, columns by group and metric: mean ± standard error in points.

    ``rows`` has the columns group, design, replication, method.piece, exact_set, false_alarm.  The first line holds the
    shares of the whole detector, all others the differences to it on the same data.
    """
    pairs = rows.pivot_table(
        index=["group", "design", "replication"],
        columns="method.piece",
        values=["exact_set", "false_alarm"],
        sort=False,
    )
    lines: dict[str, dict[str, str]] = {}
    for piece in rows["method.piece"].unique():
        line = lines.setdefault(piece, {})
        for group in rows["group"].unique():
            for metric, word in (("exact_set", "exact"), ("false_alarm", "alarm")):
                values = pairs.loc[group, metric]
                # Replications that failed, or that a run has not reached, have no pair.
                shown = (values[piece] if piece == "nothing" else values[piece] - values["nothing"]).dropna()
                error = float(shown.std(ddof=1)) / np.sqrt(len(shown))
                sign = "" if piece == "nothing" else "+"
                line[f"{group}: {word}"] = f"{100 * shown.mean():{sign}.1f} ± {100 * error:.1f}"
    return pd.DataFrame(lines).T
