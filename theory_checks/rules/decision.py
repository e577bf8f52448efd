"""Decision rules on counts: "always", and "with probability at least or at most"."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import pandas as pd
from scipy.stats import binomtest

from theory_checks.rules import power
from theory_checks.rules.evidence import SUPPORT_LEVEL, Evidence
from theory_checks.rules.rule import Curve, binomial_interval, defined, worst_by_instance

__all__ = ["AlwaysRule", "FrequencyRule"]


@dataclass(frozen=True)
class AlwaysRule:
    """The claim says *always*: one violation refutes it, none supports it up to an exact upper bound.

    ``violation`` is a column that is 1 where the claim fails; ``report`` columns are shown with their extremes.
    """

    by_chance: ClassVar[bool] = False
    curve: ClassVar[Curve | None] = None

    violation: str = "violation"
    tolerated: float = 0.05  # upper 95 % bound on the probability of a violation that supports the claim
    report: tuple[str, ...] = ()

    @property
    def claimed(self) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return "always"

    @property
    def accepted(self) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return f"no violation, upper 95 % bound ≤ {self.tolerated:g}"

    def describe(self, n: int) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return (
            f"violated by a single counterexample (a true claim is never rejected); supported when {n} replications "
            f"show none and the exact upper 95 % bound {-math.expm1(math.log(SUPPORT_LEVEL) / n):.2g} is at most "
            f"{self.tolerated:g}"
        )

    def assess(self, rows: pd.DataFrame) -> Evidence:
        """See :class:`theory_checks.rules.rule.Rule`."""
        good, undefined = defined(rows, self.violation)
        violated = worst_by_instance(good, self.violation, largest=True)
        n, count = len(violated), int(violated.sum())
        low, high = binomial_interval(count, n)
        upper = binomial_interval(count, n, 2 * SUPPORT_LEVEL)[1]  # one-sided
        rate = count / n if n else math.nan
        shared = "" if n == len(good) else f" instances ({len(good)} rows)"
        pieces = [f"{count} violations in {n}{shared}, upper 95 % bound {upper:.2g}"]
        extra: dict[str, float] = {}
        for column in self.report:
            values = rows[column].dropna()
            if len(values):
                extra[f"{column}_max"], extra[f"{column}_median"] = float(values.max()), float(values.median())
                pieces.append(f"{column}: median {values.median():.3g}, largest {values.max():.3g}")
        return Evidence(
            n=n,
            estimate=rate,
            standard_error=math.sqrt(rate * (1 - rate) / n) if n else math.nan,
            low=low,
            high=high if count else upper,  # an interval that starts at 0 has its 5 % on one side
            p_value=0.0 if count else 1.0,
            within=n > 0 and count == 0 and undefined == 0 and upper <= self.tolerated,
            detail="; ".join(pieces),
            extra=extra,
            undefined=undefined,
            support_p_value=1.0 if count or undefined else float((1 - self.tolerated) ** n),
        )

    def pooled(self, per_cell: int, n_cells: int) -> int:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return per_cell * n_cells

    def size(self, per_cell: int, found: int) -> int:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return found or per_cell

    def violation_of(self, estimate: float) -> float:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return estimate

    def detectable(self, n: int, level: float) -> float:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return power.always_detectable(n)

    def smallest_violation(self, n: int, level: float) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return f"violations with probability {self.detectable(n, level):.2g}"

    def replications_needed(self, violation: float, level: float) -> int:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return max(power.always_needed(violation), power.always_supported_needed(self.tolerated))

    def examples(self) -> tuple[float, ...]:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return 0.2, 0.1, 0.05


@dataclass(frozen=True)
class FrequencyRule:
    """A probability is at most (or at least) ``target``; supported inside a margin stated beforehand.

    ``event`` is a 0/1 column.  The exact binomial test of the claim decides on "violated"; support needs the one-sided
    95 % Clopper–Pearson bound on the claim's side of ``target ± margin``.
    """

    by_chance: ClassVar[bool] = True
    curve: ClassVar[Curve | None] = None

    event: str
    target: float
    direction: Literal["at_most", "at_least"]
    margin: float

    @property
    def _sign(self) -> str:
        return "≤" if self.direction == "at_most" else "≥"

    @property
    def _limit(self) -> float:
        """What support has to show."""
        return self.target + (self.margin if self.direction == "at_most" else -self.margin)

    @property
    def claimed(self) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return f"{self._sign} {self.target:g}"

    @property
    def accepted(self) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return f"one-sided 95 % bound {self._sign} {self._limit:.4g}"

    def describe(self, n: int) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return (
            f"violated when the exact binomial test of P({self.event}) {self._sign} {self.target:g} rejects (Holm, "
            f"family level 0.05); supported when the one-sided 95 % bound from {n} replications is {self._sign} "
            f"{self._limit:.4g}"
        )

    def assess(self, rows: pd.DataFrame) -> Evidence:
        """See :class:`theory_checks.rules.rule.Rule`."""
        at_most = self.direction == "at_most"
        good, undefined = defined(rows, self.event)
        events = worst_by_instance(good, self.event, largest=at_most)
        n, count = len(events), int(events.sum())
        p_value, support = self._p_values(count, n) if n else (1.0, 1.0)
        bound = binomial_interval(count, n, 2 * SUPPORT_LEVEL)[1 if at_most else 0]
        within = n > 0 and undefined == 0 and (bound <= self._limit if at_most else bound >= self._limit)
        rate = count / n if n else math.nan
        error = math.sqrt(rate * (1 - rate) / n) if n else math.nan
        low, high = binomial_interval(count, n)
        detail = f"{count} of {n} = {rate:.4f} ({error:.4f}), one-sided 95 % bound {bound:.4f}"
        return Evidence(
            n,
            rate,
            error,
            low,
            high,
            p_value,
            within,
            detail,
            undefined=undefined,
            support_p_value=1.0 if undefined else support,
        )

    def _p_values(self, count: int, n: int) -> tuple[float, float]:
        """Exact binomial p-values of "the claim holds" and of "the probability lies outside the margin"."""
        if self.direction == "at_most":
            against = binomtest(count, n, self.target, "greater")
            return float(against.pvalue), float(binomtest(count, n, self._limit, "less").pvalue)
        against = binomtest(count, n, self.target, "less")
        return float(against.pvalue), float(binomtest(count, n, self._limit, "greater").pvalue)

    def pooled(self, per_cell: int, n_cells: int) -> int:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return per_cell * n_cells

    def size(self, per_cell: int, found: int) -> int:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return found or per_cell

    def violation_of(self, estimate: float) -> float:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return max(0.0, estimate - self.target if self.direction == "at_most" else self.target - estimate)

    def detectable(self, n: int, level: float) -> float:
        """See :class:`theory_checks.rules.rule.Rule`."""
        target = self.target if self.direction == "at_most" else 1 - self.target
        return power.frequency_detectable(n, target, level) - target

    def smallest_violation(self, n: int, level: float) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        size = self.detectable(n, level)
        return f"P({self.event}) = {self.target + (size if self.direction == 'at_most' else -size):.3g}"

    def replications_needed(self, violation: float, level: float) -> int:
        """See :class:`theory_checks.rules.rule.Rule`."""
        if self.direction == "at_most":
            return power.frequency_needed(violation, self.target, level)
        return power.frequency_needed(1 - violation, 1 - self.target, level)

    def examples(self) -> tuple[float, ...]:
        """See :class:`theory_checks.rules.rule.Rule`."""
        sign = 1 if self.direction == "at_most" else -1
        return tuple(x for size in (0.2, 0.1, 0.05) if 0 < (x := self.target + sign * size) < 1)
