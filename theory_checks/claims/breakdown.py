"""Where (E) breaks: identical rank-one contamination at |O|/|C| = 1/(μr), coordinated contamination at one half.

With benign coefficients of equal leverage (μ = 1) and contamination orthogonal to the subspace the limits are exact:
some penalty recovers if and only if |O| < |C|/r (identical, rank one) or |O| < |C| (coordinated, rank r).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.linalg import orthonormal_basis, project_off
from clair_stats.theory import leverage
from simulations.design import crossed
from simulations.regimes.instance import Instance
from simulations.streams import Streams
from theory_checks.claim import Claim, Sabotage
from theory_checks.methods.solving import outcome, solve
from theory_checks.rules.decision import AlwaysRule

__all__ = ["CLAIMS"]


@dataclass(frozen=True, kw_only=True)
class BalancedRegime:
    """Equal benign leverages, contamination orthogonal to the subspace, |O| on both sides of the limit.

    ``extras["position"]`` is |O| over the limit |C|/(μr) (identical) or |C| (coordinated, scattered); positions between
    0.9 and 1 are not drawn, there the answer is a matter of the solver's accuracy.
    """

    name: ClassVar[str] = "balanced"

    kind: str = "identical"
    lowest: float = 0.3
    highest: float = 1.8

    def generate(self, streams: Streams) -> Instance:
        """Everything from the stream "truth"."""
        generator = streams.generator("truth")
        while True:
            rank, n_clients = int(generator.integers(1, 4)), int(generator.integers(8, 21))
            n_contaminated = int(generator.integers(1, n_clients - 1))
            limit = (n_clients - n_contaminated) / (rank if self.kind == "identical" else 1)
            position = n_contaminated / limit
            if self.lowest <= position <= self.highest and not 0.9 < position < 1.0:
                break
        q = int(generator.integers(rank, rank + 3))
        p = 2 * rank + int(generator.integers(0, 4)) + (10 if self.kind == "scattered" else 0)
        basis = orthonormal_basis(generator.standard_normal((p, rank)), rank)
        coefficients = np.stack([orthonormal_basis(b, rank) for b in generator.standard_normal((n_clients, q, rank))])
        mask = np.arange(n_clients) < n_clients - n_contaminated
        values = np.einsum("pi,kqi->kpq", basis, coefficients)
        size = 10.0 ** generator.uniform(-0.5, 1)
        off = orthonormal_basis(project_off(basis, generator.standard_normal((p, rank))), rank)
        if self.kind == "identical":
            row = generator.standard_normal(q)
            values[~mask] = size * np.outer(off[:, 0], row / np.linalg.norm(row))
        elif self.kind == "coordinated":
            values[~mask] = size * np.einsum("pi,kqi->kpq", off, coefficients[~mask])
        else:
            values[~mask] = size * project_off(basis, generator.standard_normal((n_contaminated, p, q)))
        return Instance.without_heterogeneity(
            values,
            basis=basis,
            coefficients=coefficients,
            collaborative_set=mask,
            extras={"position": position},
        )


@dataclass(frozen=True, kw_only=True)
class BreakdownMethod:
    """Does any penalty recover?  Below the limit the best one is tried, above it a grid over the whole window."""

    name: ClassVar[str] = "breakdown"
    version: ClassVar[int] = 3

    kind: str = "identical"
    limit_factor: float = 1.0  # the limit is said to be this many times the true one
    n_penalties: int = 6

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """``violation``: recovery is not what the limit predicts."""
        mask = instance.collaborative_set
        n_clients, p, q = instance.targets.shape
        nu = leverage(instance.coefficients[mask])
        # 1/‖H‖_op: identical contamination adds up in one direction, coordinated one in r directions.
        spread = 1 if self.kind == "identical" else instance.rank
        upper = np.sqrt(spread / np.count_nonzero(~mask))
        penalties = [float(np.sqrt(np.sqrt(nu) * upper))]
        if instance.extras["position"] > 0.95:
            grid = np.geomspace(1.02 / np.sqrt(n_clients), 0.98 * np.sqrt(max(min(p, q), 2)), self.n_penalties)
            penalties += [float(x) for x in grid]
        results = [
            outcome(
                solve(instance.targets, block_penalty=x, common_component=False, tol=1e-7, max_iterations=20_000),
                instance,
            )
            for x in penalties
        ]
        recovered = any(result.recovered for result in results)
        predicted = instance.extras["position"] < self.limit_factor
        # One solved penalty shows recovery; that none recovers is shown when all are solved.
        gaps = [result.relative_gap for result in results if result.recovered or not recovered]
        return {
            "position": float(instance.extras["position"]),
            "recovered": float(recovered),
            "violation": float(recovered != predicted),
            "relative_gap": min(gaps) if recovered else max(gaps),
        }


# What the fine sabotage says of the limit; instances between it and 0.9 contradict it.
_NEAR = {"identical": 0.84, "coordinated": 0.82}


def _claim(kind: str) -> Claim:
    identical = kind == "identical"
    limit = r"|C|/(\mu r)" if identical else r"|C|"
    other = (
        Sabotage(
            name="limit-halved",
            description="the limit is said to be 1/(2μr)",
            cells=crossed(BalancedRegime(kind=kind), BreakdownMethod(kind=kind, limit_factor=0.5)),
        )
        if identical
        else Sabotage(
            name="scattered-contamination",
            description="the contamination is scattered instead of coordinated: many instances with |O| ≥ |C| recover",
            cells=crossed(BalancedRegime(kind="scattered", lowest=1.0), BreakdownMethod(kind="scattered")),
        )
    )
    return Claim(
        identifier=f"breakdown-{kind}",
        theorem=1,
        title=f"Breakdown against {'identical rank-one' if identical else 'coordinated rank-r'} contamination",
        statement=(
            rf"With benign coefficients of equal leverage and {kind} contamination of rank "
            rf"${'1' if identical else 'r'}$ orthogonal to the subspace, some penalty recovers exactly if and only if "
            rf"$|O| < {limit}$."
        ),
        source="theory.md section 3 (limits); docs/derivations/recovery.md (both directions)",
        assumptions=(),
        statistic="share of instances where recovery by the best penalty is not what the limit predicts",
        rule=AlwaysRule(),
        cells=crossed(BalancedRegime(kind=kind), BreakdownMethod(kind=kind)),
        replications={"quick": 80, "standard": 500, "full": 5000},
        sabotage=other,
        fine=Sabotage(
            name="limit-a-little-lower",
            description=f"the limit is said to be {_NEAR[kind]:g} of the true one",
            cells=crossed(BalancedRegime(kind=kind), BreakdownMethod(kind=kind, limit_factor=_NEAR[kind])),
        ),
        largest_gap=1e-6,
    )


CLAIMS = (_claim("identical"), _claim("coordinated"))
