"""The estimator CLAIR: detection, decomposition and refinement in one fit (theory.md, sections 1 to 6)."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.decomposition.compression import Compression, compress_factors
from clair_stats.decomposition.decompose import decompose
from clair_stats.decomposition.penalties import default_block_penalty
from clair_stats.detection.consensus import Consensus
from clair_stats.detection.decide import decide
from clair_stats.detection.detect import on_scale_of_estimates
from clair_stats.detection.panel import Panel, panel_of
from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.inference import ConfidenceIntervals
from clair_stats.linalg import project_off
from clair_stats.records import BoolArray, Combination, Decomposition, Detection, FloatArray, Refinement
from clair_stats.refining import Refining, refine_by_verdict
from clair_stats.report.summary import summarise

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CLAIR", "NoMajorityWarning"]


# Singular values below this multiple of the largest are rounding of the refinement, not part of its rank.
_RANK_TOLERANCE = 1e-10


class NoMajorityWarning(UserWarning):
    """No set of more than half the clients agrees on a subspace; no collaborative set is given.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from clair_stats import CLAIR, NoMajorityWarning
    >>> nobody_agrees = np.random.default_rng(0).standard_normal((5, 12, 6))
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", NoMajorityWarning)
    ...     try:
    ...         model = CLAIR(rank=1).fit(nobody_agrees, noise_scales=np.full(5, 0.1))
    ...     except NoMajorityWarning:
    ...         print("undecided")
    undecided
    """


class CLAIR(ConfidenceIntervals):
    """Estimate the shared subspace, flag contaminated clients, refine the estimates of the others.

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
    refinement : {"shrinkage", "average"}
        "shrinkage": every member is drawn towards the mean of the other members as far as its distance from them is
        error; for Gaussian errors of known size never worse than its own estimate, whatever the clients differ by
        (docs/derivations/shrinkage.md).  "average": Theorem 5, members are averaged off the subspace.
    flagged : {"ignore", "inform"}
        "ignore": flagged clients keep their own estimate and have no part in the others'.  "inform": their mean enters
        what members are drawn towards as far as Stein's estimate of its error allows, and their own estimates are drawn
        towards the members' mean, see :func:`clair_stats.combine` for what is proved.

    Examples
    --------
    >>> import numpy as np
    >>> from clair_stats import CLAIR
    >>> rng = np.random.default_rng(0)
    >>> basis = np.linalg.qr(rng.standard_normal((12, 2)))[0]
    >>> estimates = basis @ rng.standard_normal((20, 2, 6)) + 0.1 * rng.standard_normal((20, 12, 6))
    >>> estimates[:3] += rng.standard_normal((3, 12, 6))
    >>> model = CLAIR().fit(estimates)
    >>> model.rank_, model.majority_
    (2, True)
    >>> np.flatnonzero(~model.collaborative_set_)
    array([0, 1, 2])
    >>> model.refined_.shape
    (20, 12, 6)

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
        Without noise scales, covariances or halves the size of the error is learnt from the clients, true differences
        between them included: beyond differences as large as the error, refinement can then lose.
    refined_factors_ : tuple of K pairs (p × t_k, t_k × q)
        The same as factors; for LoRA input nothing of size p × q is formed unless ``refined_`` or ``common_`` is read.
    combination_ : Combination or None
        With ``flagged="inform"`` and somebody flagged: every client's weight in the common component.
    error_is_known_ : bool
        Whether noise scales, covariances or halves tell error and true differences between clients apart.
    noise_scales_ : array, shape (K,)
        σ_k, given or estimated; 0 for estimates that agree exactly.
    decomposition_ : Decomposition
        The convex solution, with its certificate, in the orientation of ``shared="columns"``; for factored input in
        the coordinates of the joint column and row spaces, where the program is the same (theory.md section 2).
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
        refinement: Literal["shrinkage", "average"] = "shrinkage",
        flagged: Literal["ignore", "inform"] = "ignore",
    ) -> None:
        self.rank = rank
        self.block_penalty = block_penalty
        self.noise_penalty = noise_penalty
        self.common_component = common_component
        self.shared = shared
        self.level = level
        self.heterogeneity = heterogeneity
        self.refinement = refinement
        self.flagged = flagged

    basis_: FloatArray
    rank_: int
    collaborative_set_: BoolArray
    scores_: FloatArray
    p_values_: FloatArray
    noise_scales_: FloatArray
    decomposition_: Decomposition
    detection_: Detection
    refinement_: Refinement
    combination_: Combination | None
    error_is_known_: bool
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
        for name, choices in (("refinement", ("shrinkage", "average")), ("flagged", ("ignore", "inform"))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: {getattr(self, name)!r}; give {choices[0]!r} or {choices[1]!r}")
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
            A record with covariances is tested with them (docs/derivations/detection.md, section 7).
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
            given = {"noise_scales": noise_scales, "sample_sizes": sample_sizes}
            checked = replace(checked, **{field: v for field, v in given.items() if v is not None})  # type: ignore[arg-type]
        self._check(checked)
        blocks, self._frame = self._oriented(checked)
        panel = panel_of(checked, blocks, common_component=self.common_component, shared=self.shared)
        tolerance = self.heterogeneity * panel.stretch
        consensus = decide(panel, rank=self.rank, level=self.level, heterogeneity=tolerance)
        fit, calibrated = on_scale_of_estimates(panel, blocks, consensus.fit, consensus.calibrated)
        consensus = replace(consensus, fit=fit, calibrated=calibrated)
        self.decomposition_ = self._decompose(blocks, panel, consensus)
        self._conclude(checked, blocks, panel, consensus)
        return self

    def _oriented(self, checked: ClientEstimates) -> tuple[FloatArray, Compression | None]:
        """Blocks with the shared space on the left; for factors their coordinates in the joint frames, without p × q.

        The shared right frame is used also when M is fixed to 0: refinement averages over clients.
        """
        if checked.factors is None:
            dense = checked.dense()
            return (dense if self.shared == "columns" else np.ascontiguousarray(dense.transpose(0, 2, 1))), None
        factors = checked.factors
        if self.shared == "rows":
            factors = tuple((right.T, left.T) for left, right in factors)
        frame = compress_factors(factors, common_component=True)
        return np.ascontiguousarray(frame.core.transpose(0, 2, 1)), frame

    def _decompose(self, blocks: FloatArray, panel: Panel, consensus: Consensus) -> Decomposition:
        n_clients, p, q = blocks.shape
        penalty = self.block_penalty
        if penalty is None:
            penalty = default_block_penalty(blocks, common_component=self.common_component)
        tau = self.noise_penalty
        if tau is None:
            phi = consensus.calibrated.noise
            sigma = phi * float(np.median(panel.entry_scales))
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
            if consensus.camps:
                reason = (
                    f"two camps of {checked.n_clients // 2} clients each agree among themselves at a smaller rank than "
                    f"all together (rank {fit.basis.shape[1]}), and nothing tells which camp is contaminated"
                )
            else:
                reason = (
                    f"at no rank do more than half of the {checked.n_clients} clients agree up to noise (the largest "
                    f"group has {int(members.sum())})"
                )
            warnings.warn(
                f"no collaborative majority: {reason}; no client is called benign. "
                "Add clients, fix the rank, or allow benign differences off the subspace with heterogeneity",
                NoMajorityWarning,
                stacklevel=3,
            )
            members = np.zeros(checked.n_clients, dtype=np.bool_)
        exact = panel.noise is None and calibrated.noise <= panel.floor
        self.noise_scales_ = np.zeros(checked.n_clients) if exact else calibrated.noise * panel.entry_scales
        self.detection_ = Detection(members, calibrated.scores, calibrated.p_values, calibrated.thresholds, self.level)
        left = None if self._frame is None else self._frame.left
        self.basis_ = fit.basis if left is None else left @ fit.basis
        self.rank_ = int(fit.basis.shape[1])
        self.collaborative_set_ = members
        self.scores_ = calibrated.scores
        self.p_values_ = calibrated.p_values
        told = Refining(
            record=checked,
            blocks=blocks,
            frame=self._frame,
            panel=panel,
            consensus=consensus,
            noise_scales=self.noise_scales_,
            shared=self.shared,
            method=self.refinement,
            flagged=self.flagged,
            level=self.level,
        )
        self._told = told
        self.refinement_, self.combination_ = refine_by_verdict(told)
        self.error_is_known_ = told.error_is_known
        self._blocks, self._basis = blocks, fit.basis
        self._centre = self.refinement_.centre if self.common_component else fit.common
        self._estimates = checked

    @property
    def coefficients_(self) -> FloatArray:
        """Estimated A_k = (X_k − M)ᵀU, shape (K, q, r); meaningful for benign clients (compressed q for factors)."""
        inside = self._basis.T @ (self._blocks - self._centre)
        return np.ascontiguousarray(inside.transpose(0, 2, 1))

    @property
    def residuals_(self) -> FloatArray:
        """(I − P_U)(X_k − M) of every client, shape (K, p, q); in compressed coordinates for factors."""
        return project_off(self._basis, self._blocks - self._centre)

    @property
    def common_(self) -> FloatArray:
        """M, shape (p, q): mean of the collaborative set; identified off the subspace only."""
        return self._turn(self._expanded(self._centre))

    @property
    def refined_(self) -> FloatArray:
        """Refined estimates (K, p, q); for factored input formed on demand, prefer ``refined_factors_``."""
        if self._frame is None:
            return self._turn(self.refinement_.estimates)
        return np.stack([left @ right for left, right in self.refined_factors_])

    @property
    def refined_factors_(self) -> tuple[tuple[FloatArray, FloatArray], ...]:
        """Refined estimates as factors (p × t_k, t_k × q), t_k their numerical rank; flagged clients keep theirs."""
        given = self._estimates.factors
        pairs = []
        for k, block in enumerate(self.refinement_.estimates):
            if given is not None and np.array_equal(block, self._blocks[k]):
                pairs.append(given[k])
                continue
            left, sizes, right = np.linalg.svd(block, full_matrices=False)
            kept = sizes > _RANK_TOLERANCE * max(float(sizes[0]), np.finfo(float).tiny)
            kept[0] = True  # a zero block still needs one factor
            root = np.sqrt(sizes[kept])
            outer, inner = left[:, kept] * root, root[:, None] * right[kept]
            if self._frame is not None:
                outer = outer if self._frame.left is None else self._frame.left @ outer
                inner = inner if self._frame.right is None else inner @ self._frame.right.T
            pairs.append((outer, inner) if self.shared == "columns" else (inner.T, outer.T))
        return tuple(pairs)

    def _expanded(self, block: FloatArray) -> FloatArray:
        """A block of the compressed coordinates in the original ones."""
        if self._frame is None:
            return block
        left, right = self._frame.left, self._frame.right
        block = block if left is None else left @ block
        return block if right is None else block @ right.T

    def _turn(self, array: FloatArray) -> FloatArray:
        return array if self.shared == "columns" else np.ascontiguousarray(np.swapaxes(array, -1, -2))

    def summary(self) -> str:
        """Rank, set, level, noise, certificate status and what would change the answer."""
        return summarise(self)

    def plot(self, target: str | Path | Axes) -> None:
        """Scores with thresholds, spectrum and the plane in which clients differ most, into a file (.png, .pdf, .svg).

        Given matplotlib axes instead of a path, only the scores are drawn, into them.
        """
        # Imported here: matplotlib costs a third of a second that nobody who does not draw should pay.
        from clair_stats.report.plots import draw_scores, plot_model

        if isinstance(target, str | Path):
            plot_model(self, Path(target))
        else:
            draw_scores(self, target)

    def __repr__(self) -> str:
        settings: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("rank", "block_penalty", "noise_penalty", "common_component", "shared", "level", "refinement")
        }
        return f"CLAIR({', '.join(f'{key}={value!r}' for key, value in settings.items())})"
