"""The clients of one module on the scale on which they are compared, in a few leading directions.

Every fit on a set H of clients needs the weighted mean m = Σ_H c_kY_k/Σ_H c_k², the r leading eigenvectors U of the
scatter Σ_H Y_kY_kᵀ − (Σ_H c_k²) m mᵀ, and for every client ‖(I − UUᵀ)(Y_k − c_km)‖².  The norms ‖Y_k − c_km‖² come
from inner products of whole clients, U and what lies inside it from the D leading coordinates alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clair_stats.detection.joint.module import Module, leading_directions
from clair_stats.records import BoolArray, FloatArray

__all__ = ["View", "view_of"]

# Energies below this share of a client's own are rounding: inner products in float64 are exact to about 1e-15 of the
# norms that enter, and a residual is a difference of several of them.
_ROUNDING = 1e-13


@dataclass(frozen=True, eq=False)
class View:
    """One module, Y_k = s_kX_k."""

    coordinates: FloatArray  # (K, D, q'), VᵀY_k
    scatters: FloatArray  # (K, D²), VᵀY_kY_kᵀV
    products: FloatArray  # (K, K), ⟨Y_k, Y_l⟩
    design: FloatArray  # (K,), c_k with which the common component enters; 0 without it
    floor: float  # energies below it are rounding

    def fits(self, masks: BoolArray, rank: int) -> tuple[FloatArray, FloatArray]:
        """Energies (N, K) off and inside the subspace fitted on each of N sets of clients (N, K)."""
        n_sets, n_clients = masks.shape
        _, size, q = self.coordinates.shape
        weights = masks.astype(np.float64)
        mass = weights @ self.design**2
        share = np.where(mass[:, None] > 0, weights * self.design / np.where(mass > 0, mass, 1.0)[:, None], 0.0)
        cross = share @ self.products  # ⟨m, Y_k⟩
        square = np.einsum("nk,nk->n", cross, share)  # ‖m‖²
        total = np.diag(self.products) - 2.0 * self.design * cross + self.design**2 * square[:, None]
        if rank == 0:
            return np.maximum(total, self.floor), np.zeros((n_sets, n_clients))
        flat = self.coordinates.reshape(n_clients, -1)
        mean = (share @ flat).reshape(n_sets, size, q)
        scatter = (weights @ self.scatters).reshape(n_sets, size, size)
        scatter -= mass[:, None, None] * (mean @ mean.transpose(0, 2, 1))
        basis = np.linalg.eigh(scatter)[1][:, :, -rank:]
        inside = self._inside(basis, mean)
        return np.maximum(total - inside, self.floor), np.maximum(inside, self.floor)

    def _inside(self, basis: FloatArray, mean: FloatArray) -> FloatArray:
        """‖Uᵀ(Y_k − c_km)‖² of all clients for N fits, basis (N, D, r) and mean (N, D, q'), (N, K)."""
        n_sets = len(basis)
        projector = basis @ basis.transpose(0, 2, 1)
        own = projector.reshape(n_sets, -1) @ self.scatters.T
        projected = projector @ mean
        cross = projected.reshape(n_sets, -1) @ self.coordinates.reshape(len(self.coordinates), -1).T
        square = np.einsum("ndq,ndq->n", projected, mean)
        return np.asarray(own - 2.0 * self.design * cross + self.design**2 * square[:, None])

    def leave_one_out(self, members: BoolArray, rank: int) -> tuple[FloatArray, FloatArray]:
        """Energies (K,) off and inside the subspace fitted on ``members`` without the client itself."""
        own = np.flatnonzero(members)
        without = np.repeat(members[None], own.size, axis=0)
        without[np.arange(own.size), own] = False
        masks = np.concatenate([members[None], without])
        off, inside = self.fits(masks, rank)
        rows = np.zeros(members.size, dtype=np.int64)
        rows[own] = 1 + np.arange(own.size)
        clients = np.arange(members.size)
        return off[rows, clients], inside[rows, clients]


def view_of(
    module: Module,
    *,
    products: FloatArray,
    scales: FloatArray,
    design: FloatArray,
    members: BoolArray | None,
    count: int,
) -> View:
    """The module on the scale ``scales`` s_k (K,), in the ``count`` leading directions of some clients.

    With ``members`` None the directions are those of all clients, each about the centre and on norm one, so that no
    client has more say than another; else those of the members' own scatter.
    """
    scaled = products * scales[:, None] * scales
    if members is None:
        votes = 1.0 / np.maximum(_about_mean(scaled, design), _ROUNDING * float(np.diag(scaled).max()))
    else:
        votes = members.astype(np.float64)
    weights = np.diag(votes)
    mass = float(votes @ design**2)
    if mass > 0:
        weights = weights - np.outer(votes * design, votes * design) / mass
    directions = leading_directions(module, weights * scales[:, None] * scales, count)
    coordinates = module.along(directions) * scales[:, None, None]
    scatters = (coordinates @ coordinates.transpose(0, 2, 1)).reshape(len(coordinates), -1)
    floor = _ROUNDING * max(float(np.median(np.diag(scaled))), float(np.finfo(float).tiny) / _ROUNDING)
    return View(coordinates, scatters, scaled, design, floor)


def _about_mean(products: FloatArray, design: FloatArray) -> FloatArray:
    """‖Y_k − c_km‖² about the mean of all clients, (K,)."""
    mass = float(design @ design)
    if mass == 0:
        return np.diag(products).copy()
    cross = products @ design / mass
    square = float(design @ cross) / mass
    return np.asarray(np.diag(products) - 2.0 * design * cross + design**2 * square)
