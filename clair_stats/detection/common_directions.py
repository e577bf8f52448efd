"""The few directions that clients have in common, benign or not: coordinates in which a search is cheap.

The scatter of the blocks about their geometric median, every block scaled to norm one, gives each client the same
weight (spatial signs).  Its eigenvectors above the noise bulk span the shared subspace and every direction that
contaminated clients agree on; what is scattered stays outside.

See docs/derivations/detection.md, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clair_stats.detection.panel import Panel
from clair_stats.laws import noise_edge
from clair_stats.records import FloatArray

__all__ = ["Coordinates", "count_above_noise", "directions_above_noise", "leading_directions"]


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
