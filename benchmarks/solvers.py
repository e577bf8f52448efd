"""What the solvers cost: against one SVD, against cvxpy, against peers, against size.

Each function returns rows (dictionaries) for ``docs/performance.md``; ``python -m benchmarks`` runs them all.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import scipy.linalg

from benchmarks.instances import contaminated_factors, contaminated_stack, penalty
from benchmarks.measure import alternate, fitted_exponent, timed
from benchmarks.peers import package_peers, textbook_splitting
from clair_stats.decomposition.certificate import certify
from clair_stats.decomposition.decompose import decompose, decompose_factors
from clair_stats.decomposition.problem import Problem, to_tall
from clair_stats.decomposition.solvers.exact_program import solve_exact
from clair_stats.linalg import orthonormal_basis, sin_theta, stack
from clair_stats.records import FloatArray

__all__ = ["against_cvxpy", "against_svd", "curves", "growth", "peers"]

Row = dict[str, Any]
SHAPES = ((40, 20, 60, 3), (128, 128, 50, 8), (256, 64, 100, 8), (400, 200, 60, 8))
SEEDS = range(2)


def against_svd(*, repetitions: int = 2) -> list[Row]:
    """Processor time over that of one economy SVD (LAPACK gesdd) of the same p × qK stack."""
    rows = []
    for p, q, n_clients, rank in SHAPES:
        for common in (False, True):
            for noise, program in ((0.0, "E"), (0.1, "E"), (0.1, "N")):
                ratios, gaps, best = [], [], np.inf
                for seed in SEEDS:
                    blocks = contaminated_stack(p, q, n_clients, rank, common=common, noise=noise, seed=seed)
                    matrix = stack(blocks)
                    options: Row = {"block_penalty": penalty(n_clients, rank), "common_component": common}
                    if program == "N":
                        options["noise_penalty"] = noise * (np.sqrt(p) + np.sqrt(q * n_clients))
                    svd, own, ratio = alternate(
                        partial(scipy.linalg.svd, matrix, full_matrices=False, lapack_driver="gesdd"),
                        partial(decompose, blocks, **options),
                        repetitions if p > 100 else 8 * repetitions,
                    )
                    found = decompose(blocks, **options)
                    ratios.append(ratio)
                    gaps.append(found.duality_gap / found.objective)
                    best = min(best, own)
                rows.append(
                    {
                        "p, q, K, r": f"{p}, {q}, {n_clients}, {rank}",
                        "M": "free" if common else "0",
                        "program": f"({program})",
                        "noise sd": noise,
                        "SVD, ms": 1e3 * svd,
                        "decompose, ms": 1e3 * best,
                        "SVDs (median, worst of 2 instances)": f"{np.median(ratios):.2f}, {max(ratios):.2f}",
                        "relative gap (worst)": max(gaps),
                    }
                )
    return rows


def against_cvxpy() -> list[Row]:
    """decompose against cvxpy with SCS (eps 1e-6) at 40 × 400: time and objective."""
    rows = []
    for noise in (0.0, 0.1):
        blocks = contaminated_stack(40, 10, 40, 3, common=False, noise=noise)
        options: Row = {"block_penalty": penalty(40, 3), "common_component": False}
        own = min(timed(partial(decompose, blocks, **options))[0] for _ in range(20))
        found = decompose(blocks, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            seconds, conic = timed(partial(decompose, blocks, solver="conic", **options))
        rows.append(
            {
                "noise sd": noise,
                "decompose, ms": 1e3 * own,
                "cvxpy + SCS, s": seconds,
                "times faster": round(seconds / own),
                "relative difference of objectives": abs(found.objective / conic.objective - 1.0),
                "gap, decompose": found.duality_gap / found.objective,
                "gap, SCS": conic.duality_gap / conic.objective,
            }
        )
    return rows


def curves() -> list[Row]:
    """Gap against processor time at 40 × 400, from runs to increasing accuracy."""
    rows = []
    for noise in (0.0, 0.1):
        blocks = contaminated_stack(40, 10, 40, 3, common=False, noise=noise)
        lam = penalty(40, 3)
        for tolerance in 10.0 ** -np.arange(1.0, 10.0):
            for name, fast in (("decompose", True), ("plain splitting", False)):
                seconds, gap = _solve_to(blocks, lam, float(tolerance), fast=fast)
                rows.append({"noise": noise, "solver": name, "seconds": seconds, "gap": gap})
            if tolerance >= 1e-7:
                work = partial(textbook_splitting, blocks, lam, common=False, tolerance=float(tolerance))
                seconds, (_, gap) = timed(work)
                rows.append({"noise": noise, "solver": "textbook loop", "seconds": seconds, "gap": abs(gap)})
        for tolerance in (1e-2, 1e-4, 1e-6):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                conic_work = partial(
                    decompose, blocks, block_penalty=lam, common_component=False, solver="conic", tol=tolerance
                )
                seconds, found = timed(conic_work)
            rows.append(
                {
                    "noise": noise,
                    "solver": "cvxpy + SCS",
                    "seconds": seconds,
                    "gap": found.duality_gap / found.objective,
                }
            )
    return rows


def _solve_to(blocks: FloatArray, lam: float, tolerance: float, *, fast: bool) -> tuple[float, float]:
    problem = Problem(to_tall(blocks), np.full(len(blocks), lam), common_component=False)
    gaps: list[float] = []

    def accept(point: Any) -> float:  # noqa: ANN401
        verdict = certify(problem, point.common, point.low_rank, point.block_sparse, point.dual_candidate)
        gaps.append(verdict.relative_gap)
        return gaps[-1]

    def run() -> None:
        solve_exact(
            problem, tolerance=tolerance, max_iterations=3000, accept=accept, identify=fast, partial_spectrum=fast
        )

    seconds = min(timed(run)[0] for _ in range(5))
    return seconds, max(gaps[-1], 1e-16)


def growth() -> list[Row]:
    """Time against K, p, q and rank, one at a time, with fitted exponents; and against p for factors."""
    rows = []
    base = {"p": 64, "q": 64, "K": 50, "r": 4}
    for axis, sizes in (("K", [25, 50, 100, 200, 400]), ("p", [32, 64, 128, 256]), ("q", [16, 32, 64, 128, 256])):
        for noise in (0.0, 0.1):
            seconds = [_seconds({**base, axis: size}, noise) for size in sizes]
            rows.append(_growth_row(f"{axis} (others p=q=64, K=50, r=4)", noise, sizes, seconds))
    ranks = [2, 4, 8, 16]
    rows.extend(
        _growth_row("r", noise, ranks, [_seconds({**base, "r": rank}, noise) for rank in ranks]) for noise in (0.0, 0.1)
    )
    sizes = [512, 1024, 2048, 4096]
    seconds = []
    for size in sizes:
        estimates = contaminated_factors(32, 8, size)
        lam = penalty(32, 8)
        work = partial(decompose_factors, estimates, block_penalty=lam, common_component=False)
        seconds.append(min(timed(work)[0] for _ in range(3)))
    rows.append(_growth_row("p = q of factors (K=32, rank 8: core 256 × 256)", 0.0, sizes, seconds))
    return rows


def _seconds(shape: dict[str, int], noise: float) -> float:
    blocks = contaminated_stack(shape["p"], shape["q"], shape["K"], shape["r"], common=True, noise=noise)
    lam = penalty(shape["K"], shape["r"])
    decompose(blocks, block_penalty=lam)
    return min(timed(lambda: decompose(blocks, block_penalty=lam))[0] for _ in range(3))


def _growth_row(axis: str, noise: float, sizes: list[int], seconds: list[float]) -> Row:
    return {
        "axis": axis,
        "noise sd": noise,
        "sizes": ", ".join(str(size) for size in sizes),
        "milliseconds": ", ".join(f"{1e3 * s:.3g}" for s in seconds),
        "exponent": fitted_exponent(sizes, seconds),
    }


def peers() -> list[Row]:
    """Time and subspace error of everything that can be installed, at 40 × 1200 without noise."""
    blocks = contaminated_stack(40, 20, 60, 3, common=False)
    truth = orthonormal_basis(stack(blocks[20:]), 3)
    lam = penalty(60, 3)
    seconds, found = timed(lambda: decompose(blocks, block_penalty=lam, common_component=False))
    rows = [_peer_row("decompose (E)", seconds, stack(found.low_rank), truth)]
    seconds, _ = timed(lambda: textbook_splitting(blocks, lam, common=False, tolerance=1e-6))
    rows.append({"method": "textbook splitting loop (E)", "seconds": seconds, "sin of subspace angle": float("nan")})
    for name, peer in package_peers().items():
        matrix = stack(blocks)
        seconds, low_rank = timed(partial(peer, matrix))
        rows.append(_peer_row(f"{name}, entrywise", seconds, low_rank, truth))
    return rows


def _peer_row(name: str, seconds: float, low_rank: FloatArray, truth: FloatArray) -> Row:
    error = sin_theta(orthonormal_basis(low_rank, truth.shape[1]), truth)
    return {"method": name, "seconds": seconds, "sin of subspace angle": error}
