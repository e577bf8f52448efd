"""The half of the clients whose worst member fits best, for every rank: no law of the errors is needed.

Least squares on the best half minimises a *sum*, and a tight contaminated minority filled up with benign clients can
win on the sum; it does not win on the largest residual of the half (least median of squares, Rousseeuw, J. Amer.
Statist. Assoc. 79, 1984).  The starts are pairs of clients: one benign pair shows all of U when q ≥ r.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clair_stats.detection.panel import Panel
from clair_stats.detection.step_2_candidates import random_subsets, rank_limit
from clair_stats.detection.trimmed_fits import Fits, Kernel, leading_directions, nearest
from clair_stats.records import BoolArray, FloatArray

__all__ = ["Half", "choose_rank", "least_median_halves"]

_MOST_RANK = 9
_COORDINATES = 24  # enough for twice the largest rank and the directions of a coordinated contamination
_PAIRS = 60  # at a contaminated share of .45 no pair is all benign with probability .7^60 < 1e-9
_KEPT = 6
_STEPS = 10
_SEED = 20_261_124
# A rank is a rank when its gap in the h-th residual is this many times what follows.  Tuned on development seeds of
# the adapter designs (two ranks of zero called wrong in 1,620 fits); a heuristic.
_CLEAR_GAP = 3.0


@dataclass(frozen=True, eq=False)
class Half:
    """The best half at one rank."""

    rank: int
    members: BoolArray  # (K,), h = ⌊K/2⌋ + 1 clients
    worst: float  # largest residual energy among them


def least_median_halves(panel: Panel, *, rank: int | None = None, starts: BoolArray | None = None) -> tuple[Half, ...]:
    """The half with the smallest h-th residual for ranks 0, 1, …, or for the given rank alone.

    Parameters
    ----------
    panel : Panel
    rank : int, optional
        r.
    starts : ndarray of bool, shape (N, K), optional
        Sets to begin with, in place of random pairs.

    Returns
    -------
    tuple of Half
        By rank.
    """
    n_clients, half = panel.shape[0], panel.half
    ranks = range(min(_MOST_RANK, rank_limit(panel)) + 1) if rank is None else range(rank, rank + 1)
    kernel = Kernel(panel, leading_directions(panel, max(_COORDINATES, 2 * max(ranks))))
    if starts is None or not len(starts):
        generator = np.random.default_rng(_SEED)
        drawn = random_subsets(n_clients, {min(2, n_clients): _PAIRS, min(4, n_clients): _PAIRS // 4}, generator)
        starts = np.zeros_like(drawn)
        starts[:, panel.canonical_order] = drawn
    return tuple(_best_half(kernel, starts, r, half) for r in ranks)


def _best_half(kernel: Kernel, starts: BoolArray, rank: int, half: int) -> Half:
    fits = Fits(kernel, rank)
    residuals, _ = fits.residuals(starts, first=True)
    ordered = np.sort(residuals, axis=1)
    by_sum = np.argsort(ordered[:, :half].sum(axis=1), kind="stable")[:_KEPT]
    by_worst = np.argsort(ordered[:, half - 1], kind="stable")[:_KEPT]
    residuals = residuals[np.unique(np.concatenate([by_sum, by_worst]))]
    best: tuple[float, BoolArray] | None = None
    masks: BoolArray = np.zeros((0, kernel.n_clients), dtype=np.bool_)
    for _ in range(_STEPS):
        following = nearest(residuals, half, kernel.panel.canonical_order)
        if np.array_equal(following, masks):
            break
        masks = following
        residuals, _ = fits.residuals(masks)
        worst = np.partition(residuals, half - 1, axis=1)[:, half - 1]
        leader = int(np.argmin(worst))
        if best is None or worst[leader] < best[0]:
            best = float(worst[leader]), masks[leader]
    assert best is not None
    return Half(rank, best[1], best[0])


def choose_rank(halves: tuple[Half, ...], p: int) -> Half:
    """The rank whose gap in the h-th residual stands out most from the next gap and from an even share of the rest.

    Parameters
    ----------
    halves : tuple of Half
    p : int
        Rows of a block.

    Returns
    -------
    Half
    """
    if len(halves) < 3:
        return halves[0]
    worst = np.array([half.worst for half in halves])
    gaps = worst[:-1] - worst[1:]
    ranks = np.arange(1, len(gaps))
    even: FloatArray = worst[1:-1] / np.maximum(p - ranks - 1, 1)
    rounding = 1e-12 * max(float(worst[0]), np.finfo(float).tiny * 1e12)
    ratios = gaps[:-1] / np.maximum(np.maximum(gaps[1:], even), rounding)
    leader = int(np.argmax(ratios))
    return halves[leader + 1] if ratios[leader] >= _CLEAR_GAP else halves[0]
