"""A mean lies in a band in every stratum: gains in some strata must not offset losses in others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import pandas as pd

from theory_checks.rules.evidence import SUPPORT_LEVEL, Evidence
from theory_checks.rules.means import MeanRule
from theory_checks.rules.rule import Curve, defined

__all__ = ["EveryMeanRule"]


@dataclass(frozen=True)
class EveryMeanRule:
    """``within`` holds in every stratum, the rows with one value of the column ``stratum``.

    Supported when every stratum is at level 0.05, which keeps the error of the whole at 0.05 (intersection–union);
    rejected at the smallest p-value over strata, multiplied by their number (Bonferroni).
    """

    by_chance: ClassVar[bool] = True
    curve: ClassVar[Curve | None] = None

    within: MeanRule
    stratum: str
    n_strata: int  # planned; serves the power computation and a check that none is missing

    @property
    def claimed(self) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return self.within.claimed

    @property
    def accepted(self) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return f"in each of {self.n_strata} strata {self.within.accepted}"

    def describe(self, n: int) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return f"in each of {self.n_strata} strata of {self.stratum}: {self.within.describe(n // self.n_strata)}"

    def assess(self, rows: pd.DataFrame) -> Evidence:
        """See :class:`theory_checks.rules.rule.Rule`; the numbers are those of the worst stratum."""
        good, lost = defined(rows, self.stratum)
        strata = sorted(good[self.stratum].unique()) if len(good) else []
        found = {value: self.within.assess(good[good[self.stratum] == value]) for value in strata}
        if not found:
            return replace(self.within.assess(rows.iloc[:0]), undefined=lost)
        # Where no stratum speaks against the claim, the one nearest to the end of the band is shown.
        sign = 1.0 if self.within.high is None else -1.0
        worst = min(found, key=lambda value: (found[value].p_value, sign * found[value].estimate))
        undefined = lost + sum(e.undefined for e in found.values())
        support = max(e.support_p_value for e in found.values())
        whole = len(found) == self.n_strata and undefined == 0
        return replace(
            found[worst],
            n=sum(e.n for e in found.values()),
            p_value=min(1.0, len(found) * found[worst].p_value),
            within=whole and support <= SUPPORT_LEVEL,
            detail=f"worst of {len(found)} strata, {self.stratum} {worst:g}: {found[worst].detail}",
            extra={f"mean at {value:g}": e.estimate for value, e in found.items()},
            undefined=undefined,
            support_p_value=support if whole else 1.0,
            skipped=sum(e.skipped for e in found.values()),
        )

    def pooled(self, per_cell: int, n_cells: int) -> int:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return self.within.pooled(per_cell, n_cells)

    def size(self, per_cell: int, found: int) -> int:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return found or per_cell * self.n_strata

    def violation_of(self, estimate: float) -> float:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return self.within.violation_of(estimate)

    def detectable(self, n: int, level: float) -> float:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return self.within.detectable(max(n // self.n_strata, 2), level / self.n_strata)

    def smallest_violation(self, n: int, level: float) -> str:
        """See :class:`theory_checks.rules.rule.Rule`."""
        per_stratum = max(n // self.n_strata, 2)
        return f"in one stratum, {self.within.smallest_violation(per_stratum, level / self.n_strata)}"

    def replications_needed(self, violation: float, level: float) -> int:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return self.n_strata * self.within.replications_needed(violation, level / self.n_strata)

    def examples(self) -> tuple[float, ...]:
        """See :class:`theory_checks.rules.rule.Rule`."""
        return self.within.examples()
