"""Shrinkage where only the size of the errors is known: scales are given, and the clients refute white errors.

Along a direction in which the clients scatter less than white errors of the given size would, the errors are smaller
than that, so that they are larger elsewhere, nobody knows where.  What is left is their sum, and it allows one weight.
Nobody knows either whether true differences lie where errors are small, and there they would be taken over for little
in return: beyond what error explains, distances count twice (docs/derivations/shrinkage.md, "One scale for errors that
are not white").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal

from clair_stats.records import FloatArray

__all__ = ["TotalOnly", "refutation", "total_only", "trust", "white_refuted"]

# Level of the test of white errors.  Where differences are small, as they must be
# (_MOST_ENERGY), one weight costs little if errors are white after all.
_LEVEL = 0.05
# Energy of the members' distances over that of white errors, up to which one weight is used.  Beyond, more than half of
# the distances is true difference and one weight saves less than half of the error: weights by direction then promise
# far more, and stay.
_MOST_ENERGY = 2.0
# Scales that are stated a tenth too large do not refute white errors: those of fits are known no better, and one weight
# in the place of many costs most where clients share strong directions.
_SCALE_MARGIN = 1.1
# Draws of the law of white errors by the smaller side of the matrix: among 399 the twentieth smallest is at level .05.
# Large matrices take longer and show more, so that fewer serve.
_DRAWS = ((128, 399), (512, 99))
_FEWEST_DRAWS = 39


@dataclass(frozen=True, eq=False)
class TotalOnly:
    """One weight in the span of the others' directions and one off it, part of the way to weights by direction."""

    along: FloatArray  # (n, m + 1), shares of the way towards the others, the last off all directions
    traces: FloatArray  # (n, m + 1), white errors of that size
    risk: FloatArray  # (n,), an upper estimate for every law between white and the shape of the others' scatter


def refutation(blocks: FloatArray, scales: FloatArray) -> float:
    """P-value of "errors are white of the given size, or larger, with true differences of any kind on top".

    The members over their σ_k, less what a common mean explains, are a white matrix and the differences.  Whatever
    these are, the roots of its scatter are stochastically smallest without them (Perlman and Olkin, Ann. Statist. 8,
    1980), so that sums of its smallest roots have the law of white errors at worst.  The smallest standardised one of
    the sums over 1, 2, 4, … roots is ranked among draws of that law.

    Parameters
    ----------
    blocks : ndarray, shape (n, p, q)
        Of the members, two at least.
    scales : ndarray, shape (n,)
        σ_k, positive.

    Returns
    -------
    float
        A multiple of one over the number of draws and one.
    """
    n, p, q = blocks.shape
    side, other = sorted((p, (n - 1) * q))
    shares = (scales.min() / scales) ** 2
    mean = np.tensordot(shares / shares.sum(), blocks, axes=1)
    residuals = (blocks - mean) / scales[:, None, None]
    tall = residuals.transpose(1, 0, 2).reshape(p, n * q)
    scatter = tall @ tall.T if p <= n * q else tall.T @ tall
    roots = np.maximum(np.linalg.eigvalsh(scatter)[-side:], 0.0)  # any others are those that the mean takes
    groups, null = _null_sums(side, other)
    seen = np.cumsum(roots)[groups - 1] * _SCALE_MARGIN**2
    every = np.vstack([seen, null])  # what was seen among them, so that under the null hypothesis all ranks are alike
    lowest = np.min((every - every.mean(axis=0)) / every.std(axis=0), axis=1)
    return float(np.mean(lowest <= lowest[0]))


def white_refuted(blocks: FloatArray, scales: FloatArray) -> bool:
    """Whether the members refute white errors at level .05.

    Parameters
    ----------
    blocks : ndarray, shape (n, p, q)
    scales : ndarray, shape (n,)

    Returns
    -------
    bool
    """
    return refutation(blocks, scales) <= _LEVEL


@lru_cache(maxsize=64)
def _null_sums(side: int, other: int) -> tuple[NDArray[np.int64], FloatArray]:
    """1, 2, 4, … ≤ side, and draws of the sums of so many smallest roots of WWᵀ, W white of side × other."""
    generator = np.random.default_rng((side, other))
    groups = 2 ** np.arange(side.bit_length())
    drawn = []
    for _ in range(next((draws for most, draws in _DRAWS if side <= most), _FEWEST_DRAWS)):
        # WWᵀ has the roots of a bidiagonal matrix of chi variables (Dumitriu and Edelman, J. Math. Phys. 43, 2002).
        diagonal = generator.chisquare(other - np.arange(side))
        below = generator.chisquare(np.arange(side - 1, 0, -1))
        between = np.sqrt(diagonal[:-1] * below)
        diagonal[1:] += below
        drawn.append(np.cumsum(eigh_tridiagonal(diagonal, between, eigvals_only=True))[groups - 1])
    return groups, np.array(drawn)


def trust(n: int, shape: tuple[int, int]) -> float:
    """Share of the way to weights by direction: half, less as the others' columns are few for so many rows.

    Parameters
    ----------
    n : int
        Members.
    shape : tuple of int
        p, q.

    Returns
    -------
    float
        From 0, where the scatter of the others is singular, to 1/2.
    """
    rows, columns = shape[0], (n - 2) * shape[1]
    return 0.5 * (1.0 - rows / columns) if columns > rows else 0.0


def total_only(
    energies: FloatArray,
    variances: FloatArray,
    shares: FloatArray,
    shape: tuple[int, int],
    starts: Sequence[int],
    refuted: Callable[[], bool],
) -> TotalOnly | None:
    """Weights for n members if white errors are refuted and at most half of their distances is true difference.

    Parameters
    ----------
    energies : ndarray, shape (n, m + 1)
        ‖u_iᵀZ_k‖² along the others' directions; the last off all of them.
    variances : ndarray, shape (n,)
        σ_k².
    shares : ndarray, shape (n,)
        Weight of the client over the sum of the others'.
    shape : tuple of int
        p, q.
    starts : sequence of int
        First directions of the parts that weights by direction shrink together.
    refuted : callable
        Whether the members refute white errors (:func:`white_refuted`); asked for where it matters only.

    Returns
    -------
    TotalOnly or None
        None: weights by direction stand.
    """
    (n, m), (p, q) = (energies.shape[0], energies.shape[1] - 1), shape
    if n < 3 or m < 1 or not (variances > 0).all():
        return None
    entries = np.r_[np.full(m, float(q)), (p - m) * float(q)]
    held = energies / variances[:, None]
    relative = held / (1.0 + shares)[:, None]
    size = float(entries.sum())
    if float(relative.sum()) > _MOST_ENERGY * n * size or not refuted():
        return None
    beside = relative.sum(axis=0) - relative  # n − 1 times the mean over the others
    profile = beside * (size / beside.sum(axis=1, keepdims=True))
    laws = np.stack([np.broadcast_to(entries, profile.shape), profile])
    along, saved = _doubted(*_parts(held, laws, entries, [0, m]), shares[:, None])
    along, part = np.repeat(along, (m, 1), axis=1), trust(n, shape)
    saved = saved.sum(axis=1)
    if part > 0:
        apart, apart_saved = _apart(*_parts(held, laws, entries, starts))
        along = (1 - part) * along + part * np.repeat(apart, np.diff([*starts, m + 1]), axis=1)
        saved = (1 - part) * saved + part * apart_saved.sum(axis=1)  # squares are convex
    return TotalOnly(along, entries * variances[:, None], variances * (size - saved))


def _parts(
    held: FloatArray, laws: FloatArray, entries: FloatArray, starts: Sequence[int]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """‖P_gZ‖² over σ², (n, parts), trace and largest eigenvalue of the error under either law, (2, n, parts)."""
    roots = np.divide(laws, entries, out=np.zeros_like(laws), where=entries > 0)
    traces, largest = np.add.reduceat(laws, starts, axis=-1), np.maximum.reduceat(roots, starts, axis=-1)
    return np.add.reduceat(held, starts, axis=1), traces, largest


def _apart(held: FloatArray, traces: FloatArray, largest: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Stein's weights of white errors as far as either law permits them, and what they save at least."""
    white, shaped = traces - 2.0 * largest
    constant = np.maximum(np.minimum(white, 2.0 * shaped), 0.0)
    whole = (constant > 0) & (held <= constant)
    along = np.where(whole, 1.0, np.divide(constant, held, out=np.zeros_like(held), where=(constant > 0) & ~whole))
    gain = along * (2.0 * np.minimum(white, shaped) - constant)
    return along, np.where(whole, 2.0 * traces.min(axis=0) - held, gain)


def _doubted(
    held: FloatArray, traces: FloatArray, largest: FloatArray, shares: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Stein's weight where true differences count twice, and what it saves at least, for two laws and all between.

    Parameters
    ----------
    held : ndarray, shape (n, parts)
        ‖P_gZ_k‖² over σ_k², as all that follows.
    traces : ndarray, shape (2, n, parts)
        Of the error under either law.
    largest : ndarray, shape (2, n, parts)
        Largest eigenvalue of its covariance.
    shares : ndarray, shape (n, 1)
        Error of the others' mean over that of the client.

    Returns
    -------
    pair of ndarray, shape (n, parts)
        Between 0 and 1, and Stein's estimate of the gain over the own estimate.
    """
    constant = np.maximum(np.minimum(traces - 2.0 * largest, 2.0 * traces - 8.0 * largest).min(axis=0), 0.0)
    differ = held > (1.0 + shares) * constant
    counted = np.where(differ, 2.0 * held - (1.0 + shares) * constant, held)
    whole = (constant > 0) & (held <= constant)
    along = np.where(whole, 1.0, np.divide(constant, counted, out=np.zeros_like(held), where=(constant > 0) & ~whole))
    ratio = np.divide(held, counted, out=np.ones_like(held), where=counted > 0)
    slope = np.where(differ, 8.0, 4.0) * ratio
    least = (2.0 * traces - slope * largest).min(axis=0)
    return along, np.where(whole, 2.0 * constant - held, along * (least - ratio * constant))
