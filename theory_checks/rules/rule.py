"""What every decision rule offers, and what rules share: undefined rows, dependent rows, binomial intervals.

A replication on which the statistic is NaN is *undefined*: it enters no count, and a claim with undefined replications
is not supported.  Rows that share their instance are dependent; where a rule counts, an instance counts once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from theory_checks.rules.evidence import Evidence

__all__ = ["Curve", "Rule", "binomial_interval", "defined", "worst_by_instance"]


@dataclass(frozen=True)
class Curve:
    """What a rule looks at along an axis, for a figure."""

    abscissa: str  # column
    value: str  # column
    target: float  # a slope in log-log scale, or a probability
    is_rate: bool


class Rule(Protocol):
    """How rows become evidence; ``level`` is the level one claim is left with in the worst case of Holm's procedure."""

    by_chance: ClassVar[bool]  # whether chance can reject a true claim

    @property
    def claimed(self) -> str:
        """What the statistic should be, as short as a table needs it."""
        ...

    @property
    def accepted(self) -> str:
        """What supports the claim: the target with its margin, or the bound that has to be shown."""
        ...

    @property
    def curve(self) -> Curve | None:
        """What there is to draw, or None for a single number."""
        ...

    def describe(self, n: int) -> str:
        """The decision rule and its error rate for n replications, in words."""
        ...

    def assess(self, rows: pd.DataFrame) -> Evidence:
        """Evidence from the rows whose assumptions are met.

        A column ``instance``, where there is one, says which rows share their instance.
        """
        ...

    def pooled(self, per_cell: int, n_cells: int) -> int:
        """Replications the rule counts when every cell has ``per_cell``: of all cells, or of one point of its axis."""
        ...

    def size(self, per_cell: int, found: int) -> int:
        """The number :meth:`describe` speaks of after a run in which the rule used ``found``."""
        ...

    def violation_of(self, estimate: float) -> float:
        """By how much a value of the statistic violates the claim, 0 where it does not; in the rule's own unit."""
        ...

    def detectable(self, n: int, level: float) -> float:
        """Smallest violation that n replications detect with probability 0.9, in the same unit."""
        ...

    def smallest_violation(self, n: int, level: float) -> str:
        """What n replications would detect with probability 0.9, in words."""
        ...

    def replications_needed(self, violation: float, level: float) -> int:
        """Replications that detect a violation of this size with probability 0.9."""
        ...

    def examples(self) -> tuple[float, ...]:
        """A few violations, in the unit that :meth:`replications_needed` takes."""
        ...


def binomial_interval(count: int, n: int, level: float = 0.05) -> tuple[float, float]:
    """Clopper–Pearson interval at confidence 1 − ``level``; for 0 of n its two-sided form, as for every other count."""
    if n == 0:
        return 0.0, 1.0
    low, high = proportion_confint(count, n, alpha=level, method="beta")
    return (0.0 if count == 0 else float(low)), (1.0 if count == n else float(high))


def defined(rows: pd.DataFrame, *columns: str) -> tuple[pd.DataFrame, int]:
    """The rows on which all columns have a value, and how many have not (all, where a column is missing)."""
    absent = [column for column in columns if column not in rows]
    if absent:
        return rows.iloc[:0].reindex(columns=[*rows.columns, *absent]), len(rows)
    present = np.asarray(rows[list(columns)].notna().to_numpy().all(axis=1), dtype=np.bool_)
    good = rows.loc[present]
    return good, len(rows) - len(good)


def worst_by_instance(rows: pd.DataFrame, event: str, *, largest: bool) -> pd.Series:
    """One 0/1 value per instance: of rows that share one, the value that speaks most against the claim.

    Parameters
    ----------
    rows : DataFrame
        Without undefined events.
    event : str
        A 0/1 column.
    largest : bool
        Whether 1 speaks against the claim.
    """
    values = (rows[event] != 0).astype(float)
    if "instance" not in rows:
        return values
    grouped = values.groupby(rows["instance"].to_numpy())
    return grouped.max() if largest else grouped.min()
