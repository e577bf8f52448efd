"""Performance measures, each with its Monte Carlo standard error, streamed over the rows of a cell.

Source of the definitions and standard errors: T. P. Morris, I. R. White and M. J. Crowther, "Using simulation studies
to evaluate statistical methods", Statistics in Medicine 38 (2019), Table 6, cited as MWC.  Where their formula needs
normal estimates (empirical SE) the delta method is used instead, which does not.

All but quantiles are smooth functions f(ȳ) of means of transformed metrics y; the Monte Carlo standard error is then
√(∇f' S ∇f / n), with S the sample covariance of y over replications.  Means and S are merged chunk by chunk (Chan,
Golub and LeVeque 1983), so memory does not grow with the number of rows.

A NaN metric is undefined on its replication: it does not enter the value, and is counted.
"""

# ruff: noqa: D102 - the methods of a measure are described once, at Measure and _SmoothMeasure

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc
from scipy.stats import norm

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

Array = NDArray[np.float64]
Columns = Mapping[str, Array]


@dataclass(frozen=True)
class Estimate:
    """A performance measure and how precisely the simulation knows it."""

    value: float
    mcse: float  # Monte Carlo standard error, unit of the value; NaN below two defined replications
    n: int  # replications that entered
    undefined: int  # successful replications on which a metric was NaN
    proportion: bool = False

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval for the value at infinitely many replications: Wald, and Wilson for proportions.

        Wilson's, because the Wald interval of an observed 0 or 1 has length zero however few the replications.
        """
        if self.proportion:
            if self.n == 0:
                return math.nan, math.nan
            from statsmodels.stats.proportion import proportion_confint

            low, high = proportion_confint(self.value * self.n, self.n, alpha=1.0 - level, method="wilson")
            return float(low), float(high)
        half = float(norm.isf((1.0 - level) / 2.0)) * self.mcse
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

    def __init__(self, measure: _SmoothMeasure) -> None:
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


class _SmoothMeasure(Measure):
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


def _difference(columns: Columns, estimate: str, truth: str | float) -> Array:
    return (columns[estimate] - (columns[truth] if isinstance(truth, str) else truth))[:, np.newaxis]


def _names(*parts: str | float) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part for part in parts if isinstance(part, str)))


@dataclass(frozen=True)
class Mean(_SmoothMeasure):
    """Mean of a metric, for example of ‖sin Θ‖; MCSE = S/√n (MWC, as for the bias)."""

    metric: str
    formula: ClassVar[str] = "mean; MCSE √(S²/n)"

    @property
    def label(self) -> str:
        return f"mean {self.metric}"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.metric,)

    def raw(self, columns: Columns) -> Array:
        return columns[self.metric][:, np.newaxis]


@dataclass(frozen=True)
class Bias(_SmoothMeasure):
    """Mean of estimate − truth; MCSE = √(Σ(θ̂ − θ̄)²/(n(n − 1))) (MWC).  ``truth`` is a metric or a number."""

    estimate: str
    truth: str | float = 0.0
    formula: ClassVar[str] = "mean of estimate − truth; MCSE √(S²/n)"

    @property
    def label(self) -> str:
        return f"bias {self.estimate}"

    @property
    def columns(self) -> tuple[str, ...]:
        return _names(self.estimate, self.truth)

    def raw(self, columns: Columns) -> Array:
        return _difference(columns, self.estimate, self.truth)


@dataclass(frozen=True)
class RMSE(_SmoothMeasure):
    """Root mean square error √MSE.

    MWC: MCSE(MSE) = √(Σ((θ̂ − θ)² − MSE)²/(n(n − 1))); the root by the delta method, MCSE(MSE)/(2 RMSE).  With
    ``truth`` 0 and an error norm as ``estimate`` it is the root mean square of that norm.
    """

    estimate: str
    truth: str | float = 0.0
    formula: ClassVar[str] = "√(mean of squared errors); MCSE √(Var(e²)/n)/(2 RMSE)"

    @property
    def label(self) -> str:
        return f"RMSE {self.estimate}"

    @property
    def columns(self) -> tuple[str, ...]:
        return _names(self.estimate, self.truth)

    def raw(self, columns: Columns) -> Array:
        return _difference(columns, self.estimate, self.truth)

    def transform(self, raw: Array, pivot: Array) -> Array:
        return np.square(raw)

    def function(self, mean: Array, n: int) -> tuple[float, Array]:
        root = math.sqrt(mean[0])
        return root, np.array([0.5 / root if root > 0.0 else 0.0])


@dataclass(frozen=True)
class EmpiricalSE(_SmoothMeasure):
    """Standard deviation S of an estimate over replications.

    MWC give MCSE = S/√(2(n − 1)), which is right for normal estimates only.  Here the delta method on the first two
    moments, √((m₄ − S⁴)/n)/(2S), which equals MWC's for normal estimates and holds without normality.
    """

    estimate: str
    formula: ClassVar[str] = "S over replications; MCSE √((m₄ − S⁴)/n)/(2S)"

    @property
    def label(self) -> str:
        return f"empirical SE {self.estimate}"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.estimate,)

    def raw(self, columns: Columns) -> Array:
        return columns[self.estimate][:, np.newaxis]

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
class ModelSE(_SmoothMeasure):
    """Average model standard error √(mean of se²); MCSE = √(Var(se²)/(4 n ModSE²)) (MWC)."""

    standard_error: str
    formula: ClassVar[str] = "√(mean of squared standard errors); MCSE √(Var(se²)/(4 n ModSE²))"

    @property
    def label(self) -> str:
        return f"model SE {self.standard_error}"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.standard_error,)

    def raw(self, columns: Columns) -> Array:
        return columns[self.standard_error][:, np.newaxis]

    def transform(self, raw: Array, pivot: Array) -> Array:
        return np.square(raw)

    def function(self, mean: Array, n: int) -> tuple[float, Array]:
        root = math.sqrt(mean[0])
        return root, np.array([0.5 / root if root > 0.0 else 0.0])


@dataclass(frozen=True)
class Proportion(_SmoothMeasure):
    """Share of replications on which a 0/1 metric is 1, such as exact recovery of the set or rejection.

    MCSE = √(p̂(1 − p̂)/n) (MWC, coverage and power); intervals are Wilson's.
    """

    indicator: str
    formula: ClassVar[str] = "share of ones; MCSE √(p̂(1 − p̂)/n), Wilson interval"
    is_proportion: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return f"P({self.indicator})"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.indicator,)

    def raw(self, columns: Columns) -> Array:
        values = columns[self.indicator]
        if not np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
            raise ValueError(f"metric {self.indicator!r} is not 0 or 1 everywhere; use Mean instead of Proportion")
        return values[:, np.newaxis]


@dataclass(frozen=True)
class Coverage(_SmoothMeasure):
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
class Ratio(_SmoothMeasure):
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
        return Estimate(value, mcse, int(values.size), self.undefined)


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
    # Outside ten standard deviations of the Beta(m, n − m + 1) law the weights vanish in double precision.
    reach = int(10.0 * math.sqrt(n * max(probability * (1.0 - probability), 1.0 / n))) + 10
    first, last = max(m - reach, 0), min(m + reach, n)
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
    formula: ClassVar[str] = "sample quantile; MCSE of Maritz and Jarrett (1978)"

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


@dataclass(frozen=True)
class PairedDifference(_SmoothMeasure):
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

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.metric,)

    def raw(self, columns: Columns) -> Array:
        return columns[self.metric][:, np.newaxis]
