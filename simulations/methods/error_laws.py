"""Methods of the regime studies: the oracle, and how the errors of the local fits are distributed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.linalg
from scipy import special
from statsmodels.multivariate.multivariate_ols import multivariate_stats

from clair_stats.laws import hotelling_lawley, per_client_level
from clair_stats.linalg import block_norms, orthonormal_basis, project_off, sin_theta, stack
from clair_stats.records import FloatArray
from clair_stats.refinement.refine import refine
from clair_stats.theory import oracle_gain, refinement_heterogeneity, subspace_cost
from simulations.measures.metrics import detection_metrics, evaluate
from simulations.methods.clients_and_oracles import precisions
from simulations.regimes.instance import Instance

__all__ = ["LocalLaw", "NoDetection", "OracleRefinement", "OracleWithCovariance", "hotelling_lawley_p_value"]

_Z = 1.959963984540054  # two-sided 95 % of the standard normal law


@dataclass(frozen=True)
class LocalLaw:
    """The law of E_k on benign clients, as far as Theorems 3 to 5 use it.

    Metrics: ``local_rmse``, root mean square entry of E_k; ``coverage``, share of entries inside ±1.96 standard errors;
    ``scale_ratio``, root mean square of E_ij/σ_k (1 when the noise scales are right on average); ``shared_bias``,
    |C| ‖mean_k E_k‖²/mean_k ‖E_k‖² (1 for independent errors, |C| for a bias common to all; averaging cannot remove
    it); ``separated`` and ``not_converged``, counts of clients; ``leverage``, ``separation``, ``snr`` = separation over
    the median noise norm σ_k√((p − r)q).
    """

    name: ClassVar[str] = "Local law"

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """See the class."""
        benign = np.flatnonzero(instance.collaborative_set)
        errors = instance.errors[benign]
        scales = np.asarray(instance.estimates.noise_scales)[benign]
        standard = np.stack([instance.extras["fits"][k].standard_errors for k in benign])
        p, q = instance.common.shape
        norms = block_norms(errors) ** 2
        noise = float(np.median(scales)) * math.sqrt((p - instance.rank) * q)
        return {
            "local_rmse": float(np.sqrt(np.mean(errors**2))),
            "coverage": float(np.mean(np.abs(errors) <= _Z * standard)),
            "scale_ratio": float(np.sqrt(np.mean((errors / scales[:, None, None]) ** 2))),
            "shared_bias": float(benign.size * np.sum(errors.mean(axis=0) ** 2) / norms.mean()),
            "separated": float(np.sum(instance.extras.get("separated", 0.0))),
            "not_converged": float(np.sum(instance.extras["not_converged"])),
            "leverage": float(instance.extras["leverage"]),
            "separation": float(instance.extras["separation"]),
            "snr": float(instance.extras["separation"]) / noise,
        }


@dataclass(frozen=True)
class OracleWithCovariance:
    """The test that knows U* and M*, with each fit's own covariance instead of one scalar σ_k.

    Let V span the complement of U*.  For least squares Vᵀ(X_k − M*) has covariance VᵀGV ⊗ Σ with G = (ZᵀZ)⁻¹ known and
    Σ estimated on ν residual degrees of freedom: the Hotelling–Lawley trace, in McKeon's F approximation (McKeon 1974),
    has the right level, whereas ρ_k²/σ_k² against χ² takes G and Σ for multiples of the identity and σ_k for known.
    For other fits G ⊗ Σ is the Kronecker form of :class:`clair_stats.local_fits.LocalFit`.
    """

    name: ClassVar[str] = "Oracle detection with covariance"

    level: float = 0.05

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Detection metrics."""
        off = scipy.linalg.null_space(instance.basis.T)
        residuals = off.T @ (instance.estimates.dense() - instance.common)
        p_values = [
            hotelling_lawley_p_value(
                residual,
                off.T @ fit.row_covariance @ off,
                fit.column_covariance,
                fit.residual_degrees_of_freedom,
            )
            for fit, residual in zip(instance.extras["fits"], residuals, strict=True)
        ]
        flagged = np.array(p_values) < per_client_level(self.level, instance.n_clients)
        return detection_metrics(instance.collaborative_set, ~flagged)


def hotelling_lawley_p_value(residual: FloatArray, rows: FloatArray, columns: FloatArray, freedom: float) -> float:
    """Upper tail of tr(Rᵀ G⁻¹ R Σ̂⁻¹), R with covariance G ⊗ Σ, Σ̂ estimated on ν degrees of freedom.

    McKeon's F needs ν > q + 3; with fewer degrees statsmodels' older approximation is taken.  That table holds four
    statistics in a data frame and costs fifty times as much, half the time of the study ``linear_regression``.

    Parameters
    ----------
    residual : ndarray, shape (m, q)
        R.
    rows : ndarray, shape (m, m)
        G, known.
    columns : ndarray, shape (q, q)
        Σ̂.
    freedom : float
        ν.

    Returns
    -------
    float
        The p-value (McKeon, Biometrika 61, 1974).
    """
    between = residual.T @ scipy.linalg.solve(rows, residual, assume_a="pos")
    if freedom > columns.shape[0] + 3:
        statistic = float(np.trace(scipy.linalg.solve(columns, between, assume_a="pos")))
        sizes = (np.array([float(n)]) for n in (columns.shape[0], rows.shape[0], freedom))
        first, second, factor = hotelling_lawley(*sizes)
        return float(special.fdtrc(first, second, statistic * factor)[0])
    roots = scipy.linalg.eigh(between, columns * freedom, eigvals_only=True)
    table = multivariate_stats(roots / (1.0 + roots), columns.shape[0], rows.shape[0], freedom, tolerance=0.0)
    return float(table.loc["Hotelling-Lawley trace", "Pr > F"])


@dataclass(frozen=True)
class OracleRefinement:
    """Theorem 5 on the true collaborative set: at U*, and with the subspace estimated from the members.

    Metrics, all over benign clients: ``off_subspace``, mean ‖(I − P_U)(Θ̃_k − Θ*_k)‖² at U*; ``n_benign``;
    ``gain_ratio``, realised over promised gain at U*, both summed over clients; ``promised_gain``, promised gain
    relative to the promised local risk; ``sin_theta`` of the estimated subspace; ``promised``, share of clients for
    whom the sign rule promises a gain (at the realised subspace cost); ``promised_gain_realised``, mean of
    (‖E_k‖² − ‖Θ̃_k − Θ*_k‖²)/(σ_k²pq) over them, NaN when there are none; ``sign_kept``, 1 when that is positive.
    """

    name: ClassVar[str] = "Oracle refinement"

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """See the class."""
        mask = instance.collaborative_set
        targets, blocks = instance.targets[mask], instance.estimates.dense()[mask]
        scales = np.asarray(instance.estimates.noise_scales)[mask]
        weights = precisions(instance.estimates)[mask]
        everybody = np.ones(targets.shape[0], dtype=np.bool_)
        promise = oracle_gain(
            scales,
            shape=instance.common.shape,
            rank=instance.rank,
            heterogeneity=refinement_heterogeneity(targets, basis=instance.basis, weights=weights),
            weights=weights,
        )
        local = block_norms(blocks - targets) ** 2
        oracle = refine(blocks, basis=instance.basis, collaborative_set=everybody, weights=weights)
        errors = oracle.estimates - targets
        realised = local - block_norms(errors) ** 2
        shares = weights / weights.sum()
        centred = np.sqrt(shares)[:, None, None] * (blocks - np.tensordot(shares, blocks, axes=1))
        fitted = orthonormal_basis(stack(centred), instance.rank)
        result = refine(blocks, basis=fitted, collaborative_set=everybody, weights=weights)
        cost = subspace_cost(blocks, center=result.centre, basis=instance.basis, estimated_basis=fitted)
        chosen = promise.beats_local(cost)
        gains = (local - block_norms(result.estimates - targets) ** 2) / promise.local_risk
        kept = float(gains[chosen].mean()) if chosen.any() else math.nan
        return {
            "n_benign": float(mask.sum()),
            "off_subspace": float(np.mean(block_norms(project_off(instance.basis, errors)) ** 2)),
            "gain_ratio": float(realised.sum() / promise.gain.sum()),
            "promised_gain": float(promise.gain.sum() / promise.local_risk.sum()),
            "sin_theta": sin_theta(fitted, instance.basis),
            "promised": float(np.mean(chosen)),
            "promised_gain_realised": kept,
            "sign_kept": float(kept > 0.0) if chosen.any() else math.nan,
        }


@dataclass(frozen=True)
class NoDetection:
    """Refinement that trusts everybody: leading subspace of all clients, true rank, nobody left out."""

    name: ClassVar[str] = "No detection"

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Estimation and subspace metrics."""
        blocks = instance.estimates.dense()
        shares = precisions(instance.estimates)
        shares = shares / shares.sum()
        centred = np.sqrt(shares)[:, None, None] * (blocks - np.tensordot(shares, blocks, axes=1))
        fitted = orthonormal_basis(stack(centred), instance.rank)
        everybody = np.ones(instance.n_clients, dtype=np.bool_)
        refined = refine(blocks, basis=fitted, collaborative_set=everybody, weights=shares)
        return evaluate(instance, refined.estimates, basis=fitted)
