"""What refinement gains on regimes: the subspace, the risk off it, and the gain that Theorem 5 promises."""

from __future__ import annotations

from theory_checks.regimes.statement import SCATTER, Statement, constant, slope
from theory_checks.rules.means import MeanRule

__all__ = ["REFINEMENT"]

_GAIN = MeanRule("gain_ratio", 0.9, 1.1, spread=0.1)
_SIGN = MeanRule("promised_gain_realised", 0.0, None, spread=0.1, where="promised")

REFINEMENT: tuple[Statement, ...] = (
    Statement(
        identifier="subspace-rate",
        theorem=3,
        title="subspace error falls like 1/√n",
        statement=r"$\|\sin\Theta(\hat U,U^*)\|$ on the true set has slope $-1/2$ in $n$, in log-log scale.",
        statistic="slope of the log sine of the largest angle on log n",
        kinds=("n",),
        part="oracle refinement",
        rule=constant(slope("regime.sample_size", "sin_theta", -0.5, 0.1, SCATTER)),
        false_rule=(
            "rate-said-to-be-one",
            "the error is said to fall like 1/n",
            constant(slope("regime.sample_size", "sin_theta", -1.0, 0.1, SCATTER)),
        ),
    ),
    Statement(
        identifier="off-subspace-rate",
        theorem=5,
        title="off-subspace risk falls like 1/|C|",
        statement=r"$\mathrm E\|P_{U^\perp}(\tilde\Theta_k-\Theta^*_k)\|_F^2$ at $U^*$ has slope $-1$ in $|C|$.",
        statistic="slope of the log mean squared off-subspace error on log |C|",
        kinds=("clients",),
        part="oracle refinement",
        rule=constant(slope("n_benign", "off_subspace", -1.0, 0.15, SCATTER, batches=8)),
        false_rule=(
            "risk-said-to-stay",
            "the risk is said not to depend on |C|",
            constant(slope("n_benign", "off_subspace", 0.0, 0.15, SCATTER, batches=8)),
        ),
    ),
    Statement(
        identifier="gain",
        theorem=5,
        title="the gain is the promised one",
        statement=r"The realised gain at $U^*$ over the promised one of Theorem 5 has mean $1\pm 0.1$.",
        statistic="mean of the realised over the promised gain, both summed over benign clients",
        kinds=("clients", "departure"),
        part="oracle refinement",
        rule=constant(_GAIN),
        false_rule=(
            "gain-said-to-be-double",
            "the gain is said to be twice the promised one",
            constant(MeanRule("gain_ratio", 1.8, 2.2, spread=0.1)),
        ),
    ),
    Statement(
        identifier="sign-rule",
        theorem=5,
        title="promised clients gain on average",
        statement=r"Clients to whom the sign rule promises a gain have a smaller mean squared error after refinement.",
        statistic="mean gain of the promised clients, relative to their local risk",
        kinds=("clients", "departure"),
        part="oracle refinement",
        rule=constant(_SIGN),
        false_rule=(
            "gain-said-to-be-a-loss",
            "the promised clients are said to lose on average",
            constant(MeanRule("promised_gain_realised", None, 0.0, spread=0.1, where="promised")),
        ),
    ),
)
