"""Leading eigenvectors of symmetric matrices, and symmetric updates of few ranks, for refinement of factors.

Lower triangles alone are read and written (docs/derivations/shrinkage.md, Factors).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.linalg.blas import dsymm, dsyr2k, ssyr2k

from clair_stats.records import FloatArray

__all__ = ["LARGE", "leading", "leading_of_large", "ritz", "updated", "well_resolved"]

Real = NDArray[np.floating[Any]]

# From this side on eigenvectors start in single precision, in half the time, where none of those wanted has an
# eigenvalue near its rounding.
LARGE = 256
_SINGLE_ROUNDING = 1e-4


def updated(symmetric: Real, first: Real, second: Real, by: float) -> FloatArray:
    """S + by (first secondᵀ + second firstᵀ) in the lower triangle, in the precision of S.

    Parameters
    ----------
    symmetric : ndarray, shape (a, a)
        S.
    first, second : ndarray, shape (a, t)
    by : float

    Returns
    -------
    ndarray, shape (a, a)
    """
    columns = np.asfortranarray(first), np.asfortranarray(second)
    syr2k = ssyr2k if symmetric.dtype == np.float32 else dsyr2k
    return np.asarray(syr2k(by, *columns, beta=1.0, c=symmetric.T.copy(order="F"), lower=1, overwrite_c=1))


def leading(scatter: Real, count: int) -> tuple[FloatArray, FloatArray]:
    """The ``count`` leading eigenvectors and eigenvalues, descending.

    Parameters
    ----------
    scatter : ndarray, shape (a, a)
    count : int

    Returns
    -------
    vectors : ndarray, shape (a, count)
    values : ndarray, shape (count,)
    """
    side = len(scatter)
    if count == 0:
        return np.zeros((side, 0)), np.zeros(0)
    values, vectors = eigh(scatter, subset_by_index=(side - count, side - 1), check_finite=False)
    return np.ascontiguousarray(vectors[:, ::-1]), values[::-1]


def leading_of_large(scatter: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """As :func:`leading`; on a large side from single precision by a Rayleigh–Ritz step in double precision.

    Vectors are orthonormal and values theirs to rounding.  Against the eigenvectors they are turned by about 1e-7 over
    the relative gap, which costs the cut of an estimate its square in energy; of the directions towards which a client
    is drawn the proof asks only that they are functions of what the *other* clients hold.

    Parameters
    ----------
    scatter : ndarray, shape (a, a)
        Positive semidefinite.
    count : int

    Returns
    -------
    vectors : ndarray, shape (a, count)
    values : ndarray, shape (count,)
    """
    largest = float(np.max(np.abs(scatter.diagonal()), initial=0.0))
    if len(scatter) < LARGE or count == 0 or largest == 0.0:
        return leading(scatter, count)
    vectors, values = leading((scatter / largest).astype(np.float32), count)
    if not well_resolved(values):
        return leading(scatter, count)
    vectors = np.asfortranarray(vectors, dtype=np.float64)
    return _turned(vectors, vectors.T @ dsymm(1.0, scatter, vectors, lower=1))


def well_resolved(values: FloatArray) -> bool:
    """Whether eigenvectors in single precision are worth a Rayleigh–Ritz step.

    Parameters
    ----------
    values : ndarray, shape (count,)
        Descending.

    Returns
    -------
    bool
    """
    return bool(values[-1] > _SINGLE_ROUNDING * values[0])


def ritz(along: Callable[[FloatArray], FloatArray], vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Ritz vectors and values of XXᵀ in the span of some vectors.

    Parameters
    ----------
    along : callable
        UᵀX of the columns U.
    vectors : ndarray, shape (a, m)
        Nearly orthonormal.

    Returns
    -------
    vectors : ndarray, shape (a, m)
        Orthonormal.
    values : ndarray, shape (m,)
        Descending.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    rows = along(vectors)
    return _turned(vectors, rows @ rows.T)


def _turned(vectors: FloatArray, projected: FloatArray) -> tuple[FloatArray, FloatArray]:
    values, turned = eigh((projected + projected.T) / 2.0, vectors.T @ vectors, check_finite=False)
    return np.ascontiguousarray(vectors @ turned[:, ::-1]), values[::-1]
