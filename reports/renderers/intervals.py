"""Means over federations with their 95 % intervals, as the pages of the gallery show them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

__all__ = ["Interval", "mean_of", "paired_difference", "welch_difference"]

_LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean with the ends of its t interval; NaN where fewer than two values are defined."""

    mean: float
    low: float
    high: float

    def text(self, digits: int = 2, *, signed: bool = False) -> str:
        """Mean and interval, or a dash where nothing is defined."""
        if np.isnan(self.mean):
            return "–"
        sign = "+" if signed else ""
        if np.isnan(self.low):
            return f"{self.mean:{sign}.{digits}f}"
        return f"{self.mean:{sign}.{digits}f} [{self.low:{sign}.{digits}f}, {self.high:{sign}.{digits}f}]"


def _interval(mean: float, error: float, degrees: float) -> Interval:
    half = float(stats.t.ppf(0.5 + _LEVEL / 2, degrees)) * error if degrees > 0 else np.nan
    return Interval(mean, mean - half, mean + half)


def mean_of(values: pd.Series) -> Interval:
    """Student's interval of the mean of the defined values.

    Parameters
    ----------
    values : Series
        One row per federation.
    """
    own = values.dropna().to_numpy(dtype=np.float64)
    if not own.size:
        return Interval(np.nan, np.nan, np.nan)
    error = float(stats.sem(own)) if own.size > 1 else np.nan
    return _interval(float(own.mean()), error, own.size - 1)


def paired_difference(rows: pd.DataFrame, metric: str, by: str, first: str, second: str) -> Interval:
    """First minus second on the same federations.

    Parameters
    ----------
    rows : DataFrame
        One row per federation and value of ``by``, with a column ``replication``.
    metric, by : str
        Columns.
    first, second : str
        Values of ``by``.

    Raises
    ------
    KeyError
        A value of ``by`` has no rows.
    """
    table = rows.pivot(index="replication", columns=by, values=metric)
    return mean_of(table[first] - table[second])


def welch_difference(first: pd.Series, second: pd.Series) -> Interval:
    """Mean of the first minus mean of the second, independent samples (B. L. Welch, Biometrika 34, 1947).

    Parameters
    ----------
    first, second : Series
        One row per federation; undefined ones are left out.
    """
    a, b = (x.dropna().to_numpy(dtype=np.float64) for x in (first, second))
    if min(a.size, b.size) < 2:
        return Interval(float(a.mean() - b.mean()) if a.size and b.size else np.nan, np.nan, np.nan)
    parts = np.array([x.var(ddof=1) / x.size for x in (a, b)])
    mean, error = float(a.mean() - b.mean()), float(np.sqrt(parts.sum()))
    if error == 0.0:  # all values of either sample are equal
        return Interval(mean, mean, mean)
    degrees = float(parts.sum() ** 2 / np.sum(parts**2 / [a.size - 1, b.size - 1]))
    return _interval(mean, error, degrees)
