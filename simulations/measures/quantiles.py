"""Quantiles over replications, with the standard error of Maritz and Jarrett."""
# ruff: noqa: D102 - the methods of a measure are described once, at Measure

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import betainc

from simulations.measure import Accumulator, Array, Columns, Estimate, Measure, OrderStatistics

__all__ = ["Quantile", "maritz_jarrett"]


class _Sorted(Accumulator):
    def __init__(self, measure: Quantile) -> None:
        self.measure = measure
        self.parts: list[Array] = []
        self.undefined = 0

    def update(self, columns: Columns) -> None:
        values = columns[self.measure.metric]
        kept = values[~np.isnan(values)]
        self.undefined += int(values.size - kept.size)
        self.parts.append(kept)

    def result(self) -> Estimate:
        values = np.sort(np.concatenate(self.parts)) if self.parts else np.zeros(0)
        value, mcse = maritz_jarrett(values, self.measure.probability)
        first, last = _reach(values.size, self.measure.probability)
        nearby = OrderStatistics(values[first:last].copy(), first, values.size, self.measure.probability)
        return Estimate(value, mcse, int(values.size), self.undefined, order_statistics=nearby if values.size else None)


def _reach(n: int, probability: float) -> tuple[int, int]:
    """Order statistics within ten standard deviations of the quantile; the weights beyond vanish."""
    middle, reach = int(probability * n + 0.5), int(10.0 * math.sqrt(n * probability * (1.0 - probability))) + 20
    return max(middle - reach, 0), min(middle + reach, n)


def maritz_jarrett(ordered: Array, probability: float) -> tuple[float, float]:
    """Sample quantile (interpolated, Hyndman and Fan's type 7) and its Maritz–Jarrett standard error.

    The standard error is the exact bootstrap one of the order statistic x_(m), m = ⌊pn + ½⌋ (Maritz and Jarrett,
    JASA 73, 1978): weights w_i = I_{i/n}(m, n − m + 1) − I_{(i−1)/n}(m, n − m + 1), variance Σw x² − (Σw x)².
    """
    n = ordered.size
    if n == 0:
        return math.nan, math.nan
    value = float(np.quantile(ordered, probability))
    if n < 2:
        return value, math.nan
    m = min(max(int(probability * n + 0.5), 1), n)
    first, last = _reach(n, probability)
    weights = np.diff(betainc(m, n - m + 1, np.arange(first, last + 1) / n))
    window = ordered[first:last] - value
    mean = float(weights @ window)
    return value, math.sqrt(max(float(weights @ np.square(window)) - mean**2, 0.0))


@dataclass(frozen=True)
class Quantile(Measure):
    """Quantile of a metric over replications, with the Maritz–Jarrett standard error (:func:`maritz_jarrett`).

    Exact, so it keeps one metric of one cell in memory: 8 MB per million replications.
    """

    metric: str
    probability: float
    formula: ClassVar[str] = "sample quantile; MCSE of Maritz and Jarrett (1978), distribution-free interval"

    def __post_init__(self) -> None:
        if not 0.0 < self.probability < 1.0:
            raise ValueError(f"probability is {self.probability}; give a number strictly between 0 and 1")

    @property
    def label(self) -> str:
        return f"quantile {self.probability:g} {self.metric}"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.metric,)

    def accumulator(self) -> Accumulator:
        return _Sorted(self)
