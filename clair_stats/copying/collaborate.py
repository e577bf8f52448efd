"""CLAIR on all modules of a network jointly: who collaborates, and what each client gets back (theory.md section 6).

An adapter's estimation error grows with how far training has moved it, σ_k ∝ ‖X_k‖, so detection looks at directions:
every block is divided by its norm.  Without this a benign client with many sequences is farther from the common
component than a contaminated one with few.  The error of a trained network has no known law, so the decision is not a
test with a level; it asks for a gap in the scores that no spread of the majority explains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from clair_stats.copying.lora import Updates
from clair_stats.decomposition.modules import ModulesDecomposition, decompose_modules
from clair_stats.linalg import block_norms, project_off
from clair_stats.records import BoolArray, ClientEstimates, FloatArray
from clair_stats.refinement.refine import refine

__all__ = ["Collaboration", "collaborate", "gap_split", "leave_one_out_scores", "shared_bases", "unit_directions"]

# A gap counts when it is this many times the standard deviation of the scores below it; see docs/gallery/copying.md.
GAP_FACTOR = 1.5
_MAX_ROUNDS = 10


@dataclass(frozen=True, eq=False)
class Collaboration:
    """What the joint fit found; blocks are out × in for shared columns, in × out for shared rows."""

    collaborative_set: BoolArray  # (K,), True = benign
    scores: FloatArray  # (K,), relative off-subspace score, leave-one-out
    threshold: float  # flagged above; infinite when there is no gap
    program_scores: FloatArray  # (K,), joint ‖S_k‖ of the convex program, on unit-norm clients
    bases: dict[str, FloatArray]  # per module, p × r
    refined: dict[str, FloatArray]  # per module, (K, out, in)
    decomposition: ModulesDecomposition | None  # None for the oracle


def unit_directions(updates: Updates) -> dict[str, FloatArray]:
    """Every client's block of every module divided by its norm and by √(number of modules); zero blocks stay zero."""
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
    detection_rank: int = 0,
    shared: str = "columns",
    block_penalty: float | None = None,
    collaborative_set: BoolArray | None = None,
    sample_sizes: FloatArray | None = None,
) -> Collaboration:
    """Joint decomposition, detection and refinement of the clients' updates.

    Parameters
    ----------
    updates : mapping name -> array (K, out, in)
        ΔW_k of every adapted matrix.
    rank : int
        r of every module (cut to the module's smaller side); 0 averages everything.
    detection_rank : int
        Directions left out of the scores.  A benign majority's own variation is small beside a contaminated client's,
        and a subspace fitted without a client explains part of the client all the same, so 0 separates best.
    shared : {"columns", "rows"}
        Whether clients share the column space (outputs) or the row space (inputs) of their ΔW_k.
    block_penalty : float, optional
        λ of the joint program; the house rule when None.
    collaborative_set : array (K,) of bool, optional
        Given: no detection, the oracle's set is used.
    sample_sizes : array (K,), optional
        n_k; the average off the subspace is weighted by them (σ_k² ∝ 1/n_k, Theorem 5).

    Returns
    -------
    Collaboration

    Raises
    ------
    ValueError
        Unknown ``shared``, negative rank, or modules that disagree about K.
    """
    if shared not in ("columns", "rows"):
        raise ValueError(f"shared: {shared!r} is unknown; choose 'columns' or 'rows'")
    if rank < 0:
        raise ValueError(f"rank: {rank} must be at least 0")
    counts = {len(blocks) for blocks in updates.values()}
    if len(counts) != 1:
        raise ValueError(f"updates: modules have {sorted(counts)} clients; every module needs the same K clients")
    turned = {name: x if shared == "columns" else np.swapaxes(x, 1, 2) for name, x in updates.items()}
    found: ModulesDecomposition | None = None
    directions = unit_directions(turned)
    if collaborative_set is None:
        found = decompose_modules(
            list(directions.values()), block_penalty=block_penalty, scale_modules="none", tol=1e-3
        )
        program_scores = found.block_norms
        members, scores, threshold = _settle(directions, program_scores, detection_rank)
    else:
        members, threshold = np.asarray(collaborative_set, dtype=np.bool_), math.inf
        program_scores = np.full(members.size, math.nan)
        scores = leave_one_out_scores(directions, members, detection_rank)
    bases = shared_bases(turned, members, rank)
    refined = {}
    for name, blocks in turned.items():
        record = ClientEstimates(values=blocks, sample_sizes=sample_sizes)
        new = refine(record, basis=bases[name], collaborative_set=members).estimates
        refined[name] = new if shared == "columns" else np.ascontiguousarray(np.swapaxes(new, 1, 2))
    return Collaboration(members, scores, threshold, program_scores, bases, refined, found)


def shared_bases(updates: Updates, members: BoolArray, rank: int) -> dict[str, FloatArray]:
    """Top ``rank`` left singular vectors of the members' stacked deviations from their mean, per module, p × r."""
    return {name: _basis(_grams(blocks), blocks, members, rank) for name, blocks in updates.items()}


def _grams(blocks: FloatArray) -> FloatArray:
    """X_kX_kᵀ of every client, (K, p, p)."""
    return np.asarray(blocks @ np.swapaxes(blocks, 1, 2))


def _basis(grams: FloatArray, blocks: FloatArray, members: BoolArray, rank: int) -> FloatArray:
    """Leading eigenvectors of Σ_C (X_k − X̄)(X_k − X̄)ᵀ = Σ_C X_kX_kᵀ − |C| X̄X̄ᵀ, p × r."""
    p = blocks.shape[1]
    side = min(rank, *blocks.shape[1:])
    count = int(members.sum())
    if side == 0 or count < 2:
        return np.zeros((p, 0))
    mean = blocks[members].mean(axis=0)
    scatter = grams[members].sum(axis=0) - count * (mean @ mean.T)
    vectors = eigh(scatter, subset_by_index=(p - side, p - 1))[1]
    return np.ascontiguousarray(vectors[:, ::-1])


def leave_one_out_scores(updates: Updates, members: BoolArray, rank: int) -> FloatArray:
    """Joint ρ_k against mean and subspace of the other members, shape (K,).

    Leaving the client out makes members and non-members comparable: fitted on itself, a member looks closer than it is.
    """
    squares = np.zeros(members.size)
    for blocks in updates.values():
        grams = _grams(blocks)
        fits: dict[bytes, tuple[FloatArray, FloatArray]] = {}
        for k in range(members.size):
            others = members.copy()
            others[k] = False
            key = others.tobytes()  # the same for all non-members
            if key not in fits:
                fits[key] = (_basis(grams, blocks, others, rank), blocks[others].mean(axis=0))
            basis, mean = fits[key]
            squares[k] += float(np.sum(project_off(basis, blocks[k] - mean) ** 2))
    return np.asarray(np.sqrt(squares))


def gap_split(scores: FloatArray, factor: float = GAP_FACTOR) -> float:
    """The threshold: the middle of the widest gap above the majority, infinite when it is not wide enough.

    Only splits that leave more than K/2 clients below count.  A gap is wide enough when it exceeds ``factor`` times the
    standard deviation of the scores below it.
    """
    ordered = np.sort(scores)
    first = scores.size // 2  # the smallest majority ends at this index
    gaps = np.diff(ordered)[first:]
    if gaps.size == 0:
        return math.inf
    split = first + int(np.argmax(gaps))
    spread = float(np.std(ordered[: split + 1], ddof=1)) if split else 0.0
    if not gaps[split - first] > factor * spread:
        return math.inf
    return float((ordered[split] + ordered[split + 1]) / 2)


def _settle(directions: Updates, program_scores: FloatArray, rank: int) -> tuple[BoolArray, FloatArray, float]:
    """From the half with the smallest ‖S_k‖ to a set that repeats itself: fit on the set, score everybody, split."""
    half = program_scores.size // 2 + 1
    members = np.zeros(program_scores.size, dtype=np.bool_)
    members[np.argsort(program_scores, kind="stable")[:half]] = True
    threshold = math.inf
    scores = program_scores
    for _ in range(_MAX_ROUNDS):
        scores = leave_one_out_scores(directions, members, rank)
        threshold = gap_split(scores)
        following = scores <= threshold
        if np.array_equal(following, members):
            break
        members = following
    return members, scores, threshold
