"""CLAIR's verdict as it is told: without a majority nobody is flagged, and nobody is called benign."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.clair import CLAIR, NoMajorityWarning
from simulations.measures.metrics import estimation_metrics, verdict_metrics
from simulations.regimes.instance import Instance

__all__ = ["ClairVerdict"]


@dataclass(frozen=True)
class ClairVerdict:
    """CLAIR as a user would call it; a client counts as flagged only where there is a verdict.

    Parameters
    ----------
    level : float
        As in :class:`clair_stats.CLAIR`.
    """

    name: ClassVar[str] = "CLAIR, verdict"

    level: float = 0.05

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Detection metrics of the flagged clients, estimation metrics, and whether there was a verdict.

        Parameters
        ----------
        instance : Instance
        generator : numpy.random.Generator
            Not used.

        Returns
        -------
        mapping of str to float
        """
        model = CLAIR(level=self.level)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoMajorityWarning)
            model.fit(instance.estimates)
        told = verdict_metrics(instance.collaborative_set, model.flagged_, model.majority_)
        return told | estimation_metrics(instance, model.refined_)
