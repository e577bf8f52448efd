"""The estimator CLAIR: detection, decomposition and refinement in one fit (theory.md, sections 1 to 6)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.conventions import EstimatorConventions, NotFittedError
from clair_stats.convex_solution import SolvedOnDemand
from clair_stats.decomposition.compression import Compression
from clair_stats.detection.calibration import calibrate, on_scale_of_estimates
from clair_stats.detection.decide import decide
from clair_stats.detection.distinct import decided_by_distinct
from clair_stats.detection.joint.alignment import Alignment
from clair_stats.detection.joint.outcome import JointVerdict
from clair_stats.detection.panel import Panel, panel_of
from clair_stats.detection.shared_fit import fit_shared
from clair_stats.detection.step_2_candidates import program, program_starts
from clair_stats.detection.step_5_verdict import Consensus
from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.fitted_parts import FittedParts
from clair_stats.inference import ConfidenceIntervals
from clair_stats.majority import NoMajorityWarning
from clair_stats.orientation import check_options, oriented
from clair_stats.quarantine import usable
from clair_stats.records import Combination, Detection, FloatArray, Refinement
from clair_stats.refining import Refining, refine_by_verdict
from clair_stats.report.modules_summary import summarise_modules
from clair_stats.report.printable import printable
from clair_stats.report.reasons import explain_clients, margins
from clair_stats.report.summary import summarise
from clair_stats.several_modules import SeveralModules, fit_modules, holds_modules
from clair_stats.units import (
    combination_in_unit,
    consensus_in_unit,
    divided,
    refinement_in_unit,
    unit_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CLAIR", "NoMajorityWarning", "NotFittedError"]


class CLAIR(EstimatorConventions, ConfidenceIntervals, FittedParts, SolvedOnDemand):
    """Estimate the shared subspace, flag contaminated clients, refine the estimates of the others.

    Parameters
    ----------
    rank : int, optional
        r; chosen from the data when None (the smallest at which a majority of clients agrees up to noise).
    block_penalty : float, optional
        λ of ``decomposition_``; default 1.8 √(r̃/K), r̃ a guess of the rank, cut to the inside of the
        window of theory.md section 2; the factor is a convention.
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
        subsets are searched as well where nothing that the program proposes is accepted.  With several modules
        "program" takes halves from the joint program, "consensus" random pairs.
    missing : {"raise", "drop"}
        "raise": a client whose estimate is NaN, infinite, no matrix or of another shape is an error.  "drop": it is
        named in ``quarantined_`` with the reason, and all other attributes are those of a fit without it.
    n_jobs : int, optional
        Modules at a time where several are given; the numbers do not depend on it.  Threads, or what
        ``joblib.parallel_config`` says, for instance the workers of a dask cluster.

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
    quarantined_ : dict, client name -> reason
        Clients that were set aside under ``missing="drop"``; ``client_names_`` are the others.
    module_scores_ : dict, module name -> array (K,)
        Of several modules: standard deviations above the benign clients.  What belongs to a module (``basis_``,
        ``rank_``, ``refined_``, ``decomposition_`` …) is then a mapping by name, computed when asked for.
    alignment_ : Alignment or None
        Of several modules: ``values`` (K,), cosine of a client's update with the others', and ``against`` (K,) bool,
        who is below ``threshold``.  Named, not flagged: labels may be exchanged, or the task another one
        (docs/derivations/alignment.md).
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
        missing: Literal["raise", "drop"] = "raise",
        n_jobs: int | None = 1,
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
        self.missing = missing
        self.n_jobs = n_jobs

    basis_: FloatArray
    rank_: int
    noise_scales_: FloatArray
    quarantined_: dict[str, str]
    detection_: Detection
    refinement_: Refinement
    combination_: Combination | None
    error_is_known_: bool
    consensus_: Consensus
    modules_: SeveralModules | None = None
    module_scores_: Mapping[str, FloatArray] | None = None
    alignment_: Alignment | None = None
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
        self.modules_ = self.module_scores_ = self.alignment_ = None
        self.quarantined_ = {}
        if self.missing == "drop":
            estimates, self.quarantined_ = usable(estimates, given)
            given = {}
        if isinstance(estimates, Mapping) and holds_modules(estimates):
            reason = fit_modules(self, estimates, given)
            if reason is not None:
                warnings.warn(f"no collaborative majority: {reason}", NoMajorityWarning, stacklevel=2)
            return self
        checked = as_client_estimates(estimates)
        checked = replace(checked, **given) if given else checked
        check_options(self, checked)
        self._settle(checked, self._decided)
        return self

    def _decided(self, panel: Panel, unit: float) -> Consensus:
        alone = self.detection == "program"
        detector = partial(
            decide,
            rank=self.rank,
            level=self.level,
            heterogeneity=self.heterogeneity / unit * panel.stretch,
            propose=partial(program, rank=self.rank) if alone else None,
            starts=program_starts if alone else None,
        )
        return decided_by_distinct(panel, detector)

    def impose(self, checked: ClientEstimates, verdict: JointVerdict, rank: int) -> None:
        """Fit to one module of several, whose verdict is known.

        Parameters
        ----------
        checked : ClientEstimates
        verdict : JointVerdict
        rank : int
            r.
        """

        def known(panel: Panel, _: float) -> Consensus:
            members = verdict.collaborative_set
            fit = fit_shared(panel, verdict.counted if verdict.majority else np.ones_like(members), rank)
            tested = calibrate(panel, fit, level=self.level)
            accepted, voters = verdict.majority, verdict.voters
            return Consensus(fit, tested, members, (), accepted=accepted, law="all modules", voters=voters)

        self._settle(checked, known)

    def _settle(self, checked: ClientEstimates, verdict: Callable[[Panel, float], Consensus]) -> None:
        """Everything that is fitted, in a unit in which squares are numbers; results are in the caller's unit."""
        unit = unit_of(checked)
        record = divided(checked, unit)
        blocks, self._frame = oriented(record, self.shared)
        panel = panel_of(record, blocks, common_component=self.common_component, shared=self.shared)
        consensus = verdict(panel, unit)
        fit, calibrated = on_scale_of_estimates(panel, blocks, consensus.fit, consensus.calibrated)
        consensus = replace(consensus, fit=fit, calibrated=calibrated)
        self._set_program(blocks, panel, consensus, unit)
        self._estimates, self._unit = checked, unit
        self._conclude(record, blocks, panel, consensus)

    def _conclude(self, record: ClientEstimates, blocks: FloatArray, panel: Panel, inner: Consensus) -> None:
        unit = self._unit
        consensus = consensus_in_unit(inner, unit)
        fit, calibrated = consensus.fit, consensus.calibrated
        members = consensus.collaborative_set
        self.client_names_ = record.names
        self.majority_ = consensus.majority
        self.consensus_ = consensus
        if not consensus.majority:
            warnings.warn(
                f"no collaborative majority: {consensus.reason}; nobody is called benign or flagged. To decide it: "
                f"{consensus.remedy}",
                NoMajorityWarning,
                stacklevel=4,
            )
            members = np.zeros(record.n_clients, dtype=np.bool_)
        exact = panel.noise is None and calibrated.noise <= panel.floor
        scales = np.zeros(record.n_clients) if exact else calibrated.noise * panel.entry_scales
        self.noise_scales_ = scales * unit
        sent = self._estimates.noise_scales
        if sent is not None and calibrated.noise == panel.noise:  # some were cut for the fit
            self.noise_scales_ = sent.copy()
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
            record=record,
            blocks=blocks,
            frame=self._frame,
            panel=panel,
            consensus=inner,
            learnt_scales=scales,
            shared=self.shared,
            method=self.refinement,
            flagged=self.flagged,
        )
        self._told = told
        refinement, combination = refine_by_verdict(told)
        given = blocks
        if unit != 1.0:
            given = self._turn(self._estimates.dense()) if self._frame is None else blocks * unit
        self.refinement_ = refinement_in_unit(refinement, unit, divided=blocks, given=given)
        self.combination_ = combination_in_unit(combination, unit)
        self.error_is_known_ = told.error_is_known
        self._blocks, self._basis = given, fit.basis
        self._centre = self.refinement_.centre if self.common_component else fit.common

    @property
    def reasons_(self) -> tuple[str, ...]:
        """One sentence for every client; without a verdict how far each is from the best fit found."""
        if self.modules_ is not None or not self.majority_:
            return margins(self.detection_, decided=self.majority_)
        blocks, centre = self._blocks, self._centre
        return explain_clients(blocks, self.detection_, basis=self._basis, common=centre, names=self.client_names_)

    def summary(self) -> str:
        """Rank, set, level, noise, certificate status and what would change the answer.

        Returns
        -------
        str
            Lines without a final line break.
        """
        if self.modules_ is not None:
            told = summarise_modules(self.modules_.verdict, self.modules_.names, self.client_names_, self.level)
        else:
            told = summarise(self)
        aside = "; ".join(
            f"{printable(name)} {printable(reason, longest=2000)}" for name, reason in self.quarantined_.items()
        )
        return f"{told}\nquarantined: {aside}" if aside else told

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
