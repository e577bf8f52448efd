"""What a rule makes of the rows of one claim in one setting."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["SUPPORT_LEVEL", "Evidence", "nothing"]

# Probability of calling one claim supported whose statistic lies outside what the rule accepts.
SUPPORT_LEVEL = 0.05


@dataclass(frozen=True)
class Evidence:
    """What the rows of one claim say, before the family is looked at."""

    n: int  # instances (or points of a fit) the rule used
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
    undefined: int = 0  # replications on which the statistic is NaN; they never support
    support_p_value: float = 1.0  # of the hypothesis that the statistic lies outside what the rule accepts


def nothing(detail: str, *, failed: int = 0, undefined: int = 0) -> Evidence:
    """Evidence of rows that decide nothing: neither against the claim nor for it."""
    nan = math.nan
    return Evidence(0, nan, nan, nan, nan, 1.0, False, detail, failed=failed, undefined=undefined, support_p_value=1.0)
