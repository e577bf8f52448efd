"""Rates by equivalence: a slope *equals* its target only if two one-sided tests exclude everything outside a margin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy.stats import t

from theory_checks.rules import power
from theory_checks.rules.evidence import SUPPORT_LEVEL, Evidence, nothing
from theory_checks.rules.rule import Curve, defined

__all__ = ["SlopeRule", "fit_slope"]


def fit_slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Slope of y on x, both of shape (n,), with its HC3 standard error and degrees of freedom."""
    fit = sm.OLS(y, sm.add_constant(x)).fit(cov_type="HC3", use_t=True)
    return float(fit.params[1]), float(fit.bse[1]), float(fit.df_resid)


@dataclass(frozen=True)
class SlopeRule:
    """log(ordinate) against log(abscissa) has slope ``target``, shown by TOST with ``margin``.

    Three kinds of observation: every replication at every point; the mean of a batch of replications at every point
    (``batches`` > 0, for a risk); or one slope per replication (``within_replication``, when all points of a
    replication share the same truth).  ``residual`` and ``spread`` are the planned standard deviations of one log
    ordinate around its line and of the log abscissas; they serve the power computation only.
    """

    by_chance: ClassVar[bool] = True

    abscissa: str
    ordinate: str
    target: float
    margin: float
    residual: float
    spread: float
    points: int
    batches: int = 0  # > 0: average the replications of a point in this many consecutive batches first
    within_replication: bool = False

    @property
    def claimed(self) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return f"{self.target:g} ± {self.margin:g}"

    @property
    def accepted(self) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return f"both one-sided tests at level {SUPPORT_LEVEL:g} put the slope inside {self.claimed}"

    @property
    def curve(self) -> Curve:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return Curve(self.abscissa, self.ordinate, self.target, is_rate=True)

    def describe(self, n: int) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        observed = "one slope per replication, t test" if self.within_replication else "least squares, HC3"
        return (
            f"slope of log {self.ordinate} on log {self.abscissa}, {self.points} points × {n} replications "
            f"({observed}); "
            f"supported when both one-sided tests at level 0.05 put it inside {self.target:g} ± {self.margin:g}; "
            "violated when the hypothesis that it lies inside is rejected (Holm, family level 0.05)"
        )

    def _observations(self, usable: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        if self.batches:
            width = max(1, math.ceil((usable["replication"].max() + 1) / self.batches))
            groups = [usable[self.abscissa], usable["replication"] // width]
            usable = usable.groupby(groups)[self.ordinate].mean().reset_index()
        return np.log(usable[self.abscissa].to_numpy(float)), np.log(usable[self.ordinate].to_numpy(float))

    def _over_points(self, usable: pd.DataFrame) -> tuple[float, float, float, int] | None:
        x, y = self._observations(usable)
        if x.size < 4 or np.ptp(x) == 0:
            return None
        return (*fit_slope(x, y), int(x.size))

    def _within(self, usable: pd.DataFrame) -> tuple[float, float, float, int] | None:
        """Mean and standard error of the slopes of the replications that have every point."""
        table = usable.pivot_table(index="replication", columns=self.abscissa, values=self.ordinate).dropna()
        if table.shape[0] < 3 or table.shape[1] < 2:
            return None
        x = np.log(table.columns.to_numpy(float))
        x = x - x.mean()
        slopes = np.log(table.to_numpy(float)) @ x / (x @ x)
        n = slopes.size
        return float(slopes.mean()), float(slopes.std(ddof=1) / math.sqrt(n)), float(n - 1), int(n)

    def assess(self, rows: pd.DataFrame) -> Evidence:
        """See :class:`theory_checks.rules.rule.Rule`."""
        good, _ = defined(rows, self.abscissa, self.ordinate)
        usable = good[(good[self.ordinate] > 0) & (good[self.abscissa] > 0)] if len(good) else good
        undefined = len(rows) - len(usable)  # a value of 0 has no logarithm
        if usable.empty:
            return nothing("too few points for a slope", undefined=undefined)
        fitted = self._within(usable) if self.within_replication else self._over_points(usable)
        if fitted is None:
            return nothing("too few points for a slope", undefined=undefined)
        slope, error, freedom, n = fitted
        lower, upper = self.target - self.margin, self.target + self.margin
        # A slope without residual scatter has error 0; the tests are then decided by the slope alone.
        error = max(error, 1e-300)
        tost = max(float(t.sf((slope - lower) / error, freedom)), float(t.cdf((slope - upper) / error, freedom)))
        beyond = float(t.sf((slope - upper) / error, freedom)), float(t.cdf((slope - lower) / error, freedom))
        outside = min(1.0, 2 * min(beyond))
        half = float(t.ppf(0.975, freedom)) * error
        return Evidence(
            n=n,
            estimate=slope,
            standard_error=error,
            low=slope - half,
            high=slope + half,
            p_value=outside,
            within=undefined == 0 and tost <= SUPPORT_LEVEL,
            detail=f"slope {slope:.4f} ({error:.4f}), TOST p = {tost:.2g} for {self.target:g} ± {self.margin:g}",
            extra={"tost_p_value": tost},
            undefined=undefined,
            support_p_value=1.0 if undefined else tost,
        )

    def pooled(self, per_cell: int, n_cells: int) -> int:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return per_cell

    def size(self, per_cell: int, found: int) -> int:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return per_cell

    def _standard_error(self, n: int) -> float:
        return self.residual / (self.spread * math.sqrt(n * self.points))

    def violation_of(self, estimate: float) -> float:
        """See :class:`theory_checks.rules.rule.Rule`."""
        distance = abs(estimate - self.target)
        return distance if distance > self.margin else 0.0

    def detectable(self, n: int, level: float) -> float:
        """See :class:`theory_checks.rules.rule.Rule`."""
        freedom = max(n * self.points - 2, 1)
        return power.slope_detectable(self._standard_error(n), freedom, self.margin, level / 2)

    def smallest_violation(self, n: int, level: float) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return f"slope off by {self.detectable(n, level):.3g}"

    def replications_needed(self, violation: float, level: float) -> int:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return power.slope_needed(
            violation,
            residual=self.residual,
            spread=self.spread,
            points=self.points,
            margin=self.margin,
            level=level / 2,
        )

    def examples(self) -> tuple[float, ...]:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return 1.5 * self.margin, 2.0 * self.margin, 4.0 * self.margin
