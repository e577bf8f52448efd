"""Figures as PDF and PNG; the same input gives the same bytes, so no dates and no random element names."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clair_stats.files import written_whole
from reports.inputs import ClaimInput, StudyInput
from reports.labels import labels, settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["claim_figure", "new_figure", "save", "stems", "study_figure", "style_of"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
_MARKERS = "osD^vP*X"
_MOST_SETTINGS = 24


def new_figure(width: float, height: float, n_axes: int = 1, *, share_y: bool = False) -> tuple[Figure, list[Any]]:
    """A figure in the house's style and its axes, side by side."""
    # Imported here: reading the help of the command should not wait for matplotlib.
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "pdf.fonttype": 42})
    figure, axes = plt.subplots(1, n_axes, figsize=(width, height), squeeze=False, layout="constrained", sharey=share_y)
    return figure, list(axes[0])


def style_of(index: int) -> dict[str, str]:
    """Colour, marker and line of the index-th method; the line changes where colours begin again."""
    return {
        "color": _COLOURS[index % len(_COLOURS)],
        "marker": _MARKERS[index % len(_MARKERS)],
        "linestyle": ("-", "--")[index // len(_COLOURS) % 2],
    }


def save(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Write ``stem``.pdf and ``stem``.png without dates, each beside its place and then renamed."""
    from matplotlib import pyplot as plt

    written = []
    for suffix, metadata in (
        (".pdf", {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None}),
        (".png", {"Software": None}),
    ):
        target = stem.with_suffix(suffix)
        with written_whole(target) as beside:
            figure.savefig(beside, dpi=150, metadata=metadata)
        written.append(target)
    plt.close(figure)
    return written[0], written[1]


def study_figure(item: StudyInput) -> Figure | None:
    """The study's first performance measure, one line per setting, one marker per method, bars of ±1.96 MCSE.

    None where there is nothing to compare: no rows of the measure, or more settings than a page holds.
    """
    summary = item.summary
    first = str(summary["measure"].iloc[0])
    rows = summary[summary["measure"] == first].to_dict("records")
    groups = settings(rows)
    order = list(dict.fromkeys(groups))
    if not rows or len(order) > _MOST_SETTINGS:
        return None
    names = labels(rows, "method")
    methods = list(dict.fromkeys(names))
    values = np.array([row["value"] for row in rows], dtype=float)
    errors = np.array([row["mcse"] for row in rows], dtype=float)
    figure, (axis,) = new_figure(6.4, 1.3 + 0.45 * len(order))
    for m, method in enumerate(methods):
        chosen = [i for i, name in enumerate(names) if name == method]
        heights = [order.index(groups[i]) + 0.7 * ((m + 0.5) / len(methods) - 0.5) for i in chosen]
        bars = 1.96 * np.where(np.isfinite(errors[chosen]), errors[chosen], 0.0)
        style = {**style_of(m), "linestyle": "none"}
        axis.errorbar(values[chosen], heights, xerr=bars, markersize=4, label=method, **style)
    axis.set_yticks(range(len(order)), [textwrap.fill(name, 34) for name in order], fontsize=7)
    axis.set_ylim(len(order) - 0.5, -0.5)
    for border in np.arange(len(order) - 1) + 0.5:
        axis.axhline(border, color="0.9", linewidth=0.6, zorder=0)
    axis.set_xlabel(first.replace("_", " "))
    positive = values[np.isfinite(values) & (values > 0)]
    if positive.size == values.size and positive.size and positive.max() > 30 * positive.min():
        axis.set_xscale("log")
    figure.legend(fontsize=7, frameon=False, loc="outside lower center", ncols=3)
    return figure


def claim_figure(item: ClaimInput) -> Figure | None:
    """What the rule looked at: a rate in log-log scale, a probability along its axis, or None for a single count."""
    rule, rows = item.claim.rule, item.rows
    abscissa = getattr(rule, "abscissa", None)
    vertical = getattr(rule, "ordinate", None) or getattr(rule, "event", None)
    if rows is None or abscissa is None or vertical is None:
        return None
    good = rows[(rows["status"] == "ok") & rows[abscissa].notna() & rows[vertical].notna()]
    if good.empty:
        return None
    figure, (axis,) = new_figure(4.2, 2.8)
    grouped = good.groupby(abscissa)[vertical]
    points = np.array(sorted(grouped.groups), dtype=float)
    if hasattr(rule, "ordinate"):
        positive = good[good[vertical] > 0]
        middle = np.exp(np.log(positive[vertical]).groupby(positive[abscissa]).mean())
        low, high = (positive.groupby(abscissa)[vertical].quantile(level) for level in (0.05, 0.95))
        axis.fill_between(middle.index, low, high, color=_COLOURS[0], alpha=0.2, linewidth=0, label="5 % to 95 %")
        axis.plot(middle.index, middle, "o-", color=_COLOURS[0], markersize=4, label="geometric mean")
        anchor = math.exp(float(np.log(middle).mean()))
        center = math.exp(float(np.log(middle.index.to_numpy(dtype=float)).mean()))
        line = anchor * (points / center) ** rule.target  # type: ignore[attr-defined]
        axis.plot(points, line, "--", color="0.3", label=f"slope {rule.target:g}")  # type: ignore[attr-defined]
        axis.set_yscale("log")
    else:
        share, n = grouped.mean(), grouped.count()
        error = 1.96 * np.sqrt(share * (1 - share) / n)
        axis.errorbar(share.index, share, yerr=error, fmt="o-", color=_COLOURS[0], markersize=4)
        axis.axhline(rule.target, linestyle="--", color="0.3", label=f"target {rule.target:g}")  # type: ignore[attr-defined]
        axis.set_ylim(-0.03, 1.03)
    axis.set_xscale("log")
    axis.set_xticks(points, [f"{point:g}" for point in points])
    axis.set_xticks([], minor=True)
    axis.set_xlabel(str(abscissa).removeprefix("regime.").replace("_", " "))
    axis.set_ylabel(str(vertical).replace("_", " "))
    axis.legend(fontsize=7, frameon=False)
    return figure


def stems(names: Sequence[str]) -> list[str]:
    """File names without characters that LaTeX or a browser minds."""
    return ["".join(c if c.isalnum() or c == "-" else "-" for c in name) for name in names]
