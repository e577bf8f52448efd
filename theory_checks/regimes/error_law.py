"""The error law of the local fits: its rate, its intervals, and what averaging over clients does to it."""

from __future__ import annotations

from theory_checks.regimes.statement import Statement, constant, slope
from theory_checks.rules.means import MeanRule

__all__ = ["ERROR_LAW"]

_COVERAGE = MeanRule("coverage", 0.93, 0.97, spread=0.02)
_SHARED_BIAS = MeanRule("shared_bias", None, 1.25, spread=0.3)

ERROR_LAW: tuple[Statement, ...] = (
    Statement(
        identifier="estimate-rate",
        theorem=3,
        title="error of X_k falls like 1/√n",
        statement=r"The root mean square entry of $E_k$ has slope $-1/2$ in $n$, in log-log scale.",
        statistic="slope of the log root mean square error on log n",
        kinds=("n",),
        part="local law",
        rule=lambda design: slope("regime.sample_size", "local_rmse", -0.5, 0.05, design.residual),
        false_rule=(
            "rate-said-to-be-one",
            "the error is said to fall like 1/n",
            lambda design: slope("regime.sample_size", "local_rmse", -1.0, 0.05, design.residual),
        ),
    ),
    Statement(
        identifier="coverage",
        theorem=4,
        title="95 % intervals of the fit cover",
        statement=r"An entry of $X_k\pm 1.96$ standard errors holds the target with probability $0.95\pm 0.02$.",
        statistic="share of entries of benign clients inside their interval",
        kinds=("n", "departure"),
        part="local law",
        rule=constant(_COVERAGE),
    ),
    Statement(
        identifier="shared-bias",
        theorem=5,
        title="errors average out over clients",
        statement=r"$|C|\,\|\bar E_C\|_F^2$ over the mean of $\|E_k\|_F^2$ has mean $1.25$ at most ($1$: no bias).",
        statistic="mean of |C| ‖mean of E_k‖² / mean of ‖E_k‖² over benign clients",
        kinds=("n", "departure"),
        part="local law",
        rule=constant(_SHARED_BIAS),
        false_rule=(
            "errors-said-to-cancel",
            "the ratio is said to be at most 0.5, less than independent errors leave",
            constant(MeanRule("shared_bias", None, 0.5, spread=0.3)),
        ),
    ),
)
