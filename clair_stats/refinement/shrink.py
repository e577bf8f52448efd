"""Shrinkage towards the other members: a client's own part is kept as far as it exceeds its error.

Stein's positive-part weight (James and Stein 1961; Efron and Morris, JASA 68(341), 1973; for a covariance that is not
a multiple of the identity Bock, Ann. Statist. 3(1), 1975), once off the subspace and once along every direction in it
(docs/derivations/shrinkage.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from clair_stats.linalg import orthonormal_basis
from clair_stats.records import BoolArray, FloatArray
from clair_stats.refinement.error_energy import ErrorEnergy, WhiteEnergy
from clair_stats.refinement.others import Others, each_without_itself, leading_directions
from clair_stats.refinement.total_only import TotalOnly, total_only, white_refuted

__all__ = ["MOST_DIRECTIONS", "Shrunk", "direction_weights", "shrink", "stein_risk", "stein_weight"]

# Ranks beyond this are not tried for refinement: each direction costs up to two error variances, and one that holds
# so small a part of 32 directions' heterogeneity saves less.
_LARGEST_RANK = 32
# Directions beyond these are shrunk together with the rest: where the sizes of differences fall from direction to
# direction the error is at most 1.6 % above that with 256 (benchmarks/directions.py); 128 cost .3 %, and 32 4.4 %.
MOST_DIRECTIONS = 64
# Bands off the subspace begin at this width: each costs two error variances.
_NARROWEST_BAND = 4
# Numbers (1 GiB) up to which every member's frame is kept for the second pass; beyond, it is computed again.
_MOST_KEPT = 1 << 27
_TOGETHER = 1 << 18  # numbers of members times ways to divide directions that are judged at a time
# Divisor in place of 0, where errors are.
_TINY = float(np.finfo(float).tiny)
# Relative risks closer than this are equal but for rounding (all directions apart, or none); the smaller rank stands.
_TIE = 1e-9
# James and Stein need three entries; with fewer the directions of the subspace are shrunk together.
_FEWEST_ENTRIES = 3


@dataclass(frozen=True, eq=False)
class Shrunk:
    """Members drawn towards the mean of the other members."""

    estimates: FloatArray  # (K, p, q); clients outside the set keep X_k
    basis: FloatArray  # (p, r), directions that have a weight of their own; fitted on all members when not given
    kept: FloatArray  # (K,), share of the own part off the subspace that is kept; 1 outside the set
    # Risks are squared norms of the entries, or of the whitened entries where the errors' covariance is known.
    risk: FloatArray  # (K,), Stein's estimate of E‖Θ̃_k − Θ*_k‖² (an upper one off white errors); trace outside the set
    own_risk: FloatArray  # (K,), E‖E_k‖², the trace of the error's covariance
    one_weight: bool = False  # whether white errors were refuted and one weight stands for many


def stein_weight(constant: FloatArray, energy: FloatArray) -> FloatArray:
    """min(1, c/‖Z‖²), the share of the way towards the others; 0 where c is 0.

    Parameters
    ----------
    constant : ndarray, shape (m,)
        c, squared scale of the estimates.
    energy : ndarray, shape (m,)
        ‖Z‖², squared scale of the estimates.

    Returns
    -------
    ndarray, shape (m,)
        Between 0 and 1.
    """
    constant, energy = np.broadcast_arrays(np.maximum(constant, 0.0), energy)
    return np.divide(constant, energy, out=np.where(constant > 0, 1.0, 0.0), where=energy > constant)


def stein_risk(constant: FloatArray, energy: FloatArray, trace: FloatArray) -> FloatArray:
    """Stein's estimate of the risk under that weight: tr Σ − c²/‖Z‖² where it is below 1, else ‖Z‖² − tr Σ.

    Parameters
    ----------
    constant : ndarray, shape (m,)
        c, squared scale of the estimates.
    energy : ndarray, shape (m,)
        ‖Z‖², squared scale of the estimates.
    trace : ndarray, shape (m,)
        tr Σ, squared scale of the estimates.

    Returns
    -------
    ndarray, shape (m,)
        Squared scale of the estimates.
    """
    constant = np.maximum(constant, 0.0)
    whole = (constant > 0) & (energy <= constant)
    # The quotient first: c² is no number where a client is told to be 1e100 times less precise than the others.
    saved = constant * np.divide(constant, energy, out=np.zeros_like(energy), where=energy > constant)
    return np.asarray(np.where(whole, energy - trace, trace - saved))


def shrink(
    blocks: FloatArray,
    members: BoolArray,
    weights: FloatArray,
    energy: ErrorEnergy,
    *,
    basis: FloatArray | None = None,
    targets: FloatArray | None = None,
) -> Shrunk:
    """Θ̃_k = X̄₋ₖ + Σ_g (1 − min(1, c_g/‖P_gZ‖²)) P_gZ, Z = X_k − X̄₋ₖ, c_g = tr Σ_g − 2λ_max(Σ_g), for every member.

    The P_g project on the single directions of the others' subspace and off all of them.  Without a ``basis`` the
    directions are the leading eigenvectors of the others' scatter, and their number is that with the smallest sum of
    estimated relative risks over the members.  Where the covariance of the errors is known, all this is done in the
    coordinates in which its mean over clients is white, and the risk is that in the norm of those coordinates.

    Parameters
    ----------
    blocks : array, shape (K, p, q)
    members : array of bool, shape (K,)
    weights : array, shape (K,)
        Positive on the members, best ∝ 1/σ_k².
    energy : ErrorEnergy
        Law of the errors.
    basis : array, shape (p, r), optional
        Known subspace, orthonormal.
    targets : array, shape (K, p, q), optional
        What each member is drawn towards in place of the others' mean; must not depend on its own estimate.

    Returns
    -------
    Shrunk
    """
    maps = energy.whitening()
    if maps is None:
        return _shrink_white(blocks, members, weights, energy, basis, targets)
    left, right = maps
    turned = None if basis is None else orthonormal_basis(left @ basis, basis.shape[1])
    moved = None if targets is None else left @ targets @ right
    found = _shrink_white(left @ blocks @ right, members, weights, energy.turned(left, right), turned, moved)
    back, aside = np.linalg.inv(left), np.linalg.inv(right)
    refined = np.where(members[:, None, None], back @ found.estimates @ aside, blocks)
    shared = orthonormal_basis(back @ found.basis, found.basis.shape[1]) if basis is None else basis
    return replace(found, estimates=refined, basis=shared)


def _shrink_white(
    blocks: FloatArray,
    members: BoolArray,
    weights: FloatArray,
    energy: ErrorEnergy,
    basis: FloatArray | None,
    targets: FloatArray | None,
) -> Shrunk:
    """Shrinkage in coordinates in which errors are about white."""
    n_members, (n_clients, p, q) = int(members.sum()), blocks.shape
    own_risk = energy.whole(np.arange(n_clients))[0]
    if n_members < 2:
        return Shrunk(
            blocks.copy(), np.zeros((p, 0)) if basis is None else basis, np.ones(n_clients), own_risk.copy(), own_risk
        )
    # No more directions than the others' scatter has; beyond, eigenvectors would be arbitrary.
    count = max(min(p, (n_members - 2) * q, MOST_DIRECTIONS), 0)
    side = count if basis is None else basis.shape[1]
    kept_all = n_members * p * side <= _MOST_KEPT
    everyone: Iterable[Others] = each_without_itself(blocks, members, weights, count=count, basis=basis)
    everyone = list(everyone) if kept_all else everyone
    table = _Table.of(blocks, energy, everyone, targets)
    rank, banded = (table.energies.shape[1], False) if basis is not None else table.best(own_risk[members])
    estimates, kept, risk = blocks.copy(), np.ones(n_clients), own_risk.copy()
    risk[members] = table.risks([(rank, banded)])[:, 0]
    inside, off = table.weights(rank, banded)
    edges = _bands(rank, table.energies.shape[1], banded)
    rest = table.off(rank, banded)[1]
    total = None
    if basis is None and targets is None:
        total = _total_only(
            table, energy, blocks, members, weights, [*range(rank if table.apart else rank > 0), *edges]
        )
    if total is not None:
        rank, inside, off, rest = 0, inside[:, :0], total.along, total.traces
        edges, risk[members] = list(range(off.shape[1])), total.risk
    size = rest.sum(axis=1)
    held = np.divide((off * rest).sum(axis=1), size, out=off[:, -1].copy(), where=size > 0)
    kept[members] = 1.0 - held
    if not kept_all:  # only the leading directions are needed now, and cheap
        everyone = each_without_itself(blocks, members, weights, count=edges[-1], basis=basis)
    along, last = np.hstack([inside, np.repeat(off[:, :-1], np.diff(edges), axis=1)]), off[:, -1:]
    first = 0
    for others in everyone:
        scatter = others.scatter
        here, frames = slice(first, first + others.clients.size), others.frames[:, :, : edges[-1]]
        first = here.stop
        distances = _distances(blocks, others, targets)
        within = (along[here] - last[here])[..., None] * (frames.transpose(0, 2, 1) @ distances)
        distances *= last[here, None]  # holds off all of these
        estimates[others.clients] -= frames @ within + distances
    shared = leading_directions(blocks, members, weights, rank, scatter=scatter) if basis is None else basis
    return Shrunk(estimates, shared, kept, risk, own_risk, total is not None)


def _total_only(
    table: _Table, energy: ErrorEnergy, blocks: FloatArray, members: BoolArray, weights: FloatArray, starts: list[int]
) -> TotalOnly | None:
    """Weights for errors of which a size is told, where scales were given and errors are shown not to be white."""
    if not (isinstance(energy, WhiteEnergy) and energy.size_only):
        return None
    (_, p, q), scales, own = blocks.shape, energy.scales[members], weights[members]
    off = np.maximum(table.whole[:, 0] - table.energies.sum(axis=1), 0.0)
    held = np.concatenate([table.energies, off[:, None]], axis=1)
    shares = own / (own.sum() - own)
    return total_only(held, scales**2, shares, (p, q), starts, lambda: white_refuted(blocks[members], scales))


def direction_weights(
    energies: FloatArray, errors: tuple[FloatArray, FloatArray], whole: FloatArray, own_risk: FloatArray, *, apart: bool
) -> tuple[FloatArray, FloatArray]:
    """Shares of the way to the others for n members whose distances from them are known direction by direction.

    Parameters
    ----------
    energies : ndarray, shape (n, m)
        ‖u_iᵀZ‖² along the others' leading directions.
    errors : pair of ndarray, shape (n, m)
        Trace and largest eigenvalue of the error's covariance along them.
    whole : ndarray, shape (n, 3)
        ‖Z‖², trace and largest eigenvalue of the whole.
    own_risk : ndarray, shape (n,)
        E‖E_k‖².
    apart : bool
        Whether every direction of the subspace has a weight of its own.

    Returns
    -------
    along : ndarray, shape (n, t)
        For each of the leading t ≤ m directions, in the subspace and in the bands off it.
    rest : ndarray, shape (n,)
        Off all of these.
    """
    table = _Table(energies, *errors, whole, apart)
    rank, banded = table.best(own_risk)
    inside, off = table.weights(rank, banded)
    widths = np.diff(_bands(rank, energies.shape[1], banded))
    return np.hstack([inside, np.repeat(off[:, :-1], widths, axis=1)]), off[:, -1]


def _distances(blocks: FloatArray, others: Others, targets: FloatArray | None) -> FloatArray:
    """X_k less what it is drawn towards, (n, p, q), a fresh array."""
    return others.distances(blocks) if targets is None else blocks[others.clients] - targets[others.clients]


@dataclass(frozen=True, eq=False)
class _Table:
    """Every member's distance from the others, direction by direction, beside the error that it holds."""

    energies: FloatArray  # (n, m), ‖u_iᵀZ‖²
    traces: FloatArray  # (n, m)
    largest: FloatArray  # (n, m)
    whole: FloatArray  # (n, 3), ‖Z‖², trace, largest eigenvalue
    apart: bool  # whether every direction has a weight of its own

    @classmethod
    def of(
        cls, blocks: FloatArray, energy: ErrorEnergy, everyone: Iterable[Others], targets: FloatArray | None
    ) -> _Table:
        found = []
        for others in everyone:
            distances = _distances(blocks, others, targets)
            squared = np.sum((others.frames.transpose(0, 2, 1) @ distances) ** 2, axis=2)
            size = np.einsum("kij,kij->k", distances, distances)
            whole = np.column_stack([size, *energy.whole(others.clients)])
            found.append((squared, *energy.along(others.clients, others.frames), whole))
        clear = min(squared.shape[1] for squared, *_ in found)  # directions that all others have
        squared, traces, largest = (np.concatenate([each[place][:, :clear] for each in found]) for place in range(3))
        whole = np.concatenate([each[3] for each in found])
        return cls(squared, traces, largest, whole, blocks.shape[2] >= _FEWEST_ENTRIES)

    @cached_property
    def sums(self) -> tuple[FloatArray, FloatArray]:
        """Energy and trace of the first 0, 1, …, m directions and of the whole, two arrays (n, m + 2)."""
        energies, traces = _running_sum(self.energies), _running_sum(self.traces)
        return np.hstack([energies, self.whole[:, :1]]), np.hstack([traces, self.whole[:, 1:2]])

    def between(self, starts: Sequence[int], stops: Sequence[int]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Constant, energy and trace of the directions from each start to its stop together, (n, number of starts)."""
        energy, trace = (np.maximum(sums[:, stops] - sums[:, starts], 0.0) for sums in self.sums)
        return trace - 2.0 * np.minimum(self.whole[:, 2:], trace), energy, trace

    @cached_property
    def inside_risks(self) -> FloatArray:
        """Estimated risk along the first 0, 1, …, m directions, (n, m + 1)."""
        if self.apart:
            return _running_sum(stein_risk(self.traces - 2.0 * self.largest, self.energies, self.traces))
        ranks = range(self.energies.shape[1] + 1)
        return stein_risk(*self.between([0] * len(ranks), ranks))

    def off(self, rank: int, banded: bool) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Constant, energy and trace of every band off the first ``rank`` directions, (n, bands); unbanded one."""
        starts = _bands(rank, self.energies.shape[1], banded)
        return self.between(starts, [*starts[1:], self.energies.shape[1] + 1])

    def inside(self, rank: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The same along every one of the first ``rank`` directions, (n, rank), or of all together, (n, 1)."""
        if self.apart:
            traces = self.traces[:, :rank]
            return traces - 2.0 * self.largest[:, :rank], self.energies[:, :rank], traces
        return self.between([0], [rank])

    def risks(self, ways: Sequence[tuple[int, bool]]) -> FloatArray:
        """Estimated risk of every member for numbers of directions, with and without bands, (n, number of ways)."""
        bands = [_bands(rank, self.energies.shape[1], banded) for rank, banded in ways]
        starts = [start for band in bands for start in band]
        stops = [stop for band in bands for stop in (*band[1:], self.energies.shape[1] + 1)]
        first = np.cumsum([0, *map(len, bands[:-1])])
        off = np.add.reduceat(stein_risk(*self.between(starts, stops)), first, axis=1)
        return np.asarray(self.inside_risks[:, [rank for rank, _ in ways]] + off)

    def best(self, own_risk: FloatArray) -> tuple[int, bool]:
        """Number of directions, and whether to band the rest, of the smallest sum of estimated relative risks."""
        ranks = range(min(self.energies.shape[1], _LARGEST_RANK) + 1)
        ways = [(rank, banded) for banded in (False, True) for rank in ranks]
        size = np.maximum(own_risk, _TINY)[:, None]
        width = max(_TOGETHER // size.size, 1)
        parts = (ways[first : first + width] for first in range(0, len(ways), width))
        relative = np.concatenate([np.sum(self.risks(part) / size, axis=0) for part in parts])
        return ways[int(np.argmax(relative <= relative.min() + _TIE * own_risk.size))]

    def weights(self, rank: int, banded: bool) -> tuple[FloatArray, FloatArray]:
        """Share of the way to the others along each of the ``rank`` directions, (n, rank), and in every band."""
        inside = stein_weight(*self.inside(rank)[:2])
        inside = inside if self.apart else np.repeat(inside, rank, axis=1)
        return inside, stein_weight(*self.off(rank, banded)[:2])


def _running_sum(parts: FloatArray) -> FloatArray:
    """Sums of the first 0, 1, …, m columns, (n, m + 1)."""
    sums = np.zeros((parts.shape[0], parts.shape[1] + 1))
    np.cumsum(parts, axis=1, out=sums[:, 1:])
    return sums


def _bands(rank: int, count: int, banded: bool) -> list[int]:
    """First directions of the bands off ``rank`` directions, each about twice as wide as the one before."""
    edges, width = [rank], max(rank, _NARROWEST_BAND)
    while banded and edges[-1] + width < count:
        edges.append(edges[-1] + width)
        width *= 2
    return edges
