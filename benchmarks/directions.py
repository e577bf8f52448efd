"""What a cap on the directions of refinement costs: ``python -m benchmarks.directions`` (five minutes of one core).

Clients differ by h times the noise; the variance of their differences falls with the number i of the direction as i⁻ᵃ.
Printed are squared errors of refined estimates over those of the clients' own, and their ratio to the error with 256.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from clair_stats.records import FloatArray
from clair_stats.refinement import shrink
from clair_stats.refinement.error_energy import WhiteEnergy

_CAPS = (32, 64, 128, 256)
_SHAPES = ((24, 256, 64), (12, 400, 200))
_DECAYS = (0.0, 0.5, 1.0, 2.0)
_DIFFERENCES = (0.5, 1.0, 3.0)
_REPLICATIONS = 4
_SEED = 20_261_127


def errors(shape: tuple[int, int, int], decay: float, difference: float) -> FloatArray:
    """Relative squared error per replication and cap.

    Parameters
    ----------
    shape : tuple of int
        K, p, q.
    decay, difference : float
        a and h.

    Returns
    -------
    ndarray, shape (replications, caps)
    """
    n_clients, p, q = shape
    variances = np.arange(1.0, p + 1.0) ** -decay
    sizes = difference * np.sqrt(variances * p / variances.sum())[None, :, None]
    energy, members = WhiteEnergy(np.ones(n_clients), (p, q)), np.ones(n_clients, dtype=np.bool_)
    found = np.empty((_REPLICATIONS, len(_CAPS)))
    for replication in range(_REPLICATIONS):
        rng = np.random.default_rng([_SEED, replication])
        truth = sizes * rng.standard_normal(shape)
        own = truth + rng.standard_normal(shape)
        for place, cap in enumerate(_CAPS):
            shrink.MOST_DIRECTIONS = cap
            refined = shrink.shrink(own, members, np.ones(n_clients), energy).estimates
            found[replication, place] = np.sum((refined - truth) ** 2) / truth.size
    return found


def main() -> None:
    """Print one line per setting."""
    print("K, p, q | a | h |", *(f"{cap} |" for cap in _CAPS), "error over that with 256")
    for shape, decay, difference in product(_SHAPES, _DECAYS, _DIFFERENCES):
        found = errors(shape, decay, difference)
        over = found / found[:, -1:]
        told = [
            f"{m:.4f} ({s:.4f})" for m, s in zip(over.mean(0), over.std(0, ddof=1) / _REPLICATIONS**0.5, strict=True)
        ]
        print(*shape, decay, difference, *found.mean(0).round(4), *told[:-1], sep=" | ", flush=True)


if __name__ == "__main__":
    main()
