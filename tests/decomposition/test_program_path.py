"""The path of (E) over λ: where L leaves zero, what enters, and the identity with programs on pairwise differences."""

import numpy as np
import pytest

from clair_stats.decomposition.decompose import decompose
from clair_stats.decomposition.problem import Problem, to_tall
from clair_stats.decomposition.program_path import entering_block_penalty, noise_penalty, program_path
from clair_stats.decomposition.solvers.grams import Grams
from clair_stats.linalg import block_norms, sin_theta, stack
from tests.decomposition.named_problems import instance


def _grams(blocks, common=True):
    tall = to_tall(blocks)
    tall = tall - tall.mean(axis=0) if common else tall
    return Grams(Problem(tall, np.ones(len(blocks)), common_component=common))


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_l_leaves_zero_exactly_there(common, weighted):
    blocks = instance(9, 4, 12, 2, seed=4, common=common, noise=0.3)
    weights = np.linspace(0.6, 1.5, 12) if weighted else None
    lam = entering_block_penalty(blocks, common_component=common, client_weights=weights)
    for factor, empty in ((0.995, True), (1.02, False)):
        found = decompose(
            blocks,
            block_penalty=factor * lam,
            common_component=common,
            client_weights=weights,
            tol=1e-9,
            allow_degenerate=True,
        )
        size = np.linalg.norm(found.low_rank) / np.linalg.norm(blocks)
        assert (size < 1e-6) == empty, (factor, size)


def test_entering_penalty_by_its_definition():
    """Against a plain Weiszfeld iteration and the singular values of H."""
    blocks = instance(9, 4, 12, 2, seed=5, noise=0.3)
    median = blocks.mean(axis=0)
    for _ in range(2000):
        inverse = 1.0 / block_norms(blocks - median)
        median = np.einsum("k,kij->ij", inverse / inverse.sum(), blocks)
    unit = (blocks - median) / block_norms(blocks - median)[:, None, None]
    expected = 1.0 / np.linalg.svd(stack(unit), compute_uv=False)[0]
    assert entering_block_penalty(blocks) == pytest.approx(expected, rel=1e-7)


def test_entering_penalty_where_it_has_no_closed_form():
    blocks = instance(6, 3, 9, 1, seed=5, noise=0.3)
    blocks[0] = 0.0
    with pytest.raises(ValueError, match="geometric median itself"):
        entering_block_penalty(blocks, common_component=False)
    assert entering_block_penalty(np.ones((5, 3, 2))) == np.inf


@pytest.mark.parametrize("common", [False, True])
def test_points_of_the_path_are_solutions(common):
    """Rank, norms of S and distances of every point against the certified solution at its λ.

    The norms are known to the path's tolerance of 5e-2, the entering λ and the distances more closely.
    """
    blocks = instance(30, 8, 24, 2, seed=6, common=common, share=0.25, noise=0.2)
    weights = np.linspace(0.8, 1.2, 24)
    points = list(program_path(_grams(blocks, common), weights))
    assert points[0].rank == 0
    assert points[0].block_penalty == pytest.approx(
        entering_block_penalty(blocks, common_component=common, client_weights=weights), rel=5e-3
    )
    assert len(points) >= 3
    for point in points[1:]:
        solved = point.decomposition(tol=1e-8)
        values = np.linalg.svd(stack(solved.low_rank), compute_uv=False)
        sizes = values > 0.03 * values[0]  # directions that have only just entered are a matter of the tolerance
        assert sizes.sum() <= point.rank
        np.testing.assert_allclose(point.residual_norms, block_norms(solved.block_sparse), rtol=0.05)
        basis = np.linalg.svd(stack(solved.low_rank))[0][:, : point.rank]
        off = blocks - blocks.mean(axis=0) * common - solved.common
        off -= basis @ (basis.T @ off)
        np.testing.assert_allclose(point.distances, block_norms(off) ** 2, rtol=0.01)
        assert point.room < 1.0


def test_the_shared_directions_enter_first_and_noise_last():
    blocks = instance(40, 20, 60, 3, seed=7, share=0.2, noise=0.2)
    points = list(program_path(_grams(blocks), np.ones(60)))
    clean = instance(40, 20, 60, 3, seed=7, share=0.0)
    truth = np.linalg.svd(stack(clean - clean.mean(axis=0)))[0][:, :3]
    at_rank = [point for point in points if point.rank == 3]
    assert at_rank
    assert sin_theta(at_rank[0].basis, truth) < 0.1
    edge = noise_penalty((60, 40, 20), np.ones(60))
    assert all(point.rank <= 3 for point in points if point.block_penalty < 0.9 * edge)
    assert points[-1].block_penalty <= edge
    beyond = decompose(blocks, block_penalty=1.3 * edge, tol=1e-5).low_rank
    values = np.linalg.svd(stack(beyond), compute_uv=False)
    assert (values > 1e-3 * values[0]).sum() > 3


def test_path_without_noise_reaches_exact_recovery():
    blocks = instance(20, 10, 30, 2, seed=8, share=0.2)
    points = list(program_path(_grams(blocks), np.ones(30)))
    exact = [point for point in points if point.rank == 2 and point.distances[6:].max() < 1e-12]
    assert exact
    assert exact[0].distances[:6].min() > 1.0


def test_pairwise_differences_have_the_nuclear_norm_of_the_centred_stack():
    rng = np.random.default_rng(3)
    blocks = rng.standard_normal((6, 5, 3))
    pairs = np.stack([blocks[i] - blocks[j] for i in range(6) for j in range(i)])
    expected = np.sqrt(6.0) * np.linalg.norm(stack(blocks - blocks.mean(axis=0)), "nuc")
    assert np.linalg.norm(stack(pairs), "nuc") == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("tau", [0.0, 0.4])
def test_program_on_pairwise_differences_is_ours_with_free_common(tau):
    """Solved by cvxpy on the differences themselves, with one S for each client."""
    import cvxpy as cp

    blocks = instance(4, 2, 5, 1, seed=9, noise=0.2)
    n_clients, root = 5, float(np.sqrt(5.0))
    lam = 0.8  # of our program: λ' = √K λ, τ' = √K τ on differences
    low = [cp.Variable((4, 2)) for _ in range(n_clients)]
    sparse = [cp.Variable((4, 2)) for _ in range(n_clients)]
    pairs = [(i, j) for i in range(n_clients) for j in range(i)]
    norms = cp.normNuc(cp.hstack([low[i] - low[j] for i, j in pairs]))
    norms += root * lam * sum(cp.norm(part, "fro") for part in sparse)
    left = [blocks[i] - blocks[j] - (low[i] - low[j]) - (sparse[i] - sparse[j]) for i, j in pairs]
    if tau == 0.0:
        problem = cp.Problem(cp.Minimize(norms), [part == 0 for part in left])
    else:
        problem = cp.Problem(cp.Minimize(0.5 * sum(cp.sum_squares(part) for part in left) + root * tau * norms))
    value = problem.solve(solver=cp.SCS, eps=1e-9, max_iters=100_000)
    ours = decompose(blocks, block_penalty=lam, noise_penalty=tau, tol=1e-9).objective
    assert value == pytest.approx(ours * (root if tau == 0.0 else 5.0), rel=1e-5)
