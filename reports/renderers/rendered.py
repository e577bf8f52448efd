"""What a renderer makes of a study, and how it gets at the study's presentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from reports.figures import Picture
from reports.inputs import StudyInput
from reports.tables import Table
from simulations.presentation import Presentation

__all__ = ["Rendered", "presentation_of"]

P = TypeVar("P", bound=Presentation)


@dataclass(frozen=True)
class Rendered:
    """Tables and figure of one study, and in plain words where CLAIR is shown to be behind."""

    tables: tuple[Table, ...]
    picture: Picture | None = None
    losses: tuple[str, ...] = ()
    gains: tuple[str, ...] = ()  # where it does
    whole_design: bool = True  # False: one line per regime would fill pages that say nothing new


def presentation_of(item: StudyInput, kind: type[P]) -> P:
    """The study's presentation, checked.

    Raises
    ------
    TypeError
        A renderer was handed a study of another kind.
    """
    found = item.study.presentation
    if not isinstance(found, kind):
        raise TypeError(f"study {item.study.name}: shown as {type(found).__name__}, not as {kind.__name__}")
    return found
