"""Shrinkage towards the other members: a client's own part is kept as far as it exceeds its error.

Stein's positive-part weight (James and Stein 1961; Efron and Morris, JASA 68(341), 1973; for a covariance that is not
a multiple of the identity Bock, Ann. Statist. 3(1), 1975), once off the subspace and once along every direction in it
(docs/derivations/shrinkage.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from clair_stats.records import BoolArray, FloatArray
from clair_stats.refinement.error_energy import ErrorEnergy
from clair_stats.refinement.others import Others, each_without_itself, leading_directions

__all__ = ["Shrunk", "shrink", "stein_risk", "stein_weight"]

# Ranks beyond this are not tried for refinement: each direction costs up to two error variances, and one that holds
# so small a part of 32 directions' heterogeneity saves less.
_LARGEST_RANK = 32
# Relative risks closer than this are equal but for rounding (all directions apart, or none); the smaller rank stands.
_TIE = 1e-9
# James and Stein need three entries; with fewer the directions of the subspace are shrunk together.
_FEWEST_ENTRIES = 3


@dataclass(frozen=True, eq=False)
class Shrunk:
    """Members drawn towards the mean of the other members."""

    estimates: FloatArray  # (K, p, q); clients outside the set keep X_k
    basis: FloatArray  # (p, r), directions that have a weight of their own; fitted on all members when not given
    kept: FloatArray  # (K,), share of the own part off the subspace that is kept; 1 outside the set
    risk: FloatArray  # (K,), Stein's estimate of E‖Θ̃_k − Θ*_k‖² (an upper one off white errors); trace outside the set
    own_risk: FloatArray  # (K,), E‖E_k‖², the trace of the error's covariance


def stein_weight(constant: FloatArray, energy: FloatArray) -> FloatArray:
    """min(1, c/‖Z‖²), the share of the way towards the others; 0 where c is 0."""
    constant, energy = np.broadcast_arrays(np.maximum(constant, 0.0), energy)
    return np.divide(constant, energy, out=np.where(constant > 0, 1.0, 0.0), where=energy > constant)


def stein_risk(constant: FloatArray, energy: FloatArray, trace: FloatArray) -> FloatArray:
    """Stein's estimate of the risk under that weight: tr Σ − c²/‖Z‖² where it is below 1, else ‖Z‖² − tr Σ."""
    constant = np.maximum(constant, 0.0)
    whole = (constant > 0) & (energy <= constant)
    saved = np.divide(constant**2, energy, out=np.zeros_like(energy), where=energy > constant)
    return np.asarray(np.where(whole, energy - trace, trace - saved))


def shrink(
    blocks: FloatArray,
    members: BoolArray,
    weights: FloatArray,
    energy: ErrorEnergy,
    *,
    basis: FloatArray | None = None,
    targets: FloatArray | None = None,
) -> Shrunk:
    """Θ̃_k = X̄₋ₖ + Σ_g (1 − min(1, c_g/‖P_gZ‖²)) P_gZ, Z = X_k − X̄₋ₖ, c_g = tr Σ_g − 2λ_max(Σ_g), for every member.

    The P_g project on the single directions of the others' subspace and off all of them.  Without a ``basis`` the
    directions are the leading eigenvectors of the others' scatter, and their number is that with the smallest sum of
    estimated relative risks over the members.

    Parameters
    ----------
    blocks : array, shape (K, p, q)
    members : array of bool, shape (K,)
    weights : array, shape (K,)
        Positive on the members, best ∝ 1/σ_k².
    energy : ErrorEnergy
        Law of the errors.
    basis : array, shape (p, r), optional
        Known subspace, orthonormal.
    targets : array, shape (K, p, q), optional
        What each member is drawn towards in the place of the others' mean; must not depend on its own estimate.

    Returns
    -------
    Shrunk
    """
    n_members, (n_clients, p, q) = int(members.sum()), blocks.shape
    own_risk = np.array([energy.whole(k)[0] for k in range(n_clients)])
    if n_members < 2:
        return Shrunk(
            blocks.copy(), np.zeros((p, 0)) if basis is None else basis, np.ones(n_clients), own_risk.copy(), own_risk
        )
    count = max(min(p, (n_members - 2) * q, _LARGEST_RANK), 0)
    parts = []
    for others in each_without_itself(blocks, members, weights, count=count, basis=basis):
        towards = others if targets is None else replace(others, mean=targets[others.client])
        parts.append(_Parts.of(blocks, energy, towards))
    risks = np.stack([part.risks() for part in parts])
    rank = risks.shape[1] - 1
    if basis is None:
        size = np.maximum(own_risk[members], np.finfo(float).tiny)
        relative = np.sum(risks / size[:, None], axis=0)
        rank = int(np.argmax(relative <= relative.min() + _TIE * n_members))
    estimates, kept, risk = blocks.copy(), np.ones(n_clients), own_risk.copy()
    for part, estimated in zip(parts, risks, strict=True):
        k = part.others.client
        estimates[k], kept[k] = part.drawn(blocks[k], rank)
        risk[k] = estimated[rank]
    shared = leading_directions(blocks, members, weights, rank) if basis is None else basis
    return Shrunk(estimates, shared, kept, risk, own_risk)


@dataclass(frozen=True, eq=False)
class _Parts:
    """One client's distance from the others, direction by direction, beside the error that it holds."""

    others: Others
    energies: FloatArray  # (m,), ‖u_iᵀZ‖²
    traces: FloatArray  # (m,)
    largest: FloatArray  # (m,)
    whole: tuple[float, float, float]  # ‖Z‖², trace, largest eigenvalue
    apart: bool  # whether every direction has a weight of its own

    @classmethod
    def of(cls, blocks: FloatArray, energy: ErrorEnergy, others: Others) -> _Parts:
        distance = blocks[others.client] - others.mean
        inside = others.frame.T @ distance
        traces, largest = energy.along(others.client, others.frame)
        squared = np.einsum("ij,ij->i", inside, inside)
        whole = (float(np.sum(distance**2)), *energy.whole(others.client))
        return cls(others, squared, traces, largest, whole, distance.shape[1] >= _FEWEST_ENTRIES)

    def _off(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Constant, energy and trace off the first 0, 1, …, m directions, three arrays (m + 1,)."""
        energy, trace, largest = self.whole
        rest = np.maximum(energy - np.cumsum(np.r_[0.0, self.energies]), 0.0)
        left = np.maximum(trace - np.cumsum(np.r_[0.0, self.traces]), 0.0)
        return left - 2.0 * np.minimum(largest, left), rest, left

    def _inside(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The same along every direction (m,), or of the first 0, 1, … together (m + 1,)."""
        if self.apart:
            return self.traces - 2.0 * self.largest, self.energies, self.traces
        energy, trace = (np.cumsum(np.r_[0.0, part]) for part in (self.energies, self.traces))
        return trace - 2.0 * np.minimum(self.whole[2], trace), energy, trace

    def risks(self) -> FloatArray:
        """Estimated risk at 0, 1, …, m directions, (m + 1,)."""
        inside = stein_risk(*self._inside())
        return np.asarray((np.cumsum(np.r_[0.0, inside]) if self.apart else inside) + stein_risk(*self._off()))

    def drawn(self, block: FloatArray, rank: int) -> tuple[FloatArray, float]:
        """The client's refined estimate, and the share of its own part off the directions that it keeps."""
        frame = self.others.frame[:, :rank]
        distance = block - self.others.mean
        inside = frame.T @ distance
        constants, energies, _ = self._off()
        off = float(stein_weight(constants, energies)[rank])
        constants, energies, _ = self._inside()
        weights = stein_weight(constants, energies)
        weights = weights[:rank] if self.apart else np.full(rank, weights[rank])
        moved = frame @ ((weights - off)[:, None] * inside) + off * distance
        return block - moved, 1.0 - off
