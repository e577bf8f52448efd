"""The laws of a walk outward on normal scores, by simulation: single clients that stand out, and groups that do.

A single client is compared with those accepted before it.  A group of equally contaminated clients hides itself from
that comparison with few clients: the nearest of them stands out as the largest of a sample might, and once it is
accepted the spread covers the rest.  Groups are told by the *gap* below them: between neighbouring scores in the upper
middle of a sample there is hardly any room, whatever smooth law the scores have, and the gap does not shrink with the
size of the group.  Both statistics are invariant under shift and scale, so their laws depend on the number of clients
alone; they share the level.

See docs/derivations/joint_verdict.md, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from clair_stats.records import FloatArray

__all__ = ["Critical", "WidestGap", "critical_values", "widest_gap"]

# Normal samples behind the laws; the Monte Carlo error of a level α is √(α(1 − α)/_SAMPLES), .0015 at .05.
_SAMPLES = 20_000
_SEED = 20_261_127
# From this many clients on the critical value of single clients is the level itself to three digits (Bonferroni's bound
# is then tight), and a group that stands out by five standard deviations does so client by client.
_MANY = 100
# Scores that differ by less than this share of their size are equal: logarithms of energies are exact to about 1e-13.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Critical:
    """What the statistics of a walk fall below with a joint probability of ``level`` on normal scores."""

    single: float  # of (n + 1) × the p-value of the client after n accepted ones
    group: float  # of the p-value of the widest gap


@dataclass(frozen=True)
class WidestGap:
    """The gap that is the least likely among those that leave a majority below and at least two clients above."""

    below: int  # clients below it
    p_value: float  # probability that any gap of a normal sample is as unlikely


@lru_cache(maxsize=64)
def critical_values(n_clients: int, level: float) -> Critical:
    """The critical values at which either statistic raises as many alarms as the other, and both together ``level``.

    n = ⌊K/2⌋, … clients accepted, the next is compared with them at single/(n + 1).  The clients accepted first are
    those with the lowest scores, so the next one looks farther away than a fresh one would: at single = level 8 to 10
    walks in 100 raise an alarm for 6 to 12 clients, in place of 5.

    Parameters
    ----------
    n_clients : int
        K.
    level : float
        Family-wise level.

    Returns
    -------
    Critical
    """
    if n_clients >= _MANY:
        return Critical(level, 0.0)
    scores = _normal_samples(n_clients)
    sums, squares = np.cumsum(scores, axis=1), np.cumsum(scores**2, axis=1)
    least = np.full(_SAMPLES, np.inf)
    for n in range(n_clients // 2, n_clients):
        mean = sums[:, n - 1] / n
        spread = np.sqrt(np.maximum(squares[:, n - 1] - n * mean**2, 0.0) / (n - 1) * (1.0 + 1.0 / n))
        least = np.minimum(least, (n + 1) * special.stdtr(n - 1, -(scores[:, n] - mean) / spread))
    if not _splits(n_clients):
        return Critical(float(np.quantile(least, level)), 0.0)
    shares = _tail_shares(_gaps(scores), _law_of_gaps(n_clients)).min(axis=1)
    ranks = [(np.argsort(np.argsort(values)) + 1) / _SAMPLES for values in (least, shares)]
    share = min(float(np.quantile(np.minimum(*ranks), level)), level)
    return Critical(float(np.quantile(least, share)), share)


def widest_gap(scores: FloatArray) -> WidestGap:
    """The least likely gap of the clients' scores (K,).

    Parameters
    ----------
    scores : ndarray, shape (K,)

    Returns
    -------
    WidestGap
    """
    splits = _splits(scores.size)
    if not splits or scores.size >= _MANY:
        return WidestGap(scores.size, 1.0)
    shares = _tail_shares(_gaps(np.sort(scores)[None]), _law_of_gaps(scores.size))[0]
    leader = int(np.argmin(shares))
    p_value = np.searchsorted(_law_of_least_share(scores.size), shares[leader], side="right") / _SAMPLES
    # Beyond the samples the p-value goes on to fall, the more so the wider the gap.
    return WidestGap(splits[leader], float(max(p_value, shares[leader])))


def _splits(n_clients: int) -> range:
    """Numbers of clients below a gap: a majority at least, and two at least above; a single one has its own law."""
    return range(n_clients // 2 + 1, n_clients - 1)


def _gaps(ordered: FloatArray) -> FloatArray:
    """Gap above each split over the standard deviation below it, (N, number of splits), for sorted scores (N, K)."""
    size = np.maximum(np.abs(ordered).max(axis=1, keepdims=True), np.finfo(float).tiny)
    centred = ordered - ordered.mean(axis=1, keepdims=True)
    splits = np.array(_splits(ordered.shape[1]))
    counts = np.arange(1, ordered.shape[1] + 1)
    squares = np.cumsum(centred**2, axis=1) - np.cumsum(centred, axis=1) ** 2 / counts
    below = np.sqrt(np.maximum(squares[:, splits - 1], 0.0) / (splits - 1))
    gaps = ordered[:, splits] - ordered[:, splits - 1]
    return np.asarray(np.where(gaps > _ROUNDING * size, gaps / np.maximum(below, _ROUNDING * size), 0.0))


def _tail_shares(gaps: FloatArray, law: FloatArray) -> FloatArray:
    """Share of normal samples whose gap at the same split is at least as wide, (N, number of splits)."""
    shares = np.empty(gaps.shape)
    for j, (column, known) in enumerate(zip(gaps.T, law, strict=True)):
        wider = _SAMPLES - np.searchsorted(known, column, side="left")
        # Where none is, a part of one sample, the smaller the wider the gap, so that gaps beyond the samples compare.
        shares[:, j] = np.where(wider > 0, wider, 1.0 / (1.0 + column / known[-1])) / _SAMPLES
    return shares


@lru_cache(maxsize=8)
def _normal_samples(n_clients: int) -> FloatArray:
    """Sorted normal scores (_SAMPLES, K), always the same."""
    return np.sort(np.random.default_rng(_SEED).standard_normal((_SAMPLES, n_clients)), axis=1)


@lru_cache(maxsize=8)
def _law_of_gaps(n_clients: int) -> FloatArray:
    """Gaps of normal samples in order, (number of splits, _SAMPLES)."""
    return np.sort(_gaps(_normal_samples(n_clients)).T, axis=1)


@lru_cache(maxsize=8)
def _law_of_least_share(n_clients: int) -> FloatArray:
    """Smallest tail share over the splits of each normal sample, in order (_SAMPLES,)."""
    return np.sort(_tail_shares(_gaps(_normal_samples(n_clients)), _law_of_gaps(n_clients)).min(axis=1))
