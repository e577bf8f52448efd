"""Attackers who know the truth, the noise, the detector and every honest estimate, and choose what they send last.

Five plans, each made against one piece of the detector; a plan that is found does no harm, so recall and harm are shown
together.

============  =====================================================================================================
plan          what the attackers send
============  =====================================================================================================
tolerance     an honest estimate moved by one shared direction, off the subspace just below the threshold of a client
ladder        moves of growing size in directions of their own, from below the threshold to ten times it, so that the
              spread learnt from the majority grows and covers the next one
sybils        one and the same block, three times the threshold off the subspace: a group without any scatter
copies        the estimate of one honest client, to the last digit: a tight group that makes the others stand out
camouflage    as sybils, with twice an honest client's own part, so that the group weighs more in every subspace
============  =====================================================================================================
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from scipy import stats

from clair_stats.laws import per_client_level
from clair_stats.linalg import orthonormal_basis, project_off
from clair_stats.records import BoolArray, FloatArray
from simulations.regimes.gaussian import GaussianRegime
from simulations.regimes.instance import Instance
from simulations.streams import Streams

__all__ = ["PLANS", "AdversaryRegime", "Plan"]

Plan: TypeAlias = Literal["tolerance", "ladder", "sybils", "copies", "camouflage"]
PLANS: tuple[Plan, ...] = ("tolerance", "ladder", "sybils", "copies", "camouflage")
_LEVEL = 0.05  # the level that users keep
_BELOW, _ABOVE, _HIGHEST = 0.95, 3.0, 10.0  # of the threshold


@dataclass(frozen=True, kw_only=True)
class AdversaryRegime(GaussianRegime):
    """The Gaussian regime with attackers who speak last.

    Parameters
    ----------
    plan : {"tolerance", "ladder", "sybils", "copies", "camouflage"}
        See above.  ``contamination`` and its scale are not used.
    """

    name: ClassVar[str] = "adversaries"

    plan: Plan = "tolerance"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.plan not in PLANS:
            raise ValueError(f"plan: {self.plan!r}; choose one of {', '.join(PLANS)}")
        if self.noise_scale <= 0.0 or self.noise_spread != 1.0 or self.sample_size is not None:
            raise ValueError("adversaries: needs one positive noise_scale, noise_spread 1 and no sample_size")

    def generate(self, streams: Streams) -> Instance:
        """The honest federation ("truth", "noise"), who attacks ("contamination"), and what is sent ("attack")."""
        attacked = self.draw_truth(streams).attacked
        honest = replace(self, share=0.0)
        instance = GaussianRegime.generate(honest, streams)
        values = instance.estimates.dense().copy()
        values[attacked] = self._sent(instance, attacked, streams.generator("attack"))
        targets = np.where(attacked[:, None, None], values, instance.targets)
        keep = ~attacked[:, None, None]
        return replace(
            instance,
            targets=targets,
            coefficients=np.where(keep, instance.coefficients, 0.0),
            heterogeneity=np.where(keep, instance.heterogeneity, 0.0),
            collaborative_set=~attacked,
            estimates=replace(instance.estimates, values=values),
            extras={**instance.extras, "attacked": attacked},
        )

    def _sent(self, instance: Instance, attacked: BoolArray, generator: np.random.Generator) -> FloatArray:
        """What the attackers send, (m, p, q)."""
        count = int(attacked.sum())
        honest, basis = instance.estimates.dense(), instance.basis
        p, q, r = self.n_rows, self.n_columns, self.rank
        if self.plan == "copies":
            return np.repeat(honest[np.flatnonzero(~attacked)[:1]], count, axis=0)
        alpha = per_client_level(_LEVEL, self.n_clients)
        threshold = self.noise_scale * math.sqrt(stats.chi2.isf(alpha, (p - r) * q))
        direction = orthonormal_basis(project_off(basis, generator.standard_normal((p, 1))), 1)
        row = generator.standard_normal((1, q))
        shared = direction @ row / np.linalg.norm(row)
        own = honest[attacked] - instance.common
        inside = basis @ (basis.T @ own)
        if self.plan == "tolerance":
            return np.asarray(instance.common + inside + _BELOW * threshold * shared)
        if self.plan == "ladder":
            moves = project_off(basis, generator.standard_normal((count, p, q)))
            moves /= np.linalg.norm(moves, axis=(1, 2), keepdims=True)
            rungs = threshold * np.geomspace(_BELOW, _HIGHEST, count)
            return np.asarray(instance.common + inside + rungs[:, None, None] * moves)
        part = inside[:1] if self.plan == "sybils" else 2.0 * inside[:1]
        return np.repeat(instance.common + part + _ABOVE * threshold * shared, count, axis=0)
