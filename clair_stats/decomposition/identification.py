"""Program (E) finished from its identified structure: guess span and support, solve the rest, have it certified.

After a few splitting steps the support O of S and the rank r of L no longer change.  If the blocks outside O then lie
in one r-dimensional column space U (up to a common block), the solution is that of the *oracle problem* of theory.md
section 3, with col(L) ⊂ span(U) and S_C = 0 imposed.  In coordinates y = UᵀX it reads

    min over z_k, k ∈ O:   ‖z(I − Π)‖_* + Σ_{k∈O} λ_k (d_k² + ‖y_k − z_k‖_F²)^{1/2},      z_k = y_k on C,

with d_k the part of X_k off U: r × q numbers per contaminated client and r × r spectra, smooth, and solved to rounding.
The dual point is the one of the instance certificate.  Nothing here needs to be believed: the certificate measures the
gap of the full program at the point returned, and a wrong guess sends the caller back to splitting.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from clair_stats.decomposition.points import SolverPoint
from clair_stats.decomposition.problem import Problem, tall_norms
from clair_stats.records import BoolArray, FloatArray

__all__ = ["finish_identified", "reduced_solution"]

# Benign blocks count as exactly of rank r below this relative remainder; noise sends the problem back to splitting.
_EXACT = 1e-9
_REDUCED_ITERATIONS = 200
_MEMORY = 6


def finish_identified(
    problem: Problem, support: BoolArray, basis: FloatArray, n_iterations: int, *, tolerance: float
) -> SolverPoint | None:
    """The oracle point for a support of S and an approximate basis (p, r) of col(L), or None when it cannot exist."""
    n_clients, q, p = problem.tall.shape
    benign = ~support
    n_benign = int(benign.sum())
    if n_benign == 0 or 2 * basis.shape[1] > p:
        return None
    center = problem.tall[benign].mean(axis=0) if problem.common_component else np.zeros((q, p))
    inside = problem.tall[benign]
    inside -= center
    flat = inside.reshape(-1, p)
    span = _refined_basis(flat, basis)
    coordinates = flat @ span
    size = float(np.linalg.norm(coordinates))
    if size == 0.0 or _remainder(flat, coordinates, span, q) > _EXACT * size:
        return None
    outside = problem.tall[support]
    outside -= center
    offered = outside.reshape(-1, p) @ span
    off_span = outside.reshape(-1, p) - offered @ span.T
    rank = span.shape[1]
    offered = offered.reshape(-1, q, rank)
    off_norms = tall_norms(off_span.reshape(-1, q, p))
    if off_norms.size and float(off_norms.min()) <= 0.0:
        return None
    solved = reduced_solution(
        coordinates.T @ coordinates,
        offered,
        off_norms,
        problem.penalties[support],
        n_clients if problem.common_component else None,
        tolerance=0.1 * tolerance,
    )
    if solved is None:
        return None
    return _lift(problem, support, span, coordinates.reshape(-1, q, rank), offered, off_span, solved, n_iterations)


def _refined_basis(matrix: FloatArray, basis: FloatArray) -> FloatArray:
    """Orthonormal basis of the row space of an n × p matrix of rank r, from an approximate one: one power step.

    Orthonormalising between the two products keeps the accuracy of a QR, where a Gram matrix would square the
    condition.
    """
    left, _ = np.linalg.qr(matrix @ basis)
    span, _ = np.linalg.qr(matrix.T @ left)
    return np.asarray(span, dtype=np.float64)


def _remainder(matrix: FloatArray, coordinates: FloatArray, span: FloatArray, rows: int) -> float:
    """‖matrix − coordinates·spanᵀ‖_F in pieces of at least ``rows`` rows, so that no second stack is needed."""
    rows = max(rows, (1 << 16) // matrix.shape[1])
    total = 0.0
    for start in range(0, len(matrix), rows):
        piece = slice(start, start + rows)
        rest = matrix[piece] - coordinates[piece] @ span.T
        total += float(np.vdot(rest, rest))
    return float(np.sqrt(total))


def reduced_solution(
    gram: FloatArray,
    offered: FloatArray,
    off_norms: FloatArray,
    penalties: FloatArray,
    n_clients: int | None,
    *,
    tolerance: float,
) -> FloatArray | None:
    """z_O of the oracle problem, shape (|O|, q, r), or None when it does not settle.

    Parameters
    ----------
    gram : ndarray, shape (r, r)
        Σ_{k∈C} z_kᵀz_k, coordinates centred on C when M is free.
    offered : ndarray, shape (|O|, q, r)
        y_k on O in the same coordinates.
    off_norms, penalties : ndarray, shape (|O|,)
        d_k and λ_k.
    n_clients : int or None
        K when M is free, None when M = 0.
    tolerance : float
        On the relative change of z.

    Notes
    -----
    Fixed point of the variational forms ‖z‖_* = min_W ½(tr W⁻¹zᵀz + tr W), ‖s‖ = min_a ½(‖s‖²/a + a): for given W =
    (zᵀz)^{1/2} and a_k = ‖S_k‖_F/λ_k the minimiser over z is explicit in the eigenbasis of W.  Anderson acceleration
    over the last few iterates makes the linear convergence fast; the point stays a fixed point of the plain map.
    """
    share = 0.0 if n_clients is None else 1.0 / n_clients
    z = np.zeros_like(offered)
    steps: list[FloatArray] = []
    images: list[FloatArray] = []
    scale = max(float(np.linalg.norm(offered)), float(np.finfo(np.float64).tiny))
    for _ in range(_REDUCED_ITERATIONS):
        flat = z.reshape(-1, z.shape[2])
        total = z.sum(axis=0)
        values, rotation = np.linalg.eigh(gram + flat.T @ flat - share * (total.T @ total))
        if values[0] <= 0.0:
            return None
        w = np.sqrt(values)
        sizes = np.sqrt(off_norms**2 + tall_norms(offered - z) ** 2)
        a = (sizes / penalties)[:, None]
        turned = offered @ rotation
        image = turned * (w / (w + a))[:, None, :]
        if share:
            pull = a / (w + a)
            mean = image.sum(axis=0) / (1.0 - share * pull.sum(axis=0))
            image += (share * mean) * pull[:, None, :]
        image = image @ rotation.T
        step = image - z
        if float(np.linalg.norm(step)) <= tolerance * scale:
            return np.asarray(image, dtype=np.float64)
        steps.append(step.ravel())
        images.append(image.ravel())
        del steps[:-_MEMORY], images[:-_MEMORY]
        z = image
        if len(steps) > 1:
            differences = np.stack([late - early for early, late in pairwise(steps)])
            products = differences @ differences.T
            products[np.diag_indices_from(products)] *= 1.0 + 1e-12
            try:
                weights = np.linalg.solve(products, differences @ steps[-1])
            except np.linalg.LinAlgError:  # two equal steps: nothing to extrapolate from
                continue
            change = np.stack([late - early for early, late in pairwise(images)])
            z = image - (weights @ change).reshape(image.shape)
    return None


def _lift(
    problem: Problem,
    support: BoolArray,
    span: FloatArray,
    inside: FloatArray,
    offered: FloatArray,
    off_span: FloatArray,
    z: FloatArray,
    n_iterations: int,
) -> SolverPoint | None:
    """The full primal point, and the dual point Q = polar + λ P_{U⊥}H(I − Ṽ(ṼᵀP_CṼ)⁻¹ṼᵀP_C)."""
    n_clients, q, p = problem.tall.shape
    rank = span.shape[1]
    benign = ~support
    missing = offered - z
    sparse_outside = (off_span + missing.reshape(-1, rank) @ span.T).reshape(-1, q, p)
    sparse = np.zeros_like(problem.tall)
    sparse[support] = sparse_outside
    low_rank = problem.tall - sparse
    common = np.zeros((q, p))

    coordinates = np.empty((n_clients, q, rank))
    coordinates[support], coordinates[benign] = z, inside
    if problem.common_component:
        common = low_rank.mean(axis=0)
        low_rank -= common
        coordinates -= coordinates.mean(axis=0)
    flat = coordinates.reshape(-1, rank)
    values, rotation = np.linalg.eigh(flat.T @ flat)
    polar = coordinates @ ((rotation / np.sqrt(values)) @ rotation.T)  # V', (K, q, r)

    normals = off_span.reshape(-1, q, p) * (problem.penalties[support] / tall_norms(sparse_outside))[:, None, None]
    right = [polar[support].reshape(-1, rank).T @ normals.reshape(-1, p)]
    polar_benign = polar[benign].reshape(-1, rank)
    if problem.common_component:
        mixed = polar[benign].sum(axis=0) / np.sqrt(n_clients)  # (q, r), benign rows of V' against those of 1⊗I/√K
        share = benign.sum() / n_clients
        normal_matrix = np.block([[polar_benign.T @ polar_benign, mixed.T], [mixed, share * np.eye(q)]])
        right.append(normals.sum(axis=0) / np.sqrt(n_clients))
    else:
        normal_matrix = polar_benign.T @ polar_benign
    try:
        multipliers = np.linalg.solve(normal_matrix, np.concatenate(right))
    except np.linalg.LinAlgError:  # benign rows do not separate V' from the common block: no such dual point
        return None
    dual = np.empty_like(problem.tall)
    np.matmul(polar.reshape(-1, rank), span.T - multipliers[:rank], out=dual.reshape(-1, p))
    if problem.common_component:
        dual -= multipliers[rank:] / np.sqrt(n_clients)
    normals += (polar[support].reshape(-1, rank) @ span.T).reshape(-1, q, p)
    dual[support] = normals
    return SolverPoint(common, low_rank, sparse, dual, n_iterations, "identified")
