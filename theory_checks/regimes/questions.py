"""What is asked of every section of a regime study, and which settings are meant to fail.

A *control* is a setting whose departure from theory was certain beforehand (an estimate known to be biased, say): the
check must call it violated, as a sabotage must be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from simulations.design import Method
from simulations.methods.clients_and_oracles import Clair, ClairWithCovariance, OracleDetection
from simulations.methods.error_laws import LocalLaw, OracleRefinement, OracleWithCovariance
from simulations.studies import regime_glm, regime_linear, regime_neural, regime_trace
from simulations.studies._regime_design import RegimeDesign, Section
from theory_checks.rules.decision import FrequencyRule, LimitRule, Rule
from theory_checks.rules.means import MeanRule
from theory_checks.rules.rates import SlopeRule

__all__ = ["CLAIM_TITLES", "CONTROLS", "DESIGNS", "Question", "questions"]

DESIGNS: Mapping[str, RegimeDesign] = {
    design.name: design
    for design in (regime_linear.DESIGN, regime_glm.DESIGN, regime_trace.DESIGN, regime_neural.DESIGN)
}

CLAIM_TITLES: Mapping[str, str] = {
    "estimate-rate": "error of X_k falls like 1/√n",
    "coverage": "95 % intervals of the fit cover",
    "shared-bias": "errors average out over clients",
    "subspace-rate": "subspace error falls like 1/√n",
    "set-against-n": "P(exact set) rises to one with n",
    "set-against-separation": "P(exact set) rises to one with the separation",
    "level": "level 0.05 without contamination",
    "level-whitened": "level 0.05, whitened estimates",
    "level-own-covariance": "level 0.05, handed the fits' own covariances",
    "level-oracle": "level 0.05 of the test that knows U*, M*",
    "level-covariance": "level 0.05 of that test with the fit's own covariance",
    "off-subspace-rate": "off-subspace risk falls like 1/|C|",
    "gain": "the gain is the promised one",
    "sign-rule": "promised clients gain on average",
    "exact-set": "the set is found with probability 0.8",
}

_THEOREM: Mapping[str, int] = {
    "estimate-rate": 3,
    "coverage": 4,
    "shared-bias": 5,
    "subspace-rate": 3,
    "off-subspace-rate": 5,
    "gain": 5,
    "sign-rule": 5,
}

# (study, label of the departure, claim), fixed before the first run.
CONTROLS = frozenset(
    {
        ("regime_linear", "ridge 60", "coverage"),
        ("regime_linear", "H 0.2", "exact-set"),
        ("regime_glm", "ridge 30", "coverage"),
        ("regime_glm", "H 0.2", "exact-set"),
        ("regime_trace", "not debiased", "coverage"),
        ("regime_trace", "H 0.2", "exact-set"),
        ("regime_neural", "20 steps", "coverage"),
        ("regime_neural", "H 0.2", "exact-set"),
    }
)


@dataclass(frozen=True)
class Question:
    """One claim about one section."""

    study: str
    section: Section
    claim: str
    method: Method
    rule: Rule

    @property
    def identifier(self) -> str:
        """Study, variant, setting and claim, joined by slashes."""
        return "/".join((self.study, self.section.variant, self.section.label, self.claim))

    @property
    def theorem(self) -> int:
        """Theorem that the claim belongs to."""
        return _THEOREM.get(self.claim, 4)

    @property
    def claimed(self) -> str:
        """What the statistic should be, as short as a table needs it."""
        rule = self.rule
        if isinstance(rule, SlopeRule):
            return f"{rule.target:g} ± {rule.margin:g}"
        if isinstance(rule, MeanRule):
            return rule.band.removeprefix("in ")
        if isinstance(rule, FrequencyRule):
            return f"{'≤' if rule.direction == 'at_most' else '≥'} {rule.target:g}"
        return f"≥ {rule.target:g} at the end, rising" if isinstance(rule, LimitRule) else ""

    @property
    def control(self) -> bool:
        """Whether this must come out as violated."""
        return (self.study, self.section.label, self.claim) in CONTROLS


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


def _asked(section: Section, residual: float) -> Iterator[tuple[str, Method, Rule]]:
    law, oracle, clair = LocalLaw(), OracleRefinement(), Clair()
    coverage = MeanRule("coverage", 0.93, 0.97, spread=0.02)
    gain = MeanRule("gain_ratio", 0.9, 1.1, spread=0.1)
    sign = MeanRule("promised_gain_realised", 0.0, None, spread=0.1)
    bias = MeanRule("shared_bias", None, 1.25, spread=0.3)
    if section.kind == "n":
        yield "estimate-rate", law, _slope("regime.sample_size", "local_rmse", -0.5, 0.05, residual)
        yield "coverage", law, coverage
        yield "shared-bias", law, bias
        yield "subspace-rate", oracle, _slope("regime.sample_size", "sin_theta", -0.5, 0.1, 0.25)
        yield "set-against-n", clair, LimitRule("exact_set", "regime.sample_size", 0.8)
    elif section.kind == "separation":
        yield "set-against-separation", clair, LimitRule("exact_set", "regime.contamination_scale", 0.8)
    elif section.kind == "clients":
        yield "off-subspace-rate", oracle, _slope("n_benign", "off_subspace", -1.0, 0.15, 0.25, batches=8)
        yield "gain", oracle, gain
        yield "sign-rule", oracle, sign
    elif section.kind == "level":
        level = FrequencyRule("false_alarm", 0.05, "at_most", 0.05)
        yield "level", clair, level
        yield "level-whitened", Clair(whiten=True), level
        yield "level-own-covariance", ClairWithCovariance(), level
        yield "level-oracle", OracleDetection(), level
        yield "level-covariance", OracleWithCovariance(), level
    else:
        yield "coverage", law, coverage
        yield "shared-bias", law, bias
        yield "gain", oracle, gain
        yield "sign-rule", oracle, sign
        yield "exact-set", clair, FrequencyRule("exact_set", 0.8, "at_least", 0.1)


def questions(design: RegimeDesign) -> list[Question]:
    """All questions of one study, in the order of its tables."""
    return [
        Question(design.name, section, claim, method, rule)
        for section in design.sections()
        for claim, method, rule in _asked(section, design.residual)
    ]
