"""class CLAIR: the one place where the stages meet."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.decomposition.decompose import decompose
from clair_stats.decomposition.penalties import default_block_penalty
from clair_stats.detection.consensus import Consensus, Sample, find_consensus
from clair_stats.detection.detect import EXACT_TOLERANCE, check_level, detect_exact, detect_under, scores
from clair_stats.detection.noise import rough_noise_scale
from clair_stats.detection.starts import Candidates
from clair_stats.linalg import block_norms, orthonormal_basis, stack
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

    def _check(self, checked: ClientEstimates) -> None:
        if checked.n_clients < 3:
            raise ValueError(f"estimates: {checked.n_clients} clients; a majority needs at least 3, add clients")
        rows, columns = checked.block_shape
        dimension = rows if self.shared == "columns" else columns
        if self.shared not in ("columns", "rows"):
            raise ValueError(f"shared: {self.shared!r}; give 'columns' or 'rows'")
        if self.rank is not None and not (isinstance(self.rank, int | np.integer) and 0 <= self.rank <= dimension):
            raise ValueError(f"rank: {self.rank!r}; give an integer from 0 to {dimension}, or None to choose it")
        check_level(self.level)
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
        sample = self._sample(checked, blocks)
        self.decomposition_ = self._decompose(sample)
        consensus = self._search(sample)
        self._conclude(checked, sample, consensus)
        return self

    def _sample(self, checked: ClientEstimates, blocks: FloatArray) -> Sample:
        if checked.noise_scales is not None:
            weights = (checked.noise_scales.min() / checked.noise_scales) ** 2
        elif checked.sample_sizes is not None:
            weights = checked.sample_sizes / checked.sample_sizes.max()
        else:
            weights = np.ones(checked.n_clients)
        return Sample(blocks, weights, checked.noise_scales, self.common_component, self.level, self.heterogeneity)

    def _decompose(self, sample: Sample) -> Decomposition:
        blocks = sample.blocks
        n_clients, p, q = blocks.shape
        penalty = self.block_penalty
        if penalty is None:
            penalty = default_block_penalty(blocks, common_component=self.common_component)
        tau = self.noise_penalty
        if tau is None:
            if sample.noise_scales is not None:
                sigma = float(np.median(sample.noise_scales))
            else:
                rough = rough_noise_scale(blocks, sample.weights, common_component=self.common_component)
                sigma = rough / float(np.sqrt(np.median(sample.weights)))
            negligible = EXACT_TOLERANCE * float(np.median(block_norms(blocks)))
            tau = sigma * max(np.sqrt(p) + np.sqrt(q * n_clients), np.sqrt(p * q) / penalty)
            tau = 0.0 if sigma * np.sqrt(p * q) <= negligible else float(tau)
        return decompose(
            blocks,
            block_penalty=penalty,
            noise_penalty=tau,
            common_component=self.common_component,
            allow_degenerate=self.block_penalty is None,
        )

    def _search(self, sample: Sample) -> Consensus:
        low_rank = stack(self.decomposition_.low_rank)
        guess = orthonormal_basis(low_rank, relative_tolerance=1e-3)
        center = self.decomposition_.common
        root = np.sqrt(sample.weights)
        middle = np.median(sample.blocks, axis=0) if self.common_component else np.zeros_like(center)
        orders = [
            root * scores(sample.blocks, guess, center),
            block_norms(self.decomposition_.block_sparse),
            root * block_norms(sample.blocks - middle),
        ]
        candidates = Candidates(sample.blocks, sample.weights, orders, common_component=self.common_component)
        return find_consensus(sample, candidates, guess=guess.shape[1], rank=self.rank)

    def _conclude(self, checked: ClientEstimates, sample: Sample, consensus: Consensus) -> None:
        fit, law = consensus.fit, consensus.law
        if law is None:
            typical = float(np.median(block_norms(sample.blocks[fit.members])))
            detection = detect_exact(consensus.scores, typical, level=self.level, heterogeneity=self.heterogeneity)
            self.noise_scales_ = np.zeros(checked.n_clients)
        else:
            detection = detect_under(consensus.scores, law, level=self.level, heterogeneity=self.heterogeneity)
            self.noise_scales_ = law.noise_scales
        self.majority_ = consensus.majority
        self.consensus_ = consensus
        if not consensus.majority:
            nobody = np.zeros(checked.n_clients, dtype=bool)
            detection = Detection(nobody, detection.scores, detection.p_values, detection.threshold, self.level)
            warnings.warn(
                f"no collaborative majority: at no rank do more than half of the {checked.n_clients} clients agree up "
                f"to noise (the largest group has {int(consensus.fit.members.sum())}); no client is called benign and "
                "the local estimates are kept. If benign clients differ off the subspace, allow it with heterogeneity",
                NoMajorityWarning,
                stacklevel=3,
            )
        self.detection_ = detection
        self.basis_ = fit.basis
        self.rank_ = fit.rank
        self.collaborative_set_ = detection.collaborative_set
        self.scores_ = detection.scores
        self.p_values_ = detection.p_values
        if consensus.majority:
            refinement = refine(
                ClientEstimates(values=sample.blocks, client_names=checked.names),
                basis=fit.basis,
                collaborative_set=detection.collaborative_set,
                weights=sample.weights,
            )
        else:
            refinement = Refinement(sample.blocks, fit.basis, fit.common, np.zeros(checked.n_clients))
        self.refinement_ = refinement
        turn = (lambda a: a) if self.shared == "columns" else (lambda a: np.ascontiguousarray(np.swapaxes(a, -1, -2)))
        self.common_ = turn(refinement.center if self.common_component else fit.common)
        self.refined_ = turn(refinement.estimates)

    def __repr__(self) -> str:
        settings: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("rank", "block_penalty", "noise_penalty", "common_component", "shared", "level")
        }
        return f"CLAIR({', '.join(f'{key}={value!r}' for key, value in settings.items())})"
