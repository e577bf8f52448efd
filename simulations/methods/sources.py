"""The two sources of candidate sets side by side, under one law."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from clair_stats.detection.decide import decide
from clair_stats.detection.panel import panel_of
from clair_stats.detection.step_2_candidates import program, program_starts, search
from simulations.regimes.instance import Instance

__all__ = ["SourcesCompared"]


@dataclass(frozen=True)
class SourcesCompared:
    """The verdict from the program's candidates alone and from the search's alone.

    Parameters
    ----------
    level : float
        As in :class:`clair_stats.CLAIR`.

    Notes
    -----
    Metrics: ``program_exact`` and ``search_exact``, 1 when the verdict is the true set; ``same_set``, 1 when both give
    the same set or both give none.
    """

    name: ClassVar[str] = "Program and search"

    level: float = 0.05

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Detection metrics."""
        panel = panel_of(instance.estimates)
        settled = partial(decide, panel, rank=None, level=self.level)
        by_program = settled(propose=program, starts=program_starts)
        by_search = settled(propose=search)
        first, second = (found.collaborative_set & found.accepted for found in (by_program, by_search))
        truth = instance.collaborative_set
        return {
            "program_exact": float(by_program.accepted and np.array_equal(first, truth)),
            "search_exact": float(by_search.accepted and np.array_equal(second, truth)),
            "same_set": float(np.array_equal(first, second)),
        }
