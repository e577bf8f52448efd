"""Performance measures, each with its Monte Carlo standard error, streamed over the rows of a cell.

Source of the definitions and standard errors: T. P. Morris, I. R. White and M. J. Crowther, "Using simulation studies
to evaluate statistical methods", Statistics in Medicine 38 (2019), Table 6, cited as MWC.  Where their formula needs
normal estimates (empirical SE) the delta method is used instead, which does not.

How values and standard errors are streamed is described in :mod:`simulations.measures.moments`.
"""
# ruff: noqa: D102 - the methods of a measure are described once, at Measure and SmoothMeasure

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from simulations.measure import Accumulator, Array, Columns, Estimate, Measure
from simulations.measures.moments import SmoothMeasure
from simulations.measures.quantiles import Quantile

__all__ = [
    "RMSE",
    "Accumulator",
    "Bias",
    "Coverage",
    "EmpiricalSE",
    "Estimate",
    "Mean",
    "Measure",
    "ModelSE",
    "PairedDifference",
    "Precision",
    "Proportion",
    "Quantile",
    "Ratio",
    "Recall",
]


def _names(*parts: str | float) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part for part in parts if isinstance(part, str)))


def _root(mean: Array, n: int) -> tuple[float, Array]:
    """√ȳ and its derivative, 1/(2√ȳ)."""
    root = math.sqrt(mean[0])
    return root, np.array([0.5 / root if root > 0.0 else 0.0])


@dataclass(frozen=True)
class _OneMetric(SmoothMeasure):
    """A measure of one metric, its first field."""

    words: ClassVar[str] = "{}"

    @property
    def label(self) -> str:
        return self.words.format(self.columns[0])

    @property
    def columns(self) -> tuple[str, ...]:
        return (getattr(self, fields(self)[0].name),)

    def raw(self, columns: Columns) -> Array:
        return columns[self.columns[0]][:, np.newaxis]


@dataclass(frozen=True)
class Mean(_OneMetric):
    """Mean of a metric, for example of ‖sin Θ‖; MCSE = S/√n (MWC, as for the bias)."""

    metric: str
    words: ClassVar[str] = "mean {}"
    formula: ClassVar[str] = "mean; MCSE √(S²/n)"


@dataclass(frozen=True)
class Bias(_OneMetric):
    """Mean of estimate − truth; MCSE = √(Σ(θ̂ − θ̄)²/(n(n − 1))) (MWC).  ``truth`` is a metric or a number."""

    estimate: str
    truth: str | float = 0.0
    words: ClassVar[str] = "bias {}"
    formula: ClassVar[str] = "mean of estimate − truth; MCSE √(S²/n)"

    @property
    def columns(self) -> tuple[str, ...]:
        return _names(self.estimate, self.truth)

    def raw(self, columns: Columns) -> Array:
        truth = columns[self.truth] if isinstance(self.truth, str) else self.truth
        return (columns[self.estimate] - truth)[:, np.newaxis]


@dataclass(frozen=True)
class RMSE(Bias):
    """Root mean square error √MSE.

    MWC: MCSE(MSE) = √(Σ((θ̂ − θ)² − MSE)²/(n(n − 1))); the root by the delta method, MCSE(MSE)/(2 RMSE).  With
    ``truth`` 0 and an error norm as ``estimate`` it is the root mean square of that norm.
    """

    words: ClassVar[str] = "RMSE {}"
    formula: ClassVar[str] = "√(mean of squared errors); MCSE √(Var(e²)/n)/(2 RMSE)"

    def transform(self, raw: Array, pivot: Array) -> Array:
        return np.square(raw)

    def function(self, mean: Array, n: int) -> tuple[float, Array]:
        return _root(mean, n)


@dataclass(frozen=True)
class EmpiricalSE(_OneMetric):
    """Standard deviation S of an estimate over replications.

    MWC give MCSE = S/√(2(n − 1)), which is right for normal estimates only.  Here the delta method on the first two
    moments, √((m₄ − S⁴)/n)/(2S), which equals MWC's for normal estimates and holds without normality.
    """

    estimate: str
    words: ClassVar[str] = "empirical SE {}"
    formula: ClassVar[str] = "S over replications; MCSE √((m₄ − S⁴)/n)/(2S)"

    def transform(self, raw: Array, pivot: Array) -> Array:
        centred = raw - pivot
        return np.hstack([centred, np.square(centred)])

    def function(self, mean: Array, n: int) -> tuple[float, Array]:
        if n < 2:
            return math.nan, np.zeros(2)
        scale = math.sqrt(max(mean[1] - mean[0] ** 2, 0.0))
        if scale == 0.0:
            return 0.0, np.zeros(2)
        return scale * math.sqrt(n / (n - 1)), np.array([-mean[0] / scale, 0.5 / scale])


@dataclass(frozen=True)
class ModelSE(_OneMetric):
    """Average model standard error √(mean of se²); MCSE = √(Var(se²)/(4 n ModSE²)) (MWC)."""

    standard_error: str
    words: ClassVar[str] = "model SE {}"
    formula: ClassVar[str] = "√(mean of squared standard errors); MCSE √(Var(se²)/(4 n ModSE²))"

    def transform(self, raw: Array, pivot: Array) -> Array:
        return np.square(raw)

    def function(self, mean: Array, n: int) -> tuple[float, Array]:
        return _root(mean, n)


@dataclass(frozen=True)
class Proportion(_OneMetric):
    """Share of replications on which a 0/1 metric is 1, such as exact recovery of the set or rejection.

    MCSE = √(p̂(1 − p̂)/n) (MWC, coverage and power); intervals are Wilson's.
    """

    indicator: str
    words: ClassVar[str] = "P({})"
    formula: ClassVar[str] = "share of ones; MCSE √(p̂(1 − p̂)/n), Wilson interval"
    is_proportion: ClassVar[bool] = True

    def raw(self, columns: Columns) -> Array:
        values = super().raw(columns)
        if not np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
            raise ValueError(f"metric {self.indicator!r} is not 0 or 1 everywhere; use Mean instead of Proportion")
        return values


@dataclass(frozen=True)
class Coverage(SmoothMeasure):
    """Share of replications with lower ≤ truth ≤ upper; MCSE = √(p̂(1 − p̂)/n) (MWC)."""

    lower: str
    upper: str
    truth: str | float
    formula: ClassVar[str] = "share with lower ≤ truth ≤ upper; MCSE √(p̂(1 − p̂)/n), Wilson interval"
    is_proportion: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return f"coverage [{self.lower}, {self.upper}]"

    @property
    def columns(self) -> tuple[str, ...]:
        return _names(self.lower, self.upper, self.truth)

    def raw(self, columns: Columns) -> Array:
        low, high = columns[self.lower], columns[self.upper]
        truth = columns[self.truth] if isinstance(self.truth, str) else np.full_like(low, self.truth)
        inside = np.asarray((low <= truth) & (truth <= high), dtype=np.float64)
        inside[np.isnan(low) | np.isnan(high) | np.isnan(truth)] = np.nan
        return inside[:, np.newaxis]


@dataclass(frozen=True)
class Ratio(SmoothMeasure):
    """Ratio of sums Σa/Σb over replications; MCSE by the delta method, √(Var(a − R b)/n)/b̄ (Cochran 1977, §6.3)."""

    numerator: tuple[str, ...]
    denominator: tuple[str, ...]
    name: str
    formula: ClassVar[str] = "ratio of sums R = Σa/Σb; MCSE √(Var(a − R b)/n)/b̄"

    @property
    def label(self) -> str:
        return self.name

    @property
    def columns(self) -> tuple[str, ...]:
        return _names(*self.numerator, *self.denominator)

    def raw(self, columns: Columns) -> Array:
        sums = [np.sum([columns[name] for name in side], axis=0) for side in (self.numerator, self.denominator)]
        return np.stack(sums, axis=1)

    def function(self, mean: Array, n: int) -> tuple[float, Array]:
        if mean[1] == 0.0:
            return math.nan, np.full(2, math.nan)
        ratio = float(mean[0] / mean[1])
        return ratio, np.array([1.0 / mean[1], -ratio / mean[1]])


def Precision(true_positives: str, false_positives: str) -> Ratio:
    """Detection precision Σ TP / Σ (TP + FP), pooled over replications, so that replications flagging nobody count."""
    return Ratio((true_positives,), (true_positives, false_positives), "precision")


def Recall(true_positives: str, false_negatives: str) -> Ratio:
    """Detection recall Σ TP / Σ (TP + FN), pooled over replications."""
    return Ratio((true_positives,), (true_positives, false_negatives), "recall")


@dataclass(frozen=True)
class PairedDifference(_OneMetric):
    """Mean difference of a metric between a method and a reference method on the same data; MCSE = S_diff/√n.

    The replications are paired because all methods see the same instance, so the standard error of the difference is
    much smaller than that of two independent simulations.  ``reference`` is the method's name; where several methods of
    a regime carry that name, the first cell counts as the reference.  Replications on which either method failed or is
    undefined do not enter and are counted as undefined.
    """

    metric: str
    reference: str
    formula: ClassVar[str] = "mean of method − reference on the same data; MCSE √(S²/n) of the differences"

    @property
    def label(self) -> str:
        return f"{self.metric} − {self.reference}"
