"""The figure of any study: its first performance measure as dots with intervals, labelled beside the axis."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reports.figures import COLOURS, Picture, new_figure, style_of
from reports.inputs import StudyInput
from reports.labels import by_setting
from reports.wording import INTERVALS, size_of
from reports.words import measure_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["study_picture"]

_MOST_LINES = 32  # of labels beside the axis, as many as a page holds
_CHARACTERS = 38  # of a line of such a label
_LINE = 0.16  # inches per dot where there is room
# Inches: what the report prints without scaling, by which letters of 7 points would get smaller.
_WIDTH, _HIGHEST = 6.0, 7.7


def _factors(grid: pd.DataFrame) -> tuple[str, str] | None:
    """Which of setting and method is told beside the axis and which by colour; None where neither choice is readable.

    The shorter one gets the colours, of which there are no more than a reader tells apart.
    """
    sizes = {name: grid[name].nunique() for name in ("setting", "label")}
    beside, coloured = sorted(sizes, key=lambda name: -sizes[name])
    if sizes[coloured] > len(COLOURS) or sizes[beside] > _MOST_LINES:
        return None
    return beside, coloured


def _folded(name: str) -> str:
    """A label in lines that end after a comma, where its parts are no longer than a line."""
    parts = (part if len(part) >= _CHARACTERS else part.replace(" ", "\u00a0") for part in name.split(", "))
    return textwrap.fill(", ".join(parts), _CHARACTERS)


def _draw(axis: Axes, grid: pd.DataFrame, beside: str, coloured: str) -> None:
    lines, colours = list(dict.fromkeys(grid[beside])), list(dict.fromkeys(grid[coloured]))
    for i, name in enumerate(colours):
        own = grid[grid[coloured] == name]
        heights = [lines.index(line) + 0.7 * ((i + 0.5) / len(colours) - 0.5) for line in own[beside]]
        value = own["value"].to_numpy(float)
        ends = np.abs(own[["low", "high"]].to_numpy(float).T - value)
        style = {**style_of(i), "linestyle": "none"}
        axis.errorbar(value, heights, xerr=np.nan_to_num(ends), markersize=4, label=name, **style)
    axis.set_yticks(range(len(lines)), [_folded(name) for name in lines], fontsize=7)
    axis.set_ylim(len(lines) - 0.5, -0.5)
    for border in np.arange(len(lines) - 1) + 0.5:
        axis.axhline(border, color="0.9", linewidth=0.6, zorder=0)


def study_picture(item: StudyInput) -> Picture | None:
    """Dots with 95 % intervals; None where there are more settings and methods than a page holds."""
    measure = str(item.summary["measure"].iloc[0])
    grid = by_setting(item.summary[item.summary["measure"] == measure])
    factors = _factors(grid)
    if factors is None:
        return None
    beside, coloured = factors
    n_lines, n_colours = grid[beside].nunique(), grid[coloured].nunique()
    figure, (axis,) = new_figure(_WIDTH, min(_HIGHEST, 1.1 + max(0.26, _LINE * n_colours) * n_lines))
    _draw(axis, grid, beside, coloured)
    words = measure_words(measure)
    axis.set_xlabel(words)
    values = grid["value"].to_numpy(float)
    positive = values[np.isfinite(values) & (values > 0)]
    if positive.size == values.size and positive.size and positive.max() > 30 * positive.min():
        axis.set_xscale("log")
    if n_colours > 1:
        figure.legend(fontsize=7, frameon=False, loc="outside lower center", ncols=2 if coloured == "setting" else 3)
    return Picture(figure, f"{item.study.title}: {words}; {INTERVALS}. {size_of(item)}")
