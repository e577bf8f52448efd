"""A first noise scale, before any subspace is known; used to set penalties, never to test clients."""

from __future__ import annotations

import numpy as np
from scipy import integrate, optimize

from clair_stats.records import FloatArray

__all__ = ["marchenko_pastur_median", "rough_noise_scale"]


def marchenko_pastur_median(ratio: float) -> float:
    """Median of the Marchenko–Pastur law with aspect ratio in (0, 1]: squared singular values over σ² max(p, q)."""
    low, high = (1 - np.sqrt(ratio)) ** 2, (1 + np.sqrt(ratio)) ** 2

    def density(x: float) -> float:
        return float(np.sqrt(max((high - x) * (x - low), 0.0)) / (2 * np.pi * ratio * x))

    def below(x: float) -> float:
        return float(integrate.quad(density, low, x, limit=200)[0]) - 0.5

    return float(optimize.brentq(below, low * (1 + 1e-9) + 1e-12, high))


def rough_noise_scale(blocks: FloatArray, weights: FloatArray, *, common_component: bool) -> float:
    """σ at relative precision 1, from the median client's bulk of singular values.

    Every block, centred at the entrywise median, is noise plus a few directions; its median singular value belongs to
    the noise as long as r < min(p, q)/2 and is compared with the Marchenko–Pastur median (Gavish and Donoho, IEEE Trans.
    Inf. Theory 60, 2014).  Taking the median over clients keeps a contaminated minority out.  Too large when r is not
    small against min(p, q); the consensus search does not use it.
    """
    centred = blocks - np.median(blocks, axis=0) if common_component else blocks
    whitened = centred * np.sqrt(weights)[:, None, None]
    _, p, q = blocks.shape
    values = np.linalg.svd(whitened, compute_uv=False)
    short, long = min(p, q), max(p, q)
    if short < 4:
        # Too few singular values for a bulk: the smallest one, whose square has mean about (√long − √short)²σ².
        per_client = values[:, -1] / max(np.sqrt(long) - np.sqrt(short), 0.5)
    else:
        per_client = np.median(values, axis=1) / np.sqrt(long * marchenko_pastur_median(short / long))
    return float(np.median(per_client))
