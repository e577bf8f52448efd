"""Only 1/√K < λ < √min(p, q) does anything: below L = 0 is optimal, above S = 0 is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.linalg import block_norms, orthonormal_basis, stack
from simulations.design import crossed
from simulations.regimes.instance import Instance
from simulations.streams import Streams
from theory_checks.claim import Claim, Sabotage
from theory_checks.methods.solving import solve
from theory_checks.rules.decision import AlwaysRule

__all__ = ["CLAIM"]


@dataclass(frozen=True, kw_only=True)
class StackRegime:
    """Stacks for the ends of the window: Gaussian, low-rank, or extremal.

    Extremal for the lower end: K copies of one rank-one block (‖L‖_* = Σ‖L_k‖_F/√K); for the upper end: a single block
    with equal singular values (‖S_1‖_* = √min(p, q)‖S_1‖_F).  There the ends are sharp.
    """

    name: ClassVar[str] = "window-stack"

    def generate(self, streams: Streams) -> Instance:
        """Draw sizes, kind and blocks from the stream "truth"; ``extras["common_component"]``."""
        generator = streams.generator("truth")
        n_clients, p, q = int(generator.integers(3, 13)), int(generator.integers(2, 8)), int(generator.integers(2, 6))
        kind = ("gaussian", "low-rank", "copies", "one-flat-block")[int(generator.integers(4))]
        values = generator.standard_normal((n_clients, p, q))
        if kind == "low-rank":
            values = values[:, :, :1] * generator.standard_normal((n_clients, 1, q))
        elif kind == "copies":
            values = np.repeat(np.outer(values[0, :, 0], values[0, 0])[None], n_clients, axis=0)
        elif kind == "one-flat-block":
            width = min(p, q)
            flat = orthonormal_basis(values[0], width) @ orthonormal_basis(values[1].T, width).T
            values = np.concatenate([flat[None], np.zeros((n_clients - 1, p, q))])
        common = bool(generator.random() < 0.5)
        return Instance.without_heterogeneity(
            values,
            basis=np.zeros((p, 0)),
            coefficients=np.zeros((n_clients, q, 0)),
            collaborative_set=np.ones(n_clients, dtype=bool),
            extras={"common_component": common, "kind": kind},
        )


@dataclass(frozen=True, kw_only=True)
class WindowMethod:
    """Solve (E) at ``factor`` × one end of the window and compare with the degenerate solution."""

    name: ClassVar[str] = "window"

    end: str = "lower"
    factor: float = 1.0
    largest: int | None = None  # min(p, q) is cut here

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """``violation``: some point beats the degenerate one by more than the duality gap explains."""
        values, common = instance.targets, instance.extras["common_component"]
        n_clients, p, q = values.shape
        lower = self.end == "lower"
        width = min(p, q) if self.largest is None else min(p, q, self.largest)
        penalty = self.factor * (1 / np.sqrt(n_clients) if lower else np.sqrt(width))
        solution = solve(values, block_penalty=float(penalty), common_component=common)
        if lower:
            # The mean of Z = M + L with L = 0: moving L into S never costs more below the lower end.
            centre = solution.common + solution.low_rank.mean(axis=0) if common else np.zeros((p, q))
            degenerate = float(penalty * block_norms(values - centre).sum())
        else:
            centred = values - values.mean(axis=0) if common else values
            degenerate = float(np.linalg.norm(stack(centred), "nuc"))
        scale = max(abs(solution.objective), 1e-300)
        excess = (degenerate - solution.objective) / max(degenerate, 1e-300)
        flat = degenerate <= 1e-10 * float(np.abs(values).sum())
        return {
            "excess": 0.0 if flat else excess,
            "violation": float(not flat and excess > 1e-6),
            "relative_gap": 0.0 if flat else solution.duality_gap / scale,
        }


_METHODS = [WindowMethod(end=end, factor=factor) for end, factor in (("lower", 1.0), ("lower", 0.8), ("upper", 1.0))]

CLAIM = Claim(
    identifier="penalty-window",
    theorem=0,
    title="Outside the penalty window the programs are degenerate",
    statement=(
        r"If $\lambda\le 1/\sqrt K$ then $L=0$ is optimal for (E); if $\lambda\ge\sqrt{\min(p,q)}$ then $S=0$ is."
    ),
    source="theory.md section 2",
    assumptions=(),
    statistic="relative amount by which the degenerate point exceeds the optimal objective",
    rule=AlwaysRule(report=("excess",)),
    cells=crossed(StackRegime(), _METHODS),
    replications={"quick": 80, "standard": 400, "full": 4000},
    sabotage=Sabotage(
        name="window-ends-moved",
        description="the lower end is said to be 1.5/√K and the upper end 0.7 √min(p, q)",
        cells=crossed(StackRegime(), [WindowMethod(end="lower", factor=1.5), WindowMethod(end="upper", factor=0.7)]),
    ),
    fine=Sabotage(
        name="upper-end-stops-growing",
        # One stack of 24: without common component, one flat block, min(p, q) of 4 or 5.  A factor on the end is found
        # on every stack for which the end is sharp, one of 8, however near 1 it is.
        description="the upper end is said to be √min(p, q, 3)",
        cells=crossed(StackRegime(), WindowMethod(end="upper", largest=3)),
    ),
    largest_gap=1e-6,
)
