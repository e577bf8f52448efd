"""A mean lies in a band stated beforehand: two one-sided tests over replications."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student

from theory_checks.rules.evidence import Evidence

__all__ = ["MeanRule"]


@dataclass(frozen=True)
class MeanRule:
    """E[``column``] lies in [low, high]; an end may be None, then that side is free.

    ``spread`` is the planned standard deviation of one replication; it serves the power computation only.
    """

    column: str
    low: float | None
    high: float | None
    spread: float

    def __post_init__(self) -> None:
        if self.low is None and self.high is None:
            raise ValueError(f"rule on {self.column}: give a lower or an upper end")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"rule on {self.column}: low {self.low} must be below high {self.high}")

    @property
    def band(self) -> str:
        """The band in words."""
        if self.low is None:
            return f"≤ {self.high:g}"
        return f"≥ {self.low:g}" if self.high is None else f"in [{self.low:g}, {self.high:g}]"

    def describe(self, n: int) -> str:
        """See :class:`theory_checks.rules.decision.Rule`."""
        return (
            f"mean of {self.column} over {n} replications; supported when one-sided t tests at level 0.05 put it "
            f"{self.band}; violated when the hypothesis that it is {self.band} is rejected (Holm, family level 0.05)"
        )

    def assess(self, rows: pd.DataFrame) -> Evidence:
        """See :class:`theory_checks.rules.decision.Rule`; undefined (NaN) replications are counted in ``extra``."""
        values = rows[self.column].dropna().to_numpy(float) if self.column in rows else np.empty(0)
        undefined = float(len(rows) - values.size)
        if values.size < 3:
            nan = math.nan
            return Evidence(
                values.size, nan, nan, nan, nan, 1.0, False, "too few values", extra={"undefined": undefined}
            )
        n, mean = values.size, float(values.mean())
        # Without scatter the mean itself decides.
        error = max(float(values.std(ddof=1)) / math.sqrt(n), 1e-300)
        inside, outside = [], []
        if self.low is not None:
            inside.append(float(student.sf((mean - self.low) / error, n - 1)))
            outside.append(float(student.cdf((mean - self.low) / error, n - 1)))
        if self.high is not None:
            inside.append(float(student.cdf((mean - self.high) / error, n - 1)))
            outside.append(float(student.sf((mean - self.high) / error, n - 1)))
        half = float(student.ppf(0.975, n - 1)) * error
        return Evidence(
            n=n,
            estimate=mean,
            standard_error=error,
            low=mean - half,
            high=mean + half,
            p_value=min(1.0, len(outside) * min(outside)),
            within=max(inside) <= 0.05,
            detail=f"mean {mean:.4g} ({error:.2g}) of {self.column}, {n} replications, claimed {self.band}",
            extra={"undefined": undefined},
        )

    def smallest_violation(self, n: int, level: float) -> str:
        """See :class:`theory_checks.rules.decision.Rule`."""
        return f"mean outside by {self._detectable(n, level):.3g}"

    def replications_needed(self, violation: float, level: float) -> int:
        """See :class:`theory_checks.rules.decision.Rule`."""
        n = 3
        while self._detectable(n, level) > violation:
            n = math.ceil(1.2 * n)
        return n

    def _detectable(self, n: int, level: float) -> float:
        freedom = max(n - 1, 1)
        return float(student.isf(level, freedom) + student.isf(0.1, freedom)) * self.spread / math.sqrt(n)
