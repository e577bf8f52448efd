"""How the report shows a study: the kind of renderer, and what that renderer has to know about the study.

A presentation is no part of the design: it enters neither the cell hashes nor the configuration hash, so a study may
be shown in another way without being run again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

__all__ = ["PLAIN", "Breakdown", "Copying", "CopyingPart", "Criteria", "Page", "Plain", "Presentation", "RegimeSweeps"]

CopyingPart: TypeAlias = Literal["methods", "detection", "exact_set", "contaminations", "map"]


@dataclass(frozen=True)
class Presentation:
    """Base of all presentations; ``kind`` names the renderer."""

    kind: ClassVar[str] = "plain"


@dataclass(frozen=True)
class Plain(Presentation):
    """Methods × performance measures, one group of rows per setting, with mean ranks where methods compete."""


PLAIN = Plain()


@dataclass(frozen=True)
class Criteria(Presentation):
    """CLAIR beside oracles and baselines over many settings: in which settings each criterion is met.

    Parameters
    ----------
    margin : float
        By how much P(Ĉ = C) may lie below oracle detection's, a probability.
    ratio : float
        How many times oracle CLAIR's an error of CLAIR may be.
    detects : float
        Errors are compared where oracle detection finds the set with at least this probability.
    """

    kind: ClassVar[str] = "criteria"
    margin: float = 0.05
    ratio: float = 1.1
    detects: float = 0.9


@dataclass(frozen=True)
class Breakdown(Presentation):
    """One measure of harm against the size of an attack, a curve per method and a panel per share.

    Parameters
    ----------
    measure : str
        Label of the performance measure.
    attacked : str
        Name of the regime that holds the attack made for each method; the other regimes are for comparison.
    share, norm : str
        Factors: contaminated share (panels) and size of the attack (abscissa).
    """

    kind: ClassVar[str] = "breakdown"
    measure: str
    attacked: str
    share: str = "regime.share"
    norm: str = "regime.contamination_scale"


@dataclass(frozen=True)
class RegimeSweeps(Presentation):
    """The sweeps of a regime with real local fits, shown by the verdicts on them."""

    kind: ClassVar[str] = "regime"


@dataclass(frozen=True)
class Copying(Presentation):
    """A study of the copying task; ``part`` is its place on the copying page."""

    kind: ClassVar[str] = "copying"
    part: CopyingPart


@dataclass(frozen=True)
class Page(Presentation):
    """In the report as any study, and on a page of the gallery.

    Parameters
    ----------
    page : str
        Name of the page.
    part : str
        The study's place on it.
    """

    kind: ClassVar[str] = "page"
    page: str
    part: str
