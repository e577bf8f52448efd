"""The detector of CLAIR with one of its pieces taken out, to see what the piece is worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from clair_stats.detection import decide as decide_module
from clair_stats.detection import log_scores, step_2_candidates, trimmed_fits
from clair_stats.detection.panel import panel_of
from clair_stats.detection.step_4_test import SetTest
from simulations.measures.metrics import verdict_metrics
from simulations.regimes.adapter_modules import ModulesInstance
from simulations.regimes.instance import Instance

__all__ = ["PIECES", "PIECES_OF_FEW_ROWS", "DetectorWithout"]

# Piece: the object, the name in it, and what stands there without the piece.  "nothing" is the detector as it is.
PIECES: Mapping[str, tuple[Any, str, Any] | None] = MappingProxyType(
    {
        "nothing": None,
        "the program": (decide_module, "program", lambda *_, **__: iter(())),
        "the search": (decide_module, "search", lambda *_, **__: iter(())),
        "everyone first": (decide_module, "everyone_agrees", lambda *_: None),
        "generic use": (decide_module, "used_by_all", lambda *_, **__: True),
        "majority's use": (decide_module, "_used_by_majority", lambda *_: False),
        "a larger set one rank further": (decide_module, "_larger_and_generic", lambda *_: False),
        "exact refits": (SetTest, "_exact_refits", lambda _, fit, residuals, calibrated: calibrated),
        "shared directions": (SetTest, "_shared_directions", lambda *given: (given[2], given[3])),
        "homogeneity": (SetTest, "_homogeneous", lambda *_: True),
        "excess of given noise": (decide_module, "noise_in_excess", lambda *_: 1.0),
        "law of log scores": (decide_module, "white_off_common_directions", lambda _: True),
        "common rank of adapters": (decide_module, "levelled", lambda panel: (panel, None)),
        "norms divided out": (decide_module, "_scales_differ", lambda *_: False),
        "share left over in log scores": (log_scores, "combined", lambda first, second: np.minimum(first / 0.2, 1.0)),
        "second and third candidate": (step_2_candidates, "_PROPOSED", 1),
        "growth of halves": (step_2_candidates, "_GROWTH_STEPS", 0),
    }
)
# Of federations with few rows alone, which have a study of their own (``few_rows``).
PIECES_OF_FEW_ROWS: Mapping[str, tuple[Any, str, Any]] = MappingProxyType(
    {"law of two eigenvalues": (trimmed_fits, "_two_unlike", lambda *_: False)}
)
_ALL = {**PIECES, **PIECES_OF_FEW_ROWS}


@contextmanager
def _replaced(target: object, name: str, value: object) -> Iterator[None]:
    original = getattr(target, name)
    setattr(target, name, value)
    try:
        yield
    finally:
        setattr(target, name, original)


@dataclass(frozen=True)
class DetectorWithout:
    """Steps 1 to 5 of ``docs/detector.md`` without one piece.

    Parameters
    ----------
    piece : str
        A key of :data:`PIECES` or :data:`PIECES_OF_FEW_ROWS`.
    noise_factor : float
        The given σ_k times this, where the regime gives them.
    """

    name: ClassVar[str] = "Detector without"

    piece: str = "nothing"
    noise_factor: float = 1.0

    def __post_init__(self) -> None:
        if self.piece not in _ALL:
            raise ValueError(f"piece: {self.piece!r}; give one of {', '.join(_ALL)}")

    def evaluate(self, instance: Instance | ModulesInstance, generator: np.random.Generator) -> Mapping[str, float]:
        """Detection metrics; ``majority``, 1 when there is a verdict."""
        replacement = _ALL[self.piece]
        if replacement is None:
            return self._metrics(instance)
        with _replaced(*replacement):
            return self._metrics(instance)

    def _metrics(self, instance: Instance | ModulesInstance) -> Mapping[str, float]:
        # The regime whose clients differ in scale is one of modules; its designs here have a single one.
        if isinstance(instance, ModulesInstance):
            (estimates,) = instance.modules.values()
        else:
            estimates = instance.estimates
        if estimates.noise_scales is not None and self.noise_factor != 1.0:
            estimates = replace(estimates, noise_scales=self.noise_factor * estimates.noise_scales)
        found = decide_module.decide(panel_of(estimates), rank=None, level=0.05)
        return verdict_metrics(instance.collaborative_set, found.flagged, found.accepted)
