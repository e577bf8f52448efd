"""Who is named for an update that points away from the others', beside who is flagged."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from clair_stats.clair import CLAIR, NoMajorityWarning
from clair_stats.records import BoolArray
from simulations.regimes.adapter_modules import ModulesInstance

__all__ = ["PointingAway", "named_metrics"]


@dataclass(frozen=True)
class PointingAway:
    """CLAIR on simulated modules.

    Parameters
    ----------
    level : float
        As in :class:`clair_stats.CLAIR`.
    """

    name: ClassVar[str] = "alignment"

    level: float = 0.05

    def evaluate(self, instance: ModulesInstance, generator: np.random.Generator) -> Mapping[str, float]:
        """Shares of the others that are named and flagged, whether any honest client is, and mean alignments."""
        return named_metrics(instance.modules, instance.collaborative_set, self.level)


def named_metrics(modules: Mapping[str, Any], honest: BoolArray, level: float) -> dict[str, float]:
    """Shares of the others that are named and flagged, 1 where any honest client is, and mean alignments.

    Parameters
    ----------
    modules : mapping of str to ClientEstimates or ndarray, shape (K, p, q)
    honest : bool ndarray, shape (K,)
        The truth.
    level : float

    Returns
    -------
    dict of str to float
        NaN of the others where there are none.
    """
    model = CLAIR(level=level)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoMajorityWarning)
        model.fit(modules)
    found = model.alignment_
    assert found is not None
    others = ~honest
    nobody = float("nan")
    return {
        "named": float(found.against[others].mean()) if others.any() else nobody,
        "accused": float(found.against[honest].any()),
        "flagged": float(model.flagged_[others].mean()) if others.any() else nobody,
        "wrongly_flagged": float(model.flagged_[honest].any()),
        "honest_alignment": float(found.values[honest].mean()),
        "honest_spread": float(found.values[honest].std(ddof=1)),
        "other_alignment": float(found.values[others].mean()) if others.any() else nobody,
        "majority": float(model.majority_),
    }
