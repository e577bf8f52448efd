"""The block penalty λ: the default 1.8 √(r̃/K), r̃ a rank read off robustly, and the check of a given one.

The factor 1.8 is a convention, not a derived constant: it is the penalty of the benchmarks (docs/performance.md).  The
rank is a guess for a penalty, not an estimate for inference: λ moves with its square root only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from clair_stats.linalg import block_norms, entrywise_median
from clair_stats.records import FloatArray

__all__ = [
    "check_block_penalty",
    "default_block_penalty",
    "guess_rank",
    "inside_window",
    "penalty_at_rank",
    "penalty_window",
]

_FACTOR = 1.8
# Stay this far (relatively) inside the window, so that both parts of the decomposition remain possible.
_MARGIN = 0.05


def guess_rank(blocks: FloatArray, *, common_component: bool) -> int:
    """Rank at the largest ratio of successive eigenvalues of Σ_k Y_kY_kᵀ/‖Y_k‖_F².

    Y is X, or X minus its entrywise median over clients when the common component is free.  Scaling every block to
    norm one bounds the influence of each client; the ratio is damped by a tenth of the mean eigenvalue, so that the
    noise-free tail cannot produce a large ratio of two rounding errors.

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)
    common_component : bool
        Whether M is free.

    Returns
    -------
    int
        At least 1.
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
    """λ = 1.8 √(r/K), wherever that lies; for several modules r is the sum of their ranks.

    Parameters
    ----------
    rank : int
        r.
    n_clients : int
        K.

    Returns
    -------
    float
        λ.
    """
    return _FACTOR * float(np.sqrt(rank / n_clients))


def penalty_window(n_clients: int, *shapes: tuple[int, int], weights: FloatArray | None = None) -> tuple[float, float]:
    """The open interval of block penalties that do anything (theory.md sections 2 and 6).

    Parameters
    ----------
    n_clients : int
        K.
    *shapes : tuple of int
        (p, q) of every module; one for a single stack.
    weights : array, shape (K,), optional
        ω_k of the block norm; 1 when not given.

    Returns
    -------
    tuple of float
        1/‖ω‖ (1/√K without weights), at or below which L = 0 is optimal, and √(Σ_m min(p_m, q_m))/min_k ω_k, at or
        above which S = 0 is.
    """
    ranks = float(np.sqrt(sum(min(shape) for shape in shapes)))
    if weights is None:
        return 1.0 / float(np.sqrt(n_clients)), ranks
    return 1.0 / float(np.linalg.norm(weights)), ranks / float(weights.min())


def inside_window(wanted: float, window: tuple[float, float]) -> float:
    """``wanted``, moved 5 % inside the open window where it is outside or nearer to an end; the lower end of none.

    Parameters
    ----------
    wanted : float
        λ.
    window : tuple of float
        Its open ends.

    Returns
    -------
    float
        λ.
    """
    low, high = window
    if not low < high:
        return low
    return float(np.clip(wanted, min(low * (1 + _MARGIN), high), max(high * (1 - _MARGIN), low)))


def default_block_penalty(blocks: FloatArray, *, common_component: bool) -> float:
    """λ = 1.8 √(r̃/K) for a stack (K, p, q), cut to 5 % inside the open window (1/√K, √min(p, q)).

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)
    common_component : bool
        Whether M is free.

    Returns
    -------
    float
        λ; it does not depend on the scale of the blocks.
    """
    n_clients, p, q = blocks.shape
    wanted = penalty_at_rank(guess_rank(blocks, common_component=common_component), n_clients)
    return inside_window(wanted, penalty_window(n_clients, (p, q)))


def check_block_penalty(
    block_penalty: float,
    n_clients: int,
    shapes: Sequence[tuple[int, int]],
    weights: FloatArray,
    *,
    allow_degenerate: bool = False,
) -> float:
    """λ as a float, positive and, unless ``allow_degenerate``, inside the window.

    Parameters
    ----------
    block_penalty : float
        λ.
    n_clients, shapes, weights
        As for :func:`penalty_window`.
    allow_degenerate : bool
        Whether any positive value will do.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        Naming the window.
    """
    if isinstance(block_penalty, bool) or not isinstance(block_penalty, int | float | np.integer | np.floating):
        raise TypeError(f"block_penalty: {block_penalty!r}; give λ as a number, or None for the default rule")
    lam = float(block_penalty)
    if not (math.isfinite(lam) and lam > 0):
        raise ValueError(f"block_penalty: {block_penalty!r}; give λ > 0, or None for the default rule")
    if allow_degenerate:
        return lam
    low, high = penalty_window(n_clients, *shapes, weights=weights)
    remedy = f"choose λ inside ({low:.4g}, {high:.4g})"
    if len(shapes) == 1:
        remedy += ", or pass allow_degenerate=True"
    if not low < lam < high:
        side, end, part = ("below", low, "L") if lam <= low else ("above", high, "S")
        raise ValueError(
            f"block_penalty: λ = {lam:.4g} is outside the window, at or {side} its end {end:.4g}, where {part} = 0 is "
            f"optimal whatever the data; {remedy}"
        )
    return lam
