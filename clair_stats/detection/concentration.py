"""Concentration steps: from a start, refit on the half that fits best, again and again.

For a given rank the target is the set of h = ⌊K/2⌋ + 1 clients with the smallest total residual (least trimmed squares;
concentration steps after Rousseeuw and Van Driessen, Technometrics 41(3), 1999, carried from points to blocks).  One
step never increases that total.  When q ≥ r the difference of two benign clients already spans U, so starts from very
small random subsets are all benign often enough at shares near one half.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from clair_stats.detection.calibration import per_client_level
from clair_stats.detection.panel import Panel
from clair_stats.detection.reduction import Reduction
from clair_stats.detection.whiteness import noise_edge
from clair_stats.linalg import entrywise_median
from clair_stats.records import BoolArray, FloatArray

__all__ = ["Fits", "Kernel", "best_groups", "least_rank"]

_HALF_STEPS = 3
_GROWTH_STEPS = 3
_SAME_BASIN = 0.85
_OTHER_GROUP = 0.5
# Room for errors that are not i.i.d.: with least-squares fits at n = 2.5 p benign pairs stay below the i.i.d. edge
# (test_benign_pairs_of_least_squares_fits_stay_below_the_edge).
_UNEVEN = 2.0


def best_groups(kernel: Kernel, starts: BoolArray, rank: int, *, half: int, level: float, n_best: int) -> BoolArray:
    """Concentrate every start on a half, grow the halves under a test, and rank what they become.

    The total of a half does not tell a benign half from one of contaminated clients filled up with a few benign ones;
    growing does: the filled-up half lets in clients of both kinds, and then its residual is not white.

    Returns
    -------
    array, shape (≤ n_best, K) of bool
        Distinct groups with white residual, largest first; one group, with unequal scales two, when none is white.
    """
    panel = kernel.panel
    fits = Fits(kernel, rank)
    residuals, _ = fits.residuals(starts, first=True)
    masks = _unique(_nearest(residuals, half))
    for _ in range(_HALF_STEPS - 1):
        residuals, _ = fits.residuals(masks)
        masks = _unique(_nearest(residuals, half))
    cut = _relative_cut(panel, rank, level)
    stages = [masks]
    for _ in range(_GROWTH_STEPS):
        residuals, _ = fits.residuals(masks)
        passed = residuals <= cut * fits.variance(masks, residuals)[:, None]
        masks = _unique(np.where((passed.sum(axis=1) >= half)[:, None], passed, _nearest(residuals, half)))
        stages.append(masks)
    # Every stage is a candidate: one contaminated client let in by noise can pull in the others at the next step.
    masks = _unique(np.concatenate(stages))
    residuals, left = fits.residuals(masks)
    sizes = masks.sum(axis=1)
    ratios = left / (fits.variance(masks, residuals) * _edges(panel, sizes, rank))
    white = ratios <= 1.0
    order = np.lexsort((-sizes, ~white))
    if white.any() or not panel.unequal_scales:
        return _basins(masks[order], max(1, min(n_best, int(white.sum()))), _SAME_BASIN)
    # A few precise clients of the wrong kind spoil even the right group: the whitest group, and the whitest other one.
    return _basins(masks[np.argsort(ratios, kind="stable")], min(n_best, 2), _OTHER_GROUP)


def least_rank(kernel: Kernel, starts: BoolArray, *, heterogeneity: float = 0.0) -> int:
    """The smallest rank at which some start (N, K) agrees with itself up to noise.

    The residual of benign clients about the true subspace and centre is noise, so the eigenvalue r + 1 of their scatter
    about their own mean is at most the largest one of noise (Courant–Fischer).  Where it stands out for every start,
    and one of them is all benign (the number of starts sees to that), the rank is too small.  The noise is taken from
    what clients leave outside the common directions, by the median, which errs upward: towards a smaller rank.
    """
    panel, size = kernel.panel, int(kernel.size)
    _, p, q = panel.shape
    if panel.noise is not None:
        variance = panel.noise**2
    elif p > size:
        variance = float(np.median(kernel.outside)) / ((p - size) * q)
    else:
        return 0
    if size == 0:
        return 0
    noise = math.sqrt(_UNEVEN * max(variance, panel.floor**2))
    values = kernel.spectra(starts, first=True).values[:, ::-1]
    allowance = heterogeneity * np.sqrt(starts @ (1.0 / panel.scales**2))
    counts = starts.sum(axis=1)
    for rank in range(size):
        limits = (noise * np.sqrt(_edges(panel, counts, rank)) + allowance) ** 2
        # Squares of the data are exact to about 1e-12 of the largest.
        if (values[:, rank] <= limits + 1e-12 * values[:, 0]).any():
            return rank
    return size


def _basins(masks: BoolArray, count: int, same: float) -> BoolArray:
    """The first ``count`` masks, leaving out any that is nearly equal to an earlier one (Jaccard index)."""
    chosen = [0]
    counts = masks.astype(np.float64)
    for i in range(1, len(masks)):
        if len(chosen) == count:
            break
        common = counts[chosen] @ counts[i]
        if (common < same * (counts[chosen].sum(axis=1) + counts[i].sum() - common)).all():
            chosen.append(i)
    return masks[chosen]


def _relative_cut(panel: Panel, rank: int, level: float) -> float:
    """Upper quantile of a client's residual in units of the residual variance."""
    n_clients, p, q = panel.shape
    return float(special.chdtri(max((p - rank) * q, 1), per_client_level(level, n_clients)))


def _edges(panel: Panel, sizes: NDArray[np.int64], rank: int) -> FloatArray:
    """Noise edge off a subspace for sets of ``sizes`` (N,) clients; infinite where nothing is left over."""
    _, p, q = panel.shape
    columns = {n: (n - int(panel.common_component)) * q - rank for n in set(sizes.tolist())}
    edges = {n: noise_edge(p - rank, c) if c > 0 else math.inf for n, c in columns.items()}
    return np.array([edges[n] for n in sizes.tolist()])


def _nearest(residuals: FloatArray, half: int) -> BoolArray:
    kept = np.zeros(residuals.shape, dtype=np.bool_)
    # Plain indexing and a dictionary below: np.put_along_axis and np.unique cost three times as much on a few masks.
    kept[np.arange(len(kept))[:, None], np.argpartition(residuals, half - 1, axis=1)[:, :half]] = True
    return kept


def _unique(masks: BoolArray) -> BoolArray:
    """Without repetitions, in a fixed order."""
    rows = {key: i for i, key in reversed(list(enumerate(_keys(masks))))}
    return masks[[rows[key] for key in sorted(rows)]]


def _keys(masks: BoolArray) -> list[bytes]:
    return [row.tobytes() for row in np.packbits(masks, axis=1)]


@dataclass(frozen=True, eq=False)
class _Spectra:
    """Scatters of N masks about their own means."""

    values: FloatArray  # (N, R), ascending
    vectors: FloatArray  # (N, R, R)
    center: FloatArray | None  # (N, R·q), None without a common component


class Kernel:
    """Weighted fits on many sets of clients at once; everything a step needs from the data is formed here, once."""

    def __init__(self, panel: Panel, reduction: Reduction) -> None:
        blocks, design = reduction.coordinates, panel.design
        self.panel = panel
        self.n_clients, self.size, self.q = blocks.shape
        self.design = design
        self.outside = reduction.outside
        # One common shift leaves every residual unchanged and keeps the differences below free of cancellation.
        if panel.common_component:
            blocks = blocks - design[:, None, None] * entrywise_median(blocks / design[:, None, None])
        self.flat = np.ascontiguousarray(blocks.reshape(self.n_clients, -1))
        self.scatter = (blocks @ blocks.transpose(0, 2, 1)).reshape(self.n_clients, -1)
        self.energy = np.einsum("ki,ki->k", self.flat, self.flat)
        self._first: tuple[bytes, _Spectra] | None = None

    def spectra(self, masks: BoolArray, *, first: bool = False) -> _Spectra:
        """Eigendecompositions for masks (N, K); those of the ``first`` masks of a search serve every rank."""
        key = masks.tobytes() if first else b""
        if first and self._first is not None and self._first[0] == key:
            return self._first[1]
        weights = masks.astype(np.float64)
        scatter = weights @ self.scatter
        center = None
        if self.panel.common_component:
            mass = weights @ self.design**2
            center = (weights @ (self.design[:, None] * self.flat)) / mass[:, None]
            block = center.reshape(len(masks), self.size, self.q)
            scatter = scatter - mass[:, None] * (block @ block.transpose(0, 2, 1)).reshape(len(masks), -1)
        values, vectors = np.linalg.eigh(scatter.reshape(len(masks), self.size, self.size))
        found = _Spectra(values, vectors, center)
        if first:
            self._first = key, found
        return found


class Fits:
    """Fits of one rank.

    Most starts meet in a few masks within two or three steps, so a mask that has been fitted is not fitted again.
    """

    def __init__(self, kernel: Kernel, rank: int) -> None:
        self.kernel = kernel
        self.rank = min(rank, kernel.size)
        self._row: dict[bytes, int] = {}
        self._residuals = np.zeros((0, kernel.n_clients))
        self._left = np.zeros(0)

    def variance(self, masks: BoolArray, residuals: FloatArray) -> FloatArray:
        """Residual variance (N,) of the masks; the known one when there is one."""
        panel = self.kernel.panel
        if panel.noise is not None:
            return np.full(len(masks), max(panel.noise, panel.floor) ** 2)
        _, p, q = panel.shape
        columns = (masks.sum(axis=1) - int(panel.common_component)) * q - self.rank
        freedom = np.maximum((p - self.rank) * columns, 1)
        pooled = np.where(masks, residuals, 0.0).sum(axis=1) / freedom
        return np.asarray(np.maximum(pooled, panel.floor**2))

    def residuals(self, masks: BoolArray, *, first: bool = False) -> tuple[FloatArray, FloatArray]:
        """Residual energies (N, K) of all clients about the fits on N masks, and the first eigenvalue left out (N,)."""
        if first:
            return self._fitted(masks, first=True)
        keys = _keys(masks)
        fresh = {key: i for i, key in enumerate(keys) if key not in self._row}
        if fresh:
            residuals, left = self._fitted(masks[list(fresh.values())])
            self._row |= {key: len(self._left) + i for i, key in enumerate(fresh)}
            self._residuals = np.concatenate([self._residuals, residuals])
            self._left = np.concatenate([self._left, left])
        rows = [self._row[key] for key in keys]
        return self._residuals[rows], self._left[rows]

    def _fitted(self, masks: BoolArray, *, first: bool = False) -> tuple[FloatArray, FloatArray]:
        kernel, rank, n_fits = self.kernel, self.rank, len(masks)
        residual = np.broadcast_to(kernel.energy + kernel.outside, (n_fits, kernel.n_clients))
        spectra = kernel.spectra(masks, first=first)
        center = spectra.center
        if center is not None:
            residual = (
                residual
                - 2.0 * kernel.design * (center @ kernel.flat.T)
                + kernel.design**2 * np.einsum("ni,ni->n", center, center)[:, None]
            )
        left = spectra.values[:, -1 - rank] if rank < kernel.size else np.zeros(n_fits)
        if rank == 0:
            return np.maximum(residual, 0.0), left
        bases = spectra.vectors[:, :, -rank:]
        projectors = bases @ bases.transpose(0, 2, 1)
        residual = residual - projectors.reshape(n_fits, -1) @ kernel.scatter.T
        if center is not None:
            shadow = (projectors @ center.reshape(n_fits, kernel.size, kernel.q)).reshape(n_fits, -1)
            residual = (
                residual
                + 2.0 * kernel.design * (shadow @ kernel.flat.T)
                - kernel.design**2 * np.einsum("ni,ni->n", shadow, shadow)[:, None]
            )
        return np.maximum(residual, 0.0), left
