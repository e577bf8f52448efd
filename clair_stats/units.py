"""One scaling by powers of two at the border of a fit, so that no square inside it over- or underflows.

Everything that CLAIR computes is equivariant (docs/theory.md, section 2): divide the estimates by u, and what is on
their scale is divided by u, what is squared by u².  A power of two divides without rounding, so the fit of data in any
unit is bit for bit the fit of the same data in an ordinary one.  Data of ordinary size are not touched.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from clair_stats.decomposition.scaling import (
    LARGEST_SCALE,
    SMALLEST_SCALE,
    absurd_exponents,
    binary_scale,
    sizes,
    usual_size,
)
from clair_stats.detection.step_5_verdict import Consensus
from clair_stats.estimates import ClientEstimates
from clair_stats.records import Combination, Decomposition, FloatArray, Refinement

__all__ = [
    "combination_in_unit",
    "consensus_in_unit",
    "decomposition_in_unit",
    "divided",
    "refinement_in_unit",
    "unit_of",
    "without_absurd_sizes",
]

# Up to 2^±60 fourth powers and sums of them stay in range: such data are left in their own unit.
_ORDINARY_EXPONENT = 60
# Of a block that has no number in the common unit: 2⁴⁹⁸ is just below ``LARGEST_ENTRY``.
_LARGEST_EXPONENT = 498


def unit_of(record: ClientEstimates) -> float:
    """The power of two by which a fit divides these estimates; 1 where most clients are of ordinary size.

    Parameters
    ----------
    record : ClientEstimates

    Returns
    -------
    float
    """
    return binary_scale(usual_size(sizes(record)), ordinary=_ORDINARY_EXPONENT)


def divided(record: ClientEstimates, unit: float) -> ClientEstimates:
    """The record in another unit: estimates, halves and scales over ``unit``, row covariances over its square.

    Parameters
    ----------
    record : ClientEstimates
    unit : float
        A power of two.

    Returns
    -------
    ClientEstimates
        The record itself for the unit 1, unless its scales are cut.
    """
    scales, beyond = record.noise_scales, _beyond_scales(record, unit)
    halves = None if record.halves is None else _cut(_over(record.halves, unit))
    if unit == 1.0 and not beyond.any() and (halves is None or halves is record.halves):
        return record
    values, factors, rows = record.values, record.factors, record.row_covariances
    with np.errstate(under="ignore"):
        return replace(
            record,
            values=None if values is None else _over(values, unit),
            factors=None if factors is None else tuple(_divided_pair(*pair, unit) for pair in factors),
            noise_scales=None if scales is None else np.clip(scales / unit, SMALLEST_SCALE, LARGEST_SCALE),
            halves=halves,
            row_covariances=None if rows is None else np.ldexp(rows, beyond[:, None, None]) / unit / unit,
        )


def _beyond_scales(record: ClientEstimates, unit: float) -> NDArray[np.int64]:
    """By how many powers of two the variance of each client (K,), over ``unit``², is cut to the range of scales."""
    if record.row_covariances is None:
        scales = np.ones(record.n_clients) if record.noise_scales is None else record.noise_scales
        variances = 2 * np.frexp(scales)[1]
    else:
        variances = np.frexp(np.abs(record.row_covariances).max(axis=(1, 2)))[1]
        if record.column_covariances is not None:
            variances = variances + np.frexp(np.abs(record.column_covariances).max(axis=(1, 2)))[1]
    variances = variances - 2 * (math.frexp(unit)[1] - 1)
    lowest, highest = (2 * math.frexp(scale)[1] for scale in (SMALLEST_SCALE, LARGEST_SCALE))
    return np.asarray(np.clip(variances, lowest, highest) - variances, dtype=np.int64)


def without_absurd_sizes(record: ClientEstimates) -> ClientEstimates:
    """The record with clients beyond 2²⁶ times the median size brought down to that, by powers of two.

    For a verdict on several modules, where whole clients are multiplied with each other: beside a larger one the others
    vanish in rounding.  At 2²⁶ times the usual size a client is far outside whatever it holds.

    Parameters
    ----------
    record : ClientEstimates

    Returns
    -------
    ClientEstimates
        The record itself where nobody is that large.
    """
    excess = absurd_exponents(np.minimum(sizes(record), np.finfo(np.float64).max))
    if not excess.any():
        return record
    if record.values is not None:
        return replace(record, values=np.ldexp(record.values, -excess[:, None, None]), halves=None)
    assert record.factors is not None
    pairs = zip(record.factors, excess, strict=True)
    return replace(record, factors=tuple((np.ldexp(left, -by), right) for (left, right), by in pairs), halves=None)


def _over(values: FloatArray, unit: float) -> FloatArray:
    """Blocks (K, …, p, q) over ``unit``; those that would overflow, 1e300 times the usual size, over a power of two.

    Such a client is flagged whatever it holds, and what it is handed back is its own estimate as it came.
    """
    if unit == 1.0:
        return values
    with np.errstate(over="ignore"):
        found = np.asarray(values / unit)
    for k in np.flatnonzero(np.isinf(found).reshape(len(found), -1).any(axis=1)):
        found[k] = np.ldexp(values[k], _LARGEST_EXPONENT - math.frexp(float(np.abs(values[k]).max()))[1])
    return found


def _cut(halves: FloatArray) -> FloatArray:
    """Halves (K, 2, p, q) in the unit of a fit, those brought down whose difference says that all is error."""
    largest = np.abs(halves).max(axis=(1, 2, 3))
    if (largest <= LARGEST_SCALE).all():
        return halves
    beyond = np.maximum(np.frexp(largest)[1] - math.frexp(LARGEST_SCALE)[1], 0)
    return np.asarray(np.ldexp(halves, -beyond[:, None, None, None]))


def _divided_pair(left: FloatArray, right: FloatArray, unit: float) -> tuple[FloatArray, FloatArray]:
    """B_k and A_k whose product is over ``unit``, the size of the product evenly on both sides."""
    first, second = (math.frexp(float(np.abs(side).max()))[1] for side in (left, right))
    rest = first + second - (math.frexp(unit)[1] - 1)
    return np.ldexp(left, rest // 2 - first), np.ldexp(right, rest - rest // 2 - second)


def consensus_in_unit(found: Consensus, unit: float) -> Consensus:
    """A verdict on divided estimates, on the scale of the estimates themselves.

    Parameters
    ----------
    found : Consensus
    unit : float

    Returns
    -------
    Consensus
    """
    if unit == 1.0:
        return found
    tested = found.calibrated
    return replace(
        found,
        fit=replace(found.fit, common=found.fit.common * unit),
        calibrated=replace(tested, scores=tested.scores * unit, thresholds=tested.thresholds * unit),
    )


def decomposition_in_unit(found: Decomposition, unit: float) -> Decomposition:
    """A solution for divided estimates, on the scale of the estimates themselves.

    Parameters
    ----------
    found : Decomposition
    unit : float

    Returns
    -------
    Decomposition
    """
    if unit == 1.0:
        return found
    noisy = found.program == "N"
    value = unit * unit if noisy else unit
    return replace(
        found,
        common=found.common * unit,
        low_rank=found.low_rank * unit,
        block_sparse=found.block_sparse * unit,
        dual=found.dual * unit if noisy else found.dual,
        objective=found.objective * value,
        duality_gap=found.duality_gap * value,
        noise_penalty=found.noise_penalty * unit,
        noise_radius=None if found.noise_radius is None else found.noise_radius * unit,
    )


def refinement_in_unit(
    found: Refinement, unit: float, *, divided: FloatArray | None = None, given: FloatArray | None = None
) -> Refinement:
    """Refined divided estimates, on the scale of the estimates themselves.

    Who keeps the own estimate is handed what was given: numbers too small to be divided do not come back by a product.

    Parameters
    ----------
    found : Refinement
    unit : float
    divided, given : ndarray, shape (K, p, q), optional
        The estimates that were refined, and the same before they were divided.

    Returns
    -------
    Refinement
    """
    if unit == 1.0:
        return found
    estimates = found.estimates * unit
    if divided is not None and given is not None:
        own = (found.estimates == divided).all(axis=(1, 2))
        estimates[own] = given[own]
    return replace(
        found,
        estimates=estimates,
        centre=found.centre * unit,
        risk=None if found.risk is None else found.risk * unit * unit,
        own_risk=None if found.own_risk is None else found.own_risk * unit * unit,
    )


def combination_in_unit(found: Combination | None, unit: float) -> Combination | None:
    """A combination of divided estimates, on the scale of the estimates themselves.

    Parameters
    ----------
    found : Combination, optional
    unit : float

    Returns
    -------
    Combination or None
    """
    if found is None or unit == 1.0:
        return found
    return replace(found, estimates=found.estimates * unit, centre=found.centre * unit)
