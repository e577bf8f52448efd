"""Least-squares fits on many sets of clients at once: the engine of every search.

In the coordinates of a few directions the scatter of a set is a sum of small matrices, so that one product and one
batched eigendecomposition fit hundreds of sets.

See docs/derivations/detection.md, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clair_stats.detection.common_directions import Coordinates
from clair_stats.detection.panel import Panel
from clair_stats.linalg import symmetric_eigen
from clair_stats.records import BoolArray, FloatArray

__all__ = ["Fits", "Kernel", "nearest", "unique_masks"]


def nearest(residuals: FloatArray, count: int) -> BoolArray:
    """For every row of (N, K) the ``count`` smallest entries.

    Parameters
    ----------
    residuals : ndarray, shape (N, K)
    count : int

    Returns
    -------
    bool ndarray, shape (N, K)
    """
    kept = np.zeros(residuals.shape, dtype=np.bool_)
    # Plain indexing and a dictionary below: np.put_along_axis and np.unique cost three times as much on a few masks.
    kept[np.arange(len(kept))[:, None], np.argpartition(residuals, count - 1, axis=1)[:, :count]] = True
    return kept


def unique_masks(masks: BoolArray) -> BoolArray:
    """Masks (N, K) without repetitions, in a fixed order.

    Parameters
    ----------
    masks : bool ndarray, shape (N, K)

    Returns
    -------
    bool ndarray, shape (N, K)
    """
    rows = {key: i for i, key in reversed(list(enumerate(_keys(masks))))}
    return masks[[rows[key] for key in sorted(rows)]]


def _keys(masks: BoolArray) -> list[bytes]:
    return [row.tobytes() for row in np.packbits(masks, axis=1)]


@dataclass(frozen=True, eq=False)
class _Spectra:
    """Scatters of N masks about their own means."""

    values: FloatArray  # (N, R), ascending
    vectors: FloatArray  # (N, R, R)
    centre: FloatArray | None  # (N, R·q), None without a common component


class Kernel:
    """Weighted fits on many sets of clients at once; everything a step needs from the data is formed here, once."""

    def __init__(self, panel: Panel, coordinates: Coordinates) -> None:
        blocks, design = coordinates.inside, panel.design
        self.panel = panel
        self.n_clients, self.size, self.q = blocks.shape
        self.design = design
        self.outside = coordinates.outside
        self.flat = np.ascontiguousarray(blocks.reshape(self.n_clients, -1))
        self.scatter = (blocks @ blocks.transpose(0, 2, 1)).reshape(self.n_clients, -1)
        self.energy = np.einsum("ki,ki->k", self.flat, self.flat)
        self._first: tuple[bytes, _Spectra] | None = None

    def spectra(self, masks: BoolArray, *, first: bool = False) -> _Spectra:
        """Eigendecompositions for masks (N, K); those of the ``first`` masks of a search serve every rank.

        Parameters
        ----------
        masks : bool ndarray, shape (N, K)
        first : bool

        Returns
        -------
        Spectra of the N masks
        """
        key = masks.tobytes() if first else b""
        if first and self._first is not None and self._first[0] == key:
            return self._first[1]
        weights = masks.astype(np.float64)
        scatter = weights @ self.scatter
        centre = None
        if self.panel.common_component:
            mass = weights @ self.design**2
            centre = (weights @ (self.design[:, None] * self.flat)) / mass[:, None]
            block = centre.reshape(len(masks), self.size, self.q)
            scatter = scatter - mass[:, None] * (block @ block.transpose(0, 2, 1)).reshape(len(masks), -1)
        values, vectors = symmetric_eigen(scatter.reshape(len(masks), self.size, self.size))
        found = _Spectra(values, vectors, centre)
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
        """Residual variance (N,) of the masks; the known one when there is one.

        Parameters
        ----------
        masks : bool ndarray, shape (N, K)
        residuals : ndarray, shape (N, K)
            Squared scale of the Y_k.

        Returns
        -------
        ndarray, shape (N,)
        """
        panel = self.kernel.panel
        if panel.noise is not None:
            return np.full(len(masks), max(panel.noise, panel.floor) ** 2)
        _, p, q = panel.shape
        columns = (masks.sum(axis=1) - int(panel.common_component)) * q - self.rank
        freedom = np.maximum((p - self.rank) * columns, 1)
        pooled = np.where(masks, residuals, 0.0).sum(axis=1) / freedom
        return np.asarray(np.maximum(pooled, panel.floor**2))

    def residuals(self, masks: BoolArray, *, first: bool = False) -> tuple[FloatArray, FloatArray]:
        """Residual energies (N, K) of all clients about the fits on N masks, and the first eigenvalue left out (N,).

        Parameters
        ----------
        masks : bool ndarray, shape (N, K)
        first : bool

        Returns
        -------
        tuple of ndarray, shapes (N, K) and (N,)
            Squared scale of the Y_k.
        """
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
        centre = spectra.centre
        if centre is not None:
            residual = (
                residual
                - 2.0 * kernel.design * (centre @ kernel.flat.T)
                + kernel.design**2 * np.einsum("ni,ni->n", centre, centre)[:, None]
            )
        left = spectra.values[:, -1 - rank] if rank < kernel.size else np.zeros(n_fits)
        if rank == 0:
            return np.maximum(residual, 0.0), left
        bases = spectra.vectors[:, :, -rank:]
        projectors = bases @ bases.transpose(0, 2, 1)
        residual = residual - projectors.reshape(n_fits, -1) @ kernel.scatter.T
        if centre is not None:
            shadow = (projectors @ centre.reshape(n_fits, kernel.size, kernel.q)).reshape(n_fits, -1)
            residual = (
                residual
                + 2.0 * kernel.design * (shadow @ kernel.flat.T)
                - kernel.design**2 * np.einsum("ni,ni->n", shadow, shadow)[:, None]
            )
        return np.maximum(residual, 0.0), left
