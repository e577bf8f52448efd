"""Smooth measures: functions of means, with standard errors by the delta method.

A smooth measure is a function f(ȳ) of means of transformed metrics y; its Monte Carlo standard error is
√(∇f' S ∇f / n), with S the sample covariance of y over replications (delta method).  Means and S are merged chunk by
chunk (Chan, Golub and LeVeque, "Algorithms for computing the sample variance", American Statistician 37, 1983).
"""
# ruff: noqa: D102 - the methods of a measure are described once, at Measure and SmoothMeasure

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import numpy as np

from simulations.measure import Accumulator, Array, Columns, Estimate, Measure

__all__ = ["SmoothMeasure"]


class _StreamedMoments(Accumulator):
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
        return _StreamedMoments(self)

    @abstractmethod
    def raw(self, columns: Columns) -> Array:
        """Metrics as an array (n, c); a row with a NaN is undefined."""

    def transform(self, raw: Array, pivot: Array) -> Array:
        """y, shape (n, d)."""
        return raw

    def function(self, mean: Array, n: int) -> tuple[float, Array]:
        """f(ȳ) and its gradient (d,)."""
        return float(mean[0]), np.ones(1)
