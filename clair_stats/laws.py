"""Laws that several stages share: the level of one test of many, tails and critical values, the edge of noise.

Every pair (tail, critical value) is one function, so that a p-value below the level and a statistic above the critical
value are the same event.  Where they are used: docs/derivations/detection.md.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

__all__ = [
    "TRACY_WIDOM",
    "chi_square",
    "fisher",
    "holm",
    "homogeneity_quantile",
    "hotelling_lawley",
    "lower_beta_quantile",
    "noise_edge",
    "per_client_level",
    "rare_laws",
]

FloatArray = NDArray[np.float64]

# The non-central χ² and F of SciPy hang or overflow at large non-centrality.  From here on a power of the statistic is
# normal, with an error below 2 % of a tail of .001 (test_laws.py).
_LARGE_SHIFT = 1e4
_CERTAIN = 9.0
# Tracy–Widom of order one exceeds 4 with probability of about 1e-4 (tail exp(−2/3 s^1.5)/(4√π s^1.5)).
TRACY_WIDOM = 4.0
_HOMOGENEITY_DRAWS = 4000  # Monte Carlo error .001 of a level of .005
_HOMOGENEITY_SEED = 20_261_126
_MOST_SIMULATED = 300  # clients; 1.2 million draws take 50 ms


def rare_laws() -> Any:  # noqa: ANN401 - a module without types
    """SciPy's statistics, imported when they are first asked for: half a second, and most verdicts need none of them.

    Returns
    -------
    module
        ``scipy.stats``.
    """
    from scipy import stats

    return stats


def per_client_level(level: float, n_clients: int) -> float:
    """Level of each of ``n_clients`` independent tests whose family-wise level is ``level`` (Šidák, 1967).

    Parameters
    ----------
    level : float
        α, between 0 and 1.
    n_clients : int
        K.

    Returns
    -------
    float
        1 − (1 − α)^{1/K}.
    """
    return float(-np.expm1(np.log1p(-level) / n_clients))


def holm(p_values: ArrayLike) -> FloatArray:
    """p-values adjusted by Holm's step-down procedure (Scand. J. Statist. 6, 1979); at most the level: rejected.

    As in statsmodels' ``multipletests``, which collects garbage at every call: a second in a process that holds much.

    Parameters
    ----------
    p_values : array_like, shape (n,)
        NaN is in no family and stays.

    Returns
    -------
    ndarray, shape (n,)
    """
    given = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(given.shape, np.nan)
    defined = ~np.isnan(given)
    own = given[defined]
    order = np.argsort(own, kind="stable")
    shown = np.empty(own.size)
    shown[order] = np.minimum(np.maximum.accumulate(own[order] * (own.size - np.arange(own.size))), 1.0)
    adjusted[defined] = shown
    return adjusted


def lower_beta_quantile(first: FloatArray, second: FloatArray, level: float) -> FloatArray:
    """x with I_x(a, b) = ``level``, also where the library's inverse is undefined (a = 3 at 1e−200).

    There x is small, and I_x(a, b) = x^a/(a B(a, b)) to first order in x: the first term of its series (Pearson, Tables
    of the Incomplete Beta-Function, 1934).

    Parameters
    ----------
    first, second : ndarray, shape (K,)
        a and b.
    level : float

    Returns
    -------
    ndarray, shape (K,)
    """
    found = special.betaincinv(first, second, level)
    small = np.exp((np.log(level) + np.log(first) + special.betaln(first, second)) / first)
    return np.asarray(np.where(np.isnan(found), small, found))


def chi_square(
    statistics: FloatArray, degrees: FloatArray, shift: FloatArray, alpha: float
) -> tuple[FloatArray, FloatArray]:
    """Upper tails and critical values at ``alpha`` of χ² with ``degrees`` and non-centrality ``shift``.

    All arrays have one shape (K,).  At large non-centrality a power of the statistic is normal (Sankaran, Biometrika
    46, 1959).

    Parameters
    ----------
    statistics, degrees, shift : ndarray, shape (K,)
        Statistics, degrees of freedom and non-centrality.
    alpha : float
        Level of one test.

    Returns
    -------
    tuple of ndarray, shape (K,)
        P-values, critical values.
    """
    if not np.any(shift):
        # scipy.special, not scipy.stats: the same numbers without a millisecond of argument checks, in an inner loop.
        return np.asarray(special.chdtrc(degrees, statistics)), np.asarray(special.chdtri(degrees, alpha))
    statistics, degrees, shift = np.broadcast_arrays(statistics, degrees, shift)
    tail, critical = np.empty(statistics.shape), np.empty(statistics.shape)
    tail[np.isinf(shift)], critical[np.isinf(shift)] = 1.0, np.inf  # whatever happens is tolerated
    large = (shift > _LARGE_SHIFT) & np.isfinite(shift)
    tail[large], critical[large] = _power(statistics[large], degrees[large], shift[large], alpha)
    small = shift <= _LARGE_SHIFT
    # ‖Z + μ‖ falls short of ‖μ‖ by 9 with probability Φ(−9) at most, which is rounding beside 1; SciPy overflows there.
    certain = statistics < np.maximum(np.sqrt(np.where(small, shift, 0.0)) - _CERTAIN, 0.0) ** 2
    tail[small & certain] = 1.0
    told = small & ~certain
    tail[told] = rare_laws().ncx2.sf(statistics[told], degrees[told], shift[told])
    critical[small] = rare_laws().ncx2.isf(alpha, degrees[small], shift[small])
    return tail, critical


def _power(
    statistics: FloatArray, degrees: FloatArray, shift: FloatArray, alpha: float
) -> tuple[FloatArray, FloatArray]:
    mean = degrees + shift
    power = 1.0 - 2.0 / 3.0 * (mean / (mean + shift)) * ((mean + 2.0 * shift) / (mean + shift))
    spread = (mean + shift) / mean / mean
    bend = (power - 1.0) * (1.0 - 3.0 * power)
    centre = 1.0 + power * spread * (power - 1.0 - 0.5 * (2.0 - power) * bend * spread)
    scale = power * np.sqrt(2.0 * spread) * (1.0 + 0.5 * bend * spread)
    tail = special.ndtr(-((statistics / mean) ** power - centre) / scale)
    critical = mean * (centre - special.ndtri(alpha) * scale) ** (1.0 / power)
    return np.asarray(tail, dtype=np.float64), np.asarray(critical, dtype=np.float64)


def fisher(
    ratios: FloatArray, first: FloatArray, second: FloatArray, shift: FloatArray, alpha: float
) -> tuple[FloatArray, FloatArray]:
    """Upper tails and critical values at ``alpha`` of F with ``first`` and ``second`` degrees of freedom.

    Beyond a non-centrality of 1e4 the numerator alone counts: its relative spread there is below that of the
    denominator, which enters through a central F of the same mean.

    Parameters
    ----------
    ratios, first, second, shift : ndarray, shape (K,)
        F statistics, degrees of freedom of numerator and denominator, non-centrality.
    alpha : float
        Level of one test.

    Returns
    -------
    tuple of ndarray, shape (K,)
        P-values, critical values.
    """
    if not np.any(shift):
        return np.asarray(special.fdtrc(first, second, ratios)), np.asarray(special.fdtri(first, second, 1.0 - alpha))
    ratios, first, second, shift = np.broadcast_arrays(ratios, first, second, shift)
    # Patnaik (Biometrika 36, 1949): a non-central χ² is matched by a multiple of a central one with more degrees.
    matched = (first + shift) / (first + 2.0 * shift) * (first + shift)
    factor = (first + shift) / first
    large = shift > _LARGE_SHIFT
    tail = np.asarray(special.fdtrc(matched, second, ratios / factor))
    critical = np.asarray(special.fdtri(matched, second, 1.0 - alpha) * factor)
    small = ~large
    if small.any():
        tail[small] = rare_laws().ncf.sf(ratios[small], first[small], second[small], shift[small])
        critical[small] = rare_laws().ncf.isf(alpha, first[small], second[small], shift[small])
    return np.asarray(tail, dtype=np.float64), critical


def hotelling_lawley(
    estimated: FloatArray, other: FloatArray, degrees: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Degrees of freedom of McKeon's F for T = tr(Z Σ̂⁻¹Zᵀ), and the factor that makes T that F.

    Σ̂ is e × e on ν > e + 3 degrees of freedom, Z has h rows of covariance Σ (McKeon, Biometrika 61, 1974).

    Parameters
    ----------
    estimated, other, degrees : ndarray, shape (K,)
        e, h and ν.

    Returns
    -------
    tuple of ndarray, shape (K,)
        Degrees of freedom of numerator and denominator, factor.
    """
    spare = degrees - estimated - 1.0
    b = (degrees - 1.0) * (other + spare) / ((spare + 1.0) * (spare - 2.0))
    first = estimated * other
    second = 4.0 + (first + 2.0) / (b - 1.0)
    return first, second, second * spare / (first * (second - 2.0) * degrees)


def noise_edge(p: float, n: float, *, tracy_widom: float = TRACY_WIDOM) -> float:
    """The largest eigenvalue of E Eᵀ, E a p × n standard normal matrix, at a point of the Tracy–Widom law.

    It lies at μ + ςT with T Tracy–Widom of order one (Johnstone, Ann. Statist. 29(2), 2001; the centring used here has
    second-order accuracy).  By default the point that it exceeds with probability of about 1e-4.

    Parameters
    ----------
    p, n : float
        Rows and columns; not necessarily whole numbers.
    tracy_widom : float
        T.

    Returns
    -------
    float
        In units of the variance of an entry.
    """
    root_p, root_n = math.sqrt(max(p, 1.0) - 0.5), math.sqrt(max(n, 1.0) - 0.5)
    spread = (root_p + root_n) * (1.0 / root_p + 1.0 / root_n) ** (1.0 / 3.0)
    return float((root_p + root_n) ** 2 + tracy_widom * spread)


@lru_cache(maxsize=256)
def homogeneity_quantile(n_clients: int, degrees: int, level: float) -> float:
    """Quantile at 1 − ``level`` of log mean(T) − mean log(T) over K independent χ² on ``degrees`` (Bartlett, 1937).

    By simulation for few clients; beyond, K·ν times the statistic is (1 + (K + 1)/(3Kν)) χ² with K − 1 degrees.

    Parameters
    ----------
    n_clients : int
        K.
    degrees : ndarray, shape (K,), or None
        ν_k.
    level : float
        Family-wise level.

    Returns
    -------
    float
    """
    if n_clients > _MOST_SIMULATED:
        correction = 1.0 + (n_clients + 1.0) / (3.0 * n_clients * degrees)
        return float(correction * special.chdtri(n_clients - 1.0, level) / (n_clients * degrees))
    generator = np.random.default_rng(_HOMOGENEITY_SEED)
    draws = generator.chisquare(degrees, (_HOMOGENEITY_DRAWS, n_clients))
    spreads = np.log(draws.mean(axis=1)) - np.log(draws).mean(axis=1)
    return float(np.quantile(spreads, 1.0 - level))
