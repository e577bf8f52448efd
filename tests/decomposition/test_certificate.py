"""Certificates: weak duality at any point, exact feasibility, and a verification that can say no."""

import ast
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clair_stats.decomposition import certificate, verify
from clair_stats.decomposition.certificate import certify, feasible_dual
from clair_stats.decomposition.decompose import decompose
from clair_stats.decomposition.problem import Problem, to_tall
from clair_stats.decomposition.verify import verify_solution
from tests.decomposition.named_problems import instance, penalty

PROGRAMS = {"E": {}, "B": {"noise_radius": 0.8}, "N": {"noise_penalty": 0.6}}
BLOCKS = instance(6, 4, 8, 1, seed=3, noise=0.2)
LAM = penalty(8, 1)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(sorted(PROGRAMS)), st.booleans(), st.floats(-3, 3))
def test_any_candidate_becomes_feasible_and_any_point_has_a_nonnegative_gap(seed, program, common, exponent):
    rng = np.random.default_rng(seed)
    problem = Problem(to_tall(BLOCKS), LAM * rng.uniform(0.8, 1.3, 8), common_component=common, **PROGRAMS[program])
    candidate = 10.0**exponent * rng.standard_normal(problem.tall.shape)
    dual, value = feasible_dual(problem, candidate)
    bound = problem.operator_bound
    assert np.linalg.norm(dual.reshape(-1, 6), 2) <= bound * (1 + 1e-13)
    assert np.all(np.linalg.norm(dual, axis=(1, 2)) <= problem.block_bounds * (1 + 1e-13))
    if common:
        assert np.abs(dual.mean(axis=0)).max() <= 1e-14 * max(bound, 1.0)
    sparse = rng.standard_normal(problem.tall.shape) * (rng.random(8) < 0.5)[:, None, None]
    low_rank = problem.tall - sparse
    mean = low_rank.mean(axis=0) if common else np.zeros((4, 6))
    found = certify(problem, mean, low_rank - mean, sparse, candidate)
    assert found.dual_objective == value
    assert found.duality_gap >= -1e-12 * found.objective
    assert found.infeasibility <= 1e-12


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.floats(0.1, 3.0))
def test_gap_of_n_bounds_the_distance_to_the_optimal_fit(seed, common, tau):
    """½‖W − W°‖_F² ≤ gap for W = M + L + S, also at points far from the solution."""
    blocks = instance(5, 4, 6, 1, seed=seed % 997, noise=0.3, common=common)
    options = {"block_penalty": penalty(6, 1), "noise_penalty": tau, "common_component": common}
    best = decompose(blocks, tol=1e-12, max_iterations=20000, **options)
    optimum = best.common + best.low_rank + best.block_sparse
    problem = Problem(to_tall(blocks), np.full(6, options["block_penalty"]), tau, None, common)
    rng = np.random.default_rng(seed)
    for size in (0.01, 0.3):
        sparse = to_tall(best.block_sparse + size * rng.standard_normal(blocks.shape))
        low_rank = to_tall(best.low_rank + size * rng.standard_normal(blocks.shape))
        mean = best.common.T
        left = problem.tall - mean - low_rank - sparse
        found = certify(problem, mean, low_rank, sparse, left)
        distance = np.linalg.norm(mean + low_rank + sparse - to_tall(optimum))
        assert 0.5 * distance**2 <= found.duality_gap * (1 + 1e-9) + 1e-9


@pytest.mark.parametrize("program", sorted(PROGRAMS))
@pytest.mark.parametrize("shared", ["columns", "rows"])
def test_verification_accepts_solutions(program, shared):
    found = decompose(BLOCKS, block_penalty=LAM, shared=shared, **PROGRAMS[program])
    checked = verify_solution(BLOCKS, found)
    assert checked.valid, checked.message
    assert checked.relative_gap <= 1e-6
    assert checked.objective == pytest.approx(found.objective, rel=1e-10)


@pytest.mark.parametrize(
    "sabotage",
    [
        lambda d: {"low_rank": d.low_rank * 1.001},
        lambda d: {"block_sparse": d.block_sparse * 0.999},
        lambda d: {"common": d.common + 1e-4},
        lambda d: {"dual": d.dual * 1.001},
        lambda d: {"dual": d.dual + 1e-4},
        lambda d: {"objective": d.objective * (1 - 1e-6)},
        lambda d: {"duality_gap": 0.5 * d.duality_gap - 1e-6 * d.objective},
        lambda d: {"low_rank": d.low_rank + 0.01, "common": d.common - 0.01},
        lambda d: {"block_penalty": d.block_penalty * 0.99},
    ],
    ids=["L scaled", "S scaled", "M moved", "Q scaled", "Q with a mean", "objective", "gap", "mean in L", "penalty"],
)
def test_verification_rejects_sabotage(sabotage):
    found = decompose(BLOCKS, block_penalty=LAM)
    assert verify_solution(BLOCKS, found).valid
    assert not verify_solution(BLOCKS, dataclasses.replace(found, **sabotage(found))).valid


def test_the_certificate_knows_no_solver():
    """The files that judge may read the problem and the records, and nothing that solves."""
    for module in (certificate, verify):
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        own = {name for name in imported if name.startswith("clair_stats")}
        assert own <= {
            "clair_stats.decomposition.problem",
            "clair_stats.estimates",
            "clair_stats.linalg",
            "clair_stats.records",
        }


def test_verification_refuses_other_data():
    found = decompose(BLOCKS, block_penalty=LAM)
    assert not verify_solution(BLOCKS + 1e-3 * np.arange(8)[:, None, None], found).valid
    with pytest.raises(ValueError, match="low_rank"):
        verify_solution(BLOCKS[:5], found)
