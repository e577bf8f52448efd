"""The shared truth of theory.md section 1, drawn the same way by every regime with a low-rank truth.

A regime inherits the fields of :class:`SharedStructure`, draws the truth, and adds its own data and its own local fit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import orthonormal_basis, project_off
from clair_stats.records import BoolArray, FloatArray
from simulations.regimes.contamination import Clean, check_contamination, contaminate, draw_members, n_contaminated
from simulations.regimes.instance import Instance, benign_by_definition
from simulations.streams import Streams

__all__ = ["CoefficientLaw", "SharedStructure", "Truth", "log_uniform"]

CoefficientLaw: TypeAlias = Literal["normal", "balanced", "student", "unequal"]

_LOG_DEVIATION = 0.7  # of the factors of law "unequal"


def log_uniform(geometric_mean: float, spread: float, size: int, generator: np.random.Generator) -> FloatArray:
    """Positive numbers, shape (size,), log-uniform on [m/√s, m√s]; ``spread`` s = 1 gives the constant m."""
    exponents = generator.uniform(-0.5, 0.5, size)
    return np.asarray(geometric_mean * spread**exponents, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Truth:
    """Parameters of one federation before any data."""

    targets: FloatArray  # (K, p, q), after contamination
    basis: FloatArray  # (p, r)
    common: FloatArray  # (p, q)
    coefficients: FloatArray  # (K, q, r), of the benign clients; zero elsewhere
    heterogeneity: FloatArray  # (K, p, q), of the benign clients; zero elsewhere
    collaborative_set: BoolArray  # (K,)
    attacked: BoolArray  # (K,), drawn for contamination; differs from ~collaborative_set when D_k = 0 by definition

    def seen_as(self, estimates: ClientEstimates, extras: Mapping[str, Any] | None = None) -> Instance:
        """The instance whose methods see ``estimates``; of this truth only the metrics know.

        Parameters
        ----------
        estimates : ClientEstimates
            X_k, one per target.
        extras : mapping, optional
            What the regime adds (:class:`Instance`).

        Returns
        -------
        Instance
        """
        return Instance(
            targets=self.targets,
            basis=self.basis,
            common=self.common,
            coefficients=self.coefficients,
            heterogeneity=self.heterogeneity,
            collaborative_set=self.collaborative_set,
            estimates=estimates,
            extras={} if extras is None else extras,
        )


@dataclass(frozen=True, kw_only=True)
class SharedStructure:
    """Fields that every low-rank regime shares; all are settings of the study, none is random.

    Parameters
    ----------
    n_clients, n_rows, n_columns, rank : int
        K, p, q, r.
    share : float
        Share of attacked clients; round(share·K) of them, drawn at random.
    contamination, contamination_scale : str, float
        Mode and scale, see :mod:`simulations.regimes.contamination`.
    coefficient_scale, coefficient_spread, coefficient_law : float, float, str
        A_k has entries of root mean square ``coefficient_scale``.  Law "normal": i.i.d. normal entries.  "balanced":
        each A_k has orthonormal columns times √q (needs q ≥ r), so the block incoherence is exactly 1.  "student":
        entries of Student's law with three degrees of freedom.  "unequal": normal times a log-normal factor a client,
        of log standard deviation .7.  The last two are divided by their root mean square.
        ``coefficient_spread`` is the largest over the smallest client-specific factor on A_k (log-uniform), which
        raises incoherence.
    common_scale : float
        M* has i.i.d. N(0, common_scale²) entries; 0 gives M* = 0.
    heterogeneity_scale : float
        H_k = (I − P_U)G_k with entries of G_k i.i.d. N(0, heterogeneity_scale²), benign clients only.
    """

    n_clients: int = 30
    n_rows: int = 20
    n_columns: int = 10
    rank: int = 2
    share: float = 0.2
    contamination: str = "coordinated"
    contamination_scale: float = 1.0
    coefficient_scale: float = 1.0
    coefficient_spread: float = 1.0
    coefficient_law: CoefficientLaw = "normal"
    common_scale: float = 0.0
    heterogeneity_scale: float = 0.0

    def __post_init__(self) -> None:
        for name, least in (("n_clients", 1), ("n_rows", 1), ("n_columns", 1), ("rank", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: {getattr(self, name)} must be at least {least}")
        if self.rank >= self.n_rows:
            raise ValueError(
                f"rank: {self.rank} must be below n_rows = {self.n_rows}; a full subspace hides everything"
            )
        for name in ("coefficient_scale", "common_scale", "heterogeneity_scale"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0.0):
                raise ValueError(f"{name}: {getattr(self, name)} must be finite and not negative")
        if not (math.isfinite(self.coefficient_spread) and self.coefficient_spread >= 1.0):
            raise ValueError(
                f"coefficient_spread: {self.coefficient_spread} must be at least 1 (largest over smallest)"
            )
        if self.coefficient_law not in get_args(CoefficientLaw):
            raise ValueError(
                f"coefficient_law: {self.coefficient_law!r}; use 'normal', 'balanced', 'student' or 'unequal'"
            )
        if self.coefficient_law == "balanced" and self.rank > self.n_columns:
            raise ValueError(f"coefficient_law: 'balanced' needs rank ≤ n_columns, got {self.rank} > {self.n_columns}")
        check_contamination(self.contamination, share=self.share, scale=self.contamination_scale)
        if n_contaminated(self.n_clients, self.share) >= self.n_clients:
            raise ValueError(f"share: {self.share} leaves no benign client of {self.n_clients}; give a smaller share")

    @property
    def reference_norm(self) -> float:
        """Root mean square of ‖U*A_kᵀ‖_F, √(rq) × coefficient scale; for r = 0 that of a rank-one part."""
        return self.coefficient_scale * math.sqrt(max(self.rank, 1) * self.n_columns)

    def draw_truth(self, streams: Streams) -> Truth:
        """Draw U*, M*, A_k, H_k (stream "truth") and the contamination (stream "contamination")."""
        generator = streams.generator("truth")
        basis = orthonormal_basis(generator.standard_normal((self.n_rows, self.rank)), self.rank)
        common = self.common_scale * generator.standard_normal((self.n_rows, self.n_columns))
        coefficients = self._draw_coefficients(generator)
        raw = generator.standard_normal((self.n_clients, self.n_rows, self.n_columns))
        heterogeneity = project_off(basis, self.heterogeneity_scale * raw)
        clean_targets = common + basis @ coefficients.transpose(0, 2, 1)

        attack = streams.generator("contamination")
        attacked = draw_members(self.n_clients, self.share, attack)
        clean = Clean(targets=clean_targets, basis=basis, common=common, reference_norm=self.reference_norm)
        targets = contaminate(
            self.contamination, clean, members=attacked, scale=self.contamination_scale, generator=attack
        )
        collaborative_set = benign_by_definition(targets, basis=basis, common=common) | ~attacked
        inside = (targets - common).transpose(0, 2, 1) @ basis  # (K, q, r), equals A_k for clients left alone
        return Truth(
            targets=targets + np.where(collaborative_set[:, None, None], heterogeneity, 0.0),
            basis=basis,
            common=common,
            coefficients=np.where(collaborative_set[:, None, None], inside, 0.0),
            heterogeneity=np.where(collaborative_set[:, None, None], heterogeneity, 0.0),
            collaborative_set=collaborative_set,
            attacked=attacked,
        )

    def _draw_coefficients(self, generator: np.random.Generator) -> FloatArray:
        size = (self.n_clients, self.n_columns, self.rank)
        if self.coefficient_law == "student":
            raw = generator.standard_t(3.0, size) / math.sqrt(3.0)  # the variance of t₃ is 3
        else:
            raw = generator.standard_normal(size)
        if self.coefficient_law == "balanced" and self.rank:
            raw = np.stack([orthonormal_basis(block, self.rank) for block in raw]) * math.sqrt(self.n_columns)
        if self.coefficient_law == "unequal":
            sizes = np.exp(_LOG_DEVIATION * generator.standard_normal(self.n_clients) - _LOG_DEVIATION**2)
            raw = raw * sizes[:, None, None]  # E exp(2sZ − 2s²) = 1
        factors = log_uniform(self.coefficient_scale, self.coefficient_spread, self.n_clients, generator)
        return np.asarray(raw * factors[:, None, None], dtype=np.float64)
