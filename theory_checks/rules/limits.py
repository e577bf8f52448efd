"""A probability tends to one along an axis: a rise, and a lower bound at the end."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy.stats import binomtest, norm

from theory_checks.rules import power
from theory_checks.rules.evidence import SUPPORT_LEVEL, Evidence, nothing
from theory_checks.rules.rule import Curve, binomial_interval, defined, worst_by_instance

__all__ = ["LimitRule"]


@dataclass(frozen=True)
class LimitRule:
    """A probability rises to one along ``abscissa``: a logistic trend, and a lower bound at the largest value."""

    by_chance: ClassVar[bool] = True

    event: str
    abscissa: str
    target: float  # what the probability must reach at the largest abscissa

    @property
    def claimed(self) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return f"≥ {self.target:g} at the end, rising"

    @property
    def accepted(self) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return f"lower 95 % bound at the end ≥ {self.target:g}, slope > 0"

    @property
    def curve(self) -> Curve:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return Curve(self.abscissa, self.event, self.target, is_rate=False)

    def describe(self, n: int) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return (
            f"violated when the exact binomial test of P({self.event}) ≥ {self.target:g} at the largest "
            f"{self.abscissa} rejects (Holm, family level 0.05); supported when the lower 95 % bound from {n} "
            "replications there is at least that, and the lower 95 % bound of the logistic slope in log abscissa is "
            "positive"
        )

    def assess(self, rows: pd.DataFrame) -> Evidence:
        """See :class:`theory_checks.rules.rule.Rule`."""
        good, undefined = defined(rows, self.event, self.abscissa)
        if good.empty:
            return nothing("no replication", undefined=undefined)
        last = worst_by_instance(good[good[self.abscissa] == good[self.abscissa].max()], self.event, largest=False)
        n, count = len(last), int(last.sum())
        low = binomial_interval(count, n, 2 * SUPPORT_LEVEL)[0]
        slope, error = self._trend(good)
        rate = count / n
        shares = good.groupby(self.abscissa)[self.event].mean()
        path = ", ".join(f"{x:g}: {y:.3f}" for x, y in shares.items())
        falling = float(norm.sf(slope / error)) if error > 0 else 1.0
        reached = float(binomtest(count, n, self.target, "greater").pvalue)
        two_low, two_high = binomial_interval(count, n)
        return Evidence(
            n=n,
            estimate=rate,
            standard_error=math.sqrt(rate * (1 - rate) / n),
            low=two_low,
            high=two_high,
            p_value=float(binomtest(count, n, self.target, "less").pvalue),
            within=undefined == 0 and low >= self.target and slope - 1.645 * error > 0,
            detail=f"{path}; lower bound at the end {low:.4f}; logistic slope {slope:.2f} ({error:.2f})",
            extra={"slope": slope, "slope_error": error},
            undefined=undefined,
            support_p_value=1.0 if undefined else max(falling, reached),
        )

    def _trend(self, rows: pd.DataFrame) -> tuple[float, float]:
        """Logistic slope in log abscissa, and its standard error.

        Half an observation of each kind is added at every point (Haldane–Anscombe), so that points with only successes
        keep the fit finite; this pulls the slope towards 0, against the claim.
        """
        counts = rows.groupby(self.abscissa)[self.event].agg(["sum", "count"])
        table = np.column_stack([counts["sum"] + 0.5, counts["count"] - counts["sum"] + 0.5])
        design = sm.add_constant(np.log(counts.index.to_numpy(dtype=float)))
        if design.shape[0] < 2:
            return 0.0, math.inf
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = sm.GLM(table, design, family=sm.families.Binomial()).fit()
        return float(fit.params[1]), float(fit.bse[1])

    def pooled(self, per_cell: int, n_cells: int) -> int:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return per_cell

    def size(self, per_cell: int, found: int) -> int:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return found or per_cell

    def violation_of(self, estimate: float) -> float:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return max(0.0, self.target - estimate)

    def detectable(self, n: int, level: float) -> float:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return power.frequency_detectable(n, 1 - self.target, level) - (1 - self.target)

    def smallest_violation(self, n: int, level: float) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return f"P({self.event}) = {self.target - self.detectable(n, level):.3g} at the largest {self.abscissa}"

    def replications_needed(self, violation: float, level: float) -> int:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return power.frequency_needed(1 - violation, 1 - self.target, level)

    def examples(self) -> tuple[float, ...]:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return tuple(x for size in (0.2, 0.1, 0.05) if 0 < (x := self.target - size) < 1)
