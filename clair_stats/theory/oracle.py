"""The oracle problem behind the instance certificate (theory.md section 3), solved by Newton's method.

With col(L) ⊂ span(U*) and S_C = 0 imposed, program (E) leaves only the coefficients B_k (r × q) of the contaminated
clients free:

    minimise  ‖B(I − Π)‖_* + λ Σ_{k∈O} √(d_k² + ‖W_k − B_k‖_F²),     W_k = U*ᵀX_k,  B_k = W_k on C.

Because the (centred) benign coefficients have rank r, B(I − Π) has rank r whatever B_O is, so both terms are smooth and
the second is strictly convex (d_k > 0): Newton's method with a line search reaches rounding level in a few steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse.linalg import LinearOperator, cg

from clair_stats.records import BoolArray, FloatArray

__all__ = ["OracleSolution", "solve_oracle"]

# Below this many unknowns a dense Hessian is cheaper than conjugate gradients (measured: 8 × 3 × 20 unknowns).
_DENSE_LIMIT = 400


@dataclass(frozen=True, eq=False)
class OracleSolution:
    """Minimiser of the oracle problem, in coordinates of the basis."""

    coefficients: FloatArray  # (K, r, q), B_k, not centred
    polar: FloatArray  # (K, r, q), blocks of V'ᵀ, the polar factor of B(I − Π)
    objective: float
    residual: float  # ‖gradient‖_F; the gradient is scale-free, its two terms have norms ≤ √r and λ√|O|
    n_iterations: int


class _Objective:
    """Value, gradient and Hessian at one point B_O; rows are turned into the singular basis of B(I − Π)."""

    def __init__(
        self, free: FloatArray, fixed: FloatArray, mask: BoolArray, distances: FloatArray, lam: float, centre: bool
    ) -> None:
        self.mask, self.lam, self.centre = mask, lam, centre
        self.fixed = fixed
        coefficients = fixed.copy()
        coefficients[~mask] = free
        self.coefficients = coefficients
        centred = coefficients - coefficients.mean(axis=0) if centre else coefficients
        n_clients, rank, q = fixed.shape
        flat = centred.transpose(1, 0, 2).reshape(rank, n_clients * q)
        self.left, self.singular_values, self.right = np.linalg.svd(flat, full_matrices=False)
        self.difference = free - fixed[~mask]
        self.radii = np.sqrt(distances**2 + np.einsum("kij,kij->k", self.difference, self.difference))
        self.value = float(self.singular_values.sum() + lam * self.radii.sum())
        self.polar = (self.left @ self.right).reshape(rank, n_clients, q).transpose(1, 0, 2)
        self.gradient = self.polar[~mask] + lam * self.difference / self.radii[:, None, None]

    def hessian(self, direction: FloatArray) -> FloatArray:
        """Second derivative along ``direction`` (…, |O|, r, q); leading axes are a batch."""
        n_clients, rank, q = self.fixed.shape
        n_free = direction.shape[-3]
        batch = direction.shape[:-3]
        right = self.right.reshape(rank, n_clients, q)[:, ~self.mask]
        turned = np.einsum("ai,...kaj->...ikj", self.left, direction)
        # The mean of the direction is orthogonal to the rows of ``right``, so centring enters only the first term.
        inner = np.einsum("...ikj,mkj->...im", turned, right)
        s = self.singular_values
        symmetric = (inner * s + np.swapaxes(inner, -1, -2) * s[:, None]) / (s[:, None] + s[None, :])
        centred = turned - turned.sum(axis=-2, keepdims=True) / n_clients if self.centre else turned
        change = (centred - np.einsum("...im,mkj->...ikj", symmetric, right)) / s[:, None, None]
        nuclear = np.einsum("ai,...ikj->...kaj", self.left, change)
        along = np.einsum("kij,...kij->...k", self.difference, direction) / self.radii**2
        block = direction - along[..., None, None] * self.difference
        result = nuclear + self.lam * block / self.radii[:, None, None]
        return np.asarray(result.reshape(*batch, n_free, rank, q))

    def newton_step(self) -> FloatArray:
        shape = self.gradient.shape
        size = self.gradient.size
        if size <= _DENSE_LIMIT:
            matrix = self.hessian(np.eye(size).reshape(size, *shape)).reshape(size, size)
            matrix = 0.5 * (matrix + matrix.T)
            return np.asarray(-cho_solve(cho_factor(matrix), self.gradient.ravel()).reshape(shape))
        operator = LinearOperator(
            (size, size), matvec=lambda v: self.hessian(v.reshape(shape)).ravel(), dtype=np.float64
        )
        forcing = min(0.1, float(np.linalg.norm(self.gradient)))
        step, _ = cg(operator, -self.gradient.ravel(), rtol=forcing, maxiter=500)
        return np.asarray(step.reshape(shape))


def solve_oracle(
    coefficients: FloatArray,
    distances: FloatArray,
    *,
    collaborative_set: BoolArray,
    block_penalty: float,
    common_component: bool,
    tol: float = 1e-13,
    max_iterations: int = 100,
) -> OracleSolution:
    """Minimise the oracle objective over the contaminated coefficients.

    Parameters
    ----------
    coefficients : ndarray, shape (K, r, q)
        W_k = U*ᵀX_k; the benign blocks stay fixed.
    distances : ndarray, shape (|O|,)
        d_k > 0, effective contamination of the contaminated clients in client order.
    collaborative_set : ndarray of bool, shape (K,)
        True for benign clients.
    block_penalty : float
        λ.
    common_component : bool
        Whether the objective sees B(I − Π) or B.
    tol : float
        Stop once the gradient norm is below ``tol`` times (√r + λ√|O|), the scale of its two terms.
    max_iterations : int
        Newton steps.

    Returns
    -------
    OracleSolution
        ``residual`` is the gradient norm at the returned point, whatever the reason for stopping.

    Raises
    ------
    numpy.linalg.LinAlgError
        When the (centred) benign coefficients have rank below r, so that the objective is not smooth;
        :func:`clair_stats.theory.instance_certificate` refuses such instances with a reason.

    Notes
    -----
    docs/derivations/recovery.md, section 1.

    Examples
    --------
    Contamination orthogonal to the subspace pulls its coefficients to the benign mean:

    >>> found = solve_oracle(
    ...     np.array([[[1.0]], [[-1.0]], [[0.0]]]), np.array([2.0]), collaborative_set=np.array([True, True, False]),
    ...     block_penalty=0.5, common_component=True,
    ... )
    >>> round(found.objective, 6), bool(abs(found.coefficients[2, 0, 0]) < 1e-9)  # √2 + 0.5 · 2
    (2.414214, True)
    """
    rank = coefficients.shape[1]
    n_contaminated = int(np.count_nonzero(~collaborative_set))
    target = tol * (np.sqrt(rank) + block_penalty * np.sqrt(n_contaminated))

    def at(free: FloatArray) -> _Objective:
        return _Objective(free, coefficients, collaborative_set, distances, block_penalty, common_component)

    start = np.repeat(coefficients[collaborative_set].mean(axis=0, keepdims=True), n_contaminated, axis=0)
    if not common_component:
        start = np.zeros_like(start)
    here = min((at(start), at(coefficients[~collaborative_set])), key=lambda point: point.value)
    free = here.coefficients[~collaborative_set]
    n_iterations = 0
    while n_iterations < max_iterations:
        norm = float(np.linalg.norm(here.gradient))
        if norm <= target or n_contaminated == 0:
            break
        n_iterations += 1
        step = here.newton_step()
        slope = float(np.vdot(step, here.gradient))
        length, moved = 1.0, False
        while length > 1e-12:
            there = at(free + length * step)
            # At rounding level the value cannot fall any more; a smaller gradient is then the only sign of progress.
            flat = abs(slope) < 1e-13 * here.value and np.linalg.norm(there.gradient) < norm
            if flat or there.value <= here.value + 1e-4 * length * slope:
                free, here, moved = free + length * step, there, True
                break
            length *= 0.5
        if not moved:
            break
    return OracleSolution(
        coefficients=here.coefficients,
        polar=here.polar,
        objective=here.value,
        residual=float(np.linalg.norm(here.gradient)),
        n_iterations=n_iterations,
    )
