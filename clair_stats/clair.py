"""class CLAIR: the one place where the stages meet."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.decomposition.decompose import decompose
from clair_stats.decomposition.penalties import default_block_penalty
from clair_stats.detection.consensus import Consensus, find_consensus
from clair_stats.detection.panel import Panel, panel_of
from clair_stats.records import (
    BoolArray,
    ClientEstimates,
    Decomposition,
    Detection,
    FloatArray,
    Refinement,
    as_client_estimates,
)
from clair_stats.refinement.refine import refine
from clair_stats.summary import summarise

__all__ = ["CLAIR", "NoMajorityWarning"]


class NoMajorityWarning(UserWarning):
    """No set of more than half the clients agrees on a subspace; no collaborative set is given."""


class CLAIR:
    """Find the shared subspace, expose contaminated clients, refine the others.

    Parameters
    ----------
    rank : int, optional
        r; chosen from the data when None (the smallest at which a majority of clients agrees up to noise).
    block_penalty : float, optional
        λ; default rule 1.8 √(r/K) inside the window (theory.md section 2).
    noise_penalty : float, optional
        τ of program (N); 0 asks for program (E).  Default: the larger of the two dual norms that noise reaches,
        σ max(√p + √(qK), √(pq)/λ), so that noise alone moves neither L nor S.
    common_component : bool
        Whether clients may share a component M off the subspace.
    shared : {"columns", "rows"}
        What they share: the column space of the blocks, or the row space (the transposed problem).
    level : float
        Probability of any false alarm among all clients.
    heterogeneity : float
        Tolerated ‖H_k‖_F of a benign client off the subspace, scale of the estimates.

    Attributes
    ----------
    basis_ : array, shape (p, r)
        Orthonormal; (q, r) for ``shared="rows"``.
    rank_ : int
    common_ : array, shape (p, q)
        Mean of the collaborative set; identified off the subspace only.
    collaborative_set_ : bool array, shape (K,)
        True = benign.  All False when no majority agrees.
    scores_, p_values_ : arrays, shape (K,)
    refined_ : array, shape (K, p, q)
    noise_scales_ : array, shape (K,)
        σ_k, given or estimated; 0 for estimates that agree exactly.
    decomposition_ : Decomposition
        The convex solution, with its certificate, in the orientation of ``shared="columns"``.
    detection_, refinement_ : Detection, Refinement
    consensus_ : Consensus
        The evidence at every rank that was looked at.
    majority_ : bool
    """

    def __init__(
        self,
        rank: int | None = None,
        *,
        block_penalty: float | None = None,
        noise_penalty: float | None = None,
        common_component: bool = True,
        shared: Literal["columns", "rows"] = "columns",
        level: float = 0.05,
        heterogeneity: float = 0.0,
    ) -> None:
        self.rank = rank
        self.block_penalty = block_penalty
        self.noise_penalty = noise_penalty
        self.common_component = common_component
        self.shared = shared
        self.level = level
        self.heterogeneity = heterogeneity

    basis_: FloatArray
    rank_: int
    common_: FloatArray
    collaborative_set_: BoolArray
    scores_: FloatArray
    p_values_: FloatArray
    refined_: FloatArray
    noise_scales_: FloatArray
    decomposition_: Decomposition
    detection_: Detection
    refinement_: Refinement
    consensus_: Consensus
    majority_: bool
    client_names_: tuple[str, ...]

    def _check(self, checked: ClientEstimates) -> None:
        if checked.n_clients < 3:
            raise ValueError(f"estimates: {checked.n_clients} clients; a majority needs at least 3, add clients")
        rows, columns = checked.block_shape
        dimension = rows if self.shared == "columns" else columns
        if self.shared not in ("columns", "rows"):
            raise ValueError(f"shared: {self.shared!r}; give 'columns' or 'rows'")
        if self.rank is not None and not (isinstance(self.rank, int | np.integer) and 0 <= self.rank <= dimension):
            raise ValueError(f"rank: {self.rank!r}; give an integer from 0 to {dimension}, or None to choose it")
        if not (np.isfinite(self.level) and 0 < self.level < 1):
            raise ValueError(f"level: {self.level!r}; give a probability strictly between 0 and 1, for instance 0.05")
        for name in ("block_penalty", "noise_penalty", "heterogeneity"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value >= 0):
                raise ValueError(f"{name}: {value!r}; give a finite number of at least 0")

    def fit(
        self,
        estimates: ClientEstimates | ArrayLike,
        *,
        noise_scales: ArrayLike | None = None,
        sample_sizes: ArrayLike | None = None,
    ) -> CLAIR:
        """Fit to K local estimators.

        Parameters
        ----------
        estimates : ClientEstimates or array_like, shape (K, p, q)
        noise_scales : array_like, shape (K,), optional
            σ_k; the record's own when not given, one common scale estimated when neither is there.
        sample_sizes : array_like, shape (K,), optional
            n_k; without noise scales they give relative ones, σ_k² ∝ 1/n_k.

        Returns
        -------
        CLAIR
            Itself.

        Raises
        ------
        ValueError, TypeError
            Bad input, before any work.
        """
        checked = as_client_estimates(estimates)
        if noise_scales is not None or sample_sizes is not None:
            checked = ClientEstimates(
                values=checked.values,
                factors=checked.factors,
                client_names=checked.names,
                noise_scales=checked.noise_scales if noise_scales is None else noise_scales,  # type: ignore[arg-type]
                sample_sizes=checked.sample_sizes if sample_sizes is None else sample_sizes,  # type: ignore[arg-type]
            )
        self._check(checked)
        dense = checked.dense()
        blocks = dense if self.shared == "columns" else np.ascontiguousarray(dense.transpose(0, 2, 1))
        panel = panel_of(checked, blocks, common_component=self.common_component)
        consensus = find_consensus(panel, rank=self.rank, level=self.level, heterogeneity=self.heterogeneity)
        self.decomposition_ = self._decompose(blocks, panel, consensus)
        self._conclude(checked, blocks, panel, consensus)
        return self

    def _decompose(self, blocks: FloatArray, panel: Panel, consensus: Consensus) -> Decomposition:
        n_clients, p, q = blocks.shape
        penalty = self.block_penalty
        if penalty is None:
            penalty = default_block_penalty(blocks, common_component=self.common_component)
        tau = self.noise_penalty
        if tau is None:
            phi = consensus.calibrated.noise
            sigma = phi * float(np.median(panel.scales))
            tau = sigma * max(np.sqrt(p) + np.sqrt(q * n_clients), np.sqrt(p * q) / penalty)
            tau = 0.0 if phi <= panel.floor else float(tau)
        return decompose(
            blocks,
            block_penalty=penalty,
            noise_penalty=tau,
            common_component=self.common_component,
            allow_degenerate=self.block_penalty is None,
        )

    def _conclude(self, checked: ClientEstimates, blocks: FloatArray, panel: Panel, consensus: Consensus) -> None:
        fit, calibrated = consensus.fit, consensus.calibrated
        members = consensus.collaborative_set
        self.client_names_ = checked.names
        self.majority_ = consensus.majority
        self.consensus_ = consensus
        if not consensus.majority:
            warnings.warn(
                f"no collaborative majority: at no rank do more than half of the {checked.n_clients} clients agree up "
                f"to noise (the largest group has {int(members.sum())}); no client is called benign and the local "
                "estimates are kept. If benign clients differ off the subspace, allow it with heterogeneity",
                NoMajorityWarning,
                stacklevel=3,
            )
            members = np.zeros(checked.n_clients, dtype=np.bool_)
        self.noise_scales_ = calibrated.noise * panel.scales
        self.detection_ = Detection(members, calibrated.scores, calibrated.p_values, calibrated.thresholds, self.level)
        self.basis_ = fit.basis
        self.rank_ = int(fit.basis.shape[1])
        self.collaborative_set_ = members
        self.scores_ = calibrated.scores
        self.p_values_ = calibrated.p_values
        if consensus.majority:
            record = ClientEstimates(values=blocks, client_names=checked.names)
            refinement = refine(
                record,
                basis=fit.basis,
                collaborative_set=members,
                weights=(panel.scales.min() / panel.scales) ** 2,
            )
        else:
            refinement = Refinement(blocks, fit.basis, fit.common, np.zeros(checked.n_clients))
        self.refinement_ = refinement
        self.common_ = self._turn(refinement.center if self.common_component else fit.common)
        self.refined_ = self._turn(refinement.estimates)

    def _turn(self, array: FloatArray) -> FloatArray:
        return array if self.shared == "columns" else np.ascontiguousarray(np.swapaxes(array, -1, -2))

    def summary(self) -> str:
        """Rank, set, level, noise, certificate status and what would change the answer."""
        return summarise(self)

    def plot(self, path: str | Path) -> None:
        """Draw the scores with their thresholds (.png, .pdf or .svg)."""
        # Imported here: matplotlib costs a third of a second that nobody who does not draw should pay.
        from clair_stats.plots import plot_scores

        plot_scores(self, Path(path))

    def __repr__(self) -> str:
        settings: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("rank", "block_penalty", "noise_penalty", "common_component", "shared", "level")
        }
        return f"CLAIR({', '.join(f'{key}={value!r}' for key, value in settings.items())})"
