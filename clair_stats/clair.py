"""The estimator CLAIR: detection, decomposition and refinement in one fit (theory.md, sections 1 to 6)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.conventions import EstimatorConventions, NotFittedError
from clair_stats.convex_solution import SolvedOnDemand
from clair_stats.decomposition.compression import Compression
from clair_stats.detection.calibration import calibrate
from clair_stats.detection.decide import decide
from clair_stats.detection.detect import on_scale_of_estimates
from clair_stats.detection.panel import Panel, panel_of
from clair_stats.detection.program_source import program, program_starts
from clair_stats.detection.shared_fit import fit_shared
from clair_stats.detection.step_5_verdict import Consensus
from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.inference import ConfidenceIntervals
from clair_stats.linalg import balanced_factors, project_off
from clair_stats.majority import NoMajorityWarning
from clair_stats.orientation import check_options, oriented
from clair_stats.records import BoolArray, Combination, Detection, FloatArray, Refinement
from clair_stats.refining import Refining, refine_by_verdict
from clair_stats.report.modules_summary import summarise_modules
from clair_stats.report.reasons import explain_clients, margins
from clair_stats.report.summary import summarise
from clair_stats.several_modules import SeveralModules, by_module, fit_modules, holds_modules

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CLAIR", "NoMajorityWarning", "NotFittedError"]


class CLAIR(EstimatorConventions, ConfidenceIntervals, SolvedOnDemand):
    """Estimate the shared subspace, flag contaminated clients, refine the estimates of the others.

    Parameters
    ----------
    rank : int, optional
        r; chosen from the data when None (the smallest at which a majority of clients agrees up to noise).
    block_penalty : float, optional
        λ of ``decomposition_``; default rule 1.8 √(r/K) inside the window (theory.md section 2).
    noise_penalty : float, optional
        τ of ``decomposition_`` as program (N); 0 asks for program (E).  Default: the larger of the two dual norms that
        noise reaches, σ max(√p + √(qK), √(pq)/λ).  Without either penalty the program is the one that proposed the set.
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
    detection : {"consensus", "program"}
        What proposes the sets that are tested.  "program": the path of program (E) over λ alone.  "consensus": random
        subsets are searched as well where nothing that the program proposes is accepted.

    Examples
    --------
    >>> import numpy as np
    >>> from clair_stats import CLAIR
    >>> rng = np.random.default_rng(0)
    >>> basis = np.linalg.qr(rng.standard_normal((12, 2)))[0]
    >>> estimates = basis @ rng.standard_normal((20, 2, 6)) + 0.1 * rng.standard_normal((20, 12, 6))
    >>> estimates[:3] += rng.standard_normal((3, 12, 6))
    >>> model = CLAIR().fit(estimates)
    >>> model.rank_, np.flatnonzero(~model.collaborative_set_).tolist()
    (2, [0, 1, 2])

    Attributes
    ----------
    basis_ : array, shape (p, r)
        Orthonormal; (q, r) for ``shared="rows"``.
    rank_ : int
    common_ : array, shape (p, q)
        Mean of the collaborative set; identified off the subspace only.
    collaborative_set_ : bool array, shape (K,)
        True = benign.  All False when no majority agrees.
    flagged_ : bool array, shape (K,)
        True = contaminated.  All False when no majority agrees: undecidable is an answer, see ``consensus_.reason`` and
        ``consensus_.remedy``.
    scores_, p_values_, thresholds_ : arrays, shape (K,)
        A client is flagged when its score is above its threshold.
    reasons_ : tuple of K str
        Why each client was flagged, or how far it is from being flagged.
    refined_ : array, shape (K, p, q)
        Without noise scales, covariances or halves, true differences larger than the error are taken for error.
    refined_factors_ : tuple of K pairs (p × t_k, t_k × q)
        The same as factors; for LoRA input nothing of size p × q is formed unless ``refined_`` or ``common_`` is read.
    combination_ : Combination or None
        With ``flagged="inform"`` and somebody flagged: every client's weight in the common component.
    error_is_known_ : bool
        Whether noise scales, covariances or halves tell error and true differences between clients apart.
    noise_scales_ : array, shape (K,)
        σ_k, given or estimated; 0 for estimates that agree exactly.
    decomposition_ : Decomposition
        The convex solution that proposed the accepted set, with its certificate, solved when first asked for; program
        (N) where all clients agreed or the search proposed it.  In the orientation of ``shared="columns"``; for
        factored input in the coordinates of the joint column and row spaces (theory.md section 2).
    detection_, refinement_ : Detection, Refinement
    consensus_ : Consensus
        The verdict: the law that decided and why, what proposed the set, the evidence at every rank that was looked at.
    majority_ : bool
    module_scores_ : dict, module name -> array (K,)
        Of several modules: standard deviations above the benign clients.  What belongs to a module (``basis_``,
        ``rank_``, ``refined_``, ``decomposition_`` …) is then a mapping by name, computed when asked for.
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
        detection: Literal["consensus", "program"] = "consensus",
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
        self.detection = detection

    basis_: FloatArray
    rank_: int
    noise_scales_: FloatArray
    detection_: Detection
    refinement_: Refinement
    combination_: Combination | None
    error_is_known_: bool
    consensus_: Consensus
    modules_: SeveralModules | None = None
    module_scores_: Mapping[str, FloatArray] | None = None
    _frame: Compression | None

    def fit(
        self,
        estimates: ClientEstimates | ArrayLike | Mapping[str, ClientEstimates | ArrayLike],
        y: None = None,
        *,
        noise_scales: ArrayLike | None = None,
        sample_sizes: ArrayLike | None = None,
    ) -> CLAIR:
        """Fit to K local estimators, or to those of several modules of the same clients.

        Parameters
        ----------
        estimates : ClientEstimates or array_like, shape (K, p, q)
            A record with covariances is tested with them (docs/derivations/detection.md, section 7).  A mapping of
            module name to such estimates gives one verdict about the clients (docs/derivations/joint_verdict.md);
            clients are matched by name.  A mapping of client name to a p × q matrix is one module.
        y : None
            Not used; scikit-learn's pipelines pass it.
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
        scales = {"noise_scales": noise_scales, "sample_sizes": sample_sizes}
        given: dict[str, Any] = {field: value for field, value in scales.items() if value is not None}
        self.modules_ = self.module_scores_ = None
        if isinstance(estimates, Mapping) and holds_modules(estimates):
            reason = fit_modules(self, estimates, given)
            if reason is not None:
                warnings.warn(f"no collaborative majority: {reason}", NoMajorityWarning, stacklevel=2)
            return self
        checked = as_client_estimates(estimates)
        checked = replace(checked, **given) if given else checked
        check_options(self, checked)
        blocks, self._frame = oriented(checked, self.shared)
        panel = panel_of(checked, blocks, common_component=self.common_component, shared=self.shared)
        tolerance = self.heterogeneity * panel.stretch
        alone = self.detection == "program"
        consensus = decide(
            panel,
            rank=self.rank,
            level=self.level,
            heterogeneity=tolerance,
            propose=partial(program, rank=self.rank) if alone else None,
            starts=program_starts if alone else None,
        )
        fit, calibrated = on_scale_of_estimates(panel, blocks, consensus.fit, consensus.calibrated)
        consensus = replace(consensus, fit=fit, calibrated=calibrated)
        self._set_program(blocks, panel, consensus)
        self._conclude(checked, blocks, panel, consensus)
        return self

    def impose(self, checked: ClientEstimates, members: BoolArray, rank: int, majority: bool) -> None:
        """Fit to one module of several, whose verdict is known.

        Parameters
        ----------
        checked : ClientEstimates
        members : bool ndarray, shape (K,)
            True = in the set.
        rank : int
            r.
        majority : bool
            Whether there is a verdict.
        """
        blocks, self._frame = oriented(checked, self.shared)
        panel = panel_of(checked, blocks, common_component=self.common_component, shared=self.shared)
        fit = fit_shared(panel, members if majority else np.ones_like(members), rank)
        fit, calibrated = on_scale_of_estimates(panel, blocks, fit, calibrate(panel, fit, level=self.level))
        consensus = Consensus(fit, calibrated, members, (), accepted=majority, law="all modules")
        self._set_program(blocks, panel, consensus)
        self._conclude(checked, blocks, panel, consensus)

    def _conclude(self, checked: ClientEstimates, blocks: FloatArray, panel: Panel, consensus: Consensus) -> None:
        fit, calibrated = consensus.fit, consensus.calibrated
        members = consensus.collaborative_set
        self.client_names_ = checked.names
        self.majority_ = consensus.majority
        self.consensus_ = consensus
        if not consensus.majority:
            warnings.warn(
                f"no collaborative majority: {consensus.reason}; nobody is called benign or flagged. To decide it: "
                f"{consensus.remedy}",
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
        self.flagged_ = consensus.flagged
        self.scores_ = calibrated.scores
        self.p_values_ = calibrated.p_values
        self.thresholds_ = calibrated.thresholds
        told = Refining(
            record=checked,
            blocks=blocks,
            frame=self._frame,
            panel=panel,
            consensus=consensus,
            learnt_scales=self.noise_scales_,
            shared=self.shared,
            method=self.refinement,
            flagged=self.flagged,
        )
        self._told = told
        self.refinement_, self.combination_ = refine_by_verdict(told)
        self.error_is_known_ = told.error_is_known
        self._blocks, self._basis = blocks, fit.basis
        self._centre = self.refinement_.centre if self.common_component else fit.common
        self._estimates = checked

    @property
    def reasons_(self) -> tuple[str, ...]:
        """One sentence for every client; without a verdict how far each is from the best fit found."""
        if self.modules_ is not None or not self.majority_:
            return margins(self.detection_, decided=self.majority_)
        blocks, centre = self._blocks, self._centre
        return explain_clients(blocks, self.detection_, basis=self._basis, common=centre, names=self.client_names_)

    @property
    @by_module
    def coefficients_(self) -> FloatArray:
        """Estimated A_k = (X_k − M)ᵀU, shape (K, q, r); meaningful for benign clients (compressed q for factors)."""
        inside = self._basis.T @ (self._blocks - self._centre)
        return np.ascontiguousarray(inside.transpose(0, 2, 1))

    @property
    @by_module
    def residuals_(self) -> FloatArray:
        """(I − P_U)(X_k − M) of every client, shape (K, p, q); in compressed coordinates for factors."""
        return project_off(self._basis, self._blocks - self._centre)

    @property
    @by_module
    def common_(self) -> FloatArray:
        """M, shape (p, q): mean of the collaborative set; identified off the subspace only."""
        return self._turn(self._expanded(self._centre))

    @property
    @by_module
    def refined_(self) -> FloatArray:
        """Refined estimates (K, p, q); for factored input formed on demand, prefer ``refined_factors_``."""
        if self._frame is None:
            return self._turn(self.refinement_.estimates)
        return np.stack([left @ right for left, right in self.refined_factors_])

    @property
    @by_module
    def refined_factors_(self) -> tuple[tuple[FloatArray, FloatArray], ...]:
        """Refined estimates as factors (p × t_k, t_k × q), t_k their numerical rank; flagged clients keep theirs."""
        given = self._estimates.factors
        pairs = []
        for k, block in enumerate(self.refinement_.estimates):
            if given is not None and np.array_equal(block, self._blocks[k]):
                pairs.append(given[k])
                continue
            outer, inner = balanced_factors(block)
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
        """Rank, set, level, noise, certificate status and what would change the answer.

        Returns
        -------
        str
            Lines without a final line break.
        """
        if self.modules_ is not None:
            return summarise_modules(self.modules_.verdict, self.modules_.names, self.level)
        return summarise(self)

    def plot(self, target: str | Path | Axes | None = None) -> Axes | None:
        """Scores with thresholds, spectrum and the plane in which clients differ most, into a file (.png, .pdf, .svg).

        Given matplotlib axes instead of a path, only the scores are drawn, into them.

        Parameters
        ----------
        target : str, Path or matplotlib.axes.Axes, optional
            A file that ends in .png, .pdf or .svg, or axes; new axes when not given.

        Returns
        -------
        matplotlib.axes.Axes or None
            What the scores were drawn into; None for a file.
        """
        # Imported here: matplotlib takes a third of a second to import, and only figures need it.
        from clair_stats.report.plots import draw_scores, new_axes, plot_model

        if isinstance(target, str | Path):
            plot_model(self, Path(target))
            return None
        axes = new_axes() if target is None else target
        draw_scores(self, axes)
        return axes

    def __repr__(self) -> str:
        return f"CLAIR({', '.join(f'{key}={value!r}' for key, value in self.get_params().items())})"
