"""The exact mean of products as one product, and its best approximation of a given rank.

Σ_k w_k c_k B_k A_k = [w_1 c_1 B_1, …, w_n c_n B_n][A_1; …; A_n] (FLoRA, Wang and others 2024).  Averaging B_k and A_k
apart is another matrix: Σ_k B_k A_k is not (Σ_k B_k)(Σ_k A_k)/n.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import lapack, qr

from clair_stats.records import FloatArray

__all__ = ["capped", "mean_product"]

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
    first, second = _Reflectors(left), _Reflectors(right.T)
    u, values, vt = np.linalg.svd(first.upper @ second.upper.T)
    root = np.sqrt(values[:most])
    energy = float(np.sum(values**2))
    lost = float(np.sum(values[most:] ** 2)) / energy if energy > 0 else 0.0
    return (first.times(u[:, :most] * root), second.times(vt[:most].T * root).T), lost


class _Reflectors:
    """A QR decomposition whose orthonormal factor is applied and never formed: half the time for wide matrices."""

    def __init__(self, matrix: FloatArray) -> None:
        (self._raw, self._tau), upper = qr(matrix, mode="raw", check_finite=False)
        self.upper: FloatArray = np.asarray(upper[: min(matrix.shape)], dtype=np.float64)

    def times(self, coordinates: FloatArray) -> FloatArray:
        """Q C for ``coordinates`` C, min(m, n) × r, as m × r."""
        columns = min(self._raw.shape)
        full = np.zeros((self._raw.shape[0], coordinates.shape[1]), order="F")
        full[:columns] = coordinates
        size = int(lapack.dormqr("L", "N", self._raw[:, :columns], self._tau, full, -1)[1][0])
        product, _, info = lapack.dormqr("L", "N", self._raw[:, :columns], self._tau, full, size)
        if info:
            raise ValueError(f"LAPACK's dormqr refused its argument {-info}")
        return np.ascontiguousarray(product)
