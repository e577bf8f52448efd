"""What a rule makes of the rows of one claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Evidence"]


@dataclass(frozen=True)
class Evidence:
    """What the rows of one claim say, before the family is looked at."""

    n: int  # replications the rule used
    estimate: float  # the statistic
    standard_error: float  # its Monte Carlo standard error; 0 for a count that cannot vary
    low: float  # 95 % confidence interval of the statistic
    high: float
    p_value: float  # of the hypothesis that the claim holds
    within: bool  # the acceptance criterion is met
    detail: str  # one line of numbers
    failed: int = 0  # replications that raised
    skipped: int = 0  # replications whose assumptions were not met
    unsolved: int = 0  # replications whose solver stopped above the gap the claim allows
    extra: Mapping[str, float] = field(default_factory=dict)
