"""The three convex programs as data: estimates, penalties, residual and objective.

Programs (E), (B) and (N) of theory.md section 2 differ only in what may be left over in X − 1ᵀ⊗M − L − S: nothing, a
ball, or anything at a quadratic price.  One record holds all three, so that every solver and the certificate read the
same problem.

In this package a stack is an array (K, q, p), blocks transposed ("tall"): then the Gram matrix of X is one product of
contiguous arrays, every block is one contiguous piece of memory, and the mean block is one reduction.  Measured at
(p, q, K) = (256, 64, 100), thresholding singular values through that Gram matrix costs 0.13 economy SVDs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clair_stats.records import FloatArray, Program

__all__ = [
    "Problem",
    "from_tall",
    "nuclear_norm",
    "objective",
    "residual",
    "tall_norms",
    "to_tall",
]

# A part of the spectrum below this fraction of ‖L‖_* is bounded instead of computed.
_NEGLIGIBLE = 1e-12


def to_tall(blocks: FloatArray) -> FloatArray:
    """(K, p, q) to the contiguous array (K, q, p).

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)

    Returns
    -------
    ndarray, shape (K, q, p)
        A copy.
    """
    # Not ascontiguousarray: the transpose of one column is contiguous already, and would not be copied.
    return np.array(blocks.transpose(0, 2, 1), order="C")


def from_tall(tall: FloatArray) -> FloatArray:
    """(K, q, p) to (K, p, q), or (q, p) to (p, q): a view, nothing is copied.

    Parameters
    ----------
    tall : ndarray, shape (K, q, p) or (q, p)

    Returns
    -------
    ndarray, shape (K, p, q) or (p, q)
        A view.
    """
    return np.swapaxes(tall, -1, -2)


def tall_norms(tall: FloatArray) -> FloatArray:
    """Frobenius norm of every block of a stack whose entries are of moderate size, shape (K,).

    Parameters
    ----------
    tall : ndarray, shape (K, q, p)

    Returns
    -------
    ndarray, shape (K,)
        Scale of the stack.
    """
    flat = tall.reshape(tall.shape[0], tall.shape[1] * tall.shape[2])
    return np.asarray(np.sqrt(np.einsum("ki,ki->k", flat, flat)), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Problem:
    """One instance of program (E), (B) or (N).

    Front doors scale the entries to moderate size (by a power of two) and, with M free, take the mean block out: it
    moves M only (equivariance (v)), and without it sums of squares and inner products keep their accuracy.

    Parameters
    ----------
    tall : ndarray, shape (K, q, p)
        The stack X.
    penalties : ndarray, shape (K,)
        λ_k = λ·ω_k, the weight of ‖S_k‖_F (all equal to λ without client weights).
    noise_penalty : float
        τ; program (N) when positive.
    noise_radius : float or None
        ε; program (B) when not None.
    common_component : bool
        Whether M is free.
    """

    tall: FloatArray
    penalties: FloatArray
    noise_penalty: float = 0.0
    noise_radius: float | None = None
    common_component: bool = True

    @property
    def program(self) -> Program:
        """Which of the three programs this is."""
        if self.noise_penalty > 0:
            return "N"
        return "E" if self.noise_radius is None else "B"

    @property
    def operator_bound(self) -> float:
        """Largest ‖Q‖_op of a dual point: 1, or τ for program (N)."""
        return self.noise_penalty if self.noise_penalty > 0 else 1.0

    @property
    def block_bounds(self) -> FloatArray:
        """Largest ‖Q_k‖_F of a dual point, shape (K,)."""
        return self.operator_bound * self.penalties


def nuclear_norm(tall: FloatArray, work: FloatArray | None = None) -> float:
    """‖[L_1, …, L_K]‖_*, exact to rounding, or above it by at most 1e-12 of its value.

    A Gram matrix loses every singular value below 1e-8 of the largest, so it is used to find the dominant directions
    only; the values come from triangular factors.  When what lies off those directions is negligible it is bounded by
    √(p − r)‖·‖_F instead of factorised, on the safe side of a duality gap.  ``work``, of the shape of ``tall``, may be
    given to be overwritten.

    Parameters
    ----------
    tall : ndarray, shape (K, q, p)
    work : ndarray, shape (K, q, p), optional
        Overwritten.

    Returns
    -------
    float
        Scale of the stack.
    """
    matrix = tall.reshape(-1, tall.shape[-1])
    work = np.empty_like(matrix) if work is None else work.reshape(matrix.shape)
    if matrix.shape[0] < matrix.shape[1]:
        matrix, work = matrix.T, work.T
    values, vectors = np.linalg.eigh(matrix.T @ matrix)
    leading = vectors[:, values > 1e-8 * values[-1]]
    if 0 < 3 * leading.shape[1] < matrix.shape[1]:
        product = matrix @ leading
        np.matmul(product, leading.T, out=work)
        np.subtract(matrix, work, out=work)
        size = float(np.linalg.norm(work)) * float(np.sqrt(matrix.shape[1] - leading.shape[1]))
        head = float(np.linalg.svd(np.linalg.qr(product, mode="r"), compute_uv=False).sum())
        if size <= _NEGLIGIBLE * head:
            return head + size
    return float(np.linalg.svd(np.linalg.qr(matrix, mode="r"), compute_uv=False).sum())


def residual(problem: Problem, common: FloatArray, low_rank: FloatArray, block_sparse: FloatArray) -> FloatArray:
    """R = X − 1ᵀ⊗M − L − S, shape (K, q, p).

    Parameters
    ----------
    problem : Problem
    common : ndarray, shape (q, p)
        M.
    low_rank, block_sparse : ndarray, shape (K, q, p)
        L and S.

    Returns
    -------
    ndarray, shape (K, q, p)
        Scale of the estimates.
    """
    left_over = problem.tall - low_rank
    left_over -= common
    left_over -= block_sparse
    return left_over


def objective(
    problem: Problem,
    low_rank: FloatArray,
    block_sparse: FloatArray,
    residual_norm: float,
    *,
    work: FloatArray | None = None,
) -> float:
    """Primal objective at a point with residual norm ‖R‖_F; the constraint of (E) and (B) is not looked at here.

    Parameters
    ----------
    problem : Problem
    low_rank, block_sparse : ndarray, shape (K, q, p)
        L and S.
    residual_norm : float
        ‖R‖_F, scale of the estimates.
    work : ndarray, shape (K, q, p), optional
        Overwritten.

    Returns
    -------
    float
    """
    value = nuclear_norm(low_rank, work) + float(problem.penalties @ tall_norms(block_sparse))
    if problem.program != "N":
        return value
    return 0.5 * residual_norm * residual_norm + problem.noise_penalty * value
