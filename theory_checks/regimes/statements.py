"""What is claimed of every regime with a real fit: statement, rule, the sections it is looked at in, and its control.

A control is a departure in which the claim is certain to be false, named by the design; where a design cannot have one
the control is a false rule on the same rows.  Either must come out as violated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from simulations.studies._regime_design import RegimeDesign, SectionKind
from theory_checks.rules.decision import FrequencyRule
from theory_checks.rules.limits import LimitRule
from theory_checks.rules.means import MeanRule
from theory_checks.rules.rates import SlopeRule
from theory_checks.rules.rule import Rule

__all__ = ["STATEMENTS", "Statement"]

MakeRule: TypeAlias = Callable[[RegimeDesign], Rule]


@dataclass(frozen=True)
class Statement:
    """One claim, before it meets a regime.

    Parameters
    ----------
    kinds : tuple of SectionKind
        Sections in which it is looked at, each a setting with a verdict of its own.
    part : str
        Whose rows are read (:meth:`simulations.studies._regime_design.DesignSection.cells_of`).
    rule : callable
        From the design, which knows the planned scatter.
    false_rule : (name, description, callable) or None
        The control; None: a departure that the design names.
    """

    identifier: str
    theorem: int
    title: str
    statement: str
    statistic: str
    kinds: tuple[SectionKind, ...]
    part: str
    rule: MakeRule
    false_rule: tuple[str, str, MakeRule] | None = None


def _slope(abscissa: str, ordinate: str, target: float, margin: float, residual: float, batches: int = 0) -> SlopeRule:
    return SlopeRule(
        abscissa=abscissa,
        ordinate=ordinate,
        target=target,
        margin=margin,
        residual=residual,
        spread=0.775,  # of the logs of four points, each twice the one before
        points=4,
        batches=batches,
    )


# Monte Carlo scatter of one log sin Θ and one log risk that is planned for; serves the power computation only.
_SCATTER = 0.25
_COVERAGE = MeanRule("coverage", 0.93, 0.97, spread=0.02)
_SHARED_BIAS = MeanRule("shared_bias", None, 1.25, spread=0.3)
_GAIN = MeanRule("gain_ratio", 0.9, 1.1, spread=0.1)
_SIGN = MeanRule("promised_gain_realised", 0.0, None, spread=0.1, where="promised")
_LEVEL = FrequencyRule("false_alarm", 0.05, "at_most", 0.05)
_EXACT = FrequencyRule("exact_set", 0.8, "at_least", 0.1)


def _constant(rule: Rule) -> MakeRule:
    return lambda design: rule


def _rises(abscissa: str, what: str, title: str, identifier: str, kind: SectionKind) -> Statement:
    return Statement(
        identifier=identifier,
        theorem=4,
        title=title,
        statement=rf"$P(\hat C=C)$ rises with the {what} and reaches $0.8$ at the largest one looked at.",
        statistic=f"share of replications with Ĉ = C, logistic trend in the log {what}, bound at the largest",
        kinds=(kind,),
        part="CLAIR",
        rule=_constant(LimitRule("exact_set", abscissa, 0.8)),
        false_rule=(
            "alarms-said-to-rise",
            "false alarms are said to rise to 0.8 instead of exact sets",
            _constant(LimitRule("false_alarm", abscissa, 0.8)),
        ),
    )


def _level(identifier: str, title: str, part: str) -> Statement:
    return Statement(
        identifier=identifier,
        theorem=4,
        title=title,
        statement=r"Without contamination, $P(\hat C\neq\{1,\dots,K\})\le 0.05$.",
        statistic="share of replications without contamination in which somebody is flagged",
        kinds=("level",),
        part=part,
        rule=_constant(_LEVEL),
        false_rule=(
            "set-said-to-be-wrong",
            "the exact set is said to be found with probability 0.05 at most",
            _constant(FrequencyRule("exact_set", 0.05, "at_most", 0.05)),
        ),
    )


STATEMENTS: tuple[Statement, ...] = (
    Statement(
        identifier="estimate-rate",
        theorem=3,
        title="error of X_k falls like 1/√n",
        statement=r"The root mean square entry of $E_k$ has slope $-1/2$ in $n$, in log-log scale.",
        statistic="slope of the log root mean square error on log n",
        kinds=("n",),
        part="local law",
        rule=lambda design: _slope("regime.sample_size", "local_rmse", -0.5, 0.05, design.residual),
        false_rule=(
            "rate-said-to-be-one",
            "the error is said to fall like 1/n",
            lambda design: _slope("regime.sample_size", "local_rmse", -1.0, 0.05, design.residual),
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
        rule=_constant(_COVERAGE),
    ),
    Statement(
        identifier="shared-bias",
        theorem=5,
        title="errors average out over clients",
        statement=r"$|C|\,\|\bar E_C\|_F^2$ over the mean of $\|E_k\|_F^2$ has mean $1.25$ at most ($1$: no bias).",
        statistic="mean of |C| ‖mean of E_k‖² / mean of ‖E_k‖² over benign clients",
        kinds=("n", "departure"),
        part="local law",
        rule=_constant(_SHARED_BIAS),
        false_rule=(
            "errors-said-to-cancel",
            "the ratio is said to be at most 0.5, less than independent errors leave",
            _constant(MeanRule("shared_bias", None, 0.5, spread=0.3)),
        ),
    ),
    Statement(
        identifier="subspace-rate",
        theorem=3,
        title="subspace error falls like 1/√n",
        statement=r"$\|\sin\Theta(\hat U,U^*)\|$ on the true set has slope $-1/2$ in $n$, in log-log scale.",
        statistic="slope of the log sine of the largest angle on log n",
        kinds=("n",),
        part="oracle refinement",
        rule=_constant(_slope("regime.sample_size", "sin_theta", -0.5, 0.1, _SCATTER)),
        false_rule=(
            "rate-said-to-be-one",
            "the error is said to fall like 1/n",
            _constant(_slope("regime.sample_size", "sin_theta", -1.0, 0.1, _SCATTER)),
        ),
    ),
    _rises("regime.sample_size", "sample size", "P(exact set) rises to one with n", "set-against-n", "n"),
    _rises(
        "regime.contamination_scale",
        "separation",
        "P(exact set) rises to one with the separation",
        "set-against-separation",
        "separation",
    ),
    _level("level", "level 0.05 without contamination", "CLAIR"),
    _level("level-whitened", "level 0.05, whitened estimates", "CLAIR, whitened"),
    _level("level-own-covariance", "level 0.05, handed the fits' own covariances", "CLAIR, own covariances"),
    _level("level-oracle", "level 0.05 of the test that knows U*, M*", "oracle test"),
    _level("level-covariance", "level 0.05 of that test with the fit's own covariance", "oracle test, own covariances"),
    Statement(
        identifier="off-subspace-rate",
        theorem=5,
        title="off-subspace risk falls like 1/|C|",
        statement=r"$\mathrm E\|P_{U^\perp}(\tilde\Theta_k-\Theta^*_k)\|_F^2$ at $U^*$ has slope $-1$ in $|C|$.",
        statistic="slope of the log mean squared off-subspace error on log |C|",
        kinds=("clients",),
        part="oracle refinement",
        rule=_constant(_slope("n_benign", "off_subspace", -1.0, 0.15, _SCATTER, batches=8)),
        false_rule=(
            "risk-said-to-stay",
            "the risk is said not to depend on |C|",
            _constant(_slope("n_benign", "off_subspace", 0.0, 0.15, _SCATTER, batches=8)),
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
        rule=_constant(_GAIN),
        false_rule=(
            "gain-said-to-be-double",
            "the gain is said to be twice the promised one",
            _constant(MeanRule("gain_ratio", 1.8, 2.2, spread=0.1)),
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
        rule=_constant(_SIGN),
        false_rule=(
            "gain-said-to-be-a-loss",
            "the promised clients are said to lose on average",
            _constant(MeanRule("promised_gain_realised", None, 0.0, spread=0.1, where="promised")),
        ),
    ),
    Statement(
        identifier="exact-set",
        theorem=4,
        title="the set is found with probability 0.8",
        statement=r"$P(\hat C=C)\ge 0.8$.",
        statistic="share of replications with Ĉ = C",
        kinds=("departure",),
        part="CLAIR",
        rule=_constant(_EXACT),
    ),
)
