"""Starting sets for the consensus search, improved by concentration steps without any noise scale."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from clair_stats.linalg import block_norms
from clair_stats.records import BoolArray, FloatArray

__all__ = ["Candidates"]

# Fixed, so that the same estimates always give the same answer; the starts are part of the algorithm, not of the data.
_SEED = 20260521
_STEPS = 4


class Candidates:
    """Half-samples that may be benign, best first.

    Parameters
    ----------
    blocks : array, shape (K, p, q)
    weights : array, shape (K,)
        Relative precisions.
    orders : list of arrays, shape (K,)
        Each a score by which the h smallest clients form a start (norms of the convex S, of median-centred blocks, …).
    n_random : int
        Random subsets per rank.
    """

    def __init__(
        self,
        blocks: FloatArray,
        weights: FloatArray,
        orders: list[FloatArray],
        *,
        common_component: bool,
        n_random: int = 24,
    ) -> None:
        n_clients, p, q = blocks.shape
        self._weights = weights
        self._common = common_component
        self._majority = n_clients // 2 + 1
        self._orders = orders
        self._n_random = n_random
        # Work at unit scale: squared norms of 1e160 would overflow.
        self._unit = float(np.median(block_norms(blocks))) or 1.0
        scaled = np.clip(blocks / self._unit, -1e100, 1e100)
        self._flat = scaled.reshape(n_clients, p * q)
        self._blocks = scaled
        self._grams = np.einsum("kij,klj->kil", scaled, scaled, optimize=True).reshape(n_clients, p * p)
        self._squares = np.einsum("ki,ki->k", self._flat, self._flat)

    def at_rank(self, rank: int) -> Iterator[BoolArray]:
        """Half-samples for one rank: deterministic starts first, then random ones ranked by their trimmed residual."""
        n_clients = self._flat.shape[0]
        ordered = [self._smallest(order[None])[0] for order in self._orders]
        masks, losses = self._concentrate(np.array(ordered), rank)
        yield from masks[np.argsort(losses, kind="stable")]
        if self._n_random:
            generator = np.random.default_rng([_SEED, rank])
            size = min(self._majority, rank + 2)
            starts = np.zeros((self._n_random, n_clients), dtype=bool)
            for start in starts:
                start[generator.choice(n_clients, size, replace=False)] = True
            masks, losses = self._concentrate(starts, rank)
            # Most starts meet at few sets; trying the best five distinct ones is what the tests pay for.
            _, first = np.unique(masks, axis=0, return_index=True)
            best = first[np.argsort(losses[first], kind="stable")][:5]
            yield from masks[best]

    def _smallest(self, values: FloatArray) -> BoolArray:
        chosen = np.argsort(values, axis=1, kind="stable")[:, : self._majority]
        masks = np.zeros(values.shape, dtype=bool)
        np.put_along_axis(masks, chosen, True, axis=1)
        return masks

    def _concentrate(self, masks: BoolArray, rank: int) -> tuple[BoolArray, FloatArray]:
        """A few concentration steps on all starts at once; (half-samples, trimmed losses)."""
        losses = np.full(masks.shape[0], np.inf)
        for _ in range(_STEPS):
            squares = self._squared_scores(masks, rank) * self._weights
            masks = self._smallest(squares)
            losses = np.where(masks, squares, 0.0).sum(axis=1)
        return masks, losses

    def _squared_scores(self, masks: BoolArray, rank: int) -> FloatArray:
        """ρ_k² under the fit on each mask, shape (starts, K), from Gram matrices: a ranking, not a certificate."""
        n_clients, p, q = self._blocks.shape
        w = masks * self._weights
        total = w.sum(axis=1, keepdims=True)
        gram = (w @ self._grams).reshape(-1, p, p)
        if self._common:
            means = (w / total) @ self._flat
            blocks_of_means = means.reshape(-1, p, q)
            gram = gram - total[:, :, None] * (blocks_of_means @ blocks_of_means.transpose(0, 2, 1))
            squares = self._squares - 2 * means @ self._flat.T + np.einsum("bi,bi->b", means, means)[:, None]
        else:
            blocks_of_means = np.zeros((masks.shape[0], p, q))
            squares = np.repeat(self._squares[None], masks.shape[0], axis=0)
        if rank:
            basis = np.linalg.eigh(gram)[1][:, :, -rank:]
            inside = np.einsum("bpr,kpq->bkrq", basis, self._blocks, optimize=True)
            inside -= np.einsum("bpr,bpq->brq", basis, blocks_of_means, optimize=True)[:, None]
            squares = squares - np.einsum("bkrq,bkrq->bk", inside, inside)
        return np.maximum(squares, 0.0)
