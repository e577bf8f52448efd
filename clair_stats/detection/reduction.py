"""A small space that contains everything clients have in common, benign or not.

The scatter of the blocks about their entrywise median, every block scaled to norm one, gives each client the same say
(spatial signs).  Its eigenvectors above the noise bulk span the shared subspace and every direction that contaminated
clients agree on; what is scattered stays outside.  The search for the collaborative set runs in these few coordinates,
where small subsets of clients determine a subspace well and a start costs microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clair_stats.detection.panel import Panel
from clair_stats.detection.whiteness import noise_edge
from clair_stats.linalg import entrywise_median
from clair_stats.records import FloatArray

__all__ = ["Reduction", "extended", "leading_directions", "reduce_panel"]


@dataclass(frozen=True, eq=False)
class Reduction:
    """Coordinates in the common directions, and what lies outside them."""

    directions: FloatArray  # (p, R), orthonormal
    coordinates: FloatArray  # (K, R, q), of Y_k
    outside: FloatArray  # (K,), energy of Y_k about the robust centre outside the directions


def reduce_panel(panel: Panel) -> Reduction:
    """Find the directions; at most all p of them."""
    n_clients, p, q = panel.shape
    values, vectors = _sign_scatter(panel)
    return _along(panel, vectors[:, : _above_bulk(np.maximum(values, 0.0), p, n_clients * q)])


def leading_directions(panel: Panel, count: int) -> Reduction:
    """The first ``count`` directions, whatever the law of the noise."""
    return _along(panel, _sign_scatter(panel)[1][:, :count])


def _sign_scatter(panel: Panel) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues (p,), descending, and vectors (p, p) of the scatter of the clients' signs."""
    p, q = panel.shape[1:]
    centered = panel.blocks - panel.design[:, None, None] * panel.robust_center
    norms = np.sqrt(np.einsum("kij,kij->k", centered, centered))
    least = max(panel.floor * np.sqrt(p * q), np.finfo(float).tiny)
    signs = centered / np.maximum(norms, least)[:, None, None]
    tall = signs.transpose(1, 0, 2).reshape(p, -1)
    values, vectors = np.linalg.eigh(tall @ tall.T)
    return values[::-1], vectors[:, ::-1]


def _along(panel: Panel, directions: FloatArray) -> Reduction:
    directions = np.ascontiguousarray(directions)
    centered = panel.blocks - panel.design[:, None, None] * panel.robust_center
    inside = directions.T @ centered
    energies = np.einsum("kij,kij->k", centered, centered)
    outside = np.maximum(energies - np.einsum("kij,kij->k", inside, inside), 0.0)
    return Reduction(directions, directions.T @ panel.blocks, outside)


def extended(panel: Panel, reduction: Reduction, direction: FloatArray) -> Reduction:
    """The reduction with one more direction (p,), orthonormalised against those it has."""
    known = reduction.directions
    fresh = direction - known @ (known.T @ direction)
    fresh = fresh / np.linalg.norm(fresh)
    along = np.einsum("p,kpq->kq", fresh, panel.blocks)
    if panel.common_component:
        centre = entrywise_median((along / panel.design[:, None])[:, None, :])[0]
        energy = np.sum((along - panel.design[:, None] * centre) ** 2, axis=1)
    else:
        energy = np.sum(along**2, axis=1)
    return Reduction(
        np.column_stack([known, fresh]),
        np.concatenate([reduction.coordinates, along[:, None, :]], axis=1),
        np.maximum(reduction.outside - energy, 0.0),
    )


def _above_bulk(values: FloatArray, p: int, columns: int) -> int:
    """Eigenvalues above the noise edge, the noise variance estimated from those below; fixed point from above.

    Too many directions cost time, a missing one costs the answer, hence the start from an empty bulk of one eigenvalue.
    """
    if p == 1 or columns <= 1:
        return p
    tiny = 1e-13 * float(values[0])
    count = int(np.count_nonzero(values > tiny))
    while count > 0:
        # Variance of the bulk if exactly the eigenvalues from count−1 on are noise.
        bulk = values[count - 1 :]
        variance = float(bulk.mean()) / columns
        if float(values[count - 1]) > variance * noise_edge(bulk.size, columns) and float(values[count - 1]) > tiny:
            break
        count -= 1
    return count
