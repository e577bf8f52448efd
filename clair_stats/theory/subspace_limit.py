"""How well the shared subspace can be estimated at best, by any method: guarantee.md, section 7."""

from __future__ import annotations

import numpy as np
from scipy import special

__all__ = ["subspace_limit"]

# x²Φ(−x/2) has its maximum near 2.4; the correction for large noise moves it towards 0.
_LARGEST_STEP = 4.0


def subspace_limit(
    smallest_singular_value: float, *, shape: tuple[int, int], rank: int, noise_scale: float = 1.0
) -> float:
    """Lower bound on the worst E‖sin Θ(Û, U*)‖_F² of every estimator of the shared subspace.

    The worst case is over all U* and all benign coefficients with σ_r ≥ s.  The bound holds even when it is known which
    clients are benign, and what M* and σ are: about 0.166·r(p − r)σ²/s² when the noise is small.

    Parameters
    ----------
    smallest_singular_value : float
        s > 0, a lower bound of σ_r of the stacked coefficients of the benign clients; centred ones when the common
        component is free.
    shape : (int, int)
        (p, q) of one client's block; q does not enter.
    rank : int
        r, 1 ≤ r < p.
    noise_scale : float
        σ > 0 of the independent Gaussian entries of the errors.

    Returns
    -------
    float
        Without unit, below min(r, p − r).

    Raises
    ------
    ValueError
        A rank outside 1 … p − 1, or scales that are not positive.

    Notes
    -----
    docs/derivations/guarantee.md, section 7, Theorem 10.

    Examples
    --------
    >>> round(subspace_limit(100.0, shape=(12, 5), rank=2), 6)  # of r(p − r)/s² = 0.002
    0.000324
    """
    # Imported here: optimisers take a third of a second, and verdicts need none.
    from scipy.optimize import minimize_scalar

    p = shape[0]
    if not 1 <= rank < p:
        raise ValueError(f"rank: {rank}; give 1 ≤ r < p = {p}")
    if not (np.isfinite(smallest_singular_value) and smallest_singular_value > 0):
        raise ValueError(f"smallest_singular_value: {smallest_singular_value!r}; give a positive number")
    if not (np.isfinite(noise_scale) and noise_scale > 0):
        raise ValueError(f"noise_scale: {noise_scale!r}; give a positive standard deviation")
    size = rank * (p - rank) * (noise_scale / smallest_singular_value) ** 2

    def bound(x: float) -> float:
        return float(0.25 * size * x**2 * special.ndtr(-x / 2) / (1 + size * x**2) ** 2)

    found = minimize_scalar(lambda x: -bound(x), bounds=(0.0, _LARGEST_STEP), method="bounded")
    return bound(float(found.x))
