"""A mean lies in a band in every stratum: gains where a method is at home must not pay for losses elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from theory_checks.rules.evidence import Evidence
from theory_checks.rules.means import MeanRule

__all__ = ["EveryMeanRule"]


@dataclass(frozen=True)
class EveryMeanRule:
    """``within`` holds in every stratum, the rows with one value of the column ``stratum``.

    Supported when every stratum is at level 0.05, which keeps the error of the whole at 0.05 (intersection–union);
    rejected at the smallest p-value over strata, multiplied by their number (Bonferroni).
    """

    within: MeanRule
    stratum: str
    n_strata: int  # planned; serves the power computation and a check that none is missing

    def describe(self, n: int) -> str:
        """See :class:`theory_checks.rules.decision.Rule`."""
        return f"in each of {self.n_strata} strata of {self.stratum}: {self.within.describe(n // self.n_strata)}"

    def assess(self, rows: pd.DataFrame) -> Evidence:
        """See :class:`theory_checks.rules.decision.Rule`; the numbers are those of the worst stratum."""
        strata = [] if self.stratum not in rows else sorted(rows[self.stratum].dropna().unique())
        found = {value: self.within.assess(rows[rows[self.stratum] == value]) for value in strata}
        if not found:
            return self.within.assess(rows.iloc[:0])
        # Where no stratum speaks against the claim, the one nearest to the end of the band is shown.
        sign = 1.0 if self.within.high is None else -1.0
        worst = min(found, key=lambda value: (found[value].p_value, sign * found[value].estimate))
        evidence = found[worst]
        complete = len(found) == self.n_strata
        return replace(
            evidence,
            n=sum(e.n for e in found.values()),
            p_value=min(1.0, len(found) * evidence.p_value),
            within=complete and all(e.within for e in found.values()),
            detail=f"worst of {len(found)} strata, {self.stratum} {worst:g}: {evidence.detail}",
            extra={
                "undefined": sum(e.extra.get("undefined", 0.0) for e in found.values()),
                **{f"mean at {value:g}": e.estimate for value, e in found.items()},
            },
        )

    def smallest_violation(self, n: int, level: float) -> str:
        """See :class:`theory_checks.rules.decision.Rule`."""
        return f"in one stratum, {self.within.smallest_violation(n // self.n_strata, level / self.n_strata)}"

    def replications_needed(self, violation: float, level: float) -> int:
        """See :class:`theory_checks.rules.decision.Rule`."""
        return self.n_strata * self.within.replications_needed(violation, level / self.n_strata)
