"""The programs inside a given span: an m × m fixed point, in which no array has the size of a block.

With col(L) ⊂ span(U) and y_k = UᵀX_k what is left of (E) and (N) is a problem in z_k = UᵀL_k, the mean and K weights:
‖z‖_* = min_W ½(tr W⁻¹Σz_kz_kᵀ + tr W), and the loss of block k is majorised by ½a_kn_k², n_k = ‖X_k − M − Uz_k‖_F.
For given W (eigenvalues w_j) and a the minimiser is explicit in the eigenbasis of W,

    z_kj = c_kj(y_kj − ȳ_j),   c_kj = a_kw_j/(a_kw_j + τ),   ȳ_j = Σ_k c_kjy_kj/Σ_k c_kj,   P_⊥M = Σ a_kP_⊥X_k/Σ a_k,

then W ← (Σz_kz_kᵀ)^{1/2} and a_k ← τλ_k/n_k, at most 1 in (N).  With equal weights the step of W divided by c is
Newton's for w_j/‖z_j‖_F = 1, an equation linear in w_j (docs/derivations/programs.md, section 8).
An empty span is allowed: then M is the weighted geometric median of (E), the weighted Huber mean of (N).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dgemm
from scipy.linalg.lapack import dsyevd

from clair_stats.decomposition.solvers.grams import Grams, OffSpan
from clair_stats.decomposition.solvers.mixing import Mixing
from clair_stats.records import BoolArray, FloatArray

__all__ = ["Fit", "settle"]

_ROUNDS = 80
# The smallest size may fall to this part of itself in one round, not further: W stays positive.
_SMALLEST_STEP = 0.1
_REACH = 0.5  # of mixing, in log n_k and in W over its trace
_NO_BASIS = np.zeros((0, 0))
_sum = np.add.reduce  # without the wrapper of np.sum, in an inner loop over small arrays
_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, eq=False)
class Fit:
    """A solution inside a span, in the eigenbasis of W."""

    basis: FloatArray  # (p, m), orthonormal
    sizes: FloatArray  # (m,), w_j
    filled: FloatArray  # (m,), ‖z_j‖_F/w_j: 1 at the fixed point, below 1 where a direction is leaving
    weights: FloatArray  # (K,), a_k
    norms: FloatArray  # (K,), n_k
    shrinkage: FloatArray  # (m, K), c_kj
    coefficients: FloatArray  # (m, K, q), z_k; the direction first, so that sums run over contiguous numbers
    energies: FloatArray  # (m, K), ‖z_kj‖²
    mean: FloatArray  # (m, q), ȳ = UᵀM
    off_span: FloatArray  # (K,), ‖P_⊥(X_k − M)‖_F²
    slope: FloatArray  # (m,), mean shrinkage of every direction, by the energy of its coefficients
    error: float = np.inf  # largest relative step of w and n that was left
    n_rounds: int = 0

    @property
    def rank(self) -> int:
        """The dimension m of the span."""
        return len(self.sizes)

    @property
    def leaving(self) -> BoolArray:
        """Directions in which L vanishes, (m,).

        With equal weights ‖z_j‖/w_j = (1 − c_j)·(its limit at w_j = 0), so the limit is below 1 when c_j is below
        1 − ‖z_j‖/w_j; half of that is asked for.
        """
        found: BoolArray = self.slope < 0.5 * (1.0 - self.filled)
        return found


@np.errstate(over="ignore", invalid="ignore")  # told by None
def settle(grams: Grams, basis: FloatArray, root: FloatArray, norms: FloatArray, *, tolerance: float) -> Fit | None:
    """Solve inside the span of ``basis``.

    Parameters
    ----------
    grams : Grams
        Of the stack and its penalties.
    basis : ndarray, shape (p, m)
    root : ndarray, shape (m, m)
        Start for W, positive definite.
    norms : ndarray, shape (K,)
        Start for n_k.
    tolerance : float
        Largest relative step of w_j and n_k at which to stop; what is there is returned after 80 rounds, and as soon as
        a direction is leaving.

    Returns
    -------
    Fit or None
        None where a block is fitted so closely that products have lost its distance, or numbers leave their range.
    """
    n_clients, q, _ = grams.problem.tall.shape
    m = basis.shape[1]
    offered = basis.T @ grams.rows.T  # (m, Kq)
    off_span = grams.off_span(offered.reshape(m, n_clients, q))
    upper = _upper(m)
    scale = max(float(np.trace(root)), _TINY)
    logs, smallest = np.log(norms), 0.0
    point = np.concatenate([logs, root[upper] / scale])
    mixing = Mixing(_REACH)
    for n_rounds in range(1, _ROUNDS + 1):
        sizes, rotation = _eigh(root)
        if m and sizes[0] < smallest:
            sizes = np.maximum(sizes, smallest)
            mixing.restart()
        smallest = _SMALLEST_STEP * float(sizes[0]) if m else 0.0
        turned = (rotation.T @ offered).reshape(m, n_clients, q)
        fit, step = _round(grams, turned, sizes, np.exp(logs), off_span)
        # A sum is finite where its terms are, in this range: one look for all of them.
        if grams.digits_lost(fit.norms) or not math.isfinite(_sum(fit.norms) + _sum(step, axis=None)):
            return None
        images = np.log(fit.norms)
        error = max(float(np.abs(step).max(initial=0.0)), grams.change(logs, images))
        if error <= tolerance or n_rounds == _ROUNDS or bool(fit.leaving.any()):
            break
        widths = np.sqrt(sizes / fit.slope)
        newton = (rotation * sizes + rotation @ (step * (widths[:, None] * widths))) @ rotation.T
        point = mixing.next(point, np.concatenate([images, newton[upper] / scale]))
        logs = point[:n_clients]
        root = np.zeros((m, m))
        root[upper] = root.T[upper] = scale * point[n_clients:]
    return replace(fit, basis=basis @ rotation, error=error, n_rounds=n_rounds)


@cache
def _upper(m: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Asked for at every start: numpy takes as long for it as for a round."""
    return np.triu_indices(m)


def _eigh(matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    """LAPACK itself: at 3 × 3 numpy's wrapper takes five times as long as the factorisation (15 for 3 µs)."""
    if not len(matrix):
        return np.zeros(0), np.zeros((0, 0))
    values, vectors, info = dsyevd(matrix)
    if info:
        raise np.linalg.LinAlgError(f"dsyevd: info {info}")
    return values, vectors


def _round(
    grams: Grams, offered: FloatArray, sizes: FloatArray, norms: FloatArray, off_span: OffSpan
) -> tuple[Fit, FloatArray]:
    """Minimiser for given W and a in the eigenbasis of W, and the step (Σz_kz_kᵀ)^{1/2} − W over (w_iw_j)^{1/2}.

    ``offered`` (m, K, q) is centred in its place.
    Off the diagonal the square root is taken to first order, which moves no fixed point.
    """
    m = len(sizes)
    weights = grams.weights(norms)
    pull = sizes[:, None] * weights
    shrinkage = pull / (pull + grams.problem.operator_bound)
    mean = np.zeros((m, offered.shape[2]))
    if grams.problem.common_component:
        shares = shrinkage / _sum(shrinkage, axis=1, keepdims=True)
        mean = (shares[:, None, :] @ offered)[:, 0]
        offered -= mean[:, None, :]
    energies = np.einsum("mkq,mkq->mk", offered, offered)
    distances = off_span.distances(weights)
    squared = distances + _sum((1.0 - shrinkage) ** 2 * energies, axis=0)
    coefficients = offered * shrinkage[:, :, None]
    flat = coefficients.reshape(m, offered.shape[1] * offered.shape[2])
    # Not flat @ flat.T, which becomes a symmetric update: six times slower for three long rows.
    products = dgemm(1.0, flat.T, flat.T, trans_a=True) if m else np.zeros((0, 0))
    filled = np.sqrt(products.diagonal()) / sizes
    step = products / ((sizes + sizes[:, None]) * np.sqrt(sizes * sizes[:, None]))
    step.ravel()[:: m + 1] = filled - 1.0
    left_over = np.sqrt(np.maximum(squared, _TINY))
    energies *= shrinkage**2
    slope = np.maximum(_sum(shrinkage * energies, axis=1) / np.maximum(_sum(energies, axis=1), _TINY), _TINY)
    parts = weights, left_over, shrinkage, coefficients, energies, mean, distances, slope
    return Fit(_NO_BASIS, sizes, filled, *parts), step
