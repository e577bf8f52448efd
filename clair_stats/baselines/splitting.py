"""min ‖L‖_* + λ g(S) with L + S = X for two norms g: entries (robust PCA) and columns (outlier pursuit).

Principal component pursuit: g(S) = Σ|S_ij| (Candès, Li, Ma and Wright, JACM 58(3), 2011), λ = 1/√max(a, b).
Outlier pursuit: g(S) = Σ‖S_·j‖ (Xu, Caramanis and Sanghavi, IEEE Trans. Inf. Theory 58(5), 2012).
The second is program (E) without common component on clients of one column each, and is solved as such.  The first is
solved by the alternating direction method (Candès et al., 2011, section 5), which stops on the duality gap of the point
it returns, computed with a dual point scaled to be feasible: ‖Y‖_op ≤ 1 and max|Y_ij| ≤ λ.
"""

from __future__ import annotations

import warnings
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from clair_stats.decomposition.decompose import decompose
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import stack, symmetric_eigen
from clair_stats.records import FloatArray

__all__ = ["Sparsity", "Split", "split"]

Sparsity: TypeAlias = Literal["entries", "columns"]

_ITERATIONS = 2000
_TOLERANCE = 1e-7  # relative duality gap
_CHECKED_EVERY = 10  # iterations; a check costs one more singular value decomposition


class Split(NamedTuple):
    """L and S with L + S = X to rounding, and the absolute duality gap of this point."""

    low_rank: FloatArray  # (a, b)
    sparse: FloatArray  # (a, b)
    duality_gap: float


def _gap(matrix: FloatArray, sparse: FloatArray, dual: FloatArray, penalty: float) -> float:
    primal = float(np.linalg.norm(matrix - sparse, "nuc") + penalty * np.abs(sparse).sum())
    excess = max(float(np.linalg.norm(dual, 2)), float(np.abs(dual).max()) / penalty, 1.0)
    return primal - float(np.vdot(dual, matrix)) / excess


def _shrunk(matrix: FloatArray, threshold: float) -> FloatArray:
    """Singular values less the threshold, none below 0, from the Gram matrix of the shorter side.

    Singular values below 1e-8 of the largest are inexact there; the threshold is far above them.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return _shrunk(matrix.T, threshold).T
    squares, vectors = symmetric_eigen(matrix @ matrix.T)
    values = np.sqrt(np.maximum(squares, 0.0))
    kept = np.maximum(values - threshold, 0.0) / np.where(values > threshold, values, 1.0)
    return np.asarray((vectors * kept) @ (vectors.T @ matrix), dtype=np.float64)


def split(matrix: FloatArray, *, penalty: float, sparsity: Sparsity, tolerance: float = _TOLERANCE) -> Split:
    """Low-rank and sparse part of a matrix.

    Parameters
    ----------
    matrix : ndarray, shape (a, b)
        X.
    penalty : float
        λ.
    sparsity : {"entries", "columns"}
        What of S is zero.
    tolerance : float
        Duality gap over ‖X‖_* at which to stop.

    Returns
    -------
    Split
        Scale of the matrix.

    Raises
    ------
    ValueError
        A penalty that is not positive.
    """
    if not penalty > 0.0:
        raise ValueError(f"penalty: {penalty}; give a positive number")
    if not matrix.any():
        return Split(np.zeros_like(matrix), np.zeros_like(matrix), 0.0)
    return (_pursuit if sparsity == "entries" else _outlier_pursuit)(matrix, penalty, tolerance)


def _outlier_pursuit(matrix: FloatArray, penalty: float, tolerance: float) -> Split:
    columns = ClientEstimates(values=matrix.T[:, :, None])
    # Beyond the window one part is zero whatever the data, which is an answer here.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # says to raise a limit that no caller of this can reach
        found = decompose(columns, block_penalty=penalty, common_component=False, tol=tolerance, allow_degenerate=True)
    if found.status != "optimal":
        warnings.warn(
            f"outlier pursuit is solved to a relative duality gap of {found.duality_gap / found.objective:.1e} only; "
            "where clients differ in size by powers of ten, divide them by their norms",
            RuntimeWarning,
            stacklevel=2,
        )
    sparse = stack(found.block_sparse)
    return Split(matrix - sparse, sparse, found.duality_gap)


def _pursuit(matrix: FloatArray, penalty: float, tolerance: float) -> Split:
    sparse, dual = np.zeros_like(matrix), np.zeros_like(matrix)
    # Candès et al.: a quarter over the mean size of an entry.
    step = matrix.size / (4.0 * float(np.abs(matrix).sum()))
    gap = np.inf
    for iteration in range(1, _ITERATIONS + 1):
        low_rank = _shrunk(matrix - sparse + dual / step, 1.0 / step)
        rest = matrix - low_rank + dual / step
        sparse = rest * (1.0 - penalty / np.maximum(step * np.abs(rest), penalty))
        dual = dual + step * (matrix - low_rank - sparse)
        if iteration % _CHECKED_EVERY == 0:
            gap = _gap(matrix, sparse, dual, penalty)
            if gap <= tolerance * float(np.linalg.norm(matrix, "nuc")):
                break
    return Split(matrix - sparse, sparse, gap)
