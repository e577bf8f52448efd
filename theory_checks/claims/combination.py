"""The combination: flagged clients cannot hurt the common component, and help off the directions that they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.stats import t as student

from clair_stats.detection.directions import flagged_directions
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import orthonormal_basis, project_off
from clair_stats.records import FloatArray
from clair_stats.refinement.combine import combine
from simulations.design import crossed, grid, levels
from simulations.regimes.instance import Instance
from simulations.streams import Streams
from theory_checks.claim import Claim, Sabotage
from theory_checks.rules.decision import FrequencyRule
from theory_checks.rules.means import MeanRule

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
    return Instance(
        targets=targets,
        basis=basis,
        common=common,
        coefficients=coefficients,
        heterogeneity=np.zeros_like(targets),
        collaborative_set=np.arange(n_clients) < n_benign,
        estimates=ClientEstimates(values=values, noise_scales=scales),
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
        center = np.average(values, axis=0, weights=scales**-2.0)
    else:
        found = flagged_directions(project_off(basis, values[~members] - mean), instance.rank) if split else None
        record = ClientEstimates(values=values, noise_scales=scales)
        center = combine(record, basis=basis, collaborative_set=members, directions=found).centre
    errors = project_off(basis, np.stack([mean, center]) - instance.common)
    alone, together = np.einsum("kij,kij->k", errors, errors)
    return float(alone), float(together)


@dataclass(frozen=True, kw_only=True)
class Dominance:
    """Is the risk of the combined centre larger than that of the average over the set?

    The truth stays, the noise is drawn again ``draws`` times; subspace and set are the true ones, the directions are
    found in every draw.  ``loss`` says that the paired one-sided t test at level 0.01 finds a larger risk.
    """

    name: ClassVar[str] = "combination-dominance"

    draws: int = 25
    unbiased: bool = False  # sabotage

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """``saved`` is the relative reduction of the risk."""
        scales = np.asarray(instance.estimates.noise_scales)[:, None, None]
        losses = np.empty((self.draws, 2))
        for draw in range(self.draws):
            values = instance.targets + scales * generator.standard_normal(instance.targets.shape)
            losses[draw] = _squared_errors(instance, values, split=True, unbiased=self.unbiased)
        differences = losses[:, 1] - losses[:, 0]
        error = float(differences.std(ddof=1)) / np.sqrt(self.draws)
        excess = float(differences.mean())
        return {
            "loss": float(excess > float(student.ppf(0.99, self.draws - 1)) * error),
            "saved": -excess / float(losses[:, 0].mean()),
        }


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
    title="Whatever flagged clients hold, combining does not raise the risk",
    statement=(
        r"With $U^*$ and $C$ given and $a$ as in the Proposition, $\mathrm E\|P_{U^\perp}(\bar X+"
        r"\min(1,\tfrac{av}{\|F-\bar X\|^2})(F-\bar X)-M^*)\|_F^2\le\mathrm E\|P_{U^\perp}(\bar X-M^*)\|_F^2$, in two "
        r"parts, along the directions found and off them."
    ),
    source="docs/derivations/refinement.md, Proposition (combination)",
    assumptions=(),
    statistic="share of instances where the combined centre is found to have the larger risk at level 0.01",
    rule=FrequencyRule("loss", target=0.01, direction="at_most", margin=0.03),
    cells=crossed(AnyContamination(), Dominance()),
    replications={"quick": 160, "standard": 1500, "full": 15_000},
    sabotage=Sabotage(
        name="flagged-taken-as-unbiased",
        description="flagged clients enter with their precision, as if their mean were unbiased",
        cells=crossed(AnyContamination(), Dominance(unbiased=True)),
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
)

CLAIMS = (_DOMINANCE, _GAIN)
