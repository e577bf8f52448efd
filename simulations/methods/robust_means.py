"""Robust means for everybody: how near they come to the mean of what benign clients estimate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats import CLAIR
from clair_stats.baselines import ROBUST_MEANS
from clair_stats.records import FloatArray
from simulations.regimes.instance import Instance

__all__ = ["MEANS", "MeanOfMembers", "OracleMean", "RobustMean"]

MEANS = tuple(ROBUST_MEANS)


def _error(instance: Instance, centre: FloatArray) -> dict[str, float]:
    """Mean squared entry of the difference from the mean benign target."""
    goal = instance.targets[instance.collaborative_set].mean(axis=0)
    return {"centre_mse": float(np.mean((centre - goal) ** 2))}


@dataclass(frozen=True)
class RobustMean:
    """One robust mean, told the number of contaminated clients.

    Parameters
    ----------
    method : str
        A key of :data:`clair_stats.baselines.ROBUST_MEANS`.
    """

    name: ClassVar[str] = "Robust mean"

    method: str

    def __post_init__(self) -> None:
        if self.method not in ROBUST_MEANS:
            raise ValueError(f"method: {self.method!r} is unknown; use one of {', '.join(ROBUST_MEANS)}")

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Error of the centre."""
        number = int(np.count_nonzero(~instance.collaborative_set))
        fit = ROBUST_MEANS[self.method](instance.estimates.dense(), rank=0, n_contaminated=number)
        return _error(instance, fit.common)


@dataclass(frozen=True)
class MeanOfMembers:
    """Mean of the clients that CLAIR, told nothing, keeps; of all where there is no majority."""

    name: ClassVar[str] = "Mean of those whom CLAIR keeps"

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Error of the centre."""
        members = CLAIR().fit(instance.estimates).collaborative_set_
        blocks = instance.estimates.dense()
        return _error(instance, blocks[members].mean(axis=0) if members.any() else blocks.mean(axis=0))


@dataclass(frozen=True)
class OracleMean:
    """Mean of the benign clients."""

    name: ClassVar[str] = "Mean of the benign clients (oracle)"

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Error of the centre."""
        return _error(instance, instance.estimates.dense()[instance.collaborative_set].mean(axis=0))
