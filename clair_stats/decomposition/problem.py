"""The three convex programs as data: penalties, objective, and the window outside which nothing happens.

Programs (E), (B) and (N) of theory.md section 2 differ only in what may be left over in X − 1ᵀ⊗M − L − S: nothing, a
ball, or anything at a quadratic price.  One record holds all three, so that every solver and the certificate read the
same problem.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clair_stats.linalg import block_norms
from clair_stats.records import FloatArray, Program

__all__ = ["Problem", "center", "nuclear_norm", "objective", "penalty_window", "residual"]


@dataclass(frozen=True, eq=False)
class Problem:
    """One instance of program (E), (B) or (N).

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)
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

    blocks: FloatArray
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


def center(blocks: FloatArray) -> FloatArray:
    """X(I − Π): subtract the mean block from every block."""
    centred: FloatArray = blocks - blocks.mean(axis=0)
    return centred


def nuclear_norm(blocks: FloatArray) -> float:
    """‖[L_1, …, L_K]‖_*, from the triangular factor of a QR, never from squared singular values.

    A Gram matrix loses every singular value below 1e-8 of the largest, which over p values is more than the tolerance
    of the certificate; it is good enough for operator norms and for thresholding, not for this sum.
    """
    n_clients, p, q = blocks.shape
    tall = np.ascontiguousarray(blocks.transpose(0, 2, 1)).reshape(n_clients * q, p)
    triangular = np.linalg.qr(tall if tall.shape[0] >= p else tall.T, mode="r")
    return float(np.linalg.svd(triangular, compute_uv=False).sum())


def residual(problem: Problem, common: FloatArray, low_rank: FloatArray, block_sparse: FloatArray) -> FloatArray:
    """R = X − 1ᵀ⊗M − L − S, shape (K, p, q)."""
    left_over: FloatArray = problem.blocks - common - low_rank - block_sparse
    return left_over


def objective(problem: Problem, common: FloatArray, low_rank: FloatArray, block_sparse: FloatArray) -> float:
    """Primal objective at a point; the constraint of (E) and (B) is not looked at here."""
    value = nuclear_norm(low_rank) + float(problem.penalties @ block_norms(block_sparse))
    if problem.program != "N":
        return value
    left_over = residual(problem, common, low_rank, block_sparse)
    return 0.5 * float(np.vdot(left_over, left_over)) + problem.noise_penalty * value


def penalty_window(n_clients: int, p: int, q: int) -> tuple[float, float]:
    """The open interval (1/√K, √min(p, q)) of block penalties that do anything (theory.md section 2).

    At or below the lower end L = 0 is optimal, at or above the upper end S = 0 is.
    """
    return 1.0 / np.sqrt(n_clients), float(np.sqrt(min(p, q)))
