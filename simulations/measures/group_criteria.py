"""A criterion of confirmatory studies whose settings come in groups: several settings of one data set, for example."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd
from scipy.stats import t

from simulations.criterion import CriterionResult, RegisteredCriterion

__all__ = ["AheadOverGroups"]


@dataclass(frozen=True)
class AheadOverGroups:
    """The mean of ``metric`` over groups is above that of ``against`` minus ``margin``, on the same data.

    Settings of one group are averaged first, and the groups are the units of a one-sided t test, since what happens in
    one data set tells little about another.  A replication on which either method failed or is undefined counts as the
    largest loss seen in its group.

    Parameters
    ----------
    metric : str
        Larger is better.
    method, against : str
        Names of methods; each stands once in every setting.
    margin : float
        0 asks that ``method`` is ahead.
    group : str
        Column of the rows that tells the groups apart; "replication" where the settings are fixed and a replication
        draws one federation for all of them.
    """

    metric: str
    method: str
    against: str
    margin: float = 0.0
    group: str = "regime.data"

    @property
    def statement(self) -> str:
        """See :class:`simulations.criterion.RegisteredCriterion`."""
        ahead = f"less than {self.margin:g} below" if self.margin else "above"
        return f"{self.metric} of {self.method} is {ahead} that of {self.against}, mean over {self.group}"

    def test(self, rows: pd.DataFrame) -> CriterionResult:
        """See :class:`simulations.criterion.RegisteredCriterion`."""
        place = ["design", "replication"]
        good = rows[self.metric].where(rows["status"] == "ok")
        two = rows.assign(value=good)[rows["method"].isin((self.method, self.against))]
        for name in (self.method, self.against):
            if name not in set(two["method"]):
                raise ValueError(f"criterion on {self.metric}: no rows of method {name!r}")
        wide = two.pivot(index=list(dict.fromkeys([self.group, *place])), columns="method", values="value")
        differences = wide[self.method] - wide[self.against]
        lost = int(differences.isna().sum())
        differences = differences.fillna(differences.groupby(level=self.group).transform("min"))
        differences = differences.fillna(differences.min())  # a group of which nothing is left
        means = differences.groupby(level=[self.group, "design"]).mean().groupby(level=self.group).mean()
        n, mean = len(means), float(means.mean())
        if n < 2 or math.isnan(mean):
            return CriterionResult(mean, math.nan, n, lost, 1.0)
        error = max(float(means.std(ddof=1)) / math.sqrt(n), 1e-300)
        return CriterionResult(mean, error, n, lost, float(t.sf((mean + self.margin) / error, n - 1)))


_: type[RegisteredCriterion] = AheadOverGroups  # checked by mypy
