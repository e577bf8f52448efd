"""Other ways to the same end: a textbook splitting loop, cvxpy, and robust PCA packages when they are installed.

The packages (``pip install tensorly rpca``, optional) solve entrywise robust PCA, another program: for them the time
and the error of the recovered subspace are comparable, the objective is not.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from clair_stats.linalg import stack, unstack
from clair_stats.records import FloatArray

__all__ = ["package_peers", "textbook_splitting"]


def textbook_splitting(
    blocks: FloatArray, lam: float, *, common: bool, tolerance: float, max_iterations: int = 500
) -> tuple[int, float]:
    """Program (E) by plain splitting with a full SVD at every step; (iterations, relative gap)."""
    n_clients = len(blocks)
    x = stack(blocks)

    def centred(matrix: FloatArray) -> FloatArray:
        return stack((lambda b: b - b.mean(axis=0))(unstack(matrix, n_clients))) if common else matrix

    def block_norms(matrix: FloatArray) -> FloatArray:
        return np.asarray(np.linalg.norm(unstack(matrix, n_clients), axis=(1, 2)))

    rho = 2.0 * lam / float(np.median(block_norms(centred(x))))
    sparse, scaled, gap = np.zeros_like(x), np.zeros_like(x), np.inf
    for iteration in range(1, max_iterations + 1):
        argument = x - sparse + scaled
        middle = centred(argument)
        left, values, right = np.linalg.svd(middle, full_matrices=False)
        low_rank = (left * np.maximum(values - 1.0 / rho, 0.0)) @ right
        dual = rho * (middle - low_rank)
        relaxed = 1.6 * (argument - middle + low_rank) - 0.6 * (x - sparse)
        offered = x - relaxed + scaled
        norms = block_norms(offered)
        factors = np.maximum(1.0 - lam / (rho * norms), 0.0)
        sparse = stack(unstack(offered, n_clients) * factors[:, None, None])
        scaled = offered - sparse
        # The loop's own first-order estimate, free of a second SVD (to its advantage).
        primal = float(np.maximum(values - 1.0 / rho, 0.0).sum()) + lam * float((factors * norms).sum())
        gap = (primal - float(np.vdot(dual, x)) * min(1.0, lam / float(block_norms(dual).max()))) / primal
        residual = float(np.linalg.norm(x - sparse - (argument - middle + low_rank))) / primal
        if max(abs(gap), residual) <= tolerance:
            return iteration, gap
    return max_iterations, gap


def package_peers() -> dict[str, Callable[[FloatArray], FloatArray]]:
    """Installed packages: name -> function from p × qK to its low-rank part."""
    found: dict[str, Callable[[FloatArray], FloatArray]] = {}
    if importlib.util.find_spec("tensorly") is not None:
        decomposition: Any = importlib.import_module("tensorly.decomposition")

        def tensorly_peer(matrix: FloatArray) -> FloatArray:
            weight = 1.0 / np.sqrt(max(matrix.shape))
            low_rank, _ = decomposition.robust_pca(matrix, reg_E=weight, n_iter_max=300, tol=1e-7, verbose=0)
            return np.asarray(low_rank)

        found["tensorly robust_pca"] = tensorly_peer
    if importlib.util.find_spec("rpca") is not None:
        rpca: Any = importlib.import_module("rpca")

        def rpca_peer(matrix: FloatArray) -> FloatArray:
            solver = rpca.RobustPCA(n_components=3, tol=1e-7, max_iter=300, verbose=False)
            solver.fit(matrix)
            low_rank = solver.low_rank_
            return np.asarray(low_rank)

        found["rpca (alternating projections)"] = rpca_peer
    return found
