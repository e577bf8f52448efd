"""Instances for the tests of the theory room, drawn without the simulation engine."""

from __future__ import annotations

import numpy as np

from clair_stats.theory import instance_certificate


def draw(rng, *, common, kind="random", p=None, q=None, n_clients=None, rank=None, n_contaminated=None):
    """(X, U, A, mask, M) of one noiseless instance; the first clients are contaminated."""
    rank = rank or int(rng.integers(1, 3))
    p = p or int(rng.integers(rank + 1, 9))
    q = q or int(rng.integers(1, 5))
    n_clients = n_clients or int(rng.integers(8, 16))
    n_contaminated = n_contaminated or int(rng.integers(1, n_clients // 2))
    basis = np.linalg.qr(rng.normal(size=(p, rank)))[0]
    coefficients = rng.normal(size=(n_clients, q, rank)) * rng.uniform(0.5, 2, size=(n_clients, 1, 1))
    mean = rng.normal(size=(p, q)) if common else np.zeros((p, q))
    values = mean + np.einsum("pi,kqi->kpq", basis, coefficients)
    mask = np.arange(n_clients) >= n_contaminated
    off = np.eye(p) - basis @ basis.T
    if kind == "identical":
        values[~mask] = mean + rng.uniform(0.1, 10) * off @ np.outer(rng.normal(size=p), rng.normal(size=q))
    else:
        values[~mask] += rng.uniform(0.01, 10) * np.einsum("ij,kjq->kiq", off, rng.normal(size=(n_contaminated, p, q)))
    return values, basis, coefficients, mask, mean


def certified(seed, common, *, below=1.0):
    """(certificate, X, U, mask, M) of the first certified instance of 14 clients, η and κ below a limit."""
    rng = np.random.default_rng(seed)
    while True:
        values, basis, _, mask, mean = draw(rng, common=common, n_clients=14, n_contaminated=2)
        certificate = instance_certificate(
            values, basis=basis, collaborative_set=mask, block_penalty=0.55, common_component=common
        )
        if certificate.certified and max(certificate.eta, certificate.kappa) < below:
            return certificate, values, basis, mask, mean
