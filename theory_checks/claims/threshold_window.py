"""Theorem 4: every threshold inside the window returns the collaborative set, whatever the estimates are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.linalg import orthonormal_basis
from clair_stats.theory import detection_scores, threshold_window
from simulations.design import crossed, grid, levels
from simulations.regimes.gaussian import GaussianRegime
from simulations.regimes.instance import Instance
from theory_checks.claim import Claim, Sabotage
from theory_checks.rules.decision import AlwaysRule

__all__ = ["CLAIM"]


@dataclass(frozen=True, kw_only=True)
class WindowScores:
    """Perturb subspace and common component at random sizes, and compare every score with its bound."""

    name: ClassVar[str] = "window-scores"

    subspace_term: float = 1.0  # sabotage: the share of ŝ b_k that is counted

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """``violation``: a score beyond its bound, or an open window whose thresholds do not return C."""
        p, q = instance.common.shape
        mask = instance.collaborative_set
        values = instance.estimates.dense()
        tilt, shift = 10.0 ** generator.uniform(-4, 0, size=2)
        basis = orthonormal_basis(instance.basis + tilt * generator.standard_normal((p, instance.rank)), instance.rank)
        # M is identified off the subspace only, so its part inside may be anything.
        inside = instance.basis @ generator.standard_normal((instance.rank, q))
        common = instance.common + inside + shift * generator.standard_normal((p, q)) / np.sqrt(p * q)
        window = threshold_window(
            instance.targets,
            values,
            basis=instance.basis,
            common=instance.common,
            estimated_basis=basis,
            estimated_common=common,
            collaborative_set=mask,
        )
        bounds, lower, upper = window.score_bounds, window.lower, window.upper
        if self.subspace_term != 1.0:
            term = (
                (1 - self.subspace_term)
                * window.subspace_error
                * np.linalg.norm(instance.basis.T @ (instance.targets - common), axis=(1, 2))
            )
            bounds = bounds + np.where(mask, -term, term)
            lower, upper = float(bounds[mask].max()), float(np.min(bounds[~mask], initial=np.inf))
        scores = detection_scores(values, basis=basis, common=common)
        rounding = 1e-10 * float(np.abs(values).max())
        beyond = np.where(mask, scores > bounds + rounding, scores < bounds - rounding)
        wrong = False
        if lower + rounding < upper:
            for place in (0.01, 0.5, 0.99):
                top = upper if np.isfinite(upper) else 2 * lower
                wrong |= bool(np.any((scores <= lower + place * (top - lower)) != mask))
        return {
            "open": float(lower < upper),
            "subspace_error": window.subspace_error,
            "slack": float(np.max(scores[mask] / bounds[mask])),
            "violation": float(beyond.any() or wrong),
        }


_REGIMES = grid(
    GaussianRegime,
    n_clients=12,
    n_rows=8,
    n_columns=3,
    rank=2,
    share=0.25,
    common_scale=1.0,
    noise_scale=levels(0.002, 0.05),
    heterogeneity_scale=levels(0.0, 0.05),
    contamination=levels("coordinated", "gaussian"),
)

CLAIM = Claim(
    identifier="threshold-window",
    theorem=4,
    title="Every threshold inside the window returns the collaborative set",
    statement=(
        r"$\max_{k\in C}(e_k+\|H_k\|_F+\hat m+\hat s b_k)<\omega<"
        r"\min_{k\in O}(\sqrt{1-\hat s^2}\,d_k-e_k-\hat m-\hat s b_k)$"
        r" implies $\hat C=C$."
    ),
    source="theory.md section 5; docs/derivations/consistency.md",
    assumptions=(),
    statistic="share of instances with a score beyond its bound, or with a threshold inside an open window that errs",
    rule=AlwaysRule(report=("open", "slack")),
    cells=crossed(_REGIMES, WindowScores()),
    replications={"quick": 60, "standard": 1000, "full": 20_000},
    sabotage=Sabotage(
        name="subspace-term-dropped",
        description="the term ŝ b_k, what a wrong subspace lets through, is left out of the bounds",
        cells=crossed(_REGIMES, WindowScores(subspace_term=0.0)),
    ),
    fine=Sabotage(
        name="subspace-term-reduced",
        description="2.5 % of the term ŝ b_k are left out",
        cells=crossed(_REGIMES, WindowScores(subspace_term=0.975)),
    ),
)
