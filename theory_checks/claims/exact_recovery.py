"""Theorems 1 and 2: inside the (sharp) penalty window every solution of (E) recovers span and support exactly."""

from __future__ import annotations

from simulations.design import crossed
from theory_checks.claim import Assumption, Claim, Sabotage
from theory_checks.instances.recovery import AdversarialRegime
from theory_checks.methods.exact_program import RecoveryMethod
from theory_checks.rules.decision import AlwaysRule

__all__ = ["CLAIMS"]


def _claim(common: bool) -> Claim:
    window = (
        r"\min\Big\{\frac{\sqrt{\nu^{c}}}{1-\rho},\ \sqrt{\nu^{c}+\frac{q\rho}{(1+\rho)|C|}}\Big\}"
        r" < \lambda < \frac{1}{\sqrt{|O|(1+\rho)}},\quad \rho=\frac{|O|}{|C|}"
        if common
        else r"\sqrt{\nu} < \lambda < \frac{1}{\sqrt{|O|}}"
    )
    return Claim(
        identifier=f"exact-recovery-{'common' if common else 'plain'}",
        theorem=2 if common else 1,
        title=f"Exact recovery {'with' if common else 'without'} common component",
        statement=(
            rf"If $E=0$, $H=0$, the {'centred ' if common else ''}benign coefficients have rank $r$ and ${window}$, "
            r"then every solution of (E) has column space $\mathrm{span}(U^*)$ and $S_k\neq 0$ exactly for $k\in O$."
        ),
        source="theory.md section 3; the sharp window is proved in docs/derivations/recovery.md",
        assumptions=(
            Assumption("the penalty lies inside the window of the sharp theorem", "theorem"),
            Assumption(
                "max(η, κ) is more than 1e-3 away from 1; nearer, the solver's accuracy decides", "away_from_border"
            ),
        ),
        statistic="share of instances whose solution leaves the subspace or corrects the wrong clients (relative 1e-4)",
        rule=AlwaysRule(report=("off_subspace", "wrong_blocks", "eta", "kappa")),
        cells=crossed(AdversarialRegime(common_component=common), RecoveryMethod()),
        replications={"quick": 100, "standard": 1000, "full": 10_000},
        sabotage=Sabotage(
            name="penalty-above-window",
            description=(
                "λ lies above the window by 10 to 30 % of its length in log λ, and the contamination is identical: the "
                "assumption λ < upper end is broken, η > 1"
            ),
            cells=crossed(
                AdversarialRegime(common_component=common, lowest=1.1, highest=1.3, kinds=("identical",)),
                RecoveryMethod(second_tol=None, max_iterations=3000),
            ),
        ),
        fine=Sabotage(
            name="penalty-partly-above-window",
            description="λ reaches 3.5 % of the window's log length beyond it, the contamination is identical",
            cells=crossed(
                AdversarialRegime(common_component=common, lowest=0.5, highest=1.035, kinds=("identical",)),
                RecoveryMethod(second_tol=None, max_iterations=3000),
            ),
        ),
        largest_gap=1e-6,
    )


CLAIMS = (_claim(common=False), _claim(common=True))
