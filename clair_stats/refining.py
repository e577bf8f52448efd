"""From a verdict to refined estimates: whom CLAIR refines, on which law of the errors, and what flagged clients add.

Where noise scales are given they are the law of the errors here, also where detection has learnt a larger scale:
what exceeds them is true difference (docs/derivations/shrinkage.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from clair_stats.decomposition.compression import Compression
from clair_stats.detection.directions import flagged_directions
from clair_stats.detection.panel import Panel
from clair_stats.detection.step_5_verdict import Consensus
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import project_off
from clair_stats.records import BoolArray, Combination, FloatArray, Refinement
from clair_stats.refinement.combine import combine
from clair_stats.refinement.error_energy import ErrorEnergy, HalvesEnergy, KroneckerEnergy, WhiteEnergy
from clair_stats.refinement.pooled import pooled_share
from clair_stats.refinement.refine import refine
from clair_stats.refinement.shrink import shrink

__all__ = ["Refining", "error_law", "refine_by_verdict"]


@dataclass(frozen=True, eq=False)
class Refining:
    """What a fit hands to refinement; blocks in the orientation and the coordinates of the fit."""

    record: ClientEstimates
    blocks: FloatArray  # (K, p, q)
    frame: Compression | None
    panel: Panel
    consensus: Consensus
    learnt_scales: FloatArray  # (K,), of the verdict, true differences included; 0 where estimates agree exactly
    shared: Literal["columns", "rows"]
    method: Literal["average", "shrinkage"]
    flagged: Literal["ignore", "inform"]

    @property
    def weights(self) -> FloatArray:
        """w_k ∝ 1/σ_k², largest 1."""
        return np.asarray((self.panel.scales.min() / self.panel.scales) ** 2)

    @property
    def noise_scales(self) -> FloatArray:
        """σ_k as given, else as learnt."""
        known = self.panel.noise
        return self.learnt_scales if known is None else np.asarray(known * self.panel.entry_scales)

    @property
    def error_is_known(self) -> bool:
        """Whether anything but the estimates themselves tells how large the errors are."""
        return self.panel.noise is not None or self.record.halves is not None


def refine_by_verdict(told: Refining) -> tuple[Refinement, Combination | None]:
    """Refined estimates, and what flagged clients added to them where they may.

    Parameters
    ----------
    told : Refining

    Returns
    -------
    tuple of Refinement and Combination or None
    """
    consensus, blocks = told.consensus, told.blocks
    fit, n_clients = consensus.fit, told.blocks.shape[0]
    benign = consensus.collaborative_set if consensus.majority else np.zeros(n_clients, dtype=np.bool_)
    # Copies of one update would count as so many independent ones.
    members = (benign if told.method == "average" else _members(told, benign)) & consensus.votes
    if not members.any():
        return Refinement(blocks, fit.basis, fit.common, np.zeros(n_clients), members), None
    shares, centre = _average(told, benign & consensus.votes if benign.any() else members)
    combined = None
    if told.flagged == "inform" and benign.any() and not benign.all() and told.noise_scales.all():
        directions = flagged_directions(project_off(fit.basis, blocks[~benign] - centre), fit.basis.shape[1])
        combined = _combination(told, benign, directions)
    if told.method == "average":
        record = ClientEstimates(values=blocks, client_names=told.record.names)
        averaged = refine(record, basis=fit.basis, collaborative_set=members, weights=told.weights)
        if combined is None:
            return replace(averaged, estimates=_with_copies(told, members, averaged.estimates)), None
        return replace(averaged, estimates=combined.estimates, centre=combined.centre), combined
    targets = None if combined is None else _informed_targets(told, benign, members, combined.directions)
    found = shrink(blocks, members, told.weights, error_law(told, members), targets=targets)
    estimates = found.estimates
    if combined is not None:
        estimates[~members] = combined.estimates[~members]
    estimates = _with_copies(told, members, estimates)
    told_of = (found.kept, found.risk, found.own_risk, found.one_weight)
    refinement = Refinement(estimates, found.basis, centre, shares, members, *told_of)
    return refinement, combined


def _with_copies(told: Refining, members: BoolArray, estimates: FloatArray) -> FloatArray:
    """Who shares a member's vote is moved as that member is: who sends the same is handed the same."""
    voters = told.consensus.voters
    if voters is None:
        return estimates
    copies = np.flatnonzero(~told.consensus.votes & members[voters])
    moved = estimates.copy()
    moved[copies] = told.blocks[copies] + (estimates - told.blocks)[voters[copies]]
    exact = copies[(told.blocks[copies] == told.blocks[voters[copies]]).all(axis=(1, 2))]
    moved[exact] = estimates[voters[exact]]
    return moved


def _average(told: Refining, members: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Shares (K,) of the members, and their weighted mean (p, q)."""
    shares = np.where(members, told.weights, 0.0)
    shares = shares / shares.sum()
    n_clients, p, q = told.blocks.shape
    return shares, np.asarray(shares @ told.blocks.reshape(n_clients, -1)).reshape(p, q)


def _members(told: Refining, benign: BoolArray) -> BoolArray:
    """Who is drawn towards whom: the set; without one everybody where the size of the error is known.

    Where it is known that costs nobody anything.  Where it is not, those are drawn who agree at the best fit, if they
    are more than half: their scale is then as good as that of a set.  Otherwise nothing tells whether it would pay.
    """
    # A client that the panel had to divide by more than the others is of absurd size: it is nobody's neighbour.
    usual: BoolArray = np.asarray(told.panel.units == told.panel.unit)
    if benign.any():
        return benign & usual if (benign & usual).any() else benign
    if told.error_is_known:
        return usual
    alike = told.consensus.collaborative_set & usual
    return alike if 2 * int(alike.sum()) > alike.size else benign


def error_law(told: Refining, members: BoolArray) -> ErrorEnergy:
    """The law of the errors of ``blocks``: from halves, else covariances, else the scales given or learnt.

    Parameters
    ----------
    told : Refining
    members : bool ndarray, shape (K,)

    Returns
    -------
    ErrorEnergy
    """
    record, shape = told.record, told.blocks.shape[1:]
    if record.halves is not None:
        differences = record.halves[:, 0] - record.halves[:, 1]
        if told.shared == "rows":
            differences = np.swapaxes(differences, 1, 2)
        if told.frame is not None:
            left, right = told.frame.left, told.frame.right
            differences = differences if left is None else left.T @ differences
            differences = differences if right is None else differences @ right
        return HalvesEnergy(np.ascontiguousarray(differences))
    if record.row_covariances is not None:
        columns = record.column_covariances
        if columns is None:
            columns = np.broadcast_to(np.eye(record.block_shape[1]), (record.n_clients, *2 * record.block_shape[1:]))
        pair = (record.row_covariances, columns)
        return KroneckerEnergy(*(pair if told.shared == "columns" else pair[::-1]))
    # Scales that are told are a size, whatever law the verdict rests on: members are asked whether errors are white.
    told_size, share = told.panel.noise is not None, None
    if told.consensus.law not in ("given", "F of white errors"):
        # Not white: the largest share of a direction is read off the members' residuals, true differences included.
        fit = told.consensus.fit
        share = pooled_share(project_off(fit.basis, told.blocks[members] - fit.common))
    return WhiteEnergy(told.noise_scales, (shape[0], shape[1]), share, size_only=told_size)


def _combination(told: Refining, benign: BoolArray, directions: FloatArray) -> Combination:
    return combine(
        ClientEstimates(values=told.blocks),
        basis=told.consensus.fit.basis,
        collaborative_set=benign,
        noise_scales=told.noise_scales,
        directions=directions,
    )


def _informed_targets(told: Refining, benign: BoolArray, members: BoolArray, directions: FloatArray) -> FloatArray:
    """For every member the common component that flagged clients inform, without the member itself, (K, p, q)."""
    targets = np.zeros_like(told.blocks)
    for k in np.flatnonzero(members):
        others = np.delete(np.arange(benign.size), k)
        targets[k] = combine(
            ClientEstimates(values=told.blocks[others]),
            basis=told.consensus.fit.basis,
            collaborative_set=benign[others],
            noise_scales=told.noise_scales[others],
            directions=directions,
        ).centre
    return targets
