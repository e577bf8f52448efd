"""Methods of the studies: what each client is handed, from nothing but its own fit to what an oracle would give it.

Every method sees ``instance.estimates``; only the oracles look further, and say at what.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from clair_stats.clair import CLAIR, NoMajorityWarning
from clair_stats.detection.calibration import calibrate
from clair_stats.detection.detect import detect
from clair_stats.detection.panel import panel_of
from clair_stats.detection.shared_fit import fit_shared
from clair_stats.estimates import ClientEstimates
from clair_stats.laws import per_client_level
from clair_stats.linalg import orthonormal_basis, stack
from clair_stats.local_fits import Whitening, pooled_whitening
from clair_stats.records import BoolArray, FloatArray
from clair_stats.refinement.refine import refine
from simulations.measures.metrics import detection_metrics, evaluate, subspace_metrics, verdict_metrics
from simulations.regimes.instance import Instance

__all__ = [
    "Clair",
    "ClairProgram",
    "ClairWithCovariance",
    "FederatedAverage",
    "Local",
    "OracleClair",
    "OracleDetection",
    "OracleSetTest",
    "fit_quietly",
    "precisions",
]


def precisions(estimates: ClientEstimates) -> FloatArray:
    """Weights w_k ∝ 1/σ_k², else ∝ n_k, else equal; shape (K,), largest 1 (theory.md section 5)."""
    if estimates.noise_scales is not None:
        return np.asarray((estimates.noise_scales.min() / estimates.noise_scales) ** 2, dtype=np.float64)
    if estimates.sample_sizes is not None:
        return np.asarray(estimates.sample_sizes / estimates.sample_sizes.max(), dtype=np.float64)
    return np.ones(estimates.n_clients)


@dataclass(frozen=True, eq=False)
class _View:
    """The estimates as a method works on them: as fitted, or whitened by the errors' pooled covariance."""

    blocks: FloatArray
    estimates: ClientEstimates
    whitening: Whitening | None

    @classmethod
    def of(cls, instance: Instance, *, whiten: bool, known_noise: bool = True) -> _View:
        dense = instance.estimates.dense()
        if not whiten:
            view = ClientEstimates(
                values=dense,
                noise_scales=instance.estimates.noise_scales if known_noise else None,
                sample_sizes=instance.estimates.sample_sizes,
            )
            return cls(dense, view, None)
        whitening = pooled_whitening(instance.extras["fits"])
        scales = whitening.noise_scales if known_noise else None
        whitened = ClientEstimates(
            values=whitening.apply(dense), noise_scales=scales, sample_sizes=instance.estimates.sample_sizes
        )
        return cls(dense, whitened, whitening)

    def back(self, refined: FloatArray, basis: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Refined blocks and basis on the scale of the fits."""
        if self.whitening is None:
            return refined, basis
        return (
            self.whitening.undo(refined, blocks=self.blocks),
            orthonormal_basis(self.whitening.left_inverse @ basis, basis.shape[1]),
        )


@dataclass(frozen=True)
class Local:
    """Every client keeps its own fit X_k."""

    name: ClassVar[str] = "Local"

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Estimation metrics."""
        return evaluate(instance, instance.estimates.dense())


@dataclass(frozen=True)
class FederatedAverage:
    """Every client is handed the average of all X_k, weighted by n_k (McMahan et al. 2017), equal without n_k."""

    name: ClassVar[str] = "Federated average"

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Estimation metrics."""
        blocks = instance.estimates.dense()
        average = np.average(blocks, axis=0, weights=instance.estimates.sample_sizes)
        return evaluate(instance, np.broadcast_to(average, blocks.shape))


@dataclass(frozen=True)
class Clair:
    """CLAIR as a user would call it.

    Parameters
    ----------
    rank : int or None
        None: chosen from the data.
    common_component, level : bool, float
        As in :class:`clair_stats.CLAIR`.
    heterogeneity : float
        Tolerated ‖H_k‖_F as a multiple of the median noise norm σ_k√(pq), so that one setting serves clients whose
        scale is not known beforehand; needs noise scales unless 0.
    known_noise : bool
        Whether σ_k is passed on.
    whiten : bool
        Work on estimates whitened by the pooled covariance of the local fits (``instance.extras["fits"]``).
    refinement : {"shrinkage", "average"}
        As in :class:`clair_stats.CLAIR`.

    Notes
    -----
    Beside the metrics of :func:`simulations.measures.metrics.evaluate`: ``majority``, 1 when CLAIR found a majority.
    """

    name: ClassVar[str] = "CLAIR"

    rank: int | None = None
    common_component: bool = True
    level: float = 0.05
    heterogeneity: float = 0.0
    known_noise: bool = True
    whiten: bool = False
    refinement: Literal["shrinkage", "average"] = "shrinkage"

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Estimation, detection and subspace metrics."""
        view = _View.of(instance, whiten=self.whiten, known_noise=self.known_noise)
        model = CLAIR(
            self.rank,
            refinement=self.refinement,
            common_component=self.common_component,
            level=self.level,
            heterogeneity=self._tolerance(view.estimates),
        )
        return _measured(instance, model, view)

    def _tolerance(self, estimates: ClientEstimates) -> float:
        if self.heterogeneity == 0.0:
            return 0.0
        if estimates.noise_scales is None:
            raise ValueError("method CLAIR: heterogeneity is in units of the noise norm; set known_noise=True")
        p, q = estimates.block_shape
        return self.heterogeneity * float(np.median(estimates.noise_scales)) * math.sqrt(p * q)


def fit_quietly(model: CLAIR, estimates: ClientEstimates) -> None:
    """Fit; a missing majority is counted in the metric "majority", one line per replication would tell less."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoMajorityWarning)
        model.fit(estimates)


def _measured(instance: Instance, model: CLAIR, view: _View) -> dict[str, float]:
    """Fit the model to the view; metrics on the scale of the local fits."""
    fit_quietly(model, view.estimates)
    refined, basis = view.back(model.refined_, model.basis_)
    told = verdict_metrics(instance.collaborative_set, model.flagged_, model.majority_)
    return evaluate(instance, refined, basis=basis) | told


@dataclass(frozen=True)
class ClairProgram:
    """CLAIR with the convex program as the only source of candidate sets.

    ``rank`` and ``level`` as in :class:`Clair`; a method of its own, so that the rows of that one stay as they are.
    """

    name: ClassVar[str] = "CLAIR (program)"

    rank: int | None = None
    level: float = 0.05

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Estimation, detection and subspace metrics, as :class:`Clair`."""
        model = CLAIR(self.rank, level=self.level, detection="program")
        return _measured(instance, model, _View.of(instance, whiten=False))


@dataclass(frozen=True)
class ClairWithCovariance:
    """CLAIR handed every local fit's own covariance and residual degrees of freedom in place of σ_k.

    Needs ``instance.extras["fits"]``.  A method of its own, so that the rows of :class:`Clair` stay as they are.
    With a ``floor`` every direction gets this share of the mean variance more, so that covariances without error in
    some direction (pixels that are never lit) can be inverted, and they are taken as known.
    """

    name: ClassVar[str] = "CLAIR with covariance"

    level: float = 0.05
    floor: float = 0.0

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Estimation, detection and subspace metrics, as :class:`Clair`."""
        fits, blocks = instance.extras["fits"], instance.estimates.dense()
        rows = np.stack([fit.row_covariance for fit in fits])
        columns = np.stack([fit.column_covariance for fit in fits])
        degrees = np.array([fit.residual_degrees_of_freedom for fit in fits]) if self.floor == 0.0 else None
        estimates = ClientEstimates(
            values=blocks,
            row_covariances=self._floored(rows),
            column_covariances=self._floored(columns),
            residual_degrees_of_freedom=degrees,
        )
        return _measured(instance, CLAIR(level=self.level), _View(blocks, estimates, None))

    def _floored(self, covariances: FloatArray) -> FloatArray:
        mean = np.trace(covariances, axis1=1, axis2=2) / covariances.shape[1]
        return np.asarray(covariances + self.floor * mean[:, None, None] * np.eye(covariances.shape[1]))


@dataclass(frozen=True)
class OracleClair:
    """CLAIR's fit and refinement on the true collaborative set with the true rank: no detection to get wrong.

    ``whiten`` and ``rank`` as in :class:`Clair`; rank None is the instance's.
    """

    name: ClassVar[str] = "Oracle CLAIR"

    rank: int | None = None
    common_component: bool = True
    whiten: bool = False

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Estimation and subspace metrics."""
        view = _View.of(instance, whiten=self.whiten)
        weights = precisions(view.estimates)
        benign = instance.collaborative_set
        blocks, own = view.estimates.dense()[benign], weights[benign]
        centre = np.average(blocks, axis=0, weights=own) if self.common_component else 0.0
        # The weighted least-squares fit of M + U A_kᵀ: leading left singular vectors of the weighted centred stack.
        rank = instance.rank if self.rank is None else self.rank
        fitted = orthonormal_basis(stack(np.sqrt(own)[:, None, None] * (blocks - centre)), rank)
        refinement = refine(view.estimates, basis=fitted, collaborative_set=benign, weights=weights)
        refined, basis = view.back(refinement.estimates, fitted)
        return evaluate(instance, refined, basis=basis)


@dataclass(frozen=True)
class OracleDetection:
    """The χ² test that knows U* and M* (theory.md section 5), at the true σ_k where the regime tells it.

    ``extras["noise_scales"]`` holds the true σ_k of the Gaussian regime; elsewhere the estimated ones are used, and the
    false alarms of this method show what the scalar σ_k alone does to the level.
    """

    name: ClassVar[str] = "Oracle detection"

    level: float = 0.05

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Detection metrics."""
        noise_scales = instance.extras.get("noise_scales", instance.estimates.noise_scales)
        if noise_scales is None or not np.all(np.asarray(noise_scales) > 0.0):
            found: BoolArray = instance.collaborative_set  # without noise every d_k > 0 shows
        else:
            found = detect(
                instance.estimates.dense(),
                basis=instance.basis,
                common=instance.common,
                noise_scales=noise_scales,
                level=self.level,
            ).collaborative_set
        return detection_metrics(instance.collaborative_set, found)


@dataclass(frozen=True)
class OracleSetTest:
    """CLAIR's test of every client against the fit on the true collaborative set at the true rank.

    It knows who is benign and still has to estimate U, M and σ: what is missing to :class:`OracleDetection` is the
    price of estimation.
    """

    name: ClassVar[str] = "Test on the true set"

    level: float = 0.05

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Detection and subspace metrics."""
        panel = panel_of(instance.estimates)
        fit = fit_shared(panel, instance.collaborative_set, instance.rank)
        p_values = calibrate(panel, fit, level=self.level).p_values
        found: BoolArray = ~(p_values < per_client_level(self.level, panel.shape[0]))
        return detection_metrics(instance.collaborative_set, found) | subspace_metrics(instance, fit.basis)
