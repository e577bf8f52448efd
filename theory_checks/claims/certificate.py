"""The certificate decides: certified instances are recovered, refuted ones are not."""

from __future__ import annotations

from simulations.design import crossed
from theory_checks.claim import Assumption, Claim, Sabotage
from theory_checks.instances.recovery import AdversarialRegime
from theory_checks.methods.exact_program import RecoveryMethod
from theory_checks.rules.decision import AlwaysRule

__all__ = ["CLAIM"]

_REGIMES = tuple(AdversarialRegime(common_component=common, lowest=-1.0, highest=2.0) for common in (False, True))

CLAIM = Claim(
    identifier="certificate-decides",
    theorem=1,
    title="The instance certificate predicts recovery on both sides",
    statement=(
        r"If $\eta<1$ and $\kappa<1$ then (E) recovers exactly; if $\eta>1$, or $\|V'_k\|_F>\lambda$ for some "
        r"$k\in C$, then it does not."
    ),
    source="theory.md section 3 (first half); docs/derivations/recovery.md (second half)",
    assumptions=(
        Assumption("max(η, κ) is more than 1e-3 away from 1", "away_from_border"),
        Assumption("the instance is certified or refuted", "decided"),
    ),
    statistic="share of instances where the certificate and the solution of (E) disagree",
    rule=AlwaysRule("contradiction", report=("equality_residual",)),
    cells=crossed(_REGIMES, RecoveryMethod()),
    replications={"quick": 50, "standard": 300, "full": 5000},
    sabotage=Sabotage(
        name="solved-at-another-penalty",
        description="the certificate is computed at λ, but (E) is solved at 1.6 λ",
        cells=crossed(_REGIMES, RecoveryMethod(penalty_factor=1.6, second_tol=None, max_iterations=3000)),
    ),
    fine=Sabotage(
        name="solved-at-a-near-penalty",
        description="the certificate is computed at λ, but (E) is solved at 1.007 λ",
        cells=crossed(_REGIMES, RecoveryMethod(penalty_factor=1.007, second_tol=None, max_iterations=3000)),
    ),
    largest_gap=1e-6,
)
