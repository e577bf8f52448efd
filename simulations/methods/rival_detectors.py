"""The detectors of ``clair_stats.baselines`` as methods of a study: by their own rule, or told what an oracle knows.

All sets are judged by one error: a fit of the true rank on the clients that are kept, and every kept client's estimate
refined by it.  The rank is told to every one of them there, and not to CLAIR.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from clair_stats.baselines import BASELINES
from clair_stats.baselines.detectors import (
    Suspicion,
    average_subgraph,
    foolsgold,
    horus,
    sampled_shapley,
    spectral_statistics,
)
from clair_stats.baselines.detectors.spectral_statistics import spectral_features
from clair_stats.baselines.detectors.suspicion import suspect
from clair_stats.linalg import balanced_factors, orthonormal_basis, stack
from clair_stats.records import BoolArray, FloatArray
from clair_stats.refinement.refine import refine
from simulations.measures.metrics import evaluate
from simulations.regimes.instance import Instance

__all__ = ["DETECTORS", "LabelledProbe", "RivalDetector", "SubgraphTold"]

Told = Literal["nothing", "number"]
DETECTORS = (
    "multi_krum",
    "foolsgold",
    "spectral",
    "horus",
    "subgraph_benign",
    "subgraph_poisoned",
    "shapley",
)
_PERMUTATIONS = 100  # random orders for the Shapley values


def _suspicion(
    name: str, blocks: FloatArray, told: int | None, instance: Instance, generator: np.random.Generator
) -> Suspicion:
    if name == "foolsgold":
        return foolsgold(blocks, n_contaminated=told)
    if name == "spectral":
        return spectral_statistics(blocks, n_contaminated=told)
    if name == "horus":
        return horus([balanced_factors(block) for block in blocks], n_contaminated=told)
    if name in ("subgraph_benign", "subgraph_poisoned"):
        seeks: Literal["benign", "poisoned"] = "benign" if name == "subgraph_benign" else "poisoned"
        return average_subgraph(blocks, seeks=seeks, n_contaminated=told)
    if name == "multi_krum":
        # Without being told it withstands the most that its theorem allows, 2f + 2 < K.
        number = (len(blocks) - 3) // 2 if told is None else told
        kept = BASELINES["multi_krum"](blocks, rank=0, n_contaminated=number).collaborative_set
        assert kept is not None
        return Suspicion((~kept).astype(np.float64), ~kept)
    return _shapley(blocks, told, instance, generator)


def _shapley(blocks: FloatArray, told: int | None, instance: Instance, generator: np.random.Generator) -> Suspicion:
    """Value of a coalition: how near the mean of its updates comes to the mean benign target, as validation tells."""
    flat = blocks.reshape(len(blocks), -1)
    goal = instance.targets[instance.collaborative_set].mean(axis=0).ravel()
    gram, towards, size = flat @ flat.T, flat @ goal, float(goal @ goal)

    def value(members: BoolArray) -> float:
        count = int(members.sum())
        if count == 0:
            return -size
        inside = members.astype(np.float64) / count
        return float(2.0 * inside @ towards - inside @ gram @ inside - size)

    found = sampled_shapley(value, len(blocks), permutations=_PERMUTATIONS, generator=generator)
    return suspect(-found.values, found.values < 0.0, told)


def _measured(instance: Instance, kept: BoolArray) -> dict[str, float]:
    """Detection metrics, and the error of a fit of the true rank on the kept clients."""
    blocks = instance.estimates.dense()
    refined, basis = blocks, None
    if kept.sum() > 1:
        own = blocks[kept]
        basis = orthonormal_basis(stack(own - own.mean(axis=0)), instance.rank)
        refined = refine(blocks, basis=basis, collaborative_set=kept).estimates
    metrics = evaluate(instance, refined, collaborative_set=kept, basis=basis)
    return metrics | {"accused": metrics["flagged"] - metrics["hits"]}


@dataclass(frozen=True)
class RivalDetector:
    """One detector on the clients' updates.

    Parameters
    ----------
    detector : str
        One of :data:`DETECTORS`.
    told : {"nothing", "number"}
        "nothing": the detector's own rule.  "number": it is told how many clients are contaminated.

    Notes
    -----
    Shapley values need a validation set in either case, here one without error.  ``accused`` is the number of benign
    clients that are flagged.
    """

    name: ClassVar[str] = "Detector"

    detector: str
    told: Told = "nothing"

    def __post_init__(self) -> None:
        if self.detector not in DETECTORS:
            raise ValueError(f"detector: {self.detector!r} is unknown; use one of {', '.join(DETECTORS)}")
        if self.told not in ("nothing", "number"):
            raise ValueError(f"told: {self.told!r}; use 'nothing' or 'number'")

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Detection metrics and errors of a fit on the kept clients."""
        number = None if self.told == "nothing" else int(np.count_nonzero(~instance.collaborative_set))
        found = _suspicion(self.detector, instance.estimates.dense(), number, instance, generator)
        return _measured(instance, ~found.flagged)


@dataclass(frozen=True)
class SubgraphTold(RivalDetector):
    """The benign sub-graph told the number, under a name of its own, since a registered criterion names it."""

    name: ClassVar[str] = "Benign sub-graph, told the number"

    detector: str = "subgraph_benign"
    told: Told = "number"


@dataclass(frozen=True)
class LabelledProbe:
    """Logistic regression on the five spectral statistics, as in Puertolas Merenciano et al. (2026).

    It is told the labels of all other clients of the same federation, which is more than labelled clients of another
    one would tell: client k is judged by a fit on the others.  Where nobody else is contaminated nobody is flagged.
    """

    name: ClassVar[str] = "Spectral statistics, labelled"

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Detection metrics and errors of a fit on the kept clients."""
        from sklearn.linear_model import LogisticRegression

        features = spectral_features(instance.estimates.dense())
        bad = ~instance.collaborative_set
        flagged = np.zeros(bad.size, dtype=np.bool_)
        for k in range(bad.size):
            others = np.arange(bad.size) != k
            if bad[others].any():
                centre, spread = features[others].mean(axis=0), features[others].std(axis=0)
                scaled = (features - centre) / np.maximum(spread, 1e-12)
                model = LogisticRegression(class_weight="balanced").fit(scaled[others], bad[others])
                flagged[k] = bool(model.predict(scaled[k : k + 1])[0])
        return _measured(instance, ~flagged)
