"""Power of the decision rules and replications they need; everything is computed before any replication is run."""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.optimize import brentq
from scipy.stats import binom, nct, norm, t

__all__ = [
    "POWER",
    "always_detectable",
    "always_needed",
    "always_supported_needed",
    "frequency_critical",
    "frequency_detectable",
    "frequency_needed",
    "slope_detectable",
    "slope_needed",
]

POWER = 0.9


def always_detectable(n: int) -> float:
    """Smallest probability of a violation seen at least once in n replications with probability 0.9."""
    return -math.expm1(math.log1p(-POWER) / n)


def always_needed(probability: float) -> int:
    """Replications that show a violation of this probability with probability 0.9.

    Raises
    ------
    ValueError
        A probability outside (0, 1).
    """
    if not 0 < probability < 1:
        raise ValueError(f"probability: {probability}; give a number between 0 and 1")
    return math.ceil(math.log1p(-POWER) / math.log1p(-probability) - 1e-9)


def always_supported_needed(tolerated: float, confidence: float = 0.95) -> int:
    """Replications without violation that put the exact upper bound at or below ``tolerated``.

    Raises
    ------
    ValueError
        A probability outside (0, 1).
    """
    if not 0 < tolerated < 1:
        raise ValueError(f"tolerated: {tolerated}; give a probability between 0 and 1")
    return math.ceil(math.log1p(-confidence) / math.log1p(-tolerated) - 1e-9)


def frequency_critical(n: int, target: float, level: float) -> int:
    """Smallest count c with P(X ≥ c) ≤ level for X ~ Bin(n, target): the test of "rate ≤ target" rejects from c on."""
    critical = int(binom.isf(level, n, target)) + 1
    while binom.sf(critical - 1, n, target) > level:
        critical += 1
    return critical


def frequency_detectable(n: int, target: float, level: float) -> float:
    """Smallest rate that the exact test of "rate ≤ target" rejects with probability 0.9 (1 if there is none)."""
    critical = frequency_critical(n, target, level)
    if critical > n:
        return 1.0
    return float(brentq(lambda rate: binom.sf(critical - 1, n, rate) - POWER, target, 1.0, xtol=1e-10))


def _first(found: Callable[[int], bool], start: int = 2, limit: int = 2**30) -> int:
    """Smallest n that qualifies, by doubling and bisection; ``found`` is monotone up to lattice effects."""
    high = start
    while not found(high):
        high *= 2
        if high > limit:
            raise ValueError("no number of replications up to 2**30 is enough; ask for a larger violation")
    low = max(start, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) else (middle + 1, high)
    return high


def frequency_needed(rate: float, target: float, level: float) -> int:
    """Replications that reject "rate ≤ target" with probability 0.9 when the rate is ``rate`` > target.

    Raises
    ------
    ValueError
        Anything but 0 ≤ target < rate ≤ 1.
    """
    if not 0 <= target < rate <= 1:
        raise ValueError(f"rate, target: {rate}, {target}; need 0 ≤ target < rate ≤ 1")
    return _first(lambda n: frequency_detectable(n, target, level) <= rate)


def slope_detectable(standard_error: float, freedom: float, margin: float, level: float) -> float:
    """Smallest |slope − target| that the one-sided test of "|slope − target| ≤ margin" rejects with probability 0.9."""
    critical = float(t.ppf(1 - level, freedom))

    def power(distance: float) -> float:
        return float(nct.sf(critical, freedom, (distance - margin) / standard_error)) - POWER

    guess = margin + (critical + float(norm.ppf(POWER)) + 6) * standard_error
    return float(brentq(power, margin, guess, xtol=1e-12))


def slope_needed(violation: float, *, residual: float, spread: float, points: int, margin: float, level: float) -> int:
    """Replications per point so that a slope off by ``violation`` > margin is rejected with probability 0.9.

    Parameters
    ----------
    violation : float
        Distance of the slope from its target.
    residual : float
        Planned standard deviation of one log error around the line.
    spread : float
        Standard deviation of the log abscissas over the points.
    points : int
    margin : float
        Deviation that still supports the claim.
    level : float
        Of the test.

    Raises
    ------
    ValueError
        A violation inside the margin.
    """
    if violation <= margin:
        raise ValueError(f"violation: {violation} is inside the margin {margin}; give a larger one")

    def enough(n: int) -> bool:
        error = residual / (spread * math.sqrt(n * points))
        return slope_detectable(error, n * points - 2, margin, level) <= violation

    return _first(enough)
