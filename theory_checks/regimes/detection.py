"""The collaborative set on regimes: found more surely with n and separation, and at its level without contamination."""

from __future__ import annotations

from simulations.studies._regime_design import SectionKind
from theory_checks.regimes.statement import Statement, constant
from theory_checks.rules.decision import FrequencyRule
from theory_checks.rules.limits import LimitRule

__all__ = ["DETECTION"]

_LEVEL = FrequencyRule("false_alarm", 0.05, "at_most", 0.05)
_EXACT = FrequencyRule("exact_set", 0.8, "at_least", 0.1)


def _rises(abscissa: str, what: str, title: str, identifier: str, kind: SectionKind) -> Statement:
    return Statement(
        identifier=identifier,
        theorem=4,
        title=title,
        statement=rf"$P(\hat C=C)$ rises with the {what} and reaches $0.8$ at the largest one looked at.",
        statistic=f"share of replications with Ĉ = C, logistic trend in the log {what}, bound at the largest",
        kinds=(kind,),
        part="CLAIR",
        rule=constant(LimitRule("exact_set", abscissa, 0.8)),
        false_rule=(
            "alarms-said-to-rise",
            "false alarms are said to rise to 0.8 instead of exact sets",
            constant(LimitRule("false_alarm", abscissa, 0.8)),
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
        rule=constant(_LEVEL),
        false_rule=(
            "set-said-to-be-wrong",
            "the exact set is said to be found with probability 0.05 at most",
            constant(FrequencyRule("exact_set", 0.05, "at_most", 0.05)),
        ),
    )


DETECTION: tuple[Statement, ...] = (
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
        identifier="exact-set",
        theorem=4,
        title="the set is found with probability 0.8",
        statement=r"$P(\hat C=C)\ge 0.8$.",
        statistic="share of replications with Ĉ = C",
        kinds=("departure",),
        part="CLAIR",
        rule=constant(_EXACT),
    ),
)
