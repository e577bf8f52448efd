"""The exact mean of products as one product, and its best approximation of a given rank.

Σ_k w_k c_k B_k A_k = [w_1 c_1 B_1, …, w_n c_n B_n][A_1; …; A_n] (FLoRA, Wang and others 2024).  Averaging B_k and A_k
apart is another matrix: Σ_k B_k A_k is not (Σ_k B_k)(Σ_k A_k)/n.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack, qr

from clair_stats.records import FloatArray

__all__ = [
    "CutProduct",
    "Reflectors",
    "capped",
    "cut_product",
    "mean_product",
    "squared_norm",
    "sum_of_products",
    "truncated_product",
]

Pair = tuple[FloatArray, FloatArray]


def mean_product(pairs: Sequence[Pair], weights: FloatArray | None = None) -> Pair:
    """Factors of the mean of B_k A_k.

    Parameters
    ----------
    pairs : sequence of (p × s_k, s_k × q)
    weights : array, shape (K,), optional
        They sum to 1; 1/K each when not given.

    Returns
    -------
    pair
        p × Σ s_k and Σ s_k × q.
    """
    shares = np.full(len(pairs), 1.0 / len(pairs)) if weights is None else weights
    left = np.concatenate([share * first for share, (first, _) in zip(shares, pairs, strict=True)], axis=1)
    return left, np.concatenate([second for _, second in pairs], axis=0)


def capped(pair: Pair, rank: int | None = None) -> tuple[Pair, float]:
    """The nearest product of at most ``rank`` (Eckart and Young), and the share of squared norm that it loses.

    Parameters
    ----------
    pair : (p × s, s × q)
    rank : int, optional
        min(p, q) when not given, which loses nothing; the pair itself where its s is no larger.

    Returns
    -------
    pair, float
        Balanced factors, the same singular values in both; 0 ≤ loss ≤ 1.
    """
    left, right = pair
    most = min(left.shape[0], right.shape[1]) if rank is None else rank
    if left.shape[1] <= most:
        return pair, 0.0
    first, second, values = truncated_product(left, right, most)
    energy = float(np.sum(values**2))
    lost = float(np.sum(values[most:] ** 2)) / energy if energy > 0 else 0.0
    return (first, second), lost


def sum_of_products(first: Pair, second: Pair) -> Pair:
    """Factors of the sum of two products.

    Parameters
    ----------
    first : (p × s, s × q)
    second : (p × t, t × q)

    Returns
    -------
    pair
        p × (s + t) and (s + t) × q.
    """
    return np.concatenate([first[0], second[0]], axis=1), np.concatenate([first[1], second[1]], axis=0)


class CutProduct(NamedTuple):
    """A product of factors after a cut to a rank, and what the cut cost."""

    pair: Pair  # p × t, t × q
    lost: float  # share of squared norm that the cap on the rank cost
    energy: float  # squared norm before

    def in_unit(self, unit: float) -> CutProduct:
        """The estimate times ``unit``.

        Parameters
        ----------
        unit : float
            A power of two.

        Returns
        -------
        CutProduct
        """
        if unit == 1.0:
            return self
        left, right = self.pair
        return CutProduct((unit * left, right), self.lost, unit**2 * self.energy)


def cut_product(pair: Pair, most: int | None) -> CutProduct:
    """A product cut to the rank ``most``.

    Parameters
    ----------
    pair : (p × s, s × q)
    most : int, optional
        Exact when not given.

    Returns
    -------
    CutProduct
    """
    return CutProduct(*capped(pair, most), squared_norm(pair))


def squared_norm(pair: Pair) -> float:
    """‖BA‖_F² without the product; infinite where it overflows.

    Parameters
    ----------
    pair : (p × s, s × q)

    Returns
    -------
    float
    """
    left, right = pair
    with np.errstate(over="ignore", invalid="ignore"):  # a client of any size may be outside the set
        energy = float(np.sum((left.T @ left) * (right @ right.T)))
    return energy if np.isfinite(energy) else np.inf


def truncated_product(left: FloatArray, right: FloatArray, rank: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The nearest product of at most ``rank`` (Eckart and Young), and the singular values of the whole product.

    Nothing of size p × q is formed: a product of two orthonormal and two triangular factors has the singular values of
    the triangular ones.

    Parameters
    ----------
    left : ndarray, shape (p, s)
    right : ndarray, shape (s, q)
    rank : int
        At least 1.

    Returns
    -------
    left : ndarray, shape (p, t)
        t = min(rank, p, s, q); balanced, the roots of the singular values in both factors.
    right : ndarray, shape (t, q)
    singular_values : ndarray, shape (min(p, s, q),)
    """
    first, second = Reflectors(left), Reflectors(right.T)
    u, values, vt = np.linalg.svd(first.upper @ second.upper.T, full_matrices=False)
    root = np.sqrt(values[:rank])
    return first.times(u[:, :rank] * root), second.times(vt[:rank].T * root).T, values


class Reflectors:
    """A QR decomposition whose orthonormal factor is applied and never formed: half the time for wide matrices.

    Parameters
    ----------
    matrix : ndarray, shape (m, n)
    """

    def __init__(self, matrix: FloatArray) -> None:
        (self._raw, self._tau), upper = qr(matrix, mode="raw", check_finite=False)
        self.upper: FloatArray = np.asarray(upper[: min(matrix.shape)], dtype=np.float64)

    def times(self, coordinates: FloatArray) -> FloatArray:
        """Q C for ``coordinates`` C, in their precision.

        Parameters
        ----------
        coordinates : ndarray, shape (min(m, n), r)
            Single or double precision.

        Returns
        -------
        ndarray, shape (m, r)

        Raises
        ------
        ValueError
            LAPACK refuses its arguments.
        """
        columns, kind = min(self._raw.shape), coordinates.dtype
        ormqr = lapack.sormqr if kind == np.float32 else lapack.dormqr
        raw, tau = self._raw[:, :columns].astype(kind, copy=False), self._tau.astype(kind, copy=False)
        full = np.zeros((self._raw.shape[0], coordinates.shape[1]), kind, order="F")
        full[:columns] = coordinates
        size = int(ormqr("L", "N", raw, tau, full, -1)[1][0])
        product, _, info = ormqr("L", "N", raw, tau, full, size)
        if info:
            raise ValueError(f"LAPACK's ormqr refused its argument {-info}")
        return np.ascontiguousarray(product)
