"""Features of the input projection A, after Horus (Zhang et al., 2025; arXiv 2508.03579).

The paper finds A more stable than B under heterogeneity and scores clients by features of A alone.  Its weights and
threshold were not at hand; the features here are those that its text and figures name (energy in the leading singular
values, norm, agreement with the clients' common directions), scored by modified z-scores.  Told nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clair_stats.baselines.aggregation.aggregated import Pair, checked_pairs
from clair_stats.baselines.detectors.spectral_statistics import entropy_of_energies
from clair_stats.baselines.detectors.suspicion import Suspicion, outlying, robust_z, suspect
from clair_stats.linalg import orthonormal_basis
from clair_stats.records import FloatArray

__all__ = ["horus", "projection_features"]


def projection_features(rights: Sequence[FloatArray]) -> FloatArray:
    """Features of every client's A.

    Parameters
    ----------
    rights : sequence of ndarray, shape (s_k, q)

    Returns
    -------
    ndarray, shape (K, 4)
        Norm (scale of A), energy share of the largest singular value, entropy of the energies, and the mean squared
        cosine between the client's row space and the leading common one.
    """
    least = min(min(right.shape) for right in rights)
    values = np.stack([np.linalg.svd(right, compute_uv=False)[:least] for right in rights])
    norms = np.array([np.linalg.norm(right) for right in rights])
    share = (values[:, 0] / np.maximum(np.linalg.norm(values, axis=1), np.finfo(float).tiny)) ** 2
    spaces = [orthonormal_basis(right.T, least) for right in rights]
    common = orthonormal_basis(np.concatenate(spaces, axis=1), least)
    agreement = np.array([np.sum((common.T @ space) ** 2) / least for space in spaces])
    return np.stack([norms, share, entropy_of_energies(values), agreement], axis=1)


def horus(pairs: Sequence[Pair], *, n_contaminated: int | None = None) -> Suspicion:
    """Flag clients whose A has a feature far from the medians, or the ``n_contaminated`` farthest.

    Parameters
    ----------
    pairs : sequence of pairs of ndarray, shapes (p, s_k) and (s_k, q)
        B_k and A_k; B_k is not used.
    n_contaminated : int, optional
        f, told to an oracle.

    Returns
    -------
    Suspicion
        Scores: the largest of the four modified z-scores.

    Raises
    ------
    ValueError
        Factors that do not fit together, or f outside 0 … K − 1.
    """
    given, _ = checked_pairs(pairs)
    if n_contaminated is not None and not 0 <= n_contaminated < len(given):
        raise ValueError(f"n_contaminated: {n_contaminated}; give an integer from 0 to {len(given) - 1}")
    scores = robust_z(projection_features([right for _, right in given])).max(axis=1)
    return suspect(scores, outlying(scores), n_contaminated)
