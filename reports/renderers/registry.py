"""One renderer per kind of study; a study names its own by ``Study.presentation``."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

from reports.inputs import StudyInput
from reports.renderers import breakdown, plain
from reports.renderers.copying import render as copying
from reports.renderers.criteria import render as criteria
from reports.renderers.rendered import Rendered
from simulations.presentation import Breakdown, Copying, Criteria, Plain

__all__ = ["RENDERERS", "Rendered", "render"]

RENDERERS: Mapping[str, Callable[[StudyInput], Rendered]] = {
    Plain.kind: plain.render,
    Criteria.kind: criteria.render,
    Breakdown.kind: breakdown.render,
    Copying.kind: copying.render,
}


def render(item: StudyInput) -> Rendered:
    """Tables and figure of a study, by the renderer that it names.

    Raises
    ------
    ValueError
        No renderer of that kind; the message gives the nearest.
    """
    kind = item.study.presentation.kind
    if kind not in RENDERERS:
        near = difflib.get_close_matches(kind, RENDERERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(RENDERERS)}"
        raise ValueError(f"study {item.study.name}: no renderer for presentation {kind!r}; {hint}")
    return RENDERERS[kind](item)
