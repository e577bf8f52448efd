"""What captions say about size: replications, failures, undefined values, and how errors are written."""

from __future__ import annotations

import pandas as pd

from reports.inputs import StudyInput
from reports.words import measure_words

__all__ = ["ERRORS", "INTERVALS", "size_of", "undefined_notes"]

ERRORS = (
    "Monte Carlo standard errors in parentheses, on the last digits; where a proportion never varied, its Wilson 95 % "
    "limit"
)
INTERVALS = "bars: 95 % intervals, Student's t over replications, Wilson's for proportions"
_MOST_NOTED = 6


def _plural(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def size_of(item: StudyInput) -> str:
    """Replications of each cell, and how many failed or are not there yet, for a caption."""
    number = f"{item.common} of the study's {item.study.replications}" if item.shorter else str(item.study.replications)
    words = f"n = {number} replications of each of {_plural(len(item.study.cells), 'cell')}"
    failed = f"{item.failed} failed (counted, not drawn again)" if item.failed else "none failed"
    missing = f", {_plural(item.missing, 'row')} not there yet" if item.missing and not item.shorter else ""
    return f"{words}, {failed}{missing}."


def undefined_notes(grid: pd.DataFrame) -> tuple[str, ...]:
    """Where values rest on fewer replications because a metric was undefined (NaN), a sentence per measure.

    Parameters
    ----------
    grid : DataFrame
        Summary with the columns ``setting`` and ``label``.
    """
    if "undefined" not in grid:
        return ()
    notes = []
    for measure, part in grid[grid["undefined"] > 0].groupby("measure", sort=False):
        cells = [
            f"{line['label']}, {line['setting']}: {line['undefined']} of {line['undefined'] + line['n']}"
            for line in part.to_dict("records")
        ]
        more = f"; and in {len(cells) - _MOST_NOTED} further cells" if len(cells) > _MOST_NOTED else ""
        notes.append(
            f"Undefined and left out of {measure_words(str(measure))}: {'; '.join(cells[:_MOST_NOTED])}{more}."
        )
    return tuple(notes)
