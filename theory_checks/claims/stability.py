"""Theorem 3: the solution of (B) leaves the subspace by at most c·ε, and the error is linear in ε."""

from __future__ import annotations

from simulations.design import crossed, grid, levels
from theory_checks.claim import Assumption, Claim, Sabotage
from theory_checks.instances.noisy import NoisyRegime
from theory_checks.methods.noise_ball import BallMethod
from theory_checks.rules.decision import AlwaysRule
from theory_checks.rules.rates import SlopeRule

__all__ = ["CLAIMS"]

_REGIMES = tuple(NoisyRegime(common_component=common) for common in (False, True))
_CERTIFIED = Assumption("the noiseless instance is certified", "certified")
_RADII = (1e-3, 3e-3, 1e-2)
_RATE = SlopeRule(
    abscissa="relative_radius",
    ordinate="relative_error",
    target=1.0,
    margin=0.1,
    residual=0.15,
    spread=0.94,
    points=3,
    within_replication=True,
)

_BOUND = Claim(
    identifier="stability-bound",
    theorem=3,
    title="The error bound of stable recovery is never exceeded",
    statement=(
        r"For a certified instance, $\|E\|_F\le\varepsilon$ and any solution of (B), "
        r"$\|P_{U^\perp}\hat L\|_F\le c_\sharp\varepsilon\ (\le c\,\varepsilon)$ and "
        r"$\|\sin\Theta(\hat U,U^*)\|\le c_\sharp\varepsilon/\sigma_r(\hat L)$."
    ),
    source="theory.md section 4 (c); docs/derivations/stability.md (sharper constant)",
    assumptions=(_CERTIFIED,),
    statistic="share of solutions beyond any of the bounds (stated, sharp, after the solution, angle)",
    rule=AlwaysRule(
        report=(
            "tightness_posterior",
            "tightness_sharp",
            "tightness_stated",
            "improvement",
            "loss_budget",
            "loss_subgradient",
            "loss_geometry",
        )
    ),
    cells=crossed(_REGIMES, BallMethod()),
    replications={"quick": 30, "standard": 200, "full": 2000},
    sabotage=Sabotage(
        name="constants-over-five",
        description="every bound is divided by 5; the bound after the solution is loose by about 3 on rank-one errors",
        cells=crossed(_REGIMES, BallMethod(divisor=5.0)),
    ),
    largest_gap=1e-6,
)

_SLOPE = Claim(
    identifier="stability-rate",
    theorem=3,
    title="The error of (B) is linear in the noise radius",
    statement=r"$\|P_{U^\perp}\hat L\|_F$ as a function of $\varepsilon$ has slope $1$ in log-log scale.",
    source="theory.md section 4",
    assumptions=(_CERTIFIED,),
    statistic="slope of log error on log ε within each instance, averaged over instances",
    rule=_RATE,
    cells=crossed(
        [NoisyRegime(common_component=False, shapes=("gaussian", "off-subspace"))],
        grid(BallMethod, relative_radius=levels(*_RADII)),
    ),
    replications={"quick": 20, "standard": 60, "full": 600},
    sabotage=Sabotage(
        name="wrong-rate",
        description="the rate is said to be 1/2",
        rule=SlopeRule(
            abscissa="relative_radius",
            ordinate="relative_error",
            target=0.5,
            margin=0.1,
            residual=0.15,
            spread=0.94,
            points=3,
            within_replication=True,
        ),
    ),
    largest_gap=1e-6,
)

CLAIMS = (_BOUND, _SLOPE)
