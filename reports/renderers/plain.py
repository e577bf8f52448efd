"""Any study: methods × performance measures by setting, ranks where methods compete, one figure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from reports.inputs import StudyInput
from reports.labels import by_setting
from reports.numbers import column_power, superscript, with_limits
from reports.renderers.dots import study_picture
from reports.renderers.ranks import gains, losses, rank_table, ranked_panels
from reports.renderers.rendered import Rendered
from reports.tables import Column, Group, Table
from reports.wording import ERRORS, size_of, undefined_notes
from reports.words import measure_words

__all__ = ["render", "study_table"]

_MOST_WIDE, _MOST_NARROW = 6, 8  # columns of numbers that fit a page in footnote and in script size


def _cell(line: Mapping[Hashable, Any], power: int) -> str:
    unit = 10.0**power
    return with_limits(line["value"] / unit, line["mcse"] / unit, line["low"] / unit, line["high"] / unit)


def _group(setting: str, part: pd.DataFrame, powers: dict[str, int]) -> Group:
    rows = []
    for label, own in part.groupby("label", sort=False):
        values = {line["measure"]: _cell(line, powers[line["measure"]]) for line in own.to_dict("records")}
        rows.append((str(label), *(values.get(measure, "--") for measure in powers)))
    return Group(setting, tuple(rows))


def _lone(groups: tuple[Group, ...]) -> tuple[Group, ...]:
    """One line per setting where there is one method only."""
    return (Group("", tuple((group.heading, *group.rows[0][1:]) for group in groups)),)


def _size(n_measures: int) -> str:
    """LaTeX font in which the columns fit a page."""
    return "footnotesize" if n_measures <= _MOST_WIDE else "scriptsize" if n_measures <= _MOST_NARROW else "tiny"


def study_table(item: StudyInput) -> Table:
    """Methods × performance measures, one group of rows per setting."""
    grid = by_setting(item.summary)
    powers = {str(measure): column_power(list(part["value"])) for measure, part in grid.groupby("measure", sort=False)}
    notes = list(undefined_notes(grid))
    if any(" − " in measure for measure in powers):
        notes.insert(0, "Differences (a − b) are paired: both methods saw the same data.")
    lone, single = grid["label"].nunique() == 1, grid["setting"].nunique() == 1
    groups = tuple(_group(str(setting), part, powers) for setting, part in grid.groupby("setting", sort=False))
    if single and not lone:
        groups = (Group("", groups[0].rows),)
    return Table(
        name=f"study-{item.study.name}",
        caption=f"{item.study.title}. {size_of(item)} {ERRORS}.",
        columns=(
            Column("setting" if lone else "method", is_number=False, width="0.21\\linewidth"),
            *(Column(_heading(measure, power)) for measure, power in powers.items()),
        ),
        groups=_lone(groups) if lone else groups,
        provenance=item.provenance,
        notes=tuple(notes),
        size=_size(len(powers)),
    )


def _heading(measure: str, power: int) -> str:
    words = measure_words(measure.removeprefix("mean "))
    return f"{words} / {superscript(power)}" if power else words


def render(item: StudyInput) -> Rendered:
    """Table, ranks where there are any, and figure of a study."""
    panels = ranked_panels(item)
    ranks = rank_table(item, panels)
    tables = (study_table(item), *([] if ranks is None else [ranks]))
    return Rendered(tables, study_picture(item), losses=losses(panels), gains=gains(panels))
