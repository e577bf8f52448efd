"""Five spectral statistics of an update (Puertolas Merenciano et al., 2026; arXiv 2602.15195).

Largest singular value, Frobenius norm, share of the energy in the largest singular value, entropy of the energies, and
kurtosis of the entries.  The paper fits a logistic regression to labelled adapters; with a bank of benign ones it
calibrates z-scores.  Without either, as here, the clients' own medians are the bank.
"""

from __future__ import annotations

import numpy as np

from clair_stats.baselines.detectors.suspicion import Suspicion, checked_blocks, outlying, robust_z, suspect
from clair_stats.records import FloatArray

__all__ = ["STATISTICS", "entropy_of_energies", "spectral_features", "spectral_statistics"]

_NO_VARIANCE = 1e-100  # of entries scaled to 1; its square is still a normal number
STATISTICS = ("largest singular value", "Frobenius norm", "energy share", "entropy", "kurtosis")


def entropy_of_energies(values: FloatArray) -> FloatArray:
    """−Σ e log e of the shares e = σ²/Σσ², in nats; 0 for a zero matrix.

    Parameters
    ----------
    values : ndarray, shape (K, m)
        Singular values of every matrix.

    Returns
    -------
    ndarray, shape (K,)
    """
    largest = np.maximum(values.max(axis=1, keepdims=True), np.finfo(float).tiny)
    energies = (values / largest) ** 2
    shares = energies / np.maximum(energies.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    logs = np.log(np.where(shares > 0.0, shares, 1.0))
    return np.asarray(-np.sum(shares * logs, axis=1), dtype=np.float64)


def spectral_features(blocks: FloatArray) -> FloatArray:
    """The five statistics of every client.

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)

    Returns
    -------
    ndarray, shape (K, 5)
        In the order of :data:`STATISTICS`; the first two on the scale of the blocks, kurtosis 3 for Gaussian entries.
    """
    values = np.asarray(np.linalg.svd(blocks, compute_uv=False), dtype=np.float64)
    norms = np.asarray(np.linalg.norm(values, axis=1), dtype=np.float64)
    safe = np.maximum(norms, np.finfo(float).tiny)
    flat = blocks.reshape(len(blocks), -1)
    centred = flat - flat.mean(axis=1, keepdims=True)
    scaled = centred / np.maximum(np.abs(centred).max(axis=1, keepdims=True), np.finfo(float).tiny)
    variance = np.maximum(np.mean(scaled**2, axis=1), _NO_VARIANCE)
    kurtosis = np.asarray(np.mean(scaled**4, axis=1) / variance**2, dtype=np.float64)
    return np.stack([values[:, 0], norms, (values[:, 0] / safe) ** 2, entropy_of_energies(values), kurtosis], axis=1)


def spectral_statistics(
    blocks: FloatArray, *, n_contaminated: int | None = None, bank: FloatArray | None = None
) -> Suspicion:
    """Flag clients with a statistic far from the medians, or the ``n_contaminated`` farthest.

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)
    n_contaminated : int, optional
        f, told to an oracle.
    bank : ndarray, shape (n, p, q), optional
        Updates known to be benign, whose medians and spreads are used; the clients' own when not given.

    Returns
    -------
    Suspicion
        Scores: the largest of the five modified z-scores.

    Raises
    ------
    ValueError
        Blocks or f that :func:`~clair_stats.baselines.detectors.suspicion.checked_blocks` refuses.
    """
    features = spectral_features(checked_blocks(blocks, n_contaminated))
    reference = None if bank is None else spectral_features(checked_blocks(bank, None))
    scores = robust_z(features, reference).max(axis=1)
    return suspect(scores, outlying(scores), n_contaminated)
