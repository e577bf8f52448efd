"""Leading eigenvectors of symmetric matrices, and symmetric updates of few ranks, for refinement of factors.

Lower triangles alone are read and written (docs/derivations/shrinkage.md, Factors).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.linalg.blas import dsymm, dsyr2k, dsyrk, ssyr2k, ssyrk

from clair_stats.records import FloatArray

__all__ = ["LARGE", "Base", "leading", "leading_of_update", "ritz", "updated", "well_resolved"]

Real = NDArray[np.floating[Any]]

# From this side on eigenvectors start in single precision, in half the time, where none of those wanted has an
# eigenvalue near its rounding.
LARGE = 256
_SINGLE_ROUNDING = 1e-4
# Share of S that an update has to leave for that.
_TAKEN = 1e-2


def updated(symmetric: Real, first: Real, second: Real, by: float) -> FloatArray:
    """S + by (first secondᵀ + second firstᵀ) in the lower triangle, in the precision of S.

    Parameters
    ----------
    symmetric : ndarray, shape (a, a)
        S.
    first, second : ndarray, shape (a, t)
        One array for both: half the work.
    by : float

    Returns
    -------
    ndarray, shape (a, a)
    """
    single, start = symmetric.dtype == np.float32, symmetric.T.copy(order="F")
    if first is second:
        syrk = ssyrk if single else dsyrk
        return np.asarray(syrk(2.0 * by, np.asfortranarray(first), beta=1.0, c=start, lower=1, overwrite_c=1))
    columns = np.asfortranarray(first), np.asfortranarray(second)
    syr2k = ssyr2k if single else dsyr2k
    return np.asarray(syr2k(by, *columns, beta=1.0, c=start, lower=1, overwrite_c=1))


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


class Base(NamedTuple):
    """A symmetric matrix that many updates begin with."""

    whole: FloatArray  # (a, a), in Fortran order
    single: NDArray[np.float32]  # the same over its largest diagonal entry
    largest: float

    @classmethod
    def of(cls, matrix: FloatArray) -> Base:
        """The matrix in both precisions.

        Parameters
        ----------
        matrix : ndarray, shape (a, a)

        Returns
        -------
        Base
        """
        largest = float(np.max(np.abs(matrix.diagonal()), initial=0.0))
        single = (matrix / (largest or 1.0)).astype(np.float32, order="F")
        return cls(np.asfortranarray(matrix), single, largest)


def leading_of_update(
    base: Base, first: FloatArray, second: FloatArray, by: float, count: int
) -> tuple[FloatArray, FloatArray]:
    """Leading eigenvectors and eigenvalues, descending, of S + by (first secondᵀ + second firstᵀ).

    On a large side from single precision by a Rayleigh–Ritz step in double precision.  Vectors are orthonormal and
    values theirs to rounding.  Against the eigenvectors they are turned by about 1e-7 over the relative gap, which
    costs the cut of an estimate its square in energy; of the directions towards which a client is drawn the proof asks
    only that they are functions of what the *other* clients hold.

    Parameters
    ----------
    base : Base
        S; with the update it is positive semidefinite.
    first, second : ndarray, shape (a, t)
    by : float
    count : int

    Returns
    -------
    vectors : ndarray, shape (a, count)
    values : ndarray, shape (count,)
    """
    if len(base.whole) >= LARGE and count and base.largest > 0.0:
        root = base.largest**0.5
        left = (first / root).astype(np.float32)
        right = left if first is second else (second / root).astype(np.float32)
        vectors, values = leading(updated(base.single, left, right, by), count)
        # Where the update takes nearly all of S away, single precision holds the difference's rounding.
        if values[0] > _TAKEN and well_resolved(values):
            vectors = np.asfortranarray(vectors, dtype=np.float64)
            cross = (vectors.T @ first) @ (second.T @ vectors)
            projected = vectors.T @ dsymm(1.0, base.whole, vectors, lower=1) + by * (cross + cross.T)
            return _turned(projected, vectors)[:2]
    return leading(updated(base.whole, first, second, by), count)


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


def ritz(along: Callable[[FloatArray], FloatArray], vectors: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
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
        Orthonormal columns U.
    values : ndarray, shape (m,)
        Descending.
    rows : ndarray, shape (m, b)
        UᵀX.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    rows = along(vectors)
    vectors, values, turned = _turned(rows @ rows.T, vectors)
    return vectors, values, turned.T @ rows


def _turned(projected: FloatArray, vectors: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Ritz vectors and values, descending, and the turn that makes them of the vectors."""
    values, turned = eigh((projected + projected.T) / 2.0, vectors.T @ vectors, check_finite=False)
    turned = np.ascontiguousarray(turned[:, ::-1])
    return np.ascontiguousarray(vectors @ turned), values[::-1], turned
