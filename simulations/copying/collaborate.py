"""CLAIR on all modules of a network jointly: who collaborates, and what each client gets back (theory.md section 6).

An adapter's estimation error grows with how far training has moved it, σ_k ∝ ‖X_k‖, so detection looks at directions:
every block is divided by its norm.  Without this a benign client with many sequences is farther from the common
component than a contaminated one with few.  The error of a trained network has no known law, but what is left of a
direction's distance from the others is a sum over thousands of entries: the reference is that benign scores scatter
like a normal sample with unknown mean and variance.  Gaps between neighbouring scores are tested against it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.linalg import eigh

from clair_stats.decomposition.modules.decompose_modules import decompose_modules
from clair_stats.decomposition.modules.solution import ModulesDecomposition
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import block_norms, project_off
from clair_stats.records import BoolArray, FloatArray
from clair_stats.refinement.refine import refine
from simulations.copying.lora import Updates

__all__ = ["Collaboration", "collaborate", "leave_one_out_scores", "shared_bases", "split_scores", "unit_directions"]

# Normal samples behind the reference law; the Monte Carlo error of a level α is √(α(1 − α)/_SAMPLES).
_SAMPLES = 20_000
_MAX_ROUNDS = 10


@dataclass(frozen=True, eq=False)
class Collaboration:
    """What the joint fit found; blocks are out × in for shared columns, in × out for shared rows."""

    collaborative_set: BoolArray  # (K,), True = benign
    scores: FloatArray  # (K,), relative off-subspace score, leave-one-out
    threshold: float  # flagged above; infinite when no gap is too wide for chance
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
    halves: Updates | None = None,
    level: float = 0.02,
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
    halves : mapping name -> array (K, 2, out, in), optional
        ΔW_k trained on either half of the client's data.  Given: members are drawn towards the other members as far as
        their distance is error (docs/derivations/shrinkage.md), at a rank of its own; else averaged off the subspace.
    level : float
        Probability of flagging anybody when all are benign and their scores scatter like a normal sample.

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
    turned = {name: x if shared == "columns" else np.swapaxes(x, 1, 2) for name, x in updates.items()}
    found: ModulesDecomposition | None = None
    directions = unit_directions(turned)
    if collaborative_set is None:
        found = decompose_modules(
            list(directions.values()), block_penalty=block_penalty, scale_modules="none", tol=1e-3
        )
        program_scores = found.block_norms
        members, scores, threshold = _settle(directions, program_scores, detection_rank, level)
    else:
        members, threshold = np.asarray(collaborative_set, dtype=np.bool_), math.inf
        program_scores = np.full(members.size, math.nan)
        scores = leave_one_out_scores(directions, members, detection_rank)
    bases = shared_bases(turned, members, rank)
    refined = {}
    for name, blocks in turned.items():
        if halves is None:
            record = ClientEstimates(values=blocks, sample_sizes=sample_sizes)
            new = refine(record, basis=bases[name], collaborative_set=members).estimates
        else:
            pair = halves[name] if shared == "columns" else np.swapaxes(halves[name], 2, 3)
            record = ClientEstimates(values=blocks, sample_sizes=sample_sizes, halves=pair)
            new = refine(record, basis=None, collaborative_set=members, method="shrinkage").estimates
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


def split_scores(scores: FloatArray, level: float = 0.02) -> float:
    """The threshold between benign and contaminated scores, infinite when all may well be benign.

    A split puts more than K/2 clients below it.  Its gap is divided by the standard deviation of the scores below and
    compared with the same ratio at the same split of K normal scores; the split with the smallest p-value decides.

    Parameters
    ----------
    scores : array (K,)
    level : float
        Probability that any split of K normal scores is found.

    Returns
    -------
    float
        The middle of the gap, or infinity.
    """
    ordered = np.sort(scores)
    ratios = _gap_ratios(ordered)
    if ratios.size == 0:
        return math.inf
    reference, smallest = _reference(scores.size)
    # How many reference gaps are at least as wide; a half more where none is, the less the wider the gap.
    wider = np.array(
        [_SAMPLES - np.searchsorted(column, value) for column, value in zip(reference, ratios, strict=True)]
    )
    p_values = (wider + 1 / (1 + ratios / reference[:, -1])) / _SAMPLES
    best = int(np.argmin(p_values))
    if p_values[best] > np.quantile(smallest, level):
        return math.inf
    split = scores.size // 2 + best
    return float((ordered[split] + ordered[split + 1]) / 2)


def _gap_ratios(ordered: FloatArray) -> FloatArray:
    """Gap above a split over the standard deviation below, for every split above a majority; last axis ⌈K/2⌉ − 1."""
    n_clients = ordered.shape[-1]
    centred = ordered - ordered.mean(axis=-1, keepdims=True)
    counts = np.arange(1, n_clients + 1)
    squares = np.cumsum(centred**2, axis=-1) - np.cumsum(centred, axis=-1) ** 2 / counts
    below = slice(n_clients // 2, n_clients - 1)  # index of the last score below
    spread = np.sqrt(np.maximum(squares, np.finfo(float).tiny)[..., below] / np.maximum(counts - 1, 1)[below])
    return np.asarray(np.diff(ordered, axis=-1)[..., below] / spread)


@lru_cache(maxsize=8)
def _reference(n_clients: int) -> tuple[FloatArray, FloatArray]:
    """Gap ratios of normal scores, in order at each split, (splits, samples), and each sample's smallest p-value."""
    normal = np.random.default_rng(0).standard_normal((_SAMPLES, n_clients))  # fixed: a table, not a draw
    ratios = _gap_ratios(np.sort(normal, axis=1)).T
    ranks = np.argsort(np.argsort(-ratios, axis=1), axis=1) + 1
    return np.sort(ratios, axis=1), np.asarray(ranks.min(axis=0) / _SAMPLES)


def _settle(
    directions: Updates, program_scores: FloatArray, rank: int, level: float
) -> tuple[BoolArray, FloatArray, float]:
    """From the half with the smallest ‖S_k‖ to a set that repeats itself: fit on the set, score everybody, split."""
    half = program_scores.size // 2 + 1
    members = np.zeros(program_scores.size, dtype=np.bool_)
    members[np.argsort(program_scores, kind="stable")[:half]] = True
    threshold = math.inf
    scores = program_scores
    for _ in range(_MAX_ROUNDS):
        scores = leave_one_out_scores(directions, members, rank)
        threshold = split_scores(scores, level)
        following = scores <= threshold
        if np.array_equal(following, members):
            break
        members = following
    return members, scores, threshold
