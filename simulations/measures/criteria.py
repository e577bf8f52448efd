"""Criteria of confirmatory studies on 0/1 metrics: non-inferiority over settings, and a share with a lower limit.

A failed or undefined row counts against the criterion: nothing is left out after the run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd
from scipy.stats import binomtest, t

from simulations.criterion import CriterionResult, RegisteredCriterion

__all__ = ["NonInferior", "ShareAtLeast"]


def _values(rows: pd.DataFrame, metric: str, method: str, lost_as: float) -> tuple[pd.Series, int]:
    """The metric of one method by (design, replication), and how many rows were lost and take ``lost_as``."""
    own = rows[rows["method"] == method].set_index(["design", "replication"])
    if own.empty:
        raise ValueError(f"criterion on {metric}: no rows of method {method!r}")
    values = own[metric].where(own["status"] == "ok") if metric in own else pd.Series(math.nan, index=own.index)
    return values.fillna(lost_as), int(values.isna().sum())


@dataclass(frozen=True)
class NonInferior:
    """The mean of ``metric`` over settings is not more than ``margin`` below that of ``against``, on the same data.

    One-sided t test on the differences of the settings' means, the settings being drawn at random.
    """

    metric: str
    method: str
    against: str
    margin: float

    @property
    def statement(self) -> str:
        """See :class:`simulations.criterion.RegisteredCriterion`."""
        return f"{self.metric} of {self.method} is less than {self.margin:g} below that of {self.against}"

    def test(self, rows: pd.DataFrame) -> CriterionResult:
        """See :class:`simulations.criterion.RegisteredCriterion`."""
        own, lost = _values(rows, self.metric, self.method, 0.0)
        other, other_lost = _values(rows, self.metric, self.against, 1.0)
        differences = (own - other).groupby(level="design").mean()
        n, mean = len(differences), float(differences.mean())
        error = max(float(differences.std(ddof=1)) / math.sqrt(n), 1e-300) if n > 1 else math.nan
        p_value = float(t.sf((mean + self.margin) / error, n - 1)) if n > 1 else 1.0
        return CriterionResult(mean, error, n, lost + other_lost, p_value)


@dataclass(frozen=True)
class ShareAtLeast:
    """The mean probability of ``metric`` = 1 over the cells of ``method`` is above ``limit``.

    Exact binomial test; with unequal probabilities it is conservative (Hoeffding 1956, Theorem 4).
    """

    metric: str
    method: str
    limit: float

    @property
    def statement(self) -> str:
        """See :class:`simulations.criterion.RegisteredCriterion`."""
        return f"{self.metric} of {self.method} has probability above {self.limit:g}"

    def test(self, rows: pd.DataFrame) -> CriterionResult:
        """See :class:`simulations.criterion.RegisteredCriterion`."""
        values, lost = _values(rows, self.metric, self.method, 0.0)
        n, count = len(values), int((values != 0).sum())
        share = count / n
        p_value = float(binomtest(count, n, self.limit, "greater").pvalue)
        return CriterionResult(share, math.sqrt(share * (1 - share) / n), n, lost, p_value)


_: tuple[type[RegisteredCriterion], ...] = (NonInferior, ShareAtLeast)  # checked by mypy: both are criteria
