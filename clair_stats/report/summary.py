"""The summary of a fitted CLAIR model in a few lines."""

from __future__ import annotations

import numpy as np

from clair_stats.laws import per_client_level, rare_laws
from clair_stats.report.fitted import FittedModel
from clair_stats.report.printable import of_copies, of_their_size, printable
from clair_stats.report.refinement_line import refinement_line
from clair_stats.theory import recovery_condition

__all__ = ["summarise"]

# A remark, no decision: one in a thousand fits to right sample sizes is told, and of few clients nothing is said.
_DOUBT = 1e-3
_FEWEST = 10


def summarise(model: FittedModel) -> str:
    """Rank, set, level, noise, certificate status and what would change the answer.

    Parameters
    ----------
    model : FittedModel

    Returns
    -------
    str
        Lines without a final line break.
    """
    detection, solution = model.detection_, model.decomposition_
    n_clients = detection.scores.size
    n_benign = int(model.collaborative_set_.sum())
    lines = []
    if model.majority_:
        flagged = n_clients - n_benign
        lines.append(
            f"{flagged} of {n_clients} clients flagged at family-wise level {detection.level:g}; "
            f"shared rank {model.rank_}"
        )
        lines.append(_closest(model))
    else:
        lines.append(
            f"no collaborative majority among {n_clients} clients at level {detection.level:g}: "
            f"{model.consensus_.reason}; nobody is called benign or flagged"
        )
        lines.append(f"what would decide it: {model.consensus_.remedy}")
    clients = model.client_names_
    lines += [_law(model), *of_their_size(model.consensus_.oversized, clients)]
    lines += of_copies(model.consensus_.voters, clients)
    if model.consensus_.law != "log scores":
        lines.append(_ranks(model))
    if model.majority_ and 0 < n_benign < n_clients and model.rank_ > 0:
        lines.append(_condition(model))
    if (doubt := _sample_sizes(model)) is not None:
        lines.append(doubt)
    lines.append(refinement_line(model))
    sigma = model.noise_scales_
    lines.append(f"noise scale per entry: median {np.median(sigma):.4g} (from {sigma.min():.4g} to {sigma.max():.4g})")
    lines.append(
        f"convex program ({solution.program}): {solution.status}, relative duality gap "
        f"{solution.duality_gap / max(abs(solution.objective), np.finfo(float).tiny):.1e}"
    )
    return "\n".join(lines)


def _sample_sizes(model: FittedModel) -> str | None:
    """Whether the benign clients scatter as their sample sizes say: then p-values do not depend on n_k."""
    sizes = model.sample_sizes_
    benign = model.collaborative_set_
    if sizes is None or benign.sum() < _FEWEST or np.ptp(sizes[benign]) == 0:
        return None
    found = rare_laws().spearmanr(sizes[benign], model.p_values_[benign])
    if not found.pvalue < _DOUBT:
        return None
    return (
        f"sample sizes: the benign clients do not scatter like 1/√n_k (rank correlation {found.statistic:.2f} of n_k "
        f"and p-value, p = {found.pvalue:.1g}); are these the sizes of these estimates?"
    )


def _ranks(model: FittedModel) -> str:
    """How many clients each rank explains; the last one looked at is the accepted one."""
    shown = [
        f"rank {e.rank}: {e.n_consistent} agree"
        + ("" if e.spike_ratio <= 1.0 else f", residual {min(e.spike_ratio, 1e6):.3g} × its noise edge")
        for e in model.consensus_.evidence
    ]
    return "evidence: " + "; ".join(shown)


def _law(model: FittedModel) -> str:
    """Which law decided and why, and what proposed the set."""
    consensus = model.consensus_
    cut = consensus.cut_to
    levelled = "" if cut is None else f"; estimates of higher rank were cut to rank {cut} before they were compared"
    levelled += "; scales of the clients differ, so norms were divided out" if consensus.normalised else ""
    proposed = f", set proposed by {consensus.source}" if consensus.accepted else ""
    return f"law of the scores: {consensus.law} ({consensus.why}{levelled}){proposed}"


def _condition(model: FittedModel) -> str:
    """Theorem 1 or 2 with the estimated coefficients: is the convex program alone proven to recover this split?"""
    members, solution = model.collaborative_set_, model.decomposition_
    coefficients = model.coefficients_[members]
    try:
        condition = recovery_condition(
            coefficients,
            n_contaminated=int((~members).sum()),
            block_penalty=solution.block_penalty,
            common_component=model.common_component,
        )
    except ValueError as reason:
        return f"recovery theorem: not applicable ({reason})"
    word = "holds" if condition.holds else "does not hold"
    theorem = 2 if model.common_component else 1
    return (
        f"condition of Theorem {theorem} with estimated coefficients: {word} "
        f"(η ≤ {condition.eta_bound:.2g}, κ ≤ {condition.kappa_bound:.2g}; both must be below 1)"
    )


def _closest(model: FittedModel) -> str:
    """The client nearest to its threshold, on either side: the first to change when the level changes."""
    p_values = model.p_values_
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(np.log(model.detection_.scores / model.detection_.threshold))
    if not np.isfinite(p_values).any() or np.isnan(ratio).all():
        return "the benign clients agree exactly; no level is involved"
    k = int(np.nanargmin(ratio))
    side = "benign" if model.collaborative_set_[k] else "flagged"
    return (
        f"closest to its threshold: {printable(model.client_names_[k])} ({side}, p-value {p_values[k]:.2g}, "
        f"per-client level {per_client_level(model.level, p_values.size):.2g})"
    )
