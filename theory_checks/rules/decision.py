"""Decision rules: "always", "with probability at least/at most", "tends to one".  Slopes are in rates.py."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint

from theory_checks.rules import power
from theory_checks.rules.evidence import Evidence

__all__ = ["AlwaysRule", "FrequencyRule", "LimitRule", "Rule"]


class Rule(Protocol):
    """How rows become evidence; ``level`` is the level one claim is left with in the worst case of Holm's procedure."""

    def describe(self, n: int) -> str:
        """The decision rule and its error rate for n replications, in words."""
        ...

    def assess(self, rows: pd.DataFrame) -> Evidence:
        """Evidence from the rows whose assumptions are met."""
        ...

    def smallest_violation(self, n: int, level: float) -> str:
        """What n replications would detect with probability 0.9."""
        ...

    def replications_needed(self, violation: float, level: float) -> int:
        """Replications that detect a violation of this size with probability 0.9."""
        ...


def _interval(count: int, n: int, level: float = 0.05) -> tuple[float, float]:
    """Clopper–Pearson interval; for 0 of n its two-sided form, as for every other count."""
    if n == 0:
        return 0.0, 1.0
    low, high = proportion_confint(count, n, alpha=level, method="beta")
    return (0.0 if count == 0 else float(low)), (1.0 if count == n else float(high))


@dataclass(frozen=True)
class AlwaysRule:
    """The claim says *always*: one violation refutes it, none supports it up to an exact upper bound.

    ``violation`` is a column that is 1 where the claim fails; ``report`` columns are shown with their extremes.
    """

    violation: str = "violation"
    tolerated: float = 0.05  # upper 95 % bound on the probability of a violation that supports the claim
    report: tuple[str, ...] = ()

    def describe(self, n: int) -> str:
        """See :class:`Rule`."""
        return (
            f"violated by a single counterexample (a true claim is never rejected); supported when {n} replications "
            f"show none and the exact upper 95 % bound {-math.expm1(math.log(0.05) / n):.2g} is at most "
            f"{self.tolerated:g}"
        )

    def assess(self, rows: pd.DataFrame) -> Evidence:
        """See :class:`Rule`."""
        n = len(rows)
        count = int((rows[self.violation] != 0).sum()) if n else 0
        low, _ = _interval(count, n)
        upper = _interval(count, n, 0.10)[1]  # one-sided 95 %
        rate = count / n if n else float("nan")
        pieces = [f"{count} violations in {n}, upper 95 % bound {upper:.2g}"]
        extra: dict[str, float] = {}
        for column in self.report:
            values = rows[column].dropna()
            if len(values):
                extra[f"{column}_max"], extra[f"{column}_median"] = float(values.max()), float(values.median())
                pieces.append(f"{column}: median {values.median():.3g}, largest {values.max():.3g}")
        return Evidence(
            n=n,
            estimate=rate,
            standard_error=math.sqrt(rate * (1 - rate) / n) if n else float("nan"),
            low=low,
            high=upper,
            p_value=0.0 if count else 1.0,
            within=n > 0 and count == 0 and upper <= self.tolerated,
            detail="; ".join(pieces),
            extra=extra,
        )

    def smallest_violation(self, n: int, level: float) -> str:
        """See :class:`Rule`."""
        return f"violations with probability {power.always_detectable(n):.2g}"

    def replications_needed(self, violation: float, level: float) -> int:
        """See :class:`Rule`."""
        return max(power.always_needed(violation), power.always_supported_needed(self.tolerated))


@dataclass(frozen=True)
class FrequencyRule:
    """A probability is at most (or at least) ``target``; supported inside a margin stated beforehand.

    ``event`` is a 0/1 column.  The exact binomial test of the claim decides on "violated"; support needs the one-sided
    95 % Clopper–Pearson bound on the claim's side of ``target ± margin``.
    """

    event: str
    target: float
    direction: Literal["at_most", "at_least"]
    margin: float

    def describe(self, n: int) -> str:
        """See :class:`Rule`."""
        sign, limit = (
            ("≤", self.target + self.margin) if self.direction == "at_most" else ("≥", self.target - self.margin)
        )
        return (
            f"violated when the exact binomial test of P({self.event}) {sign} {self.target:g} rejects (Holm, family "
            f"level 0.05); supported when the one-sided 95 % bound from {n} replications is {sign} {limit:.4g}"
        )

    def assess(self, rows: pd.DataFrame) -> Evidence:
        """See :class:`Rule`."""
        n = len(rows)
        count = int((rows[self.event] != 0).sum()) if n else 0
        low, high = _interval(count, n, 0.10)
        at_most = self.direction == "at_most"
        p_value = float(binomtest(count, n, self.target, "greater" if at_most else "less").pvalue) if n else 1.0
        within = n > 0 and (high <= self.target + self.margin if at_most else low >= self.target - self.margin)
        rate = count / n if n else float("nan")
        error = math.sqrt(rate * (1 - rate) / n) if n else float("nan")
        two_low, two_high = _interval(count, n)
        detail = f"{count} of {n} = {rate:.4f} ({error:.4f}), one-sided 95 % bound {high if at_most else low:.4f}"
        return Evidence(n, rate, error, two_low, two_high, p_value, within, detail)

    def smallest_violation(self, n: int, level: float) -> str:
        """See :class:`Rule`."""
        if self.direction == "at_most":
            return f"P({self.event}) = {power.frequency_detectable(n, self.target, level):.3g}"
        return f"P({self.event}) = {1 - power.frequency_detectable(n, 1 - self.target, level):.3g}"

    def replications_needed(self, violation: float, level: float) -> int:
        """See :class:`Rule`."""
        if self.direction == "at_most":
            return power.frequency_needed(violation, self.target, level)
        return power.frequency_needed(1 - violation, 1 - self.target, level)


@dataclass(frozen=True)
class LimitRule:
    """A probability rises to one along ``abscissa``: a logistic trend, and a lower bound at the largest value."""

    event: str
    abscissa: str
    target: float  # what the probability must reach at the largest abscissa

    def describe(self, n: int) -> str:
        """See :class:`Rule`."""
        return (
            f"violated when the exact binomial test of P({self.event}) ≥ {self.target:g} at the largest "
            f"{self.abscissa} rejects (Holm, family level 0.05); supported when the lower 95 % bound from {n} "
            "replications there is at least that, and the lower 95 % bound of the logistic slope in log abscissa is "
            "positive"
        )

    def assess(self, rows: pd.DataFrame) -> Evidence:
        """See :class:`Rule`."""
        last = rows[rows[self.abscissa] == rows[self.abscissa].max()]
        n, count = len(last), int((last[self.event] != 0).sum())
        low = _interval(count, n, 0.10)[0]
        slope, error = self._trend(rows)
        p_value = float(binomtest(count, n, self.target, "less").pvalue) if n else 1.0
        rate = count / n if n else float("nan")
        shares = rows.groupby(self.abscissa)[self.event].mean()
        path = ", ".join(f"{x:g}: {y:.3f}" for x, y in shares.items())
        rising = slope - 1.645 * error > 0
        two_low, two_high = _interval(count, n)
        return Evidence(
            n=n,
            estimate=rate,
            standard_error=math.sqrt(rate * (1 - rate) / n) if n else float("nan"),
            low=two_low,
            high=two_high,
            p_value=p_value,
            within=n > 0 and low >= self.target and rising,
            detail=f"{path}; lower bound at the end {low:.4f}; logistic slope {slope:.2f} ({error:.2f})",
            extra={"slope": slope, "slope_error": error},
        )

    def _trend(self, rows: pd.DataFrame) -> tuple[float, float]:
        """Logistic slope in log abscissa.

        Half an observation of each kind is added at every point (Haldane–Anscombe), so that points with only successes
        keep the fit finite; this pulls the slope towards 0, against the claim.
        """
        counts = rows.groupby(self.abscissa)[self.event].agg(["sum", "count"])
        table = np.column_stack([counts["sum"] + 0.5, counts["count"] - counts["sum"] + 0.5])
        design = sm.add_constant(np.log(counts.index.to_numpy(dtype=float)))
        if design.shape[0] < 2:
            return 0.0, float("inf")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = sm.GLM(table, design, family=sm.families.Binomial()).fit()
        return float(fit.params[1]), float(fit.bse[1])

    def smallest_violation(self, n: int, level: float) -> str:
        """See :class:`Rule`."""
        rate = 1 - power.frequency_detectable(n, 1 - self.target, level)
        return f"P({self.event}) = {rate:.3g} at the largest {self.abscissa}"

    def replications_needed(self, violation: float, level: float) -> int:
        """See :class:`Rule`."""
        return power.frequency_needed(1 - violation, 1 - self.target, level)
