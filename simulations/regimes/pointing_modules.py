"""Clients that agree on a direction inside the subspace that all share, and some that do not go along with it.

Own parts have a mean: X_k = U(a·Ā + A_k) + H_k + E_k in every module, cut to the rank of an adapter.  Whoever turns its
update round stays inside the subspace and is benign by definition of the model; only the sign tells.

============  ========================================================================================
plan          what the others send
============  ========================================================================================
flipped       −U(a·Ā + A_k) + H_k + E_k: labels exchanged, nothing else
another task  U(a·Ā_k + A_k) + H_k + E_k with an Ā_k of their own: honest, and about something else
copies        the mean of the honest updates, all the same: attackers who go along with the honest
reversed      minus that mean, all the same (Xie, Koyejo and Gupta, "Fall of empires", UAI 2019)
============  ========================================================================================
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import orthonormal_basis
from clair_stats.records import BoolArray, FloatArray
from simulations.regimes.adapter_modules import ModulesInstance
from simulations.regimes.contamination import draw_members
from simulations.streams import Streams

__all__ = ["POINTING_PLANS", "PointingModulesRegime", "PointingPlan"]

PointingPlan: TypeAlias = Literal["flipped", "another task", "copies", "reversed"]
POINTING_PLANS: tuple[PointingPlan, ...] = ("flipped", "another task", "copies", "reversed")


@dataclass(frozen=True, kw_only=True)
class PointingModulesRegime:
    """Adapters of several modules whose honest clients agree on a direction.

    Parameters
    ----------
    n_clients, n_modules, n_rows, n_columns, rank : int
        K, M, p, q, r.
    adapter_rank : int
        s, to which every update is cut.
    agreement : float
        a, over the root mean square 1 of the entries of A_k; 0: the honest agree on nothing.
    noise_scale, noise_spread : float
        Standard deviation of an entry of E_k, and of the logarithm of a client's own factor on it.
    heterogeneity_scale : float
        Standard deviation of an entry of H_k.
    share, plan
        Of clients that do not go along, and what they send.
    """

    name: ClassVar[str] = "pointing modules"

    n_clients: int = 24
    n_modules: int = 4
    n_rows: int = 48
    n_columns: int = 40
    rank: int = 2
    adapter_rank: int = 4
    agreement: float = 0.5
    noise_scale: float = 0.2
    noise_spread: float = 0.0
    heterogeneity_scale: float = 0.0
    share: float = 0.0
    plan: PointingPlan = "flipped"

    def __post_init__(self) -> None:
        for name in ("n_clients", "n_modules", "n_columns", "rank", "adapter_rank"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)}; give at least 1")
        if self.n_rows <= self.rank:
            raise ValueError(f"n_rows: {self.n_rows} leaves nothing off {self.rank} shared directions; give more")
        for name in ("agreement", "noise_scale", "noise_spread", "heterogeneity_scale"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0.0):
                raise ValueError(f"{name}: {getattr(self, name)} must be finite and not negative")
        if not 0.0 <= self.share < 1.0:
            raise ValueError(f"share: {self.share} is outside [0, 1)")
        if self.plan not in POINTING_PLANS:
            raise ValueError(f"plan: {self.plan!r}; choose one of {', '.join(POINTING_PLANS)}")

    def generate(self, streams: Streams) -> ModulesInstance:
        """Directions and own parts ("truth"), who does not go along ("contamination"), errors ("noise")."""
        truth, noise = streams.generator("truth"), streams.generator("noise")
        others = draw_members(self.n_clients, self.share, streams.generator("contamination"))
        factors = np.exp(self.noise_spread * noise.standard_normal(self.n_clients))
        modules, targets = {}, {}
        for number in range(self.n_modules):
            name = f"module {number}"
            targets[name] = self._targets(others, truth)
            errors = noise.standard_normal(targets[name].shape) * (self.noise_scale * factors[:, None, None])
            values = self._cut(targets[name] + errors)
            if self.plan in ("copies", "reversed") and others.any():
                values[others] = (1.0 if self.plan == "copies" else -1.0) * values[~others].mean(axis=0)
            modules[name] = ClientEstimates(values=values)
        return ModulesInstance(modules, ~others, targets)

    def _targets(self, others: BoolArray, generator: np.random.Generator) -> FloatArray:
        basis = orthonormal_basis(generator.standard_normal((self.n_rows, self.rank)))
        shape = (self.rank, self.n_columns)
        means = np.broadcast_to(generator.standard_normal(shape), (self.n_clients, *shape)).copy()
        if self.plan == "another task":
            means[others] = generator.standard_normal((int(others.sum()), *shape))
        own = self.agreement * means + generator.standard_normal(means.shape)
        if self.plan == "flipped":
            own[others] *= -1.0
        off = generator.standard_normal((self.n_clients, self.n_rows, self.n_columns))
        return np.asarray(basis @ own + self.heterogeneity_scale * off)

    def _cut(self, blocks: FloatArray) -> FloatArray:
        left, sizes, right = np.linalg.svd(blocks, full_matrices=False)
        rank = min(self.adapter_rank, sizes.shape[1])
        return np.asarray((left[..., :rank] * sizes[..., None, :rank]) @ right[..., :rank, :])
