"""CLAIR on all modules of a network jointly: who collaborates, and what each client gets back (theory.md section 6).

Who is contaminated is decided by :meth:`clair_stats.CLAIR.fit` on all modules together, at one level.  What each client
gets back is the average of the benign clients off a subspace of fixed rank in every module, and its own part inside.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from scipy.linalg import eigh

from clair_stats.clair import CLAIR, NoMajorityWarning
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import block_norms
from clair_stats.records import BoolArray, FloatArray
from clair_stats.refinement.refine import refine
from simulations.copying.lora import Updates

__all__ = ["Collaboration", "collaborate", "shared_bases", "unit_directions"]


@dataclass(frozen=True, eq=False)
class Collaboration:
    """What the joint fit found; blocks are out × in for shared columns, in × out for shared rows."""

    collaborative_set: BoolArray  # (K,), True = benign; all False without a majority
    flagged: BoolArray  # (K,), all False without a majority
    scores: FloatArray  # (K,), the clients' sums over the modules; NaN when the set was given
    thresholds: FloatArray  # (K,), flagged above
    bases: dict[str, FloatArray]  # per module, p × r
    refined: dict[str, FloatArray]  # per module, (K, out, in)


def unit_directions(updates: Updates) -> dict[str, FloatArray]:
    """Every client's block of every module divided by its norm and by √(number of modules); zero blocks stay zero.

    Parameters
    ----------
    updates : mapping of str to ndarray, shape (K, out, in)
        ΔW_k by module.

    Returns
    -------
    dict of str to ndarray, shape (K, out, in)
    """
    directions = {}
    for name, blocks in updates.items():
        norms = block_norms(blocks)
        divisor = np.where(norms > 0, norms, 1.0) * math.sqrt(len(updates))
        directions[name] = blocks / divisor[:, None, None]
    return directions


def collaborate(
    updates: Updates,
    *,
    rank: int,
    shared: str = "columns",
    collaborative_set: BoolArray | None = None,
    sample_sizes: FloatArray | None = None,
    halves: Updates | None = None,
    level: float = 0.02,
    detection: str = "consensus",
) -> Collaboration:
    """Joint detection, and refinement of the clients' updates.

    Parameters
    ----------
    updates : mapping name -> array (K, out, in)
        ΔW_k of every adapted matrix.
    rank : int
        r of every module in refinement (cut to the module's smaller side); 0 averages everything.  Detection chooses
        its own.
    shared : {"columns", "rows"}
        Whether clients share the column space (outputs) or the row space (inputs) of their ΔW_k.
    collaborative_set : array (K,) of bool, optional
        Given: no detection, the oracle's set is used.
    sample_sizes : array (K,), optional
        n_k; the average off the subspace is weighted by them (σ_k² ∝ 1/n_k, Theorem 5).
    halves : mapping name -> array (K, 2, out, in), optional
        ΔW_k trained on either half of the client's data.  Given: members are drawn towards the other members as far as
        their distance is error (docs/derivations/shrinkage.md), at a rank of its own; else averaged off the subspace.
    level : float
        Probability of flagging anybody when all are benign.
    detection : {"consensus", "program"}
        As in :class:`clair_stats.CLAIR`.

    Returns
    -------
    Collaboration

    Raises
    ------
    ValueError
        Unknown ``shared``, negative rank, a level outside (0, 1), or modules that disagree about K.
    """
    if shared not in ("columns", "rows"):
        raise ValueError(f"shared: {shared!r} is unknown; choose 'columns' or 'rows'")
    if rank < 0:
        raise ValueError(f"rank: {rank} must be at least 0")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level: {level} must be between 0 and 1")
    counts = {len(blocks) for blocks in updates.values()}
    if len(counts) != 1:
        raise ValueError(f"updates: modules have {sorted(counts)} clients; every module needs the same K clients")
    if collaborative_set is None:
        model = CLAIR(
            shared=cast('Literal["columns", "rows"]', shared),
            level=level,
            detection=cast('Literal["consensus", "program"]', detection),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoMajorityWarning)  # told in the result
            model.fit({name: ClientEstimates(values=blocks) for name, blocks in updates.items()})
        members, scores, thresholds = model.collaborative_set_, model.scores_, model.detection_.threshold
        flagged = ~members if model.majority_ else np.zeros_like(members)
    else:
        members = np.asarray(collaborative_set, dtype=np.bool_)
        flagged, scores, thresholds = ~members, np.full(members.size, math.nan), np.full(members.size, math.inf)
    turned = {name: x if shared == "columns" else np.swapaxes(x, 1, 2) for name, x in updates.items()}
    bases = shared_bases(turned, members, rank)
    refined = {}
    for name, blocks in turned.items():
        new = np.asarray(blocks)
        if members.any() and halves is None:
            record = ClientEstimates(values=blocks, sample_sizes=sample_sizes)
            new = refine(record, basis=bases[name], collaborative_set=members).estimates
        elif members.any() and halves is not None:
            pair = halves[name] if shared == "columns" else np.swapaxes(halves[name], 2, 3)
            record = ClientEstimates(values=blocks, sample_sizes=sample_sizes, halves=pair)
            new = refine(record, basis=None, collaborative_set=members, method="shrinkage").estimates
        refined[name] = new if shared == "columns" else np.ascontiguousarray(np.swapaxes(new, 1, 2))
    return Collaboration(members, flagged, scores, thresholds, bases, refined)


def shared_bases(updates: Updates, members: BoolArray, rank: int) -> dict[str, FloatArray]:
    """Top ``rank`` left singular vectors of the members' stacked deviations from their mean, per module, p × r."""
    return {name: _basis(blocks, members, rank) for name, blocks in updates.items()}


def _basis(blocks: FloatArray, members: BoolArray, rank: int) -> FloatArray:
    p = blocks.shape[1]
    side = min(rank, *blocks.shape[1:])
    if side == 0 or members.sum() < 2:
        return np.zeros((p, 0))
    deviations = blocks[members] - blocks[members].mean(axis=0)
    tall = deviations.transpose(1, 0, 2).reshape(p, -1)
    vectors = eigh(tall @ tall.T, subset_by_index=(p - side, p - 1))[1]
    return np.ascontiguousarray(vectors[:, ::-1])
