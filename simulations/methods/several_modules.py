"""CLAIR on several modules at once: one verdict about the clients."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.clair import CLAIR, NoMajorityWarning
from simulations.measures.metrics import detection_metrics
from simulations.regimes.adapter_modules import ModulesInstance

__all__ = ["ClairModules"]


@dataclass(frozen=True)
class ClairModules:
    """CLAIR as a user would call it on a mapping of modules.

    Parameters
    ----------
    level : float
        As in :class:`clair_stats.CLAIR`.
    """

    name: ClassVar[str] = "CLAIR, all modules"

    level: float = 0.05

    def evaluate(self, instance: ModulesInstance, generator: np.random.Generator) -> Mapping[str, float]:
        """Detection metrics; without a majority nobody is flagged, and the set counts as not found."""
        model = CLAIR(level=self.level)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoMajorityWarning)
            model.fit(instance.modules)
        found = detection_metrics(instance.collaborative_set, ~model.flagged_)
        decided = float(model.majority_)
        return {**found, "exact_set": found["exact_set"] * decided, "majority": decided}
