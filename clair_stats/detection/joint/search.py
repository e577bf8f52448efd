"""The half of the clients whose worst member fits best over all modules: no law of the errors is needed.

Each module has a subspace and a common component of its own; a set of clients is judged by the sum over modules of
log d_k, which no unit of measurement of a module moves.  Fits and sets take turns (C-steps), and of all sets reached
the one with the smallest h-th sum is kept (least median of squares; Rousseeuw, J. Amer. Statist. Assoc. 79, 1984).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clair_stats.decomposition.modules.decompose_modules import decompose_modules
from clair_stats.detection.joint.view import View
from clair_stats.detection.trimmed_fits import tie_break
from clair_stats.records import BoolArray, FloatArray

__all__ = [
    "JointHalf",
    "joint_half",
    "least_explanation",
    "program_sets",
    "rank_by_gap",
    "starting_pairs",
    "starting_sets",
]

_PAIRS = 60  # at a contaminated share of .45 no pair is all benign with probability .7^60 < 1e-9
_FOURS = 15  # fours suffer less from noise where contaminated clients are few
_KEPT = 6
_STEPS = 10
_SEED = 20_261_124
MOST_RANK = 9
# Penalties of the program as multiples of its usual one: below, few clients are marked, above, many.
_PENALTIES = (0.6, 0.8, 1.0, 1.25, 1.6)
_PROGRAM_TOLERANCE = 1e-3  # of the duality gap; only the order of the ‖S_k‖ is used
# A rank is a rank when its gap in the typical residual is this many times what follows.  Tuned on development seeds
# of the adapter designs for one module, taken over; a heuristic.
_CLEAR_GAP = 3.0
# A client uses directions that take from it this many times what an even share of its error would be.  χ² with one
# degree of freedom is as large with probability .0016, and a mean of several such squares less often.  In development
# federations the largest gain of a member was at most 6.1 in sound pairs and at least 15.8 in others.
_USED = 10.0


@dataclass(frozen=True, eq=False)
class JointHalf:
    """The best half found for given ranks."""

    ranks: tuple[int, ...]  # one per module
    members: BoolArray  # (K,), h = ⌊K/2⌋ + 1 clients
    worst: float  # largest sum of log residual energies among them


def starting_pairs(n_clients: int) -> BoolArray:
    """Random pairs and fours of clients (N, K); one benign pair shows all of U when q ≥ r.

    Parameters
    ----------
    n_clients : int
        K.

    Returns
    -------
    bool ndarray, shape (N, K)
    """
    generator = np.random.default_rng(_SEED)
    sizes = np.repeat([min(2, n_clients), min(4, n_clients)], [_PAIRS, _FOURS])
    order = np.argsort(generator.random((sizes.size, n_clients)), axis=1)
    return np.asarray(np.argsort(order, axis=1) < sizes[:, None])


def starting_sets(views: Sequence[View], *, program: bool) -> BoolArray:
    """What halves are grown from: the program's sets, or random pairs and fours.

    Random ones count the clients by their distance from the mean over all modules, so that neither the order in which
    clients come nor a rotation of their blocks changes the answer.

    Parameters
    ----------
    views : sequence of View
        One per module.
    program : bool
        Whether the program proposes.

    Returns
    -------
    bool ndarray, shape (N, K)
    """
    if program:
        return program_sets(views)
    starts = np.zeros_like(drawn := starting_pairs(views[0].design.size))
    starts[:, _order(views)] = drawn
    return starts


def _order(views: Sequence[View]) -> NDArray[np.int64]:
    """Clients by their distance from the mean over all modules, shape (K,)."""
    everyone = np.ones((1, views[0].design.size), dtype=np.bool_)
    distances = np.sum([np.log(view.fits(everyone, 0)[0][0]) for view in views], axis=0)
    return np.argsort(distances, kind="stable")


def program_sets(views: Sequence[View]) -> BoolArray:
    """Halves (N, K) with the smallest joint ‖S_k‖ of program (E) on all modules, over a few penalties around the usual.

    Parameters
    ----------
    views : sequence of View
        One per module.

    Returns
    -------
    bool ndarray, shape (N, K)
    """
    n_clients = views[0].design.size
    # Where the common component enters all alike the coordinates are taken as they are; else s_k weighs the votes.
    equal = bool((views[0].design == views[0].design[0]).all())
    blocks = [view.coordinates if equal else view.coordinates / view.scales[:, None, None] for view in views]
    options: dict[str, Any] = {
        "common_component": bool(views[0].design.any()),
        "client_weights": None if equal else views[0].scales / views[0].scales.max(),
        "tol": _PROGRAM_TOLERANCE,
    }
    usual = decompose_modules(blocks, **options)
    halves = np.zeros((len(_PENALTIES), n_clients), dtype=np.bool_)
    for half, multiple in zip(halves, _PENALTIES, strict=True):
        penalty = multiple * usual.block_penalty
        found = usual if multiple == 1.0 else decompose_modules(blocks, block_penalty=penalty, **options)
        half[np.argsort(found.block_norms, kind="stable")[: n_clients // 2 + 1]] = True
    return np.unique(halves, axis=0)


def joint_half(
    views: Sequence[View], ranks: Sequence[int], starts: BoolArray, energies: Sequence[FloatArray] = ()
) -> JointHalf:
    """The best half from the given starts (N, K).

    ``energies`` of the starts for the ranks 0, 1, … of every module, (R, N', K), stand in front of those of ``starts``.

    Parameters
    ----------
    views : sequence of View
        One per module.
    ranks : sequence of int
        One per module.
    starts : bool ndarray, shape (N, K)
    energies : sequence of ndarray, shape (R, N', K)
        One per module; see above.

    Returns
    -------
    JointHalf
    """
    half = views[0].design.size // 2 + 1
    sums = _sums(views, ranks, starts) if len(starts) else np.zeros(starts.shape)
    if energies:
        known = np.log([module[rank] for module, rank in zip(energies, ranks, strict=True)]).sum(axis=0)
        sums = np.concatenate([known, sums])
    ordered = np.sort(sums, axis=1)
    by_sum = np.argsort(ordered[:, :half].sum(axis=1), kind="stable")[:_KEPT]
    by_worst = np.argsort(ordered[:, half - 1], kind="stable")[:_KEPT]
    sums = sums[np.unique(np.concatenate([by_sum, by_worst]))]
    best: JointHalf | None = None
    ties = tie_break(_order(views)) - 1.0  # of logarithms
    for _ in range(_STEPS):
        masks: BoolArray = np.zeros(sums.shape, dtype=np.bool_)
        np.put_along_axis(masks, np.argsort(sums + ties, axis=1, kind="stable")[:, :half], True, axis=1)
        masks = np.unique(masks, axis=0)
        sums = _sums(views, ranks, masks)
        worst = np.partition(sums, half - 1, axis=1)[:, half - 1]
        leader = int(np.argmin(worst))
        if best is not None and worst[leader] >= best.worst:
            break
        best = JointHalf(tuple(ranks), masks[leader], float(worst[leader]))
    assert best is not None
    return best


def _sums(views: Sequence[View], ranks: Sequence[int], masks: BoolArray) -> FloatArray:
    """Σ over modules of log d_k for every set (N, K)."""
    total = np.zeros(masks.shape)
    for view, rank in zip(views, ranks, strict=True):
        total += np.log(view.fits(masks, rank)[0])
    return total


def rank_by_gap(typical: FloatArray, p: int) -> int:
    """The rank whose gap in the typical residual stands out most from the next gap and an even share of what is left.

    Parameters
    ----------
    typical : ndarray, shape (R + 2,)
        The members' mean residual energies at the ranks 0, …, R + 1, on one half: the gaps are eigenvalues, in order;
        between halves they would be noise as well.
    p : int
        Rows of a block.

    Returns
    -------
    int
        0 where no gap is clear (docs/derivations/joint_verdict.md).
    """
    ranks = np.arange(1, len(typical) - 1)
    if not ranks.size:
        return 0
    gaps, here = -np.diff(typical), typical[1:-1]
    rounding = 1e-12 * max(float(typical[0]), np.finfo(float).tiny * 1e12)
    ratios = gaps[:-1] / np.maximum(np.maximum(gaps[1:], here / np.maximum(p - ranks, 1)), rounding)
    leader = int(np.argmax(ratios))
    return leader + 1 if ratios[leader] >= _CLEAR_GAP else 0


def least_explanation(
    views: Sequence[View],
    halves: Sequence[JointHalf],
    energies: Sequence[FloatArray],
    ranks_of: Callable[[BoolArray], tuple[int, ...]],
) -> JointHalf:
    """Of the halves and ranks that give each other, the pair with the least total of ranks that serves its whole half.

    Every half has ranks, by its own gaps, and every choice of ranks has a best half; from each half they take turns
    until ranks come back.  Benign clients alone and contaminated clients filled up with benign ones are both such
    pairs, the second with the contaminated directions besides (docs/derivations/joint_verdict.md, section 2).

    Parameters
    ----------
    views : sequence of View
        One per module.
    halves : sequence of JointHalf
        To begin with.
    energies : sequence of ndarray, shape (R, N, K)
        As for :func:`joint_half`.
    ranks_of : callable
        The modules' ranks on the half of given members (K,).

    Returns
    -------
    JointHalf
    """
    starts = np.stack([half.members for half in halves])
    best: dict[tuple[int, ...], JointHalf] = {}
    following: dict[tuple[int, ...], tuple[int, ...]] = {}
    ends: set[tuple[int, ...]] = set()
    for half in halves:
        ranks, seen = ranks_of(half.members), set[tuple[int, ...]]()
        while ranks not in seen:
            seen.add(ranks)
            if ranks not in best:
                best[ranks] = joint_half(views, ranks, starts, energies)
                following[ranks] = ranks_of(best[ranks].members)
            ranks = following[ranks]
        ends.add(ranks)
    pairs = [best[ranks] for ranks in sorted(ends, key=lambda ranks: (sum(ranks), ranks))]
    larger = ([other for other in pairs if sum(other.ranks) > sum(pair.ranks)] for pair in pairs)
    sound = (pair for pair, others in zip(pairs, larger, strict=True) if not any(_uses(views, pair, o) for o in others))
    return next(sound)  # the largest total is refuted by none


def _uses(views: Sequence[View], pair: JointHalf, other: JointHalf) -> bool:
    """Whether some member of a pair's half uses directions that another pair has besides, in any module."""
    gains, even = np.zeros(pair.members.size), 0.0
    for view, rank, further in zip(views, pair.ranks, other.ranks, strict=True):
        if further > rank:
            gains += np.log(view.fits(pair.members[None], rank)[0][0] / view.fits(other.members[None], further)[0][0])
            p = view.module.shape[1]
            even += float(np.log((p - rank) / (p - further)))
    return bool(gains[pair.members].max() > _USED * even)
