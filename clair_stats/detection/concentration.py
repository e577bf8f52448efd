"""Concentration steps: from a start, refit on the half that fits best, again and again.

For a given rank the target is the set of h = ⌊K/2⌋ + 1 clients with the smallest total residual (least trimmed squares;
concentration steps after Rousseeuw and Van Driessen, Technometrics 41(3), 1999, carried from points to blocks).  One
step never increases that total.  When q ≥ r the difference of two benign clients already spans U, so starts from very
small random subsets are all benign often enough at shares near one half.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import stats

from clair_stats.detection.panel import Panel
from clair_stats.detection.reduction import Reduction
from clair_stats.detection.whiteness import noise_edge
from clair_stats.records import BoolArray, FloatArray

__all__ = ["best_groups", "random_subsets"]

_HALF_STEPS = 3
_GROWTH_STEPS = 3
_SAME_BASIN = 0.85


def random_subsets(n_clients: int, sizes: Mapping[int, int], generator: np.random.Generator) -> BoolArray:
    """Masks (N, K): for every subset size as many as the mapping says, drawn without replacement inside a mask."""
    size = np.repeat(np.fromiter(sizes.keys(), int), np.fromiter(sizes.values(), int))
    order = np.argsort(generator.random((size.size, n_clients)), axis=1)
    return np.asarray(np.argsort(order, axis=1) < size[:, None])


def best_groups(
    panel: Panel, reduction: Reduction, starts: BoolArray, rank: int, *, half: int, level: float, n_best: int
) -> BoolArray:
    """Concentrate every start on a half, grow the halves under a test, and rank what they become.

    The total of a half does not tell a benign half from one of contaminated clients filled up with a few benign ones;
    growing does: the filled-up half lets in clients of both kinds, and then its residual is not white.

    Returns
    -------
    array, shape (≤ n_best, K) of bool
        Distinct groups with white residual, largest first; one group when none is white.
    """
    n_clients = panel.shape[0]
    kernel = _Kernel(panel, reduction, rank)
    masks = starts
    for _ in range(_HALF_STEPS):
        residuals, _ = kernel.residuals(masks)
        masks = _unique(_nearest(residuals, half))
    cut = _relative_cut(panel, rank, level)
    stages = [masks]
    for _ in range(_GROWTH_STEPS):
        residuals, _ = kernel.residuals(masks)
        passed = residuals <= cut * kernel.variance(masks, residuals)[:, None]
        masks = _unique(np.where((passed.sum(axis=1) >= half)[:, None], passed, _nearest(residuals, half)))
        stages.append(masks)
    # Every stage is a candidate: one contaminated client let in by noise can pull in the others at the next step.
    masks = _unique(np.concatenate(stages))
    residuals, left = kernel.residuals(masks)
    sizes = masks.sum(axis=1)
    _, p, q = panel.shape
    edges = np.array(
        [noise_edge(p - rank, (n - int(panel.common_component)) * q - rank) for n in range(half, n_clients + 1)]
    )
    white = left <= kernel.variance(masks, residuals) * edges[sizes - half]
    order = np.lexsort((-sizes, ~white))
    return _basins(masks[order], max(1, min(n_best, int(white.sum()))))


def _basins(masks: BoolArray, count: int) -> BoolArray:
    """The first ``count`` masks, leaving out any that is nearly equal to an earlier one (Jaccard index)."""
    chosen = [0]
    counts = masks.astype(np.float64)
    for i in range(1, len(masks)):
        if len(chosen) == count:
            break
        common = counts[chosen] @ counts[i]
        if (common < _SAME_BASIN * (counts[chosen].sum(axis=1) + counts[i].sum() - common)).all():
            chosen.append(i)
    return masks[chosen]


def _relative_cut(panel: Panel, rank: int, level: float) -> float:
    """Upper quantile of a client's residual in units of the residual variance."""
    n_clients, p, q = panel.shape
    return float(stats.chi2.isf(-np.expm1(np.log1p(-level) / n_clients), max((p - rank) * q, 1)))


def _nearest(residuals: FloatArray, half: int) -> BoolArray:
    kept = np.zeros(residuals.shape, dtype=np.bool_)
    np.put_along_axis(kept, np.argpartition(residuals, half - 1, axis=1)[:, :half], True, axis=1)
    return kept


def _unique(masks: BoolArray) -> BoolArray:
    """Without repetitions, in a fixed order."""
    packed = np.ascontiguousarray(np.packbits(masks, axis=1))
    keys = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    return masks[np.unique(keys, return_index=True)[1]]


def _keys(masks: BoolArray) -> list[bytes]:
    return [row.tobytes() for row in np.packbits(masks, axis=1)]


class _Kernel:
    """Many weighted fits at once; everything a step needs from the data is formed here, once.

    Most starts meet in a few masks within two or three steps, so a mask that has been fitted is not fitted again.
    """

    def __init__(self, panel: Panel, reduction: Reduction, rank: int) -> None:
        blocks, design = reduction.coordinates, panel.design
        self.panel = panel
        self.n_clients, self.size, self.q = blocks.shape
        self.rank = min(rank, self.size)
        self.design = design
        self.outside = reduction.outside
        # One common shift leaves every residual unchanged and keeps the differences below free of cancellation.
        if design.any():
            blocks = blocks - design[:, None, None] * np.median(blocks / design[:, None, None], axis=0)
        self.flat = np.ascontiguousarray(blocks.reshape(self.n_clients, -1))
        self.scatter = (blocks @ blocks.transpose(0, 2, 1)).reshape(self.n_clients, -1)
        self.energy = np.einsum("ki,ki->k", self.flat, self.flat)
        self._row: dict[bytes, int] = {}
        self._residuals = np.zeros((0, self.n_clients))
        self._left = np.zeros(0)

    def variance(self, masks: BoolArray, residuals: FloatArray) -> FloatArray:
        """Residual variance (N,) of the masks; the known one when there is one."""
        if self.panel.noise is not None:
            return np.full(len(masks), max(self.panel.noise, self.panel.floor) ** 2)
        _, p, q = self.panel.shape
        columns = (masks.sum(axis=1) - int(self.panel.common_component)) * q - self.rank
        freedom = np.maximum((p - self.rank) * columns, 1)
        pooled = np.where(masks, residuals, 0.0).sum(axis=1) / freedom
        return np.asarray(np.maximum(pooled, self.panel.floor**2))

    def residuals(self, masks: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Residual energies (N, K) of all clients about the fits on N masks, and the first eigenvalue left out (N,)."""
        keys = _keys(masks)
        fresh = {key: i for i, key in enumerate(keys) if key not in self._row}
        if fresh:
            residuals, left = self._fitted(masks[list(fresh.values())])
            self._row |= {key: len(self._left) + i for i, key in enumerate(fresh)}
            self._residuals = np.concatenate([self._residuals, residuals])
            self._left = np.concatenate([self._left, left])
        rows = [self._row[key] for key in keys]
        return self._residuals[rows], self._left[rows]

    def _fitted(self, masks: BoolArray) -> tuple[FloatArray, FloatArray]:
        weights = masks.astype(np.float64)
        n_fits = len(weights)
        scatter = weights @ self.scatter
        residual = np.broadcast_to(self.energy + self.outside, (n_fits, self.n_clients))
        center = None
        if self.design.any():
            mass = weights @ self.design**2
            center = (weights @ (self.design[:, None] * self.flat)) / mass[:, None]
            block = center.reshape(n_fits, self.size, self.q)
            scatter = scatter - mass[:, None] * (block @ block.transpose(0, 2, 1)).reshape(n_fits, -1)
            residual = (
                residual
                - 2.0 * self.design * (center @ self.flat.T)
                + self.design**2 * np.einsum("ni,ni->n", center, center)[:, None]
            )
        if self.size == 0:
            return np.asarray(residual), np.zeros(n_fits)
        scatter = scatter.reshape(n_fits, self.size, self.size)
        if self.rank == 0:
            return np.maximum(residual, 0.0), np.asarray(np.linalg.eigvalsh(scatter)[:, -1])
        values, vectors = np.linalg.eigh(scatter)
        left = values[:, -1 - self.rank] if self.rank < self.size else np.zeros(n_fits)
        bases = vectors[:, :, -self.rank :]
        projectors = bases @ bases.transpose(0, 2, 1)
        residual = residual - projectors.reshape(n_fits, -1) @ self.scatter.T
        if center is not None:
            shadow = (projectors @ block).reshape(n_fits, -1)
            residual = (
                residual
                + 2.0 * self.design * (shadow @ self.flat.T)
                - self.design**2 * np.einsum("ni,ni->n", shadow, shadow)[:, None]
            )
        return np.maximum(residual, 0.0), left
