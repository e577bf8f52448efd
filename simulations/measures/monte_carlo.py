"""What a performance measure is: an estimate with a Monte Carlo standard error, streamed over the rows of a cell.

A smooth measure is a function f(ȳ) of means of transformed metrics y; its Monte Carlo standard error is
√(∇f' S ∇f / n), with S the sample covariance of y over replications (delta method).  Means and S are merged chunk by
chunk (Chan, Golub and LeVeque, "Algorithms for computing the sample variance", American Statistician 37, 1983), so
memory does not grow with the number of rows.

A NaN metric is undefined on its replication: it does not enter the value, and is counted.
"""
# ruff: noqa: D102 - the methods of a measure are described once, at Measure and SmoothMeasure

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

__all__ = ["Accumulator", "Array", "Columns", "Estimate", "Measure", "OrderStatistics", "SmoothMeasure"]

Array = NDArray[np.float64]
Columns = Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class OrderStatistics:
    """Sorted values around a quantile, for its distribution-free interval."""

    window: Array  # x_(first + 1) … in ascending order
    first: int
    n: int
    probability: float

    def interval(self, level: float) -> tuple[float, float]:
        """[x_(l), x_(u)] with P(l ≤ B < u) ≥ level for B binomial(n, probability)."""
        from scipy.stats import binom

        tail = (1.0 - level) / 2.0
        lower = int(binom.ppf(tail, self.n, self.probability))
        upper = int(binom.isf(tail, self.n, self.probability)) + 1
        ends = []
        for rank, beyond in ((lower, -math.inf), (upper, math.inf)):
            position = rank - 1 - self.first
            ends.append(float(self.window[position]) if 0 <= position < self.window.size else beyond)
        return ends[0], ends[1]


@dataclass(frozen=True)
class Estimate:
    """A performance measure and how precisely the simulation knows it."""

    value: float
    mcse: float  # Monte Carlo standard error, unit of the value; NaN below two defined replications
    n: int  # replications that entered
    undefined: int  # successful replications on which a metric was NaN
    proportion: bool = False
    order_statistics: OrderStatistics | None = field(default=None, compare=False, repr=False)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval for the value at infinitely many replications: Wald, and Wilson for proportions.

        Wilson's, because the Wald interval of an observed 0 or 1 has length zero however few the replications.  For a
        quantile the order statistics that enclose it with at least this probability, whatever the distribution: a Wald
        interval there falls short (94.2 % at 4,000 replications), since densities are learnt slowly.
        """
        if self.order_statistics is not None:
            return self.order_statistics.interval(level)
        if self.proportion:
            if self.n == 0:
                return math.nan, math.nan
            from statsmodels.stats.proportion import proportion_confint

            low, high = proportion_confint(self.value * self.n, self.n, alpha=1.0 - level, method="wilson")
            return float(low), float(high)
        half = float(-ndtri((1.0 - level) / 2.0)) * self.mcse
        return self.value - half, self.value + half


class Accumulator(ABC):
    """Takes the rows of one cell chunk by chunk, in the order of replications."""

    @abstractmethod
    def update(self, columns: Columns) -> None:
        """Take the next rows; ``columns`` holds one array per metric, all of one length."""

    @abstractmethod
    def result(self) -> Estimate:
        """Value and Monte Carlo standard error of the rows so far."""


@dataclass(frozen=True)
class Measure(ABC):
    """A performance measure; subclasses say which metrics they need and how they are combined."""

    formula: ClassVar[str] = ""

    @property
    @abstractmethod
    def label(self) -> str:
        """Name in tables."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Metrics the measure reads."""

    @abstractmethod
    def accumulator(self) -> Accumulator:
        """A fresh accumulator for one cell."""


class _Moments(Accumulator):
    """Mean vector and co-moments of transformed metrics."""

    def __init__(self, measure: SmoothMeasure) -> None:
        self.measure = measure
        self.n = 0
        self.undefined = 0
        self.pivot: Array | None = None
        self.mean: Array = np.zeros(0)
        self.comoment: Array = np.zeros((0, 0))

    def update(self, columns: Columns) -> None:
        raw = self.measure.raw(columns)
        defined = ~np.isnan(raw).any(axis=1)
        kept = raw[defined]
        self.undefined += int(raw.shape[0] - kept.shape[0])
        if kept.shape[0] == 0:
            return
        if self.pivot is None:
            # Powers are taken of the distance to the first chunk's mean: nothing cancels in E z² − (E z)².
            self.pivot = kept.mean(axis=0)
        y = self.measure.transform(kept, self.pivot)
        count, mean = y.shape[0], y.mean(axis=0)
        centred = y - mean
        comoment = centred.T @ centred
        if self.n == 0:
            self.n, self.mean, self.comoment = count, mean, comoment
            return
        total = self.n + count
        step = mean - self.mean
        self.comoment = self.comoment + comoment + np.outer(step, step) * (self.n * count / total)
        self.mean = self.mean + step * (count / total)
        self.n = total

    def result(self) -> Estimate:
        if self.n == 0:
            return Estimate(math.nan, math.nan, 0, self.undefined, self.measure.is_proportion)
        value, gradient = self.measure.function(self.mean, self.n)
        if self.measure.is_proportion:
            mcse = math.sqrt(max(value * (1.0 - value), 0.0) / self.n)
        elif self.n < 2:
            mcse = math.nan
        else:
            mcse = math.sqrt(max(float(gradient @ self.comoment @ gradient), 0.0) / (self.n - 1) / self.n)
        return Estimate(value, mcse, self.n, self.undefined, self.measure.is_proportion)


class SmoothMeasure(Measure):
    """A smooth function of means."""

    is_proportion: ClassVar[bool] = False

    def accumulator(self) -> Accumulator:
        return _Moments(self)

    @abstractmethod
    def raw(self, columns: Columns) -> Array:
        """Metrics as an array (n, c); a row with a NaN is undefined."""

    def transform(self, raw: Array, pivot: Array) -> Array:
        """y, shape (n, d)."""
        return raw

    def function(self, mean: Array, n: int) -> tuple[float, Array]:
        """f(ȳ) and its gradient (d,)."""
        return float(mean[0]), np.ones(1)
