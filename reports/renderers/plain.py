"""Any study: methods × performance measures by setting, ranks where methods compete, one figure."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from reports.figures import new_figure, style_of
from reports.inputs import StudyInput
from reports.labels import by_setting, labels, settings
from reports.numbers import column_power, superscript, with_error
from reports.renderers.ranks import rank_table
from reports.renderers.rendered import Rendered
from reports.tables import Column, Group, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["render", "study_figure", "study_table"]

_MOST_SETTINGS = 24


def study_table(item: StudyInput) -> Table:
    """Methods × performance measures, one group of rows per setting."""
    grid = by_setting(item.summary)
    measures = list(dict.fromkeys(grid["measure"]))
    powers = {measure: column_power(list(grid.loc[grid["measure"] == measure, "value"])) for measure in measures}
    groups = []
    for setting, part in grid.groupby("setting", sort=False):
        rows = []
        for label, own in part.groupby("label", sort=False):
            values = {
                line["measure"]: with_error(line["value"] / unit, line["mcse"] / unit)
                for line in own.to_dict("records")
                for unit in (10.0 ** powers[line["measure"]],)
            }
            rows.append((str(label), *(values.get(measure, "--") for measure in measures)))
        groups.append(Group(str(setting), tuple(rows)))
    notes = [f"{item.study.replications} replications of each cell; Monte Carlo standard errors on the last digits."]
    if any(" − " in measure for measure in measures):
        notes.append("Differences (a − b) are paired: both methods saw the same data.")
    notes += item.set_aside
    return Table(
        name=f"study-{item.study.name}",
        caption=f"{item.study.title}.",
        columns=(
            Column("method", is_number=False, width="0.21\\linewidth"),
            *(Column(_heading(measure, powers[measure])) for measure in measures),
        ),
        groups=tuple(groups),
        provenance=item.provenance,
        notes=tuple(notes),
    )


def _heading(measure: str, power: int) -> str:
    words = measure.removeprefix("mean ").replace("_", " ")
    return f"{words} / {superscript(power)}" if power else words


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


def render(item: StudyInput) -> Rendered:
    """Table, ranks where there are any, and figure of a study."""
    ranks = rank_table(item)
    return Rendered((study_table(item), *([] if ranks is None else [ranks])), study_figure(item))
