"""Theorem 9: no test sees contamination below the limit, even with subspace, common component and noise known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.stats import chi2, norm

from clair_stats.estimates import ClientEstimates
from clair_stats.laws import per_client_level
from clair_stats.records import FloatArray
from clair_stats.theory import detection_limit
from simulations.design import crossed, grid, levels
from simulations.regimes.instance import Instance
from simulations.streams import Streams
from theory_checks.claim import Claim, Sabotage
from theory_checks.rules.decision import FrequencyRule

__all__ = ["CLAIM"]

_LEVEL, _POWER = 0.05, 0.5


@dataclass(frozen=True, kw_only=True)
class OneContaminatedRegime:
    """Errors alone, σ = 1, off a known subspace, and one client contaminated at the limit in a random direction."""

    name: ClassVar[str] = "one-contaminated"

    n_clients: int = 20
    n_rows: int = 12
    n_columns: int = 5
    size: float = 1.0  # sabotage: the contamination over the limit

    def generate(self, streams: Streams) -> Instance:
        """Direction and place from the stream "contamination", errors from "noise"."""
        shape = (self.n_clients, self.n_rows, self.n_columns)
        chosen = streams.generator("contamination")
        direction = chosen.standard_normal(shape[1:])
        direction[0] = 0.0  # the known subspace is the first coordinate
        direction /= np.linalg.norm(direction)
        limit = detection_limit(self.n_clients, shape=shape[1:], rank=1, level=_LEVEL, power=_POWER)
        targets = np.zeros(shape)
        place = int(chosen.integers(self.n_clients))
        targets[place] = self.size * limit * direction
        return Instance(
            targets=targets,
            basis=np.eye(self.n_rows)[:, :1],
            common=np.zeros(shape[1:]),
            coefficients=np.zeros((self.n_clients, self.n_columns, 1)),
            heterogeneity=np.zeros(shape),
            collaborative_set=np.arange(self.n_clients) != place,
            estimates=ClientEstimates(values=targets + streams.generator("noise").standard_normal(shape)),
            extras={"direction": direction},
        )


def _smallest_p_value(scores: FloatArray, freedom: int) -> float:
    """The better of the largest ‖(I − P_U)X_k‖² by its exact law and of their sum, after Bonferroni's correction."""
    largest = -np.expm1(scores.size * np.log1p(-chi2.sf(scores.max(), freedom)))
    total = chi2.sf(scores.sum(), scores.size * freedom)
    return 2 * float(min(largest, total))


@dataclass(frozen=True, kw_only=True)
class OracleTest:
    """A test of "nobody is contaminated" that knows U*, M* and σ: largest score and sum of the scores together."""

    name: ClassVar[str] = "oracle-test"
    version: ClassVar[int] = 2

    direction_known: bool = False  # sabotage: the test knows the direction of the contamination

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """``alarm``: the test rejects."""
        off = instance.estimates.dense()[:, 1:]
        if self.direction_known:
            along = np.einsum("kpq,pq->k", off, instance.extras["direction"][1:])
            return {"alarm": float(along.max() > norm.isf(per_client_level(_LEVEL, along.size)))}
        p, q = instance.common.shape
        scores = np.einsum("kpq,kpq->k", off, off)
        return {"alarm": float(_smallest_p_value(scores, (p - instance.rank) * q) <= _LEVEL)}


_REGIMES = grid(OneContaminatedRegime, n_clients=levels(10, 100), n_columns=levels(1, 10))

CLAIM = Claim(
    identifier="detection-limit",
    theorem=0,
    title="No test sees contamination below the limit",
    statement=(
        r"At $d=\sigma\,(2m\log(1+4K(\beta-\alpha)^2))^{1/4}$, $m=(p-r)q$, every test at level $\alpha$ has power at "
        r"most $\beta$ on average over the contaminated client and the direction of its contamination."
    ),
    source="docs/derivations/guarantee.md section 6",
    assumptions=(),
    statistic="share of alarms of a test that knows U*, M* and σ, at the limit for α = 0.05, β = 0.5",
    rule=FrequencyRule("alarm", target=_POWER, direction="at_most", margin=0.05),
    cells=crossed(_REGIMES, OracleTest()),
    replications={"quick": 60, "standard": 400, "full": 4000},
    sabotage=Sabotage(
        name="direction-known",
        description="the test knows the direction of the contamination, so that one number per client is left",
        cells=crossed(_REGIMES, OracleTest(direction_known=True)),
    ),
    fine=Sabotage(
        name="limit-overstated",
        description="the contamination is 1.65 times the limit",
        cells=crossed(
            grid(OneContaminatedRegime, n_clients=levels(10, 100), n_columns=levels(1, 10), size=1.65), OracleTest()
        ),
    ),
)
