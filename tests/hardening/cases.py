"""Twelve clients that share one direction, in noise; what the tests of this folder break."""

import numpy as np

K, P, Q = 12, 6, 4


def shared(noise=0.1, n_clients=K, seed=0):
    """Estimates (K, 6, 4) and their shared direction (6, 1)."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((P, 1)))[0]
    errors = noise * rng.standard_normal((n_clients, P, Q))
    return basis @ rng.standard_normal((n_clients, 1, Q)) + errors, basis
