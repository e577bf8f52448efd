"""A study of the copying task in the report: the tables of any study with its own names, and where CLAIR is behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pandas as pd

from reports.inputs import StudyInput
from reports.renderers.copying.accuracy import paired_losses, paired_table
from reports.renderers.copying.detection import misses
from reports.renderers.copying.names import NAMES
from reports.renderers.dots import study_picture
from reports.renderers.plain import study_table
from reports.renderers.rendered import Rendered, presentation_of
from reports.tables import Table
from reports.wording import size_of
from simulations.presentation import Copying, CopyingPart

__all__ = ["render"]

Extra = tuple[tuple[Table, ...], tuple[str, ...]]


def _methods(item: StudyInput) -> Extra:
    rows = item.rows()
    caption = (
        f"{item.study.title}: CLAIR minus other methods on the same federations, with 95 % t intervals. {size_of(item)}"
    )
    table = replace(paired_table(rows), name=f"paired-{item.study.name}", caption=caption, provenance=item.provenance)
    return (table,), paired_losses(rows)


def _detection(item: StudyInput) -> Extra:
    return (), misses(item.rows())


def _nothing(item: StudyInput) -> Extra:
    return (), ()


_EXTRAS: Mapping[CopyingPart, Callable[[StudyInput], Extra]] = {
    "methods": _methods,
    "detection": _detection,
    "exact_set": _detection,
}


def _named(summary: pd.DataFrame) -> pd.DataFrame:
    """The summary with the names of the aggregation rules as a reader knows them."""
    if "method.aggregation" not in summary:
        return summary
    return summary.assign(
        **{"method.aggregation": summary["method.aggregation"].map(lambda name: NAMES.get(name, name))}
    )


def render(item: StudyInput) -> Rendered:
    """Methods × performance measures and figure, paired differences where methods are compared."""
    named = replace(item, summary=_named(item.summary))
    tables, losses = _EXTRAS.get(presentation_of(item, Copying).part, _nothing)(item)
    return Rendered((study_table(named), *tables), study_picture(named), losses=losses)
