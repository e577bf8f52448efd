"""Instances for the detection tests, from the definition of the model and nothing of the library."""

import numpy as np


def benign_stack(rng, *, n_clients=30, p=12, q=8, rank=2, noise=0.1, common=0.3, scales=None):
    basis = np.linalg.qr(rng.standard_normal((p, max(rank, 1))))[0][:, :rank]
    centre = common * rng.standard_normal((p, q))
    coefficients = rng.standard_normal((n_clients, rank, q))
    sigma = np.full(n_clients, noise) if scales is None else scales
    targets = centre + basis @ coefficients
    return targets + sigma[:, None, None] * rng.standard_normal((n_clients, p, q)), targets, basis, centre


def contaminate_some(rng, blocks, count, size=1.0):
    """The first clients get a full-rank contamination of Frobenius norm about ``size``·√(pq)."""
    altered = blocks.copy()
    altered[:count] += size * rng.standard_normal(blocks[:count].shape)
    return altered, np.arange(len(blocks)) >= count
