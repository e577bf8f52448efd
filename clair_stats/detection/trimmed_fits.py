"""Least-squares fits on many sets of clients at once, in a few directions: the engine of every search.

The scatter of the blocks about their geometric median, every block scaled to norm one, gives each client the same
weight (spatial signs).  Its eigenvectors above the noise bulk span the shared subspace and every direction that
contaminated clients agree on; what is scattered stays outside.  In the coordinates of these directions the scatter of
a set is a sum of small matrices, so that one product and one batched eigendecomposition fit hundreds of sets.

See docs/derivations/detection.md, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clair_stats.detection.panel import Panel
from clair_stats.laws import noise_edge
from clair_stats.linalg import symmetric_eigen
from clair_stats.records import BoolArray, FloatArray

__all__ = [
    "Coordinates",
    "Fits",
    "Kernel",
    "count_above_noise",
    "directions_above_noise",
    "leading_directions",
    "nearest",
    "tie_break",
    "unique_masks",
]


# Level at which a direction is seen in a bulk of two: a direction too many costs a rank that is looked at.
_UNLIKE = 1e-3


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Blocks in the coordinates of orthonormal directions, and what lies outside them."""

    directions: FloatArray  # (p, R), orthonormal
    inside: FloatArray  # (K, R, q), of Y_k about the robust centre
    outside: FloatArray  # (K,), energy of Y_k about the robust centre outside the directions


def directions_above_noise(panel: Panel) -> Coordinates:
    """As many directions as stand out of the bulk; at most all p of them.

    Parameters
    ----------
    panel : Panel

    Returns
    -------
    Coordinates
    """
    return _along(panel, panel.sign_spectrum[1][:, : count_above_noise(panel)])


def count_above_noise(panel: Panel) -> int:
    """How many directions stand out of the bulk.

    Parameters
    ----------
    panel : Panel

    Returns
    -------
    int
    """
    n_clients, p, q = panel.shape
    return _above_bulk(panel.sign_spectrum[0], p, n_clients * q)


def leading_directions(panel: Panel, count: int) -> Coordinates:
    """The first ``count`` directions, whatever the law of the noise.

    Parameters
    ----------
    panel : Panel
    count : int

    Returns
    -------
    Coordinates
    """
    return _along(panel, panel.sign_spectrum[1][:, :count])


def _along(panel: Panel, directions: FloatArray) -> Coordinates:
    directions = np.ascontiguousarray(directions)
    inside = np.concatenate([directions.T @ blocks for _, blocks in panel.centred_parts()])
    outside = np.maximum(panel.centred_energies - np.einsum("kij,kij->k", inside, inside), 0.0)
    return Coordinates(directions, inside, outside)


def _above_bulk(values: FloatArray, p: int, columns: int) -> int:
    """Eigenvalues above the noise edge, the noise variance estimated from those below; fixed point from above.

    Too many directions cost time, a missing one costs the answer, hence the start from an empty bulk of one eigenvalue.
    A bulk of two has an exact law, and needs it: the larger of two is at most twice their mean, which no edge is below.
    """
    if p == 1 or columns <= 1:
        return p
    tiny = 1e-13 * float(values[0])
    count = int(np.count_nonzero(values > tiny))
    sizes, sums = values.tolist(), np.cumsum(values[::-1]).tolist()
    while count > 0:
        # Variance of the bulk if exactly the eigenvalues from count−1 on are noise.
        bulk = values.size - count + 1
        if bulk == 2:
            if _two_unlike(values[count - 1 :], columns - count + 1):
                break
            count -= 1
            continue
        variance = sums[bulk - 1] / bulk / columns
        if sizes[count - 1] > variance * noise_edge(bulk, columns) and sizes[count - 1] > tiny:
            break
        count -= 1
    return count


def _two_unlike(pair: FloatArray, columns: int) -> bool:
    """Whether two eigenvalues of a scatter of ``columns`` columns are refuted to be noise of one variance.

    For white Gaussian columns W = 4ab/(a + b)² has P(W ≤ w) = w^((n − 1)/2) (Mauchly, Ann. Math. Statist. 11, 1940).
    Behind k directions that stand out, n − k columns are left (James, Multivariate Analysis II, 1969).
    """
    likeness = 4.0 * float(pair[0]) * float(pair[1]) / float(pair.sum()) ** 2
    return columns > 1 and likeness ** ((columns - 1) / 2.0) < _UNLIKE


# Eigenvalues below this share of a set's energy are rounding of the sums that make its scatter.
_ROUNDING = 1e-13
# Residuals that differ by less than this share are equal; and an energy that is nothing beside any that is not zero.
_TIE, _NOTHING = 1e-9, 1e-280


def tie_break(order: NDArray[np.int64]) -> FloatArray:
    """Factors (K,) just above one that let the first clients of ``order`` come first where residuals are equal.

    Two clients are equally far from their own mean, so ties are usual where searches start from pairs; rounding, which
    hangs on the order in which clients are numbered, would break them.

    Parameters
    ----------
    order : ndarray of int, shape (K,)
        Of the clients, from the data.

    Returns
    -------
    ndarray, shape (K,)
    """
    factors = np.empty(order.size)
    factors[order] = 1.0 + _TIE * np.arange(order.size) / order.size
    return factors


def nearest(residuals: FloatArray, count: int, order: NDArray[np.int64]) -> BoolArray:
    """For every row of (N, K) the ``count`` smallest entries, equal ones in the order of the clients that is given.

    Parameters
    ----------
    residuals : ndarray, shape (N, K)
    count : int
    order : ndarray of int, shape (K,)
        From the data.

    Returns
    -------
    bool ndarray, shape (N, K)
    """
    kept = np.zeros(residuals.shape, dtype=np.bool_)
    factors = tie_break(order)
    residuals = residuals * factors + (factors - 1.0) * _NOTHING
    # Plain indexing and a dictionary below: np.put_along_axis and np.unique cost three times as much on a few masks.
    kept[np.arange(len(kept))[:, None], np.argpartition(residuals, count - 1, axis=1)[:, :count]] = True
    return kept


def unique_masks(masks: BoolArray, order: NDArray[np.int64]) -> BoolArray:
    """Masks (N, K) without repetitions; sets that hold the first clients of ``order`` come first.

    Of sets of one size the first are tried first, so their order must not hang on how the clients are numbered.

    Parameters
    ----------
    masks : bool ndarray, shape (N, K)
    order : ndarray of int, shape (K,)
        Of the clients, from the data.

    Returns
    -------
    bool ndarray, shape (N, K)
    """
    rows = {key: i for i, key in enumerate(_keys(masks[:, order]))}
    return masks[[rows[key] for key in sorted(rows, reverse=True)]]


def _keys(masks: BoolArray) -> list[bytes]:
    return [row.tobytes() for row in np.packbits(masks, axis=1)]


@dataclass(frozen=True, eq=False)
class _Spectra:
    """Scatters of N masks about their own means."""

    values: FloatArray  # (N, R), ascending
    vectors: FloatArray  # (N, R, R); 0 for directions that a set does not determine
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

        Two updates of rank s determine 2s directions at most.  A further eigenvector would be any vector, by rounding,
        and with it the answer would hang on the order of the clients; it is set to zero and takes nothing out.

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
        rounding = _ROUNDING * (weights @ self.energy)
        centre = None
        if self.panel.common_component:
            mass = weights @ self.design**2
            centre = (weights @ (self.design[:, None] * self.flat)) / mass[:, None]
            block = centre.reshape(len(masks), self.size, self.q)
            scatter = scatter - mass[:, None] * (block @ block.transpose(0, 2, 1)).reshape(len(masks), -1)
        values, vectors = symmetric_eigen(scatter.reshape(len(masks), self.size, self.size))
        told = values > rounding[:, None]
        found = _Spectra(np.where(told, values, 0.0), vectors * told[:, None, :], centre)
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
        sizes = residual = np.broadcast_to(kernel.energy + kernel.outside, (n_fits, kernel.n_clients))
        spectra = kernel.spectra(masks, first=first)
        centre = spectra.centre
        if centre is not None:
            sizes = sizes + kernel.design**2 * np.einsum("ni,ni->n", centre, centre)[:, None]
            residual = sizes - 2.0 * kernel.design * (centre @ kernel.flat.T)
        left = spectra.values[:, -1 - rank] if rank < kernel.size else np.zeros(n_fits)
        if rank == 0:
            return _without_rounding(residual, sizes), left
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
        return _without_rounding(residual, sizes), left


def _without_rounding(residuals: FloatArray, sizes: FloatArray) -> FloatArray:
    """Residual energies (N, K), those that are rounding of the sizes (N, K) they are differences of set to zero.

    Otherwise clients that agree exactly would be told apart by rounding, and that hangs on their order.
    """
    return np.where(residuals > _ROUNDING * sizes, residuals, 0.0)
