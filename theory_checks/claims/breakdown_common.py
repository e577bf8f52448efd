"""Where (E) with common component breaks: identical rank-one contamination, at |O|/|C| = 1/(1 + μr)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.linalg import orthonormal_basis, project_off
from clair_stats.theory import instance_certificate, penalty_range
from simulations.design import crossed
from simulations.regimes.instance import Instance
from simulations.streams import Streams
from theory_checks.claim import Claim, Sabotage
from theory_checks.methods.solving import outcome, solve
from theory_checks.rules.decision import AlwaysRule

__all__ = ["CLAIM"]

_LOWEST, _HIGHEST = 0.4, 1.6  # positions ρ(1 + r) that are drawn
_TIE = (0.93, 1.0)  # positions not drawn: there recovery is a matter of the solver's accuracy
_PENALTIES = 5  # tried above the limit, over the window outside which the program is degenerate


@dataclass(frozen=True, kw_only=True)
class PairedRegime:
    """Benign coefficients in pairs ±O_k, all centred leverages equal; identical contamination at the benign mean.

    ``extras["position"]`` is ρ(1 + r).
    """

    name: ClassVar[str] = "paired"

    def generate(self, streams: Streams) -> Instance:
        """Everything from the stream "truth"."""
        generator = streams.generator("truth")
        while True:
            rank, n_benign = int(generator.integers(1, 4)), 2 * int(generator.integers(3, 9))
            n_contaminated = int(generator.integers(1, n_benign))
            position = n_contaminated / n_benign * (1 + rank)
            if _LOWEST <= position <= _HIGHEST and not _TIE[0] < position < _TIE[1]:
                break
        q = int(generator.integers(rank, rank + 3))
        p = rank + 1 + int(generator.integers(0, 4))
        basis = orthonormal_basis(generator.standard_normal((p, rank)), rank)
        half = np.stack([orthonormal_basis(b, rank) for b in generator.standard_normal((n_benign // 2, q, rank))])
        coefficients = np.concatenate([half, -half, np.zeros((n_contaminated, q, rank))])
        common = generator.standard_normal((p, q))
        values = common + np.einsum("pi,kqi->kpq", basis, coefficients)
        direction = orthonormal_basis(project_off(basis, generator.standard_normal((p, 1))), 1)[:, 0]
        row = generator.standard_normal(q)
        size = 10.0 ** generator.uniform(-0.5, 1)
        mask = np.arange(n_benign + n_contaminated) < n_benign
        values[~mask] += size * np.outer(direction, row / np.linalg.norm(row))
        return Instance.without_heterogeneity(
            values,
            basis=basis,
            coefficients=coefficients,
            collaborative_set=mask,
            common=common,
            extras={"position": position},
        )


@dataclass(frozen=True, kw_only=True)
class CommonBreakdownMethod:
    """Below the limit the theorem's best penalty must recover; above it no penalty may, and every one is refuted."""

    name: ClassVar[str] = "breakdown-common"
    version: ClassVar[int] = 1

    mean_is_free: bool = True  # sabotage: the limit is said to be that without common component, ρr = 1
    limit_factor: float = 1.0  # sabotage: the limit is said to be this many times the true one

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """``violation``: recovery or refutation is not what the limit predicts."""
        mask = instance.collaborative_set
        n_clients, p, q = instance.targets.shape
        n_benign, rank = int(mask.sum()), instance.rank
        position = float(instance.extras["position"])
        limit = self.limit_factor * (1.0 if self.mean_is_free else (1 + rank) / rank)
        # The contamination has one row direction, so s = 1 whatever q is.
        window = penalty_range(
            block_leverage=rank / n_benign,
            n_benign=n_benign,
            n_contaminated=n_clients - n_benign,
            common_component=True,
            columns=1,
        )
        if window is not None:
            penalties = [float(np.sqrt(window[0] * window[2]))]
        else:
            penalties = [
                float(x) for x in np.geomspace(1.02 / np.sqrt(n_clients), 0.98 * np.sqrt(min(p, q) + 1), _PENALTIES)
            ]
        found = [
            outcome(
                solve(instance.targets, block_penalty=x, common_component=True, tol=1e-7, max_iterations=5000), instance
            )
            for x in penalties
        ]
        certificates = [
            instance_certificate(instance.targets, basis=instance.basis, collaborative_set=mask, block_penalty=x)
            for x in penalties
        ]
        recovered = any(result.recovered for result in found)
        refuted = all(certificate.refuted for certificate in certificates)
        predicted = position < limit
        return {
            "position": position,
            "recovered": float(recovered),
            "refuted": float(refuted),
            "violation": float(recovered != predicted or refuted == predicted or (window is not None) != predicted),
            "relative_gap": found[0].relative_gap,
        }


CLAIM = Claim(
    identifier="breakdown-common",
    theorem=2,
    title="Breakdown with common component at ρ(1 + μr) = 1",
    statement=(
        r"With a free common component, centred benign coefficients of equal leverage and identical rank-one "
        r"contamination orthogonal to the subspace at the benign mean, some penalty recovers exactly if and only if "
        r"$\rho(1+r)<1$, $\rho=|O|/|C|$; beyond, every penalty is refuted by the certificate."
    ),
    source="docs/derivations/recovery.md section 4",
    assumptions=(),
    statistic="share of instances where recovery, window or refutation is not what the limit predicts",
    rule=AlwaysRule(),
    cells=crossed(PairedRegime(), CommonBreakdownMethod()),
    replications={"quick": 80, "standard": 500, "full": 5000},
    sabotage=Sabotage(
        name="limit-without-common-component",
        description="the limit is said to be ρr = 1, as if the common component were fixed",
        cells=crossed(PairedRegime(), CommonBreakdownMethod(mean_is_free=False)),
    ),
    fine=Sabotage(
        name="limit-a-little-lower",
        description="the limit is said to be 0.8 times the true one",
        cells=crossed(PairedRegime(), CommonBreakdownMethod(limit_factor=0.8)),
    ),
)
