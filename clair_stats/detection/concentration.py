"""Concentration steps: from a start, refit on the half that fits best, again and again.

For a given rank the target is the set of h = ⌊K/2⌋ + 1 clients with the smallest total residual (least trimmed squares;
concentration steps after Rousseeuw and Van Driessen, Technometrics 41(3), 1999, carried from points to blocks).  One
step never increases that total.  When q ≥ r the difference of two benign clients already spans U, so starts from very
small random subsets are all benign often enough at shares near one half.
"""

from __future__ import annotations

import numpy as np

from clair_stats.detection.reduction import Reduction
from clair_stats.records import BoolArray, FloatArray

__all__ = ["best_halves", "random_subsets"]

_FIRST_STEPS = 2
_KEPT = 10
_LAST_STEPS = 12


def random_subsets(n_clients: int, sizes: tuple[int, ...], count: int, generator: np.random.Generator) -> BoolArray:
    """``count`` masks (count, K) for every size, drawn without replacement inside a mask."""
    order = np.argsort(generator.random((count * len(sizes), n_clients)), axis=1)
    size = np.repeat(np.asarray(sizes), count)
    return np.asarray(np.argsort(order, axis=1) < size[:, None])


def best_halves(
    reduction: Reduction, design: FloatArray, starts: BoolArray, rank: int, half: int, n_best: int
) -> tuple[BoolArray, FloatArray]:
    """Run concentration steps from every start.

    Returns
    -------
    halves : array, shape (≤ n_best, K) of bool
        Distinct h-subsets, best first.
    totals : array, shape (≤ n_best,)
        Their residual sums of squares.
    """
    kernel = _Kernel(reduction, design, rank)
    masks = starts
    for _ in range(_FIRST_STEPS):
        masks, totals = kernel.step(masks, half)
    masks, totals = _distinct(masks, totals, _KEPT)
    for _ in range(_LAST_STEPS):
        previous = masks
        masks, totals = kernel.step(masks, half)
        if np.array_equal(previous, masks):
            break
    return _distinct(masks, totals, n_best)


def _distinct(masks: BoolArray, totals: FloatArray, count: int) -> tuple[BoolArray, FloatArray]:
    order = np.argsort(totals, kind="stable")
    chosen: list[int] = []
    seen: set[bytes] = set()
    for i in order:
        key = masks[i].tobytes()
        if key not in seen:
            seen.add(key)
            chosen.append(int(i))
        if len(chosen) == count:
            break
    return masks[chosen], totals[chosen]


class _Kernel:
    """Many weighted fits at once; everything a step needs from the data is formed here, once."""

    def __init__(self, reduction: Reduction, design: FloatArray, rank: int) -> None:
        blocks = reduction.coordinates
        self.n_clients, self.size, self.q = blocks.shape
        self.rank = min(rank, self.size)
        self.design = design
        self.outside = reduction.outside
        # One common shift leaves every residual unchanged and keeps the differences below free of cancellation.
        if design.any():
            blocks = blocks - design[:, None, None] * np.median(blocks / design[:, None, None], axis=0)
        self.flat = np.ascontiguousarray(blocks.reshape(self.n_clients, -1))
        self.wide = np.ascontiguousarray(blocks.transpose(1, 0, 2).reshape(self.size, -1))
        self.scatter = (blocks @ blocks.transpose(0, 2, 1)).reshape(self.n_clients, -1)
        self.energy = np.einsum("ki,ki->k", self.flat, self.flat)

    def step(self, masks: BoolArray, half: int) -> tuple[BoolArray, FloatArray]:
        """Fit on every mask, keep the h clients with the smallest residual."""
        residuals = self.residuals(masks.astype(np.float64))
        nearest = np.argpartition(residuals, half - 1, axis=1)[:, :half]
        kept = np.zeros_like(masks)
        np.put_along_axis(kept, nearest, True, axis=1)
        return kept, np.asarray(np.take_along_axis(residuals, nearest, axis=1).sum(axis=1))

    def residuals(self, weights: FloatArray) -> FloatArray:
        """Residual energies (N, K) of all clients about N fits."""
        n_fits = weights.shape[0]
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
        if self.rank:
            vectors = np.linalg.eigh(scatter.reshape(n_fits, self.size, self.size))[1]
            bases = np.ascontiguousarray(vectors[:, :, -self.rank :].transpose(0, 2, 1))  # (N, r, R)
            inside = (bases.reshape(-1, self.size) @ self.wide).reshape(n_fits, self.rank, self.n_clients, self.q)
            if center is not None:
                inside -= self.design[:, None] * (bases @ block)[:, :, None, :]
            residual = residual - np.einsum("nrkq,nrkq->nk", inside, inside)
        return np.asarray(residual)
