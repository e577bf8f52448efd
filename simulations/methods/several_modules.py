"""CLAIR on several modules at once: one verdict about the clients."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from clair_stats.clair import CLAIR, NoMajorityWarning
from simulations.measures.metrics import verdict_metrics
from simulations.regimes.adapter_modules import ModulesInstance

__all__ = ["ClairModules", "ClairModulesRefined"]


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
        return _judged(instance, self.level)[1]


@dataclass(frozen=True)
class ClairModulesRefined:
    """The same, with what benign clients are handed compared with their targets.

    Parameters
    ----------
    level : float
        As in :class:`clair_stats.CLAIR`.
    """

    name: ClassVar[str] = "CLAIR, all modules, refined"

    level: float = 0.05

    def evaluate(self, instance: ModulesInstance, generator: np.random.Generator) -> Mapping[str, float]:
        """Detection metrics, and squared errors of benign clients over all modules: refined, their own, the mean's."""
        model, told = _judged(instance, self.level)
        benign = instance.collaborative_set
        errors = dict.fromkeys(("refined_mse", "local_mse", "average_mse"), 0.0)
        for name, record in instance.modules.items():
            values, target = record.dense(), instance.targets[name][benign]
            handed = (model.refined_[name][benign], values[benign], values.mean(axis=0))
            for metric, estimates in zip(errors, handed, strict=True):
                errors[metric] += float(np.sum((estimates - target) ** 2))
        return {**told, **errors}


def _judged(instance: ModulesInstance, level: float) -> tuple[Any, dict[str, float]]:
    model = CLAIR(level=level)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoMajorityWarning)
        model.fit(instance.modules)
    return model, verdict_metrics(instance.collaborative_set, model.flagged_, model.majority_)
