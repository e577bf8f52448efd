"""Where reconstructions of incomplete observations are separated widely enough, the true observations are separated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import numpy as np

from simulations.design import crossed, grid, levels
from theory_checks.claim import Claim, Sabotage
from theory_checks.instances.reconstructions import Reconstruction, ReconstructionRegime, visibility
from theory_checks.rules.decision import AlwaysRule

__all__ = ["CLAIM", "ReconstructionMargin"]

_HYPERPLANES = 20  # random ones, beside the worst
_ABOVE = 1.0 + 1e-9  # the margin is this multiple of what is asked for
_FLOOR = 1e-10  # and at least this, since a bound of 0 is met by rounding only


@dataclass(frozen=True, kw_only=True)
class ReconstructionMargin:
    """Hyperplanes at the margin that is asked for, one of them in the direction of the error.

    Parameters
    ----------
    observed_only : bool
        Sabotage: the error is taken for that of the observed features.
    left_out : float
        Sabotage: share of the sets of atoms that are not looked at for α.
    """

    name: ClassVar[str] = "reconstruction-margin"
    version: ClassVar[int] = 1

    observed_only: bool = False
    left_out: float = 0.0

    def evaluate(self, instance: Reconstruction, generator: np.random.Generator) -> Mapping[str, float]:
        """``violation``: a true observation lies on the other side; ``sharpness``: largest error over its bound."""
        n, p = instance.truth.shape
        violated, sharpness = False, 0.0
        for i in range(n):
            error = instance.truth[i] - instance.rebuilt[i]
            bound = self._bound(instance, i, generator)
            size = float(np.linalg.norm(error))
            sharpness = max(sharpness, size / max(bound, _FLOOR))
            normals = generator.standard_normal((_HYPERPLANES, p))
            normals = np.vstack([normals / np.linalg.norm(normals, axis=1, keepdims=True), -error / max(size, _FLOOR)])
            # y = 1 and b such that the reconstruction is at the margin; y = −1 is the same with −w and −b.
            violated |= bool(np.any(max(bound * _ABOVE, _FLOOR) + normals @ error <= 0.0))
        return {"violation": float(violated), "sharpness": sharpness}

    def _bound(self, instance: Reconstruction, i: int, generator: np.random.Generator) -> float:
        """(ρ + δ)/α + δ."""
        seen = instance.observed[i]
        rest = float(np.linalg.norm((instance.truth[i] - instance.rebuilt[i])[seen]))
        misfit = float(instance.misfit[i])
        if self.observed_only:
            return rest + misfit
        supports = list(combinations(range(instance.dictionary.shape[1]), 2 * instance.n_active))
        kept = [support for support in supports if generator.random() >= self.left_out] if self.left_out else supports
        alpha, _ = visibility(instance.dictionary, seen, instance.n_active, kept)
        return (rest + misfit) / alpha + misfit if alpha > 0.0 else math.inf


_REGIMES = grid(ReconstructionRegime, n_missing=levels(1, 3), misfit=levels(0.0, 0.1))

CLAIM = Claim(
    identifier="reconstruction-separates",
    theorem=0,
    title="Separated reconstructions of incomplete observations mean separated observations",
    statement=(
        r"Let $\|z-Ds\|\le\delta$, $\hat z=D\hat s$, $s$ and $\hat s$ with at most $k$ entries, "
        r"$\rho=\|(z-\hat z)_O\|$ and $\alpha=\min\|(Dv)_O\|/\|Dv\|$ over $v$ with at most $2k$ entries. If "
        r"$y(w^\top\hat z+b)>\|w\|\,[(\rho+\delta)/\alpha+\delta]$, then $y(w^\top z+b)>0$."
    ),
    source="docs/derivations/incomplete.md",
    assumptions=(),
    statistic="share of instances with an observation on the wrong side of a hyperplane at the margin asked for",
    rule=AlwaysRule(report=("sharpness",)),
    cells=crossed(_REGIMES, ReconstructionMargin()),
    replications={"quick": 20, "standard": 100, "full": 400},
    sabotage=Sabotage(
        name="error-of-observed-features",
        description="the error is said to be what the observed features show of it",
        cells=crossed(_REGIMES, ReconstructionMargin(observed_only=True)),
    ),
    fine=Sabotage(
        name="some-sets-of-atoms-left-out",
        description="0.09 of the sets of atoms are left out of the minimum α",
        cells=crossed(_REGIMES, ReconstructionMargin(left_out=0.09)),
    ),
)
