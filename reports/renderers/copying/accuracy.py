"""Accuracy of benign clients by method and round: table, paired differences, picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from reports.figures import COLOURS
from reports.renderers.copying.names import NAMES
from reports.tables import Table, plain_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["accuracy_picture", "accuracy_table", "paired_losses", "paired_table"]

_MEASURES = {
    "own_accuracy": "own",
    "common_accuracy": "common",
    "common_rule_accuracy": "common rule",
    "own_sequences": "own sequences",
}
_ROUNDS = (1, 3)
_RIVALS = ("local", "average", "oracle_average")


def accuracy_table(rows: pd.DataFrame) -> Table:
    """Mean and standard error of every measure, one line per method and number of rounds."""
    lines = []
    cells = dict.fromkeys(zip(rows["method.rounds"].tolist(), rows["method.aggregation"].tolist(), strict=True))
    for rounds, method in cells:
        group = rows[(rows["method.rounds"] == rounds) & (rows["method.aggregation"] == method)]
        shown = (f"{group[name].mean():.3f} ({group[name].sem():.3f})" for name in _MEASURES)
        lines.append((NAMES[method], str(rounds), *shown))
    return plain_table("copying-accuracy", ("method", "rounds", *_MEASURES.values()), lines)


def _paired(rows: pd.DataFrame, rounds: int, metric: str, rival: str) -> tuple[float, float, float]:
    """CLAIR minus the rival over federations, and the ends of its 95 % t interval."""
    table = rows[rows["method.rounds"] == rounds].pivot(
        index="replication", columns="method.aggregation", values=metric
    )
    difference = (table["clair"] - table[rival]).to_numpy()
    mean, error = float(difference.mean()), float(stats.sem(difference))
    half = float(stats.t.ppf(0.975, difference.size - 1)) * error
    return mean, mean - half, mean + half


def _shown(mean: float, low: float, high: float) -> str:
    return f"{mean:+.3f} [{low:+.4f}, {high:+.4f}]"


def paired_table(rows: pd.DataFrame) -> Table:
    """Paired differences over federations with 95 % t intervals.

    Parameters
    ----------
    rows : DataFrame
        One row per federation, method and number of rounds.
    """
    measures = list(_MEASURES)[:3]
    lines = [
        (NAMES[rival], str(rounds), *(_shown(*_paired(rows, rounds, metric, rival)) for metric in measures))
        for rounds in _ROUNDS
        for rival in _RIVALS
    ]
    return plain_table("copying-paired", ("CLAIR minus", "rounds", *(_MEASURES[name] for name in measures)), lines)


def paired_losses(rows: pd.DataFrame) -> tuple[str, ...]:
    """Where the interval of CLAIR minus another method that is no oracle lies below zero, a sentence each.

    Parameters
    ----------
    rows : DataFrame
        One row per federation, method and number of rounds.
    """
    found = []
    for rounds in _ROUNDS:
        for rival in (name for name in _RIVALS if not name.startswith("oracle")):
            for metric in ("own_accuracy", "common_accuracy", "common_rule_accuracy"):
                mean, low, high = _paired(rows, rounds, metric, rival)
                if high < 0:
                    size = f"{-mean:.3f} [{-high:.3f}, {-low:.3f}]"
                    when = "one round" if rounds == 1 else f"{rounds} rounds"
                    what = f"CLAIR's accuracy ({_MEASURES[metric]})"
                    found.append(f"After {when} {what} is below that of {NAMES[rival]} by {size}.")
    return tuple(found)


def accuracy_picture(rows: pd.DataFrame) -> Figure:
    """Bars of own and common accuracy with standard errors, one panel per number of rounds.

    Parameters
    ----------
    rows : DataFrame
        One row per federation, method and number of rounds.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2))
    axes = figure.subplots(1, 2, sharey=True)
    for axis, rounds in zip(axes, _ROUNDS, strict=True):
        part = rows[rows["method.rounds"] == rounds]
        names = list(dict.fromkeys(part["method.aggregation"]))
        for i, (metric, label) in enumerate((("own_accuracy", "own"), ("common_accuracy", "common tokens"))):
            grouped = part.groupby("method.aggregation")[metric]
            mean, error = grouped.mean()[names], grouped.sem()[names]
            axis.bar(np.arange(len(names)) + 0.4 * i, mean, 0.38, yerr=error, label=label, color=COLOURS[i])
        axis.set_xticks(np.arange(len(names)) + 0.2, [NAMES[n] for n in names], rotation=40, ha="right", fontsize=8)
        axis.set_title(f"{rounds} round{'s' if rounds > 1 else ''}", fontsize=9)
    axes[0].set_ylabel("token accuracy, benign clients")
    axes[0].set_ylim(0.0, 1.1)
    axes[0].legend(fontsize=8, ncols=2, loc="upper left")
    return figure
