"""One table of named problems; every solver runs on all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clair_stats.records import FloatArray


@dataclass(frozen=True)
class NamedProblem:
    name: str
    blocks: FloatArray  # (K, p, q)
    options: dict[str, Any] = field(default_factory=dict)


def instance(
    p: int,
    q: int,
    n_clients: int,
    rank: int,
    *,
    seed: int,
    common: bool = True,
    share: float = 0.25,
    noise: float = 0.0,
    size: float = 1.0,
    kind: str = "scattered",
) -> FloatArray:
    """Benign U A_kᵀ (+ M), a share of clients contaminated, plus noise; blocks (K, p, q)."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((p, rank)))[0]
    blocks = np.einsum("pr,kqr->kpq", basis, rng.standard_normal((n_clients, q, rank)))
    if common:
        blocks = blocks + rng.standard_normal((p, q))
    direction = rng.standard_normal((p, q))
    for k in range(round(share * n_clients)):
        if kind == "scattered":
            moved = rng.standard_normal((p, q))
        elif kind == "rank_one":
            moved = np.outer(rng.standard_normal(p), rng.standard_normal(q))
        elif kind == "identical":
            moved = direction
        else:
            moved = -2.0 * blocks[k]
        blocks[k] += size * np.sqrt(q * rank) * moved / np.linalg.norm(moved)
    return blocks + noise * rng.standard_normal(blocks.shape)


def penalty(n_clients: int, rank: int) -> float:
    return float(1.8 * np.sqrt(rank / n_clients))


def _table() -> tuple[NamedProblem, ...]:
    lam = penalty(8, 1)
    free, fixed = {"block_penalty": lam}, {"block_penalty": lam, "common_component": False}
    exact = instance(5, 3, 8, 1, seed=1)
    exact0 = instance(5, 3, 8, 1, seed=2, common=False)
    noisy = instance(5, 3, 8, 1, seed=3, noise=0.2)
    noisy0 = instance(5, 3, 8, 1, seed=4, noise=0.2, common=False)
    radius = 0.2 * float(np.sqrt(noisy.size))
    weights = np.linspace(0.7, 1.4, 8)
    return (
        NamedProblem("exact", exact, free),
        NamedProblem("exact, no common", exact0, fixed),
        NamedProblem("exact, default penalty", exact, {}),
        NamedProblem("noise in (E)", noisy, free),
        NamedProblem("noise in (E), no common", noisy0, fixed),
        NamedProblem("rank-one contamination", instance(5, 3, 8, 1, seed=5, kind="rank_one"), free),
        NamedProblem("identical contamination", instance(5, 3, 8, 1, seed=6, kind="identical"), free),
        NamedProblem("sign flips", instance(5, 3, 8, 1, seed=7, kind="flip"), free),
        NamedProblem("large contamination", instance(5, 3, 8, 1, seed=8, size=30.0), free),
        NamedProblem("small contamination", instance(5, 3, 8, 1, seed=9, size=0.1), free),
        NamedProblem("no contamination", instance(5, 3, 8, 1, seed=10, share=0.0), free),
        NamedProblem("shared rows", np.swapaxes(exact, 1, 2).copy(), {**free, "shared": "rows"}),
        NamedProblem("client weights", exact, {**free, "client_weights": weights}),
        NamedProblem("client weights, no common", noisy0, {**fixed, "client_weights": weights}),
        NamedProblem("(N), small tau", noisy, {**free, "noise_penalty": 0.2}),
        NamedProblem("(N), moderate tau", noisy, {**free, "noise_penalty": 1.0}),
        NamedProblem("(N), no common", noisy0, {**fixed, "noise_penalty": 1.0}),
        NamedProblem("(N), everything vanishes", noisy0, {**fixed, "noise_penalty": 50.0}),
        NamedProblem("(N), client weights", noisy, {**free, "noise_penalty": 0.7, "client_weights": weights}),
        NamedProblem("(B)", noisy, {**free, "noise_radius": radius}),
        NamedProblem("(B), no common", noisy0, {**fixed, "noise_radius": radius}),
        NamedProblem("(B), small radius", noisy, {**free, "noise_radius": 1e-2}),
        NamedProblem(
            "(B), shared rows", np.swapaxes(noisy0, 1, 2), {**fixed, "noise_radius": radius, "shared": "rows"}
        ),
        NamedProblem("wide blocks", instance(4, 7, 6, 1, seed=11), {"block_penalty": penalty(6, 1)}),
        NamedProblem("fewer columns than rows in all", instance(12, 2, 4, 1, seed=12), {"block_penalty": 0.9}),
        NamedProblem("row vectors", instance(1, 9, 5, 1, seed=13, noise=0.3), {"block_penalty": 0.7}),
        NamedProblem("column vectors", instance(9, 1, 6, 1, seed=14, noise=0.3), {"block_penalty": 0.7}),
    )


PROBLEMS = _table()
