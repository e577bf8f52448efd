"""What the rule of a claim looked at, as a figure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from reports.figures import COLOURS, new_figure
from reports.inputs import ClaimInput

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["claim_figure"]


def claim_figure(item: ClaimInput) -> Figure | None:
    """What the rule looked at: a rate in log-log scale, a probability along its axis, or None for a single count."""
    curve, rows = item.claim.rule.curve, item.rows
    if rows is None or curve is None:
        return None
    abscissa, vertical = curve.abscissa, curve.value
    good = rows[(rows["status"] == "ok") & rows[abscissa].notna() & rows[vertical].notna()]
    if good.empty:
        return None
    figure, (axis,) = new_figure(4.2, 2.8)
    grouped = good.groupby(abscissa)[vertical]
    points = np.sort(np.array(list(grouped.groups), dtype=float))
    if curve.is_rate:
        positive = good[good[vertical] > 0]
        middle = np.exp(np.log(positive[vertical]).groupby(positive[abscissa]).mean())
        low, high = (positive.groupby(abscissa)[vertical].quantile(level) for level in (0.05, 0.95))
        axis.fill_between(middle.index, low, high, color=COLOURS[0], alpha=0.2, linewidth=0, label="5 % to 95 %")
        axis.plot(middle.index, middle, "o-", color=COLOURS[0], markersize=4, label="geometric mean")
        anchor = math.exp(float(np.log(middle).mean()))
        center = math.exp(float(np.log(middle.index.to_numpy(dtype=float)).mean()))
        line = anchor * (points / center) ** curve.target
        axis.plot(points, line, "--", color="0.3", label=f"slope {curve.target:g}")
        axis.set_yscale("log")
    else:
        share, n = grouped.mean(), grouped.count()
        error = 1.96 * np.sqrt(share * (1 - share) / n)
        axis.errorbar(share.index, share, yerr=error, fmt="o-", color=COLOURS[0], markersize=4)
        axis.axhline(curve.target, linestyle="--", color="0.3", label=f"target {curve.target:g}")
        axis.set_ylim(-0.03, 1.03)
    axis.set_xscale("log")
    axis.set_xticks(points, [f"{point:g}" for point in points])
    axis.set_xticks([], minor=True)
    axis.set_xlabel(str(abscissa).removeprefix("regime.").replace("_", " "))
    axis.set_ylabel(str(vertical).replace("_", " "))
    axis.legend(fontsize=7, frameon=False)
    return figure
