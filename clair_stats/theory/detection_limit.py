"""How small a contamination no test can see, and how large a one the χ² test does: guarantee.md, section 6."""

from __future__ import annotations

import numpy as np
from scipy import special

from clair_stats.laws import per_client_level, rare_laws

__all__ = ["detection_limit", "detection_reach"]


def _checked(n_clients: int, shape: tuple[int, int], rank: int, noise_scale: float, level: float, power: float) -> int:
    p, q = shape
    if n_clients < 1 or not 0 <= rank < p or q < 1:
        raise ValueError(f"n_clients, shape, rank: {n_clients}, {shape}, {rank}; give K ≥ 1, q ≥ 1 and 0 ≤ r < p")
    if not (np.isfinite(noise_scale) and noise_scale > 0):
        raise ValueError(f"noise_scale: {noise_scale!r}; give a positive standard deviation")
    if not 0 < level < power < 1:
        raise ValueError(f"level, power: {level!r}, {power!r}; give 0 < level < power < 1")
    return (p - rank) * q


def detection_limit(
    n_clients: int,
    *,
    shape: tuple[int, int],
    rank: int,
    noise_scale: float = 1.0,
    level: float = 0.05,
    power: float = 0.5,
) -> float:
    """Largest d below which no test at this level has this power against one client contaminated by d.

    It is σ(2m log(1 + 4K(power − level)²))^{1/4}, m = (p − r)q, even if U*, M*, the coefficients and σ are known.

    Parameters
    ----------
    n_clients : int
        K; which of them is contaminated is unknown.
    shape : (int, int)
        (p, q).
    rank : int
        r, 0 ≤ r < p.
    noise_scale : float
        σ of the independent Gaussian entries of the errors.
    level : float
        Probability of an alarm without contamination.
    power : float
        Probability of an alarm that is asked for, against every contamination with ‖D‖_F = d; above ``level``.

    Returns
    -------
    float
        On the scale of the estimates.

    Raises
    ------
    ValueError
        A rank outside 0 … p − 1, a scale that is not positive, or level ≥ power.

    Notes
    -----
    docs/derivations/guarantee.md, section 6, Theorem 9.

    Examples
    --------
    >>> round(detection_limit(20, shape=(12, 10), rank=2), 2)
    4.88
    """
    freedom = _checked(n_clients, shape, rank, noise_scale, level, power)
    return float(noise_scale * (2 * freedom * np.log1p(4 * n_clients * (power - level) ** 2)) ** 0.25)


def detection_reach(
    n_clients: int,
    *,
    shape: tuple[int, int],
    rank: int,
    noise_scale: float = 1.0,
    level: float = 0.05,
    power: float = 0.5,
) -> float:
    """Smallest d that the χ² test of every client at the Šidák level flags with this probability, U* and M* known.

    Parameters
    ----------
    n_clients, shape, rank, noise_scale, level, power
        As for :func:`detection_limit`; ``power`` is here the chance that the contaminated client itself is flagged.

    Returns
    -------
    float
        On the scale of the estimates; above :func:`detection_limit`.

    Raises
    ------
    ValueError
        As :func:`detection_limit`.

    Notes
    -----
    docs/derivations/guarantee.md, section 6.

    Examples
    --------
    >>> round(detection_reach(20, shape=(12, 10), rank=2), 2)
    6.71
    """
    # Imported here: optimisers take a third of a second, and verdicts need none.
    from scipy.optimize import brentq

    freedom = _checked(n_clients, shape, rank, noise_scale, level, power)
    cut = float(special.chdtri(freedom, per_client_level(level, n_clients)))
    high = np.sqrt(cut) + 10.0  # the score is at least d minus a normal variable; 10 standard deviations
    return float(noise_scale * brentq(lambda d: rare_laws().ncx2.sf(cut, freedom, d**2) - power, 1e-9, high))
