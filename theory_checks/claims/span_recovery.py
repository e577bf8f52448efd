"""The span is found beyond |O|ν = 1: benign clients of large leverage are corrected, the subspace is not lost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.linalg import block_norms, orthonormal_basis, sin_theta, stack
from clair_stats.theory import leverage, span_window
from simulations.design import crossed
from simulations.regimes.instance import Instance
from simulations.streams import Streams
from theory_checks.claim import Claim, Sabotage
from theory_checks.instances.recovery import KINDS, draw_instance
from theory_checks.methods.solving import RECOVERED, outcome, solve
from theory_checks.rules.decision import AlwaysRule

__all__ = ["CLAIM"]

_HEAVY = 8.0  # factor on the coefficients of the clients with large leverage
_INSIDE = (0.1, 0.9)  # place of λ in the window, in log λ


@dataclass(frozen=True, kw_only=True)
class HeavyRegime:
    """One or two benign clients carry most of the leverage, so that |O|ν ≥ 1; contamination of every kind.

    Redrawn until the span theorem has a window and Theorem 1 has none.  ``extras``: ``block_penalty``, ``set_aside``.
    """

    name: ClassVar[str] = "heavy"

    def generate(self, streams: Streams) -> Instance:
        """Everything from the stream "truth"."""
        generator = streams.generator("truth")
        while True:
            n_clients, rank = int(generator.integers(10, 17)), int(generator.integers(1, 3))
            n_contaminated = int(generator.integers(1, 4))
            n_heavy = int(generator.integers(1, 3))
            kind = KINDS[int(generator.integers(len(KINDS)))]
            drawn = draw_instance(
                generator,
                n_clients=n_clients,
                n_contaminated=n_contaminated,
                p=int(generator.integers(rank + 1, 7)),
                q=int(generator.integers(rank, 5)),
                rank=rank,
                kind=kind,
                spread=1.0,
                balanced=True,
                common_component=False,
            )
            coefficients = drawn.coefficients.copy()
            coefficients[:n_heavy] *= _HEAVY
            benign = drawn.collaborative_set
            window = span_window(coefficients[benign], n_contaminated=n_contaminated)
            if window is None or n_contaminated * leverage(coefficients[benign]) < 1:
                continue
            targets = drawn.targets.copy()
            targets[:n_heavy] *= _HEAVY
            place = generator.uniform(*_INSIDE)
            aside = np.zeros(n_clients, dtype=bool)
            aside[benign] = window.set_aside
            return dataclasses.replace(
                drawn,
                targets=targets,
                coefficients=coefficients,
                extras={
                    "block_penalty": float(window.lowest * (window.highest / window.lowest) ** place),
                    "set_aside": aside,
                    "kind": kind,
                },
            )


@dataclass(frozen=True, kw_only=True)
class SpanMethod:
    """Solve (E) inside the window and look at the column space and at who is corrected."""

    name: ClassVar[str] = "span"
    version: ClassVar[int] = 1

    support_too: bool = False  # sabotage: nobody but O is said to be corrected
    penalty_factor: float = 1.0  # sabotage: (E) is solved at this multiple of the penalty

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """``violation``: another column space, a missed contaminated client, or a corrected one outside O and T."""
        solution = solve(
            instance.targets,
            block_penalty=self.penalty_factor * instance.extras["block_penalty"],
            common_component=False,
            tol=1e-9,
        )
        found = outcome(solution, instance)
        size = float(np.linalg.norm(solution.low_rank))
        span = orthonormal_basis(stack(solution.low_rank), relative_tolerance=RECOVERED)
        angle = sin_theta(span, instance.basis)
        corrected = block_norms(solution.block_sparse) > RECOVERED * size
        allowed = ~instance.collaborative_set
        if not self.support_too:
            allowed = allowed | instance.extras["set_aside"]
        wrong = bool((corrected & ~allowed).any())
        return {
            "angle": angle,
            "corrected_benign": float((corrected & instance.collaborative_set).sum()),
            "violation": float(angle > 10 * RECOVERED or wrong or found.missed > 0),
            "relative_gap": found.relative_gap,
        }


CLAIM = Claim(
    identifier="span-recovery",
    theorem=1,
    title="The span is found where the support is not",
    statement=(
        r"If $\sqrt{\nu(C\setminus T)}<\lambda<1/\sqrt{|O|+|T|}$ for some $T\subset C$, then every solution of (E) has "
        r"column space $\mathrm{span}(U^*)$, $S_k\neq 0$ on $O$ and $S_k=0$ outside $O\cup T$."
    ),
    source="docs/derivations/recovery.md section 5",
    assumptions=(),
    statistic="share of instances with |O|ν ≥ 1 whose solution has another span, or corrects others than O and T",
    rule=AlwaysRule(report=("angle", "corrected_benign")),
    cells=crossed(HeavyRegime(), SpanMethod()),
    replications={"quick": 80, "standard": 500, "full": 5000},
    sabotage=Sabotage(
        name="support-as-well",
        description="span and support are said to be recovered together",
        cells=crossed(HeavyRegime(), SpanMethod(support_too=True)),
    ),
    fine=Sabotage(
        name="penalty-a-little-larger",
        description="(E) is solved at 1.28 λ, above the window in some instances",
        cells=crossed(HeavyRegime(), SpanMethod(penalty_factor=1.28)),
    ),
    largest_gap=1e-6,
)
