"""OptSpace (Keshavan, Montanari and Oh, IEEE Trans. Inf. Theory 56(6), 2010): low-rank matrices from some entries.

1. *Trimming*: columns with more than 2|E|/n observed entries, and rows with more than 2|E|/m, are left out.
2. *Projection*: leading r singular vectors X, Y of what remains.
3. *Cleaning*: F(X, Y) = min_S ½ Σ_{(i,j) ∈ E} (M_ij − (XSYᵀ)_ij)² falls along gradients on two Grassmannians, with
   Armijo's rule for the step (the paper's geodesics are replaced by retractions; its regulariser, which is for the
   proof, is left out).

Rank not told: the smallest (σ_{i+1} + σ_1 √(i/ε))/σ_i with ε = |E|/√(mn) (Keshavan and Oh, arXiv 0910.5260).

**Where every entry is observed** nothing is trimmed, since trimming counts entries and does not look at them, and the
truncated singular value decomposition is where F has its minimum (Eckart and Young), so that its gradient is zero: all
that remains is that decomposition, which outlying columns turn as far as they like.  Clients' estimates are complete,
so that this is what the baseline does, on the stack of the centred blocks: the directions of
:mod:`clair_stats.baselines.median_svd`.  Every client gets its projection, and nobody is named.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.baselines.fit import BaselineFit, centred_subspace, checked_input, on_moderate_scale
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import orthonormal_basis, project_on, stack
from clair_stats.records import BoolArray, FloatArray

__all__ = ["Completed", "complete", "guessed_rank", "optspace", "optspace_guessed", "trimmed"]

_ITERATIONS = 200
_TOLERANCE = 1e-10  # gradient over ‖M‖²; also of the decrease of F
_HALVINGS = 30
_SLOPE = 0.25  # share of the promised decrease that a step has to bring


class Completed(NamedTuple):
    """M ≈ X S Yᵀ."""

    left: FloatArray  # X, (m, r), orthonormal
    middle: FloatArray  # S, (r, r), scale of M
    right: FloatArray  # Y, (n, r), orthonormal
    iterations: int  # of step 3

    @property
    def matrix(self) -> FloatArray:
        """X S Yᵀ, shape (m, n)."""
        return np.asarray(self.left @ self.middle @ self.right.T, dtype=np.float64)


def trimmed(matrix: FloatArray, observed: BoolArray) -> FloatArray:
    """The observed entries, zero elsewhere and in rows and columns with more than twice their share.

    Parameters
    ----------
    matrix : ndarray, shape (m, n)
    observed : ndarray of bool, shape (m, n)

    Returns
    -------
    ndarray, shape (m, n)
        Scale of the matrix.
    """
    m, n = observed.shape
    total = int(observed.sum())
    kept = observed & (observed.sum(axis=0) * n <= 2 * total) & (observed.sum(axis=1)[:, None] * m <= 2 * total)
    return np.where(kept, matrix, 0.0)


def guessed_rank(matrix: FloatArray, observed: BoolArray) -> int:
    """The rank i with the smallest (σ_{i+1} + σ_1 √(i/ε))/σ_i; 0 for a zero matrix.

    Parameters
    ----------
    matrix : ndarray, shape (m, n)
    observed : ndarray of bool, shape (m, n)

    Returns
    -------
    int
    """
    m, n = matrix.shape
    values = np.linalg.svd(trimmed(matrix, observed), compute_uv=False)
    if not values.size or values[0] == 0.0:
        return 0
    following = np.append(values[1:], 0.0)
    rank = np.arange(1, len(values) + 1)
    size = observed.sum() / np.sqrt(m * n)
    positive = values > np.finfo(float).eps * values[0]
    ratios = (following + values[0] * np.sqrt(rank / size))[positive] / values[positive]
    return int(np.argmin(ratios)) + 1


def _middle(matrix: FloatArray, observed: BoolArray, left: FloatArray, right: FloatArray) -> FloatArray:
    """The S with the smallest F, by least squares over the observed entries."""
    if observed.all():
        return np.asarray(left.T @ matrix @ right, dtype=np.float64)
    rows, columns = np.nonzero(observed)
    rank = left.shape[1]
    design = (left[rows][:, :, None] * right[columns][:, None, :]).reshape(len(rows), rank * rank)
    found = np.linalg.lstsq(design, matrix[rows, columns], rcond=None)[0]
    return np.asarray(found.reshape(rank, rank), dtype=np.float64)


def complete(matrix: FloatArray, observed: BoolArray, rank: int) -> Completed:
    """Steps 1 to 3.

    Parameters
    ----------
    matrix : ndarray, shape (m, n)
        Entries that are not observed are not looked at, but must be finite.
    observed : ndarray of bool, shape (m, n)
    rank : int
        r.

    Returns
    -------
    Completed
        Scale of the matrix.
    """
    first, _, second = np.linalg.svd(trimmed(matrix, observed), full_matrices=False)
    left, right = np.ascontiguousarray(first[:, :rank]), np.ascontiguousarray(second[:rank].T)
    size = max(float(np.sum(np.where(observed, matrix, 0.0) ** 2)), np.finfo(float).tiny)
    middle = _middle(matrix, observed, left, right)
    rest = np.where(observed, left @ middle @ right.T - matrix, 0.0)
    loss, step = 0.5 * float(np.sum(rest**2)), 1.0
    for iteration in range(_ITERATIONS):
        of_left, of_right = rest @ right @ middle.T, rest.T @ left @ middle
        of_left, of_right = of_left - left @ (left.T @ of_left), of_right - right @ (right.T @ of_right)
        slope = float(np.sum(of_left**2) + np.sum(of_right**2))
        if slope <= (_TOLERANCE * size) ** 2:
            return Completed(left, middle, right, iteration)
        for _ in range(_HALVINGS):
            moved = np.linalg.qr(left - step / size * of_left)[0], np.linalg.qr(right - step / size * of_right)[0]
            following = _middle(matrix, observed, *moved)
            residual = np.where(observed, moved[0] @ following @ moved[1].T - matrix, 0.0)
            value = 0.5 * float(np.sum(residual**2))
            if value <= loss - _SLOPE * step / size * slope:
                break
            step /= 2.0
        else:
            return Completed(left, middle, right, iteration)
        fallen, loss = loss - value, value
        (left, right), middle, rest, step = moved, following, residual, 2.0 * step
        if fallen <= _TOLERANCE * loss:
            break
    return Completed(left, middle, right, iteration + 1)


def _fitted(record: ClientEstimates, rank: int | None) -> BaselineFit:
    blocks = record.dense()

    def subspace(centred: FloatArray) -> FloatArray:
        columns = stack(centred)
        everywhere = np.ones(columns.shape, dtype=np.bool_)
        chosen = guessed_rank(columns, everywhere) if rank is None else rank
        basis = complete(columns, everywhere, chosen).left
        if basis.shape[1] < chosen:  # fewer columns than r: any others complete the basis
            basis = orthonormal_basis(np.concatenate([basis, 1e-3 * np.eye(len(basis))], axis=1), chosen)
        return basis

    basis, centre = centred_subspace(blocks, subspace)
    return BaselineFit(centre + project_on(basis, blocks - centre), centre, basis)


@on_moderate_scale
def optspace(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """OptSpace on the stack of the centred blocks; every client gets its projection.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
    rank : int
        r.
    n_contaminated : int
        Checked, not used.
    level : float
        Not used.

    Returns
    -------
    BaselineFit
        Scale of the estimates; no collaborative set.

    Raises
    ------
    ValueError
        Rank outside 0 … p, or a number of contaminated clients outside 0 … K − 1.
    """
    return _fitted(checked_input(estimates, rank, n_contaminated), rank)


@on_moderate_scale
def optspace_guessed(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """OptSpace with the rank that its authors' rule takes.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
    rank : int
        Checked, not used.
    n_contaminated : int
        Checked, not used.
    level : float
        Not used.

    Returns
    -------
    BaselineFit
        Scale of the estimates; no collaborative set.

    Raises
    ------
    ValueError
        Rank outside 0 … p, or a number of contaminated clients outside 0 … K − 1.
    """
    return _fitted(checked_input(estimates, rank, n_contaminated), None)
