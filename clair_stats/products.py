"""The exact mean of products as one product, and its best approximation of a given rank.

Σ_k w_k c_k B_k A_k = [w_1 c_1 B_1, …, w_n c_n B_n][A_1; …; A_n] (FLoRA, Wang and others 2024).  Averaging B_k and A_k
apart is another matrix: Σ_k B_k A_k is not (Σ_k B_k)(Σ_k A_k)/n.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clair_stats.linalg import truncated_product
from clair_stats.records import FloatArray

__all__ = ["capped", "mean_product", "sum_of_products"]

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
