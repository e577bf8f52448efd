"""What the rule of a claim looked at, as a figure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from reports.figures import COLOURS, Picture, new_figure
from reports.inputs import ClaimInput
from reports.words import measure_words, worded
from theory_checks.rules.rule import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["claim_picture"]


def _draw_rate(axis: Axes, good: pd.DataFrame, curve: Curve) -> str:
    """Geometric mean with the middle 90 % of replications, and a line of the claimed slope through its centre."""
    positive = good[good[curve.value] > 0]
    grouped = positive.groupby(curve.abscissa)[curve.value]
    middle = np.exp(np.log(positive[curve.value]).groupby(positive[curve.abscissa]).mean())
    low, high = grouped.quantile(0.05), grouped.quantile(0.95)
    points = middle.index.to_numpy(dtype=float)
    axis.fill_between(points, low, high, color=COLOURS[0], alpha=0.2, linewidth=0, label="5 % to 95 %")
    axis.plot(points, middle, "o-", color=COLOURS[0], markersize=4, label="geometric mean")
    anchor, centre = math.exp(float(np.log(middle).mean())), math.exp(float(np.log(points).mean()))
    axis.plot(points, anchor * (points / centre) ** curve.target, "--", color="0.3", label=f"slope {curve.target:g}")
    axis.set_yscale("log")
    scatter = float((np.log(positive[curve.value]).groupby(positive[curve.abscissa]).sem()).max())
    return f"Band: the middle 90 % of replications; largest standard error of a point: {100 * scatter:.2g} %."


def _draw_share(axis: Axes, good: pd.DataFrame, curve: Curve) -> str:
    """Share of ones along the axis with Wilson intervals, and the claimed value."""
    grouped = good.groupby(curve.abscissa)[curve.value]
    share, n = grouped.mean(), grouped.count()
    low, high = proportion_confint(grouped.sum(), n, method="wilson")
    ends = np.clip([share - low, high - share], 0.0, None)
    axis.errorbar(share.index.to_numpy(float), share, yerr=ends, fmt="o-", color=COLOURS[0], markersize=4)
    axis.axhline(curve.target, linestyle="--", color="0.3", label=f"target {curve.target:g}")
    axis.set_ylim(-0.03, 1.03)
    return "Bars: Wilson 95 % intervals."


def claim_picture(item: ClaimInput) -> Picture | None:
    """A rate in log-log scale, a probability along its axis, or None for a single number."""
    curve, rows = item.claim.rule.curve, item.rows
    if rows is None or curve is None:
        return None
    good = rows[(rows["status"] == "ok") & rows[curve.abscissa].notna() & rows[curve.value].notna()]
    if good.empty:
        return None
    figure, (axis,) = new_figure(4.2, 2.8)
    words = (_draw_rate if curve.is_rate else _draw_share)(axis, good, curve)
    points = np.sort(np.array(good[curve.abscissa].unique(), dtype=float))
    axis.set_xscale("log")
    axis.set_xticks(points, [f"{point:g}" for point in points])
    axis.set_xticks([], minor=True)
    axis.set_xlabel(worded(curve.abscissa.removeprefix("regime.")))
    axis.set_ylabel(measure_words(curve.value))
    axis.legend(fontsize=7, frameon=False)
    per_point = good.groupby(curve.abscissa).size()
    size = f"{per_point.min()} to {per_point.max()}" if per_point.min() < per_point.max() else f"{per_point.min()}"
    failed = int((rows["status"] != "ok").sum())
    left_out = f"{failed} failed (counted, not drawn again)" if failed else "none failed"
    return Picture(figure, f"{item.verdict.title}. n = {size} replications at each point, {left_out}. {words}")
