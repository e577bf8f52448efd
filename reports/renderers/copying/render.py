"""A study of the copying task in the report."""

from __future__ import annotations

from reports.inputs import StudyInput
from reports.renderers import plain
from reports.renderers.rendered import Rendered, presentation_of
from simulations.presentation import Copying

__all__ = ["render"]


def render(item: StudyInput) -> Rendered:
    """Methods × performance measures, as for other studies."""
    presentation_of(item, Copying)
    return plain.render(item)
