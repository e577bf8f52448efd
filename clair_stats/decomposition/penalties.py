"""The default block penalty: λ = 1.8 √(r̃/K), r̃ a rank read off robustly, kept inside the window.

The factor 1.8 is a convention, not a derived constant: it is the penalty of the benchmarks (docs/performance.md).  The
rank is a guess for a penalty, not an estimate for inference: λ moves with its square root only.
"""

from __future__ import annotations

import numpy as np

from clair_stats.decomposition.problem import penalty_window
from clair_stats.linalg import block_norms, entrywise_median
from clair_stats.records import FloatArray

__all__ = ["default_block_penalty", "guess_rank", "penalty_at_rank"]

_FACTOR = 1.8
# Stay this far (relatively) inside the window, so that both parts of the decomposition remain possible.
_MARGIN = 0.05


def guess_rank(blocks: FloatArray, *, common_component: bool) -> int:
    """Rank at the largest ratio of successive eigenvalues of Σ_k Y_kY_kᵀ/‖Y_k‖_F².

    Y is X, or X minus its entrywise median over clients when the common component is free.  Scaling every block to
    norm one bounds the influence of each client; the ratio is damped by a tenth of the mean eigenvalue, so that the
    noise-free tail cannot produce a large ratio of two rounding errors.
    """
    n_clients, p, q = blocks.shape
    deviations = blocks - entrywise_median(blocks) if common_component else blocks
    norms = block_norms(deviations)
    kept = norms > 1e-12 * float(norms.max(initial=0.0))
    if not kept.any():
        return 1
    scaled = deviations[kept] / norms[kept, None, None]
    tall = scaled.transpose(0, 2, 1).reshape(-1, p)
    gram = tall.T @ tall if tall.shape[0] >= p else tall @ tall.T
    values = np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0)
    damped = values + 0.1 * values.mean()
    largest = max(1, min(len(values) - 1, min(p, q * n_clients) // 2))
    if len(values) < 2:
        return 1
    ratios = damped[:largest] / damped[1 : largest + 1]
    return int(np.argmax(ratios)) + 1


def penalty_at_rank(rank: int, n_clients: int) -> float:
    """λ = 1.8 √(r/K), wherever that lies; for several modules r is the sum of their ranks."""
    return _FACTOR * float(np.sqrt(rank / n_clients))


def default_block_penalty(blocks: FloatArray, *, common_component: bool) -> float:
    """λ = 1.8 √(r̃/K), cut to 5 % inside the open window (1/√K, √min(p, q))."""
    n_clients, p, q = blocks.shape
    low, high = penalty_window(n_clients, p, q)
    if not low < high:
        return low
    wanted = penalty_at_rank(guess_rank(blocks, common_component=common_component), n_clients)
    return float(np.clip(wanted, min(low * (1 + _MARGIN), high), max(high * (1 - _MARGIN), low)))
