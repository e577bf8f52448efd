"""Least squares for the subspace and the common component on a given set of clients, and its residuals.

On a set C the minimiser of Σ_{k∈C} ‖(I − P_U)(X_k − M)‖_F²/s_k² is the weighted mean for M and the r leading
eigenvectors of the weighted scatter about it for U.  This is the oracle fit when C is the benign set.

See docs/derivations/detection.md, sections 1 and 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clair_stats.detection.covariance import FULL_LEVERAGE
from clair_stats.detection.panel import Panel
from clair_stats.linalg import project_off, symmetric_eigen
from clair_stats.records import BoolArray, FloatArray

__all__ = [
    "ROUNDING",
    "Residuals",
    "SharedFit",
    "centre_and_scatter",
    "centred_blocks",
    "fit_shared",
    "given_fit",
    "hat_blocks",
    "inside_subspace",
    "mean_leverages",
    "residuals_along",
    "standardised_residuals",
]


ROUNDING = 1e-12  # of the largest eigenvalue of a scatter: coefficients below are rounding
# Leverage of a client outside a set from which its energy off B_k is computed and not a difference: that of a benign
# client is about r/n.
_FAR = 1e3
_SPECTRA_KEPT = 4  # sets; a p × p and a p × q array each


@dataclass(frozen=True, eq=False)
class SharedFit:
    """A subspace, a common component and the clients they were fitted on."""

    basis: FloatArray  # (p, r)
    common: FloatArray  # (p, q), scale of the X_k
    members: BoolArray  # (K,), clients in the fit; all False when basis and common were given
    eigenvalues: FloatArray  # (p,), descending, of the scatter of the members; empty when given
    vectors: FloatArray  # (p, p), its eigenvectors, of which the basis are the first; empty when given


@dataclass(frozen=True, eq=False)
class Residuals:
    """Energies of the off-subspace residuals R_k = (I − P_U)(Y_k − c_k M) of all clients against one fit."""

    raw: FloatArray  # (K,), ‖R_k‖_F²
    standardised: FloatArray  # (K,), T_k = tr R_k (I ∓ H_kk)^{-1} R_kᵀ, − for members; H: hat matrix, linearised fit
    degrees: FloatArray  # (K,), (p − r)(q − number of directions that client k fits alone)
    leverage: FloatArray  # (K,), the largest share that a member has in a direction of the fit; 0 outside the fit


def fit_shared(panel: Panel, members: BoolArray, rank: int) -> SharedFit:
    """Weighted least squares on ``members``.

    Parameters
    ----------
    panel : Panel
    members : bool ndarray, shape (K,)
        True = in the set.
    rank : int
        r.

    Returns
    -------
    SharedFit
    """
    common, values, vectors = _spectrum(panel, members)
    # Singular vectors of the stack, not eigenvectors of its square, when noise is near rounding: squaring would lose
    # every direction below 1e-8 of the largest, and the same goes for what the members are together away from the
    # robust centre, which is subtracted from their moments.  The Gram route is ten times faster and exact enough
    # otherwise.
    apart = common - panel.robust_centre if panel.moments is not None and panel.common_component else np.zeros(1)
    subtracted = float(np.sum(panel.design[members] ** 2) * np.sum(apart**2))
    if rank < values.size and values[rank] < 1e-12 * max(float(values[0]), subtracted):
        common, tall = _stacked(panel, members)
        vectors, singular, _ = np.linalg.svd(tall, full_matrices=tall.shape[1] < values.size)
        values = np.zeros(values.size)
        values[: singular.size] = singular**2
    return SharedFit(
        np.ascontiguousarray(vectors[:, :rank]), common, members.copy(), np.asarray(np.maximum(values, 0.0)), vectors
    )


def _spectrum(panel: Panel, members: BoolArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Common component, eigenvalues (descending) and eigenvectors of the members' scatter, whatever the rank.

    The panel keeps those of the last few sets: step 1 asks for one set at every rank.
    """
    key = members.tobytes()
    if key not in panel.spectra:
        common, scatter = centre_and_scatter(panel, members)
        values, vectors = symmetric_eigen(scatter)
        while len(panel.spectra) >= _SPECTRA_KEPT:
            del panel.spectra[next(iter(panel.spectra))]
        panel.spectra[key] = common, values[::-1], vectors[:, ::-1]
    return panel.spectra[key]


def centre_and_scatter(panel: Panel, members: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Common component (p, q) of the members and the scatter (p, p) of Y_k − c_kM over them.

    As sums over clients where the panel has their moments: then many sets cost little more than one.

    Parameters
    ----------
    panel : Panel
    members : bool ndarray, shape (K,)
        True = in the set.

    Returns
    -------
    tuple of ndarray, shapes (p, q) and (p, p)
    """
    if panel.large:
        return _in_parts(panel, members)
    if panel.moments is None:
        common, tall = _stacked(panel, members)
        return common, tall @ tall.T
    shifted, scatters = panel.moments
    _, p, q = panel.shape
    weights = members.astype(np.float64)
    scatter = (weights @ scatters).reshape(p, p)
    if not panel.common_component:
        return panel.robust_centre, scatter
    mass = float(weights @ panel.design**2)
    shift = ((weights * panel.design) @ shifted).reshape(q, p).T / mass
    return panel.robust_centre + shift, scatter - mass * (shift @ shift.T)


def _in_parts(panel: Panel, members: BoolArray) -> tuple[FloatArray, FloatArray]:
    """The same for stacks too large for a copy of the members' blocks."""
    n_clients, p, q = panel.shape
    common = np.zeros((p, q))
    if panel.common_component:
        weights = np.where(members, panel.design, 0.0)
        common = (weights @ panel.blocks.reshape(n_clients, -1)).reshape(p, q) / float(weights @ weights)
    scatter = np.zeros((p, p))
    for part in panel.parts:
        chosen = members[part]
        blocks = panel.blocks[part][chosen] - panel.design[part][chosen, None, None] * common
        tall = blocks.transpose(1, 0, 2).reshape(p, -1)
        scatter += tall @ tall.T
    return common, scatter


def _stacked(panel: Panel, members: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Common component of the members, and their blocks about it side by side."""
    blocks, design = panel.blocks[members], panel.design[members]
    p, q = blocks.shape[1:]
    if not panel.common_component:
        return np.zeros((p, q)), blocks.transpose(1, 0, 2).reshape(p, -1)
    common = np.tensordot(design, blocks, axes=1) / float(design @ design)
    return common, (blocks - design[:, None, None] * common).transpose(1, 0, 2).reshape(p, -1)


def given_fit(panel: Panel, basis: FloatArray, common: FloatArray) -> SharedFit:
    """Wrap a basis and common component that owe nothing to these clients.

    Parameters
    ----------
    panel : Panel
    basis : ndarray, shape (p, r)
        Orthonormal columns.
    common : ndarray, shape (p, q)
        M.

    Returns
    -------
    SharedFit
    """
    return SharedFit(basis, common, np.zeros(panel.shape[0], dtype=np.bool_), np.zeros(0), np.zeros((0, 0)))


def centred_blocks(panel: Panel, fit: SharedFit, chosen: slice | BoolArray = slice(None)) -> FloatArray:
    """Y_k − c_k M, shape (K, p, q), or of the chosen clients alone.

    Parameters
    ----------
    panel : Panel
    fit : SharedFit
    chosen : slice or bool ndarray, shape (K,)
        Which clients; all by default.

    Returns
    -------
    ndarray, shape (K, p, q)
    """
    blocks, design = panel.blocks[chosen], panel.design[chosen]
    if not panel.common_component:
        return blocks
    if design.size and np.ptp(design) == 0.0:  # one product for all clients; this is an inner loop
        return np.asarray(blocks - design[0] * fit.common)
    return blocks - design[:, None, None] * fit.common


def inside_subspace(panel: Panel, fit: SharedFit) -> FloatArray:
    """Uᵀ(Y_k − c_k M), shape (K, r, q).

    Parameters
    ----------
    panel : Panel
    fit : SharedFit

    Returns
    -------
    ndarray, shape (K, r, q)
    """
    return np.concatenate([fit.basis.T @ centred_blocks(panel, fit, part) for part in panel.parts])


def residuals_along(panel: Panel, fit: SharedFit, directions: FloatArray) -> FloatArray:
    """DᵀR_k for directions D (p, s), shape (K, s, q).

    Parameters
    ----------
    panel : Panel
    fit : SharedFit
    directions : ndarray, shape (p, s)

    Returns
    -------
    ndarray, shape (K, s, q)
    """
    parts = (project_off(fit.basis, centred_blocks(panel, fit, part)) for part in panel.parts)
    return np.concatenate([directions.T @ residual for residual in parts])


def standardised_residuals(panel: Panel, fit: SharedFit) -> Residuals:
    """Residual energies corrected for what each client itself contributed to the fit.

    T_k/φ² is χ² with ``degrees`` degrees of freedom to first order in the noise (docs/derivations/detection.md); with
    covariances of the errors T_k is the trace of section 7 there.

    Parameters
    ----------
    panel : Panel
    fit : SharedFit

    Returns
    -------
    Residuals
    """
    n_clients, p, q = panel.shape
    rank = fit.basis.shape[1]
    if panel.covariances is not None:
        centred = centred_blocks(panel, fit)
        inside = fit.basis.T @ centred  # (K, r, q)
        residual = centred - fit.basis @ inside
        raw = np.einsum("kij,kij->k", residual, residual)
        between, precision = panel.covariances.off_subspace(residual, fit.basis)
        hat, shares = hat_blocks(panel, fit, inside), mean_leverages(panel, fit.members)
        statistics, columns, leverage = panel.covariances.standardised(between, precision, hat, fit.members, shares)
        return Residuals(raw, statistics, (p - rank) * columns, np.where(fit.members, leverage, 0.0))
    raw, energies, leverages, elsewhere = _energies(panel, fit)
    degrees = np.full(n_clients, float((p - rank) * q))
    members = fit.members
    if not members.any():
        return Residuals(raw, raw.copy(), degrees, np.zeros(n_clients))
    shares = mean_leverages(panel, members)
    own = np.where(members, 1.0 - shares, 1.0 + shares)
    if rank == 0:
        return Residuals(raw, raw / np.maximum(own, 1e-12), degrees, np.zeros(n_clients))
    # Woodbury on (own I ∓ B Bᵀ): only r × r systems, whatever q.
    remaining = own[:, None] - np.where(members[:, None], leverages, -leverages)
    full = members[:, None] & (remaining < own[:, None] * (1.0 - FULL_LEVERAGE))
    safe = np.where(full, 1.0, remaining)
    correction = np.where(full, 0.0, energies / safe).sum(axis=1)
    # Outside the set, ‖R_kb‖²/‖b‖² own/(own + ‖b‖²) by direction b, where raw − Σ energies/remaining would cancel: a
    # client of 1e155 beside ones of 1 was benign with p = 1.
    along = np.where(leverages > 0.0, energies / np.where(leverages > 0.0, leverages, 1.0), 0.0)
    apart = elsewhere + (along * (own[:, None] / safe)).sum(axis=1)
    standardised = np.where(members, raw + correction, apart) / np.maximum(own, 1e-12)
    return Residuals(
        raw,
        np.maximum(standardised, 0.0),
        degrees - (p - rank) * full.sum(axis=1),
        np.where(members, leverages.max(axis=1, initial=0.0), 0.0),
    )


def mean_leverages(panel: Panel, members: BoolArray) -> FloatArray:
    """c_k²/Σ_C c_j², shape (K,): the share of client k in the common component of a fit on C; 0 without one.

    Parameters
    ----------
    panel : Panel
    members : bool ndarray, shape (K,)
        True = in C.

    Returns
    -------
    ndarray, shape (K,)
    """
    if not (panel.common_component and members.any()):
        return np.zeros(members.size)
    return np.asarray(panel.design**2 / float(np.sum(panel.design[members] ** 2)))


def _energies(panel: Panel, fit: SharedFit) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """‖R_k‖_F² (K,), ‖R_kB_k‖² along the eigenvectors of B_kᵀB_k (K, r'), its eigenvalues (K, r'), ‖R_k‖² off B_k (K,).

    The last is for clients outside the set.
    """
    inside = inside_subspace(panel, fit)
    leveraged = bool(fit.members.any()) and fit.basis.shape[1] > 0
    rows = _leverage_rows(inside, fit.members, panel.floor) if leveraged else inside[:, :0]
    leverages, axes = symmetric_eigen(rows @ rows.transpose(0, 2, 1))
    raw, energies = np.empty(len(inside)), np.empty(leverages.shape)
    used = leverages > ROUNDING * leverages.max(axis=1, initial=0.0, keepdims=True)
    turned = rows.transpose(0, 2, 1) @ axes
    far = ~fit.members & (leverages.max(axis=1, initial=0.0) > _FAR)
    off = {}
    for part in panel.parts:
        residual = centred_blocks(panel, fit, part) - fit.basis @ inside[part]
        raw[part] = np.einsum("kij,kij->k", residual, residual)
        if leveraged:
            cross = residual @ turned[part]  # R_k B_k in the eigenbasis
            energies[part] = np.einsum("kij,kij->kj", cross, cross)
            for number in np.flatnonzero(far[part]):
                k = part.start + number
                columns = turned[k][:, used[k]] / np.sqrt(leverages[k, used[k]])
                off[k] = float(np.sum((residual[number] - residual[number] @ columns @ columns.T) ** 2))
    energies = np.where(used, energies, 0.0)
    along = np.divide(energies, leverages, out=np.zeros_like(energies), where=used)
    elsewhere = np.maximum(raw - along.sum(axis=1), 0.0)
    for k, energy in off.items():  # far outside, the difference is rounding
        elsewhere[k] = energy
    return raw, energies, leverages, elsewhere


def _leverage_rows(inside: FloatArray, members: BoolArray, floor: float) -> FloatArray:
    """B_kᵀ = (ΣÃᵀÃ)^{-1/2} Ã_kᵀ of every client from the parts inside the subspace (K, r, q), shape (K, r', q).

    Directions in which the members' coefficients are rounding, ``floor``, are left out.
    """
    own = inside[members].transpose(1, 0, 2).reshape(inside.shape[1], -1)
    values, vectors = symmetric_eigen(own @ own.T)
    keep = values > max(ROUNDING * float(values[-1]), floor**2)
    root = vectors[:, keep] / np.sqrt(values[keep])  # (r, r')
    return np.asarray(root.T @ inside)


def hat_blocks(panel: Panel, fit: SharedFit, inside: FloatArray | None = None) -> FloatArray:
    """H_kk = c_k²/Σc² I + B_kB_kᵀ of every client in the linearised fit, shape (K, q, q); 0 for a given fit.

    Parameters
    ----------
    panel : Panel
    fit : SharedFit
    inside : ndarray, shape (K, r, q), optional
        Uᵀ(Y_k − c_kM), for a caller that has it.

    Returns
    -------
    ndarray, shape (K, q, q)
    """
    q = panel.shape[2]
    members = fit.members
    hat = mean_leverages(panel, members)[:, None, None] * np.eye(q)
    if members.any() and fit.basis.shape[1]:
        if inside is None:
            inside = fit.basis.T @ centred_blocks(panel, fit)
        rows = _leverage_rows(inside, members, panel.floor)
        hat += rows.transpose(0, 2, 1) @ rows
    return hat
