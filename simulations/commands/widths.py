"""``python -m simulations widths``: lengths of intervals over those of the own estimates, by size of differences."""

from __future__ import annotations

import pandas as pd

from simulations.commands.shared import StorePath, asked_study, console, store_path
from simulations.design import factors
from simulations.storage.store import load_rows

__all__ = ["widths", "widths_table"]

_MEASURES = (("length", "length"), ("length_together", "together, length"), ("coverage", "coverage"))


def widths(store: StorePath = None) -> None:
    """Length of intervals over that of own ones, and coverage, by differences and shape, with standard errors."""
    study = asked_study("interval_widths")
    told = []
    for cell in study.cells:
        mine = factors(cell)
        told.append(
            {
                "cell": cell.hash,
                "shape": f"{mine['regime.n_clients']}, {mine['regime.n_columns']}",
                "differences": float(mine["regime.heterogeneity_scale"]) / float(mine["regime.noise_scale"]),
            }
        )
    rows = load_rows(store_path(study, store), study).merge(pd.DataFrame(told), on="cell")
    console().print(widths_table(rows))


def widths_table(rows: pd.DataFrame) -> str:
    """The table in Markdown: one line per shape and measure, one column per size of the differences.

    Parameters
    ----------
    rows : DataFrame
        Columns shape, differences (over σ) and the metrics of the method.

    Returns
    -------
    str
        With the number of rows, of those that are undefined, and of runs in which somebody was flagged.
    """
    sizes = sorted(rows["differences"].unique())
    lines = [
        "| K, q | | " + " | ".join(f"{size:g} σ" if size else "none" for size in sizes) + " |",
        "|---|---|" + "---|" * len(sizes),
    ]
    for shape, part in rows.groupby("shape", sort=False):
        for metric, words in _MEASURES:
            cells = part.groupby("differences")[metric]
            means, errors = cells.mean(), cells.std(ddof=1) / cells.count() ** 0.5
            shown = (f"{means[size]:.3f} ({errors[size]:.3f})".replace("0.", ".") for size in sizes)
            lines.append(f"| {shape} | {words} | {' | '.join(shown)} |")
    held = rows.groupby(["shape", "differences"])["together"].mean()
    not_everybody = int((rows["exact_set"] < 1).sum())
    undefined = int(rows[[name for name, _ in _MEASURES]].isna().any(axis=1).sum())
    lines += [
        "",
        f"{len(rows)} rows, {undefined} undefined; all together held in {held.min():.2f} to {held.max():.2f} of the "
        f"runs of a setting; somebody was flagged, or there was no verdict, in {not_everybody} runs.",
    ]
    return "\n".join(lines)
