"""Step 2, candidates: which sets of clients might agree, rank by rank.

A candidate is a set and a rank with the name of its source; a source is any function of the panel that yields those of
one rank after the other.  Both sources search: least trimmed squares from starting sets, concentrated on halves
(Rousseeuw and Van Driessen, Technometrics 41(3), 1999, carried from points to blocks) and grown from there under the χ²
cut of the pooled variance.  ``search`` starts from small random subsets, ``program`` from the sets that the path of the
convex program (E) proposes (docs/derivations/programs.md, section 9).  Either is a heuristic: that a benign half is
among random starts has a probability, that it is reached has none.  What they propose is tested in step 4, whatever the
source.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

from clair_stats.decomposition.proposals import Proposal
from clair_stats.detection.panel import Panel
from clair_stats.detection.trimmed_fits import Fits, Kernel, directions_above_noise, nearest, unique_masks
from clair_stats.laws import noise_edge, per_client_level
from clair_stats.records import BoolArray, FloatArray

__all__ = [
    "Candidate",
    "Candidates",
    "Source",
    "program",
    "program_starts",
    "proposer_of",
    "random_subsets",
    "rank_limit",
    "search",
    "starting_subsets",
]

# Pairs (or larger subsets, when q < r) are drawn until, at a contaminated share of .45, all of them hold a contaminated
# client with at most this probability.
_ALL_SPOILT = 1e-4
_MOST_STARTS = 300
# The search draws its subsets from this fixed stream: the same data give the same answer, and no caller's generator
# is touched.
_SEED = 20_260_521
_HALF_STEPS = 3
_GROWTH_STEPS = 3
_PROPOSED = 3  # sets a rank
# A set with a contaminated client too many is not white, but near it; one far from white has a rank that is too small.
_NEAR_WHITE = 2.0
_SAME_BASIN = 0.85  # Jaccard index above which two sets lead to one fixed point
_LEVEL = 0.05  # of the cut under which halves grow; the tests of step 4 have the user's


@dataclass(frozen=True, eq=False)
class Candidate:
    """A set of clients that might agree at a rank."""

    members: BoolArray  # (K,)
    rank: int
    source: str


Candidates: TypeAlias = tuple[Candidate, ...]
Source: TypeAlias = Callable[[Panel], Iterator[Candidates]]


def rank_limit(panel: Panel) -> int:
    """The largest rank that is tried: beyond it a basis merely spans the clients it explains, whatever they send.

    Parameters
    ----------
    panel : Panel

    Returns
    -------
    int
    """
    n_clients, p, q = panel.shape
    spanned = min((panel.half - int(panel.common_component)) * q - 2, n_clients - 3)
    return max(min(p - 1, spanned), 0)


def search(
    panel: Panel, *, rank: int | None = None, starts: BoolArray | None = None, source: str = "search"
) -> Iterator[Candidates]:
    """Up to three sets for every rank from 0 on, or for the given one, the most promising first.

    Parameters
    ----------
    panel : Panel
    rank : int, optional
        r.
    starts : ndarray of bool, shape (N, K), optional
        Sets to grow from, in place of random subsets.
    source : str
        The name that the candidates carry.

    Yields
    ------
    tuple of Candidate
        Those of one rank, at least one; by increasing rank.
    """
    coordinates = directions_above_noise(panel)
    kernel = Kernel(panel, coordinates)
    ranks = range(min(rank_limit(panel), coordinates.directions.shape[1]) + 1) if rank is None else (rank,)
    drawn: dict[int, BoolArray] = {}
    for r in ranks:
        fewest = _fewest(panel, r)
        if starts is None and fewest not in drawn:
            drawn[fewest] = starting_subsets(panel, r)
        found = _groups(kernel, drawn[fewest] if starts is None else starts, r, keep_any=rank is not None)
        if len(found):
            yield tuple(Candidate(members, r, source) for members in found)


def program_starts(panel: Panel) -> BoolArray:
    """The proposed sets as masks.

    Parameters
    ----------
    panel : Panel
        Blocks of all clients on a common noise scale.

    Returns
    -------
    ndarray of bool, shape (N, K)
        Empty where the program proposes nothing.
    """
    found = [proposal.members for proposal in panel.proposals]
    return np.array(found, dtype=np.bool_).reshape(len(found), panel.shape[0])


def program(panel: Panel, *, rank: int | None = None) -> Iterator[Candidates]:
    """Candidates by increasing rank, grown from what the program proposes.

    Parameters
    ----------
    panel : Panel
        Blocks of all clients on a common noise scale.
    rank : int, optional
        The only rank that is wanted.

    Yields
    ------
    tuple of Candidate
        Up to three of one rank, at least one; by increasing rank.
    """
    starts = program_starts(panel)
    if len(starts):
        yield from search(panel, rank=rank, starts=starts, source="program")


def proposer_of(panel: Panel, members: BoolArray, rank: int) -> Proposal | None:
    """The point of the path behind an accepted set: of the nearest rank, and there with the most similar set.

    Parameters
    ----------
    panel : Panel
        That of :func:`program`.
    members : ndarray of bool, shape (K,)
        The accepted set.
    rank : int
        Its rank.

    Returns
    -------
    Proposal or None
        None where the program proposed nothing.
    """

    def distance(proposal: Proposal) -> tuple[int, float]:
        union = max(int((members | proposal.members).sum()), 1)
        return abs(proposal.rank - rank), -int((members & proposal.members).sum()) / union

    return min(panel.proposals, key=distance, default=None)


def _fewest(panel: Panel, rank: int) -> int:
    """How many clients determine U and M."""
    return int(panel.common_component) + max(-(-rank // panel.shape[2]), 1)


def starting_subsets(panel: Panel, rank: int) -> BoolArray:
    """Masks (N, K) of subsets of the fewest clients that determine U and M.

    At a contaminated share of .45 a pair is all benign in 30 % of the draws, a triple in 17 %, five clients in 5 %.

    Parameters
    ----------
    panel : Panel
    rank : int
        r.

    Returns
    -------
    bool ndarray, shape (N, K)
    """
    fewest, n_clients = _fewest(panel, rank), panel.shape[0]
    enough = math.ceil(math.log(_ALL_SPOILT) / math.log1p(-(0.55**fewest)))
    count = min(enough, _MOST_STARTS)
    drawn = random_subsets(n_clients, {min(fewest, n_clients): count}, np.random.default_rng(_SEED))
    masks: BoolArray = np.zeros_like(drawn)
    masks[:, panel.canonical_order] = drawn
    return masks


def random_subsets(n_clients: int, sizes: Mapping[int, int], generator: np.random.Generator) -> BoolArray:
    """Masks (N, K): for every subset size as many as the mapping says, drawn without replacement inside a mask.

    Parameters
    ----------
    n_clients : int
        K.
    sizes : mapping of int to int
    generator : numpy.random.Generator

    Returns
    -------
    bool ndarray, shape (N, K)
    """
    size = np.repeat(np.fromiter(sizes.keys(), int), np.fromiter(sizes.values(), int))
    order = np.argsort(generator.random((size.size, n_clients)), axis=1)
    return np.asarray(np.argsort(order, axis=1) < size[:, None])


def _groups(kernel: Kernel, starts: BoolArray, rank: int, *, keep_any: bool) -> BoolArray:
    """Distinct groups (≤ 3, K) with white residual, largest first; when none is white the one that is near, if any.

    The total of a half does not tell a benign half from one of contaminated clients filled up with a few benign ones;
    growing does: the filled-up half lets in clients of both kinds, and then its residual is not white.
    """
    panel = kernel.panel
    half, fits, order = panel.half, Fits(kernel, rank), panel.canonical_order
    residuals, _ = fits.residuals(starts, first=True)
    masks = unique_masks(nearest(residuals, half, order), order)
    for _ in range(_HALF_STEPS - 1):
        residuals, _ = fits.residuals(masks)
        following = unique_masks(nearest(residuals, half, order), order)
        if np.array_equal(following, masks):
            break
        masks = following
    n_clients, p, q = panel.shape
    cut = float(special.chdtri(max((p - rank) * q, 1), per_client_level(_LEVEL, n_clients)))
    stages = [masks]
    for _ in range(_GROWTH_STEPS):
        residuals, _ = fits.residuals(masks)
        passed = residuals <= cut * fits.variance(masks, residuals)[:, None]
        grown = np.where((passed.sum(axis=1) >= half)[:, None], passed, nearest(residuals, half, order))
        following = unique_masks(grown, order)
        if np.array_equal(following, masks):
            break
        masks = following
        stages.append(masks)
    # Every stage is a candidate: one contaminated client let in by noise can pull in the others at the next step.
    masks = unique_masks(np.concatenate(stages), order)
    residuals, left = fits.residuals(masks)
    sizes = masks.sum(axis=1)
    ratios = left / (fits.variance(masks, residuals) * _edges(panel, sizes, rank))
    white = ratios <= 1.0
    if not white.any():
        near = keep_any or ratios.min() <= _NEAR_WHITE
        return masks[[int(np.argmin(ratios))]] if near else masks[:0]
    return _basins(masks[np.lexsort((-sizes, ~white))[: int(white.sum())]])


def _basins(masks: BoolArray) -> BoolArray:
    """The first masks, leaving out any that is nearly equal to an earlier one."""
    chosen = [0]
    counts = masks.astype(np.float64)
    for i in range(1, len(masks)):
        if len(chosen) == _PROPOSED:
            break
        common = counts[chosen] @ counts[i]
        if (common < _SAME_BASIN * (counts[chosen].sum(axis=1) + counts[i].sum() - common)).all():
            chosen.append(i)
    return masks[chosen]


def _edges(panel: Panel, sizes: NDArray[np.int64], rank: int) -> FloatArray:
    """Noise edge off a subspace for sets of ``sizes`` (N,) clients; infinite where nothing is left over."""
    _, p, q = panel.shape
    columns = {n: (n - int(panel.common_component)) * q - rank for n in set(sizes.tolist())}
    edges = {n: noise_edge(p - rank, c) if c > 0 else math.inf for n, c in columns.items()}
    return np.array([edges[n] for n in sizes.tolist()])
