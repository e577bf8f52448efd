"""The clients of one module on the scale on which they are compared, in a few leading directions.

Every fit on a set H of clients needs the weighted mean m = Σ_H c_kY_k/Σ_H c_k², the r leading eigenvectors U of the
scatter Σ_H (Y_k − c_km)(Y_k − c_km)ᵀ, and for every client ‖(I − UUᵀ)(Y_k − c_km)‖².  The norms ‖Y_k − c_km‖² come
from inner products of whole clients, U from the D leading coordinates.

See docs/derivations/joint_verdict.md, section 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clair_stats.detection.joint.module import Module
from clair_stats.detection.joint.scatter import leading_directions, shares_of
from clair_stats.records import BoolArray, FloatArray

__all__ = ["View", "view_of"]

# Energies below this share of a client's own are rounding: inner products in float64 are exact to about 1e-15 of the
# norms that enter, and a residual is a difference of several of them.
_ROUNDING = 1e-13
# The same for the norms that enter one difference: a client's own and that of the set's mean.
_OWN_ROUNDING = 1e-14
# The D leading directions of a set are those of each of its members too, so that a member's subspace fitted without it
# would lean towards it: up to .04 of log d; two orthogonal iterations in the whole space leave less than 1e-3.
_ITERATIONS = 2
# A module of zeros: no energy in the unit of a fit is that small, and its inverse can still be squared.
_NOTHING = float(np.finfo(np.float64).tiny ** 0.5)
# Leave-one-out fits in one go, so that no array holds more than this many numbers.
_MOST_NUMBERS = 2**23


@dataclass(frozen=True, eq=False)
class View:
    """One module, Y_k = s_kX_k."""

    module: Module
    scales: FloatArray  # (K,), s_k
    directions: FloatArray  # (p', D), orthonormal, V
    coordinates: FloatArray  # (K, D, q'), VᵀY_k
    scatters: FloatArray  # (K, D²), VᵀY_kY_kᵀV
    products: FloatArray  # (K, K), ⟨Y_k, Y_l⟩
    design: FloatArray  # (K,), c_k with which the common component enters; 0 without it
    floor: float  # energies below it are rounding for a client of median size

    def fits(self, masks: BoolArray, rank: int) -> tuple[FloatArray, FloatArray]:
        """Energies (N, K) off and inside the subspace fitted on each of N sets of clients (N, K).

        Parameters
        ----------
        masks : bool ndarray, shape (N, K)
        rank : int
            r.

        Returns
        -------
        tuple of ndarray, shape (N, K)
            Squared scale of the module.
        """
        total, floor = self._about_means(masks)
        if rank == 0:
            return np.maximum(total, floor), np.zeros(masks.shape)
        basis, mean = self._bases(masks, rank)
        inside = self._inside(basis, mean)
        return np.maximum(total - inside, floor), np.maximum(inside, floor)

    def fits_at_ranks(self, masks: BoolArray, most: int) -> FloatArray:
        """Energies off the subspaces of rank 0, …, ``most`` fitted on each of N sets (N, K), (most + 1, N, K).

        One decomposition serves all ranks: the energy along each leading direction is added up.

        Parameters
        ----------
        masks : bool ndarray, shape (N, K)
        most : int
            The largest rank.

        Returns
        -------
        ndarray, shape (most + 1, N, K)
            Squared scale of the module.
        """
        total, floor = self._about_means(masks)
        basis, mean = self._bases(masks, most)
        energies = np.zeros((most + 1, *masks.shape))
        for j in range(most):  # from the leading direction on
            energies[j + 1] = energies[j] + self._inside(basis[:, :, most - 1 - j, None], mean)
        return np.maximum(total - energies, floor)

    def leave_one_out(self, members: BoolArray, rank: int) -> tuple[FloatArray, FloatArray]:
        """Energies (K,) off and inside the subspace fitted on ``members`` without the client itself.

        Parameters
        ----------
        members : bool ndarray, shape (K,)
            True = in the set.
        rank : int
            r.

        Returns
        -------
        tuple of ndarray, shape (K,)
            Squared scale of the module.
        """
        masks = np.repeat(members[None], members.size, axis=0)
        np.fill_diagonal(masks, False)
        total, floor = (np.diag(found) for found in self._about_means(masks))
        if rank == 0:
            return np.maximum(total, floor), np.zeros(members.size)
        inside = np.empty(members.size)
        step = max(1, _MOST_NUMBERS // (self.coordinates[:, 0, :].size * rank))
        for start in range(0, members.size, step):
            clients = np.arange(start, min(start + step, members.size))
            sets = masks[clients].astype(np.float64)
            shares = shares_of(sets, self.design)
            leading = self._bases(masks[clients], rank)[0][:, :, ::-1]  # those that are zero are the last
            determined = leading.any(axis=1, keepdims=True)
            basis = self.directions @ leading  # (N, p', r)
            for _ in range(_ITERATIONS):
                basis = np.linalg.qr(self.module.scattered(self.scales, self.design, sets, shares, basis))[0]
                basis = basis * determined
            own = self.module.own_inner(self.scales, self.design, shares, clients, basis)  # (N, q', r)
            inside[clients] = np.einsum("nqr,nqr->n", own, own)
        return np.maximum(total - inside, floor), np.maximum(inside, floor)

    def _shares(self, masks: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Weights (N, K) with which the clients enter the mean of each set, and Σ_H c_k² (N,)."""
        weights = masks.astype(np.float64)
        mass = weights @ self.design**2
        return np.where(mass[:, None] > 0, weights * self.design / np.where(mass > 0, mass, 1.0)[:, None], 0.0), mass

    def _about_means(self, masks: BoolArray) -> tuple[FloatArray, FloatArray]:
        """‖Y_k − c_km‖² about the mean of each set, and what of it is rounding, (N, K) each."""
        share, _ = self._shares(masks)
        cross = share @ self.products  # ⟨m, Y_k⟩
        square = np.einsum("nk,nk->n", cross, share)  # ‖m‖²
        sizes = np.diag(self.products) + self.design**2 * square[:, None]
        # A large client fits its own start exactly; without a floor of its own the rounding of that zero would be told
        # as a number, and the best half would hang on the order of the clients.
        floor = np.maximum(self.floor, _OWN_ROUNDING * sizes)
        return np.asarray(sizes - 2.0 * self.design * cross), floor

    def _bases(self, masks: BoolArray, rank: int) -> tuple[FloatArray, FloatArray]:
        """Subspaces (N, D, r) and means (N, D, q') of each set, in the leading directions.

        Two updates of rank s determine 2s directions at most.  A further eigenvector would be any vector, by rounding,
        and with it the answer would hang on the order of the clients; it is set to zero and takes nothing out.
        """
        share, mass = self._shares(masks)
        n_clients, size, q = self.coordinates.shape
        mean = (share @ self.coordinates.reshape(n_clients, -1)).reshape(len(masks), size, q)
        scatter = (masks.astype(np.float64) @ self.scatters).reshape(len(masks), size, size)
        rounding = _ROUNDING * np.trace(scatter, axis1=1, axis2=2)
        scatter -= mass[:, None, None] * (mean @ mean.transpose(0, 2, 1))
        values, vectors = np.linalg.eigh(scatter)
        return vectors[:, :, -rank:] * (values[:, None, -rank:] > rounding[:, None, None]), mean

    def _inside(self, basis: FloatArray, mean: FloatArray) -> FloatArray:
        """‖Uᵀ(Y_k − c_km)‖² of all clients for N fits, basis (N, D, r) and mean (N, D, q'), (N, K)."""
        n_sets = len(basis)
        projector = basis @ basis.transpose(0, 2, 1)
        own = projector.reshape(n_sets, -1) @ self.scatters.T
        projected = projector @ mean
        cross = projected.reshape(n_sets, -1) @ self.coordinates.reshape(len(self.coordinates), -1).T
        square = np.einsum("ndq,ndq->n", projected, mean)
        return np.asarray(own - 2.0 * self.design * cross + self.design**2 * square[:, None])


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
    client has more weight than another; else those of the members' own scatter.

    Parameters
    ----------
    module : Module
    products : ndarray, shape (K, K)
        ⟨X_j, X_k⟩.
    scales : ndarray, shape (K,)
        s_k.
    design : ndarray, shape (K,)
        c_k.
    members : bool ndarray, shape (K,), or None
    count : int

    Returns
    -------
    View
    """
    scaled = products * scales[:, None] * scales
    if members is None:
        least = max(_ROUNDING * float(np.diag(scaled).max()), _NOTHING)
        votes = 1.0 / np.maximum(_about_mean(scaled, design), least)
    else:
        votes = members.astype(np.float64)
    directions = leading_directions(module, scales, design, votes, count)
    coordinates = np.ascontiguousarray(module.inner(directions).transpose(0, 2, 1)) * scales[:, None, None]
    scatters = (coordinates @ coordinates.transpose(0, 2, 1)).reshape(len(coordinates), -1)
    floor = _ROUNDING * max(float(np.median(np.diag(scaled))), float(np.finfo(float).tiny) / _ROUNDING)
    return View(module, scales, directions, coordinates, scatters, scaled, design, floor)


def _about_mean(products: FloatArray, design: FloatArray) -> FloatArray:
    """‖Y_k − c_km‖² about the mean of all clients, (K,)."""
    mass = float(design @ design)
    if mass == 0:
        return np.diag(products).copy()
    cross = products @ design / mass
    square = float(design @ cross) / mass
    return np.asarray(np.diag(products) - 2.0 * design * cross + design**2 * square)
