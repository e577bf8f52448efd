"""Covariances that clients have in common, pooled over their blocks (docs/derivations/shrinkage.md)."""

from __future__ import annotations

import numpy as np

from clair_stats.records import FloatArray

__all__ = ["inverse_root", "pooled_covariance", "pooled_share"]

# Variances below this share of the largest are not told from 0: their weight would be that of rounding.
_FLOOR = 1e-8


def pooled_covariance(blocks: FloatArray) -> FloatArray:
    """Row covariance of K blocks (K, p, q), drawn towards a multiple of the identity as far as sampling error asks.

    Oracle approximating shrinkage: Chen, Wiesel, Eldar and Hero, IEEE Trans. Signal Process. 58(10), 2010, equation 23.

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)

    Returns
    -------
    ndarray, shape (p, p)
    """
    n_clients, p, q = blocks.shape
    pooled = np.einsum("kij,klj->il", blocks, blocks, optimize=True) / (n_clients * q)
    size, square = float(np.trace(pooled)), float(np.sum(pooled**2))
    scatter = (n_clients * q + 1 - 2 / p) * (square - size**2 / p)
    drawn = 1.0 if scatter <= 0 else min(1.0, ((1 - 2 / p) * square + size**2) / scatter)
    return np.asarray((1 - drawn) * pooled + drawn * size / p * np.eye(p))


def inverse_root(covariance: FloatArray) -> FloatArray:
    """C^(−1/2) up to a factor, its largest eigenvalue 1; directions with hardly any error count as if with little.

    Parameters
    ----------
    covariance : ndarray, shape (m, m)
        Symmetric, positive semi-definite.

    Returns
    -------
    ndarray, shape (m, m)
    """
    values, vectors = np.linalg.eigh(covariance)
    if values[-1] <= 0.0:  # no error at all, in any direction
        return np.eye(len(values))
    floored = np.maximum(values, _FLOOR * values[-1])
    return np.asarray((vectors * np.sqrt(floored[0] / floored)) @ vectors.T)


def pooled_share(errors: FloatArray) -> float:
    """λ_max over the trace of a Kronecker covariance of which blocks (K, p, q) are draws, each up to a scale.

    Parameters
    ----------
    errors : ndarray, shape (K, p, q)

    Returns
    -------
    float
    """
    largest = float(np.abs(errors).max())
    if largest == 0.0:
        return 0.0
    errors = errors / largest  # whose squares are numbers
    rows = np.linalg.eigvalsh(np.einsum("kij,klj->il", errors, errors, optimize=True))
    columns = np.linalg.eigvalsh(np.einsum("kij,kil->jl", errors, errors, optimize=True))
    return float(rows[-1] * columns[-1] / (rows.sum() * columns.sum()))
