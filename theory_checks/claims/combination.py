"""The combination: flagged clients cannot hurt the common component, and help off the directions that they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.detection.directions import flagged_directions
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import orthonormal_basis, project_off
from clair_stats.records import FloatArray
from clair_stats.refinement.combine import combine
from clair_stats.refinement.others import leading_directions
from clair_stats.refinement.refine import refine
from simulations.design import crossed, grid, levels
from simulations.regimes.instance import Instance
from simulations.streams import Streams
from theory_checks.claim import Claim, Sabotage
from theory_checks.rules.means import MeanRule
from theory_checks.rules.strata import EveryMeanRule

__all__ = ["CLAIMS"]

KINDS = ("none", "identical", "identical-direction", "scattered", "one-direction", "one-far")


def _flagged_parts(
    kind: str, size: float, shape: tuple[int, ...], basis: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """D_k off the subspace, shape (n, p, q); every block has norm ``size``."""
    blocks = project_off(basis, rng.standard_normal(shape))
    if kind.endswith("direction"):
        direction = orthonormal_basis(blocks[0], 1)
        blocks = direction @ rng.standard_normal((shape[0], 1, shape[2]))
    blocks *= size / np.linalg.norm(blocks, axis=(1, 2), keepdims=True)
    if kind == "none":
        blocks *= 0.0
    elif kind.startswith("identical"):
        blocks[:] = blocks[0]
    elif kind == "one-far":
        blocks[1:] = 0.01 * blocks[-1]
    return blocks


def _instance(
    kind: str,
    size: float,
    n_benign: int,
    n_flagged: int,
    shape: tuple[int, int],
    rank: int,
    scales: FloatArray,
    rng: np.random.Generator,
) -> Instance:
    p, q = shape
    n_clients = n_benign + n_flagged
    basis = orthonormal_basis(rng.standard_normal((p, p)), rank)
    common = project_off(basis, rng.standard_normal(shape))
    coefficients = rng.standard_normal((n_clients, q, rank))
    targets = common + basis @ coefficients.transpose(0, 2, 1)
    targets[n_benign:] += _flagged_parts(kind, size, (n_flagged, p, q), basis, rng)
    values = targets + scales[:, None, None] * rng.standard_normal(targets.shape)
    return Instance.without_heterogeneity(
        targets,
        basis=basis,
        coefficients=coefficients,
        collaborative_set=np.arange(n_clients) < n_benign,
        common=common,
        estimates=ClientEstimates(values=values, noise_scales=scales),
        extras={"kind": float(KINDS.index(kind)) if kind in KINDS else -1.0},
    )


@dataclass(frozen=True, kw_only=True)
class AnyContamination:
    """Few or many benign and flagged clients, small and large blocks, contamination of any size and kind.

    ‖D_k‖_F is log-uniform from 0.03 to 30 times the root mean square norm of the noise off the subspace.
    """

    name: ClassVar[str] = "any-contamination"
    version: ClassVar[int] = 2

    def generate(self, streams: Streams) -> Instance:
        """Everything from the stream "truth"."""
        rng = streams.generator("truth")
        rank, q = int(rng.integers(0, 3)), int(rng.integers(1, 7))
        off = int(rng.integers(3 if q == 1 else 2, 11))
        n_benign, n_flagged = int(rng.integers(2, 31)), int(rng.integers(1, 31))
        scales = 0.1 * float(rng.choice([1.0, 4.0])) ** rng.uniform(-0.5, 0.5, n_benign + n_flagged)
        size = 0.1 * np.sqrt(off * q) * 10.0 ** rng.uniform(np.log10(0.03), np.log10(30.0))
        kind = str(rng.choice(KINDS))
        return _instance(kind, size, n_benign, n_flagged, (off + rank, q), rank, scales, rng)


@dataclass(frozen=True, kw_only=True)
class OneDirection:
    """Twenty benign clients and eight that are altered along one direction of eighteen, or not at all (size 0)."""

    name: ClassVar[str] = "one-direction"

    size: float = 0.0  # ‖D_k‖_F over the root mean square norm of the noise off the subspace

    def generate(self, streams: Streams) -> Instance:
        """Everything from the stream "truth"."""
        rng = streams.generator("truth")
        return _instance("one-direction", 0.1 * np.sqrt(180) * self.size, 20, 8, (20, 10), 2, np.full(28, 0.1), rng)


def _squared_errors(instance: Instance, values: FloatArray, *, split: bool, unbiased: bool) -> tuple[float, float]:
    """‖P_{U⊥}(· − M*)‖² of the average over the set and of the combined centre."""
    scales = instance.estimates.noise_scales
    assert scales is not None
    members, basis = instance.collaborative_set, instance.basis
    mean = np.average(values[members], axis=0, weights=scales[members] ** -2.0)
    if unbiased:
        centre = np.average(values, axis=0, weights=scales**-2.0)
    else:
        found = flagged_directions(project_off(basis, values[~members] - mean), instance.rank) if split else None
        record = ClientEstimates(values=values, noise_scales=scales)
        centre = combine(record, basis=basis, collaborative_set=members, directions=found).centre
    errors = project_off(basis, np.stack([mean, centre]) - instance.common)
    alone, together = np.einsum("kij,kij->k", errors, errors)
    return float(alone), float(together)


@dataclass(frozen=True, kw_only=True)
class Dominance:
    """Are the members' estimates worse when flagged clients inform them?

    The truth stays, the noise is drawn again ``draws`` times; the set is the true one, subspace and directions are
    found in every draw.
    """

    name: ClassVar[str] = "combination-dominance"

    draws: int = 25
    unbiased: bool = False  # sabotage
    reach: float = 1.0  # sabotage: times the constant a; up to 2 dominance holds

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """``excess``: by how much the set's squared error grows, over the mean of both; ``kind`` by number."""
        scales = np.asarray(instance.estimates.noise_scales)
        members, weights = instance.collaborative_set, scales**-2.0
        losses = np.zeros(2)
        for _ in range(self.draws):
            values = instance.targets + scales[:, None, None] * generator.standard_normal(instance.targets.shape)
            basis = leading_directions(values, members, weights, instance.rank)
            alone = refine(values, basis=basis, collaborative_set=members, weights=weights)
            if self.unbiased:
                centre = np.average(values, axis=0, weights=weights)
                together = values - project_off(basis, values - centre)
            else:
                found = flagged_directions(project_off(basis, values[~members] - alone.centre), instance.rank)
                record = ClientEstimates(values=values, noise_scales=np.sqrt(self.reach) * scales)
                together = combine(record, basis=basis, collaborative_set=members, directions=found).estimates
            # Precision weights: those in which the centre's error adds up (Proposition, step 6).
            losses += [
                float(weights[members] @ np.sum((x - instance.targets)[members] ** 2, axis=(1, 2)))
                for x in (alone.estimates, together)
            ]
        # Over the mean of both it lies between −2 and 2: a single large loss is one loss, not the whole average.
        return {"excess": float(2.0 * (losses[1] - losses[0]) / losses.sum()), "kind": instance.extras["kind"]}


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What the flagged clients' other directions save, beside what the Proposition promises."""

    name: ClassVar[str] = "combination-gain"

    split: bool = True  # sabotage: one weight for all entries

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """``saved`` in units of the risk of the average; ``surplus`` over the promise."""
        n_benign = int(instance.collaborative_set.sum())
        n_flagged, (p, q) = instance.n_clients - n_benign, instance.common.shape
        scale = float(np.asarray(instance.estimates.noise_scales)[0])
        alone, together = _squared_errors(instance, instance.estimates.dense(), split=self.split, unbiased=False)
        entries = (p - instance.rank) * q
        saved = (alone - together) / (scale**2 / n_benign * entries)
        # v/(v + v_F) with v = σ²/|C|, v_F = σ²/n, on the entries off the direction, less Stein's two.
        promised = (entries - q - 2) / entries * n_flagged / (n_benign + n_flagged)
        return {"saved": saved, "surplus": saved - promised}


_DOMINANCE = Claim(
    identifier="combination-dominance",
    theorem=0,
    title="Whatever flagged clients hold that do not know the noise, combining does not raise the risk",
    statement=(
        r"With $U$ and $C$ given and $a$ as in the Proposition, $\mathrm E\|P_{U^\perp}(\bar X+"
        r"\min(1,\tfrac{av}{\|F-\bar X\|^2})(F-\bar X)-M^*)\|_F^2\le\mathrm E\|P_{U^\perp}(\bar X-M^*)\|_F^2$, in two "
        r"parts, along the directions found and off them."
    ),
    source="docs/derivations/refinement.md, Proposition (combination)",
    assumptions=(),
    statistic="growth of the set's squared error when flagged clients inform, over the mean of both, by kind",
    rule=EveryMeanRule(MeanRule("excess", low=None, high=0.01, spread=0.3), "kind", len(KINDS)),
    cells=crossed(AnyContamination(), Dominance()),
    replications={"quick": 600, "standard": 1500, "full": 15_000},
    sabotage=Sabotage(
        name="flagged-taken-as-unbiased",
        description="flagged clients enter with their precision, as if their mean were unbiased",
        cells=crossed(AnyContamination(), Dominance(unbiased=True)),
        share=1.0,
    ),
    fine=Sabotage(
        name="reach-times-eight",
        description="the constant a is eight times the Proposition's; up to twice the risk does not rise",
        cells=crossed(AnyContamination(), Dominance(reach=8.0)),
    ),
)

_ONE_DIRECTION = grid(OneDirection, size=levels(0.0, 10.0))

_GAIN = Claim(
    identifier="combination-gain",
    theorem=0,
    title="Clients flagged for one direction inform the others",
    statement=(
        r"Off the directions of the contamination the combined centre saves the share $\tfrac{d-2}{d}\tfrac{v}{v+v_F}$ "
        r"of the risk, up to $0.03$."
    ),
    source="docs/derivations/refinement.md, Proposition (combination)",
    assumptions=(),
    statistic="saved share of the risk off the subspace minus the promised share",
    rule=MeanRule("surplus", low=-0.03, high=None, spread=0.1),
    cells=crossed(_ONE_DIRECTION, Gain()),
    replications={"quick": 200, "standard": 2000, "full": 20_000},
    sabotage=Sabotage(
        name="one-weight-for-all-entries",
        description="the directions are not looked at: a client far away in one of them has no weight in any",
        cells=crossed(_ONE_DIRECTION, Gain(split=False)),
    ),
    fine=Sabotage(
        name="more-promised",
        description="0.065 more of the risk are said to be saved",
        rule=MeanRule("surplus", low=0.035, high=None, spread=0.1),
    ),
)

CLAIMS = (_DOMINANCE, _GAIN)
