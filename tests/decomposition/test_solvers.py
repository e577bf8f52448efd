"""Every solver on every named problem, and both solvers against each other on random instances."""

import warnings

import numpy as np
import pytest

from clair_stats.decomposition.decompose import decompose
from clair_stats.decomposition.verify import verify_solution
from tests.decomposition.named_problems import PROBLEMS, instance, penalty

TOLERANCE = 1e-7


def _conic(blocks, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the oracle stops at its own criterion, the gap says where
        return decompose(blocks, solver="conic", tol=1e-9, **options)


def test_the_table_is_long_enough():
    assert len(PROBLEMS) >= 20
    assert len({problem.name for problem in PROBLEMS}) == len(PROBLEMS)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_first_order_and_conic_agree_and_verify(problem):
    first = decompose(problem.blocks, tol=TOLERANCE, **problem.options)
    conic = _conic(problem.blocks, **problem.options)
    assert first.status == "optimal"
    size = max(abs(conic.objective), 1e-12)
    assert abs(first.objective - conic.objective) <= 1e-6 * size
    for solution, slack in ((first, TOLERANCE), (conic, 1e-6)):
        found = verify_solution(problem.blocks, solution)
        assert found.valid, found.message
        assert -1e-12 <= found.relative_gap <= slack


@pytest.mark.parametrize("seed", range(30))
def test_thirty_random_instances_agree_in_objective(seed):
    rng = np.random.default_rng((2, seed))
    p, q, n_clients = int(rng.integers(2, 6)), int(rng.integers(2, 5)), int(rng.integers(3, 8))
    common = bool(seed % 2)
    blocks = instance(p, q, n_clients, 1, seed=seed, common=common, noise=float(rng.choice([0.0, 0.3])))
    low, high = 1.05 / np.sqrt(n_clients), 0.95 * np.sqrt(min(p, q))
    options = {"block_penalty": float(rng.uniform(low, high)), "common_component": common}
    if seed % 3 == 1:
        options["noise_penalty"] = float(rng.uniform(0.1, 1.0))
    first = decompose(blocks, tol=1e-8, **options)
    conic = _conic(blocks, **options)
    assert first.objective == pytest.approx(conic.objective, rel=1e-6)


@pytest.mark.parametrize("common", [False, True])
def test_exact_recovery_on_a_certified_instance(common):
    blocks = instance(20, 10, 40, 2, seed=0, common=common, share=0.2)
    solution = decompose(blocks, block_penalty=penalty(40, 2), common_component=common, tol=1e-8)
    clean = instance(20, 10, 40, 2, seed=0, common=common, share=0.0)
    contaminated = np.linalg.norm(solution.block_sparse, axis=(1, 2)) > 0
    np.testing.assert_array_equal(np.flatnonzero(contaminated), np.arange(8))
    centred = clean - clean.mean(axis=0)
    truth = np.linalg.svd(centred.transpose(1, 0, 2).reshape(20, -1))[0][:, :2]
    found, values, _ = np.linalg.svd(solution.low_rank.transpose(1, 0, 2).reshape(20, -1))
    assert values[2] <= 1e-6 * values[1]
    assert np.linalg.norm(found[:, :2] - truth @ (truth.T @ found[:, :2]), 2) <= 1e-6


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_fast_paths_against_their_plain_twins(common, noise):
    """Identification, the turning span and the partial spectrum change the time, not the answer."""
    from clair_stats.decomposition.certificate import certify
    from clair_stats.decomposition.problem import Problem, to_tall
    from clair_stats.decomposition.solvers.exact_program import solve_exact

    blocks = instance(30, 8, 20, 2, seed=3, common=common, noise=noise)
    problem = Problem(to_tall(blocks), np.full(20, penalty(20, 2)), common_component=common)
    objectives, methods = [], []
    for fast in (True, False):

        def accept(point):
            verdict = certify(problem, point.common, point.low_rank, point.block_sparse, point.dual_candidate)
            objectives.append(verdict.objective)
            return verdict.relative_gap

        point = solve_exact(
            problem, tolerance=1e-8, max_iterations=500, accept=accept, identify=fast, partial_spectrum=fast
        )
        methods.append((point.method, objectives[-1]))
    assert methods[0][1] == pytest.approx(methods[1][1], rel=2e-8)
    assert methods[0][0] == ("identified" if noise == 0.0 else "span")
    assert methods[1][0] == "splitting"
