"""A mean lies in a band stated beforehand: two one-sided tests over replications."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
from scipy.special import stdtr, stdtrit
from scipy.stats import t as student

from theory_checks.rules.evidence import SUPPORT_LEVEL, Evidence, nothing
from theory_checks.rules.rule import Curve, defined

__all__ = ["MeanRule"]


@dataclass(frozen=True)
class MeanRule:
    """E[``column``] lies in [low, high]; an end may be None, then that side is free.

    ``spread`` is the planned standard deviation of one replication; it serves the power computation only.  ``where``
    names a column that says, by a value above 0, on which replications the claim says anything; the others are skipped.
    """

    by_chance: ClassVar[bool] = True
    curve: ClassVar[Curve | None] = None

    column: str
    low: float | None
    high: float | None
    spread: float
    where: str = ""

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

    @property
    def claimed(self) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return self.band.removeprefix("in ")

    @property
    def accepted(self) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return f"one-sided t tests at level {SUPPORT_LEVEL:g} put the mean {self.band}"

    def describe(self, n: int) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return (
            f"mean of {self.column} over {n} replications; supported when one-sided t tests at level 0.05 put it "
            f"{self.band}; violated when the hypothesis that it is {self.band} is rejected (Holm, family level 0.05)"
        )

    def assess(self, rows: pd.DataFrame) -> Evidence:
        """See :class:`theory_checks.rules.rule.Rule`."""
        asked = rows[rows[self.where] > 0] if self.where and self.where in rows else rows
        good, undefined = defined(asked, self.column)
        if len(good) < 3:
            return nothing("too few values", undefined=undefined)
        values = good[self.column].to_numpy(float)
        n, mean = values.size, float(values.mean())
        # Without scatter the mean itself decides.
        error = max(float(values.std(ddof=1)) / math.sqrt(n), 1e-300)
        inside, outside = [], []
        if self.low is not None:
            inside.append(float(stdtr(n - 1, (self.low - mean) / error)))
            outside.append(float(stdtr(n - 1, (mean - self.low) / error)))
        if self.high is not None:
            inside.append(float(stdtr(n - 1, (mean - self.high) / error)))
            outside.append(float(stdtr(n - 1, (self.high - mean) / error)))
        half = float(stdtrit(n - 1, 0.975)) * error
        return Evidence(
            n=n,
            estimate=mean,
            standard_error=error,
            low=mean - half,
            high=mean + half,
            p_value=min(1.0, len(outside) * min(outside)),
            within=undefined == 0 and max(inside) <= SUPPORT_LEVEL,
            detail=f"mean {mean:.4g} ({error:.2g}) of {self.column}, {n} replications, claimed {self.band}",
            undefined=undefined,
            support_p_value=1.0 if undefined else max(inside),
            skipped=len(rows) - len(asked),
        )

    def pooled(self, per_cell: int, n_cells: int) -> int:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return per_cell * n_cells

    def size(self, per_cell: int, found: int) -> int:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return found or per_cell

    def violation_of(self, estimate: float) -> float:
        """See :class:`theory_checks.rules.rule.Rule`."""
        below = 0.0 if self.low is None else self.low - estimate
        above = 0.0 if self.high is None else estimate - self.high
        return max(0.0, below, above)

    def detectable(self, n: int, level: float) -> float:
        """See :class:`theory_checks.rules.rule.Rule`."""
        freedom = max(n - 1, 1)
        return float(student.isf(level, freedom) + student.isf(0.1, freedom)) * self.spread / math.sqrt(n)

    def smallest_violation(self, n: int, level: float) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return f"mean outside by {self.detectable(n, level):.3g}"

    def replications_needed(self, violation: float, level: float) -> int:
        """See :class:`theory_checks.rules.rule.Rule`."""
        n = 3
        while self.detectable(n, level) > violation:
            n = math.ceil(1.2 * n)
        return n

    def examples(self) -> tuple[float, ...]:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return 2 * self.spread, self.spread, self.spread / 2
