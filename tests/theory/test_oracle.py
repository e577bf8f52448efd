import cvxpy as cp
import numpy as np
import pytest

from clair_stats.theory.oracle import _Objective, solve_oracle
from tests.theory.cases import draw


def problem(seed, common, **sizes):
    values, basis, _, mask, mean = draw(np.random.default_rng(seed), common=common, **sizes)
    off = values - mean - np.einsum("pi,kiq->kpq", basis, np.einsum("pi,kpq->kiq", basis, values - mean))
    distances = np.linalg.norm(off[~mask], axis=(1, 2))
    return np.einsum("pi,kpq->kiq", basis, values), distances, mask


def conic(coefficients, distances, mask, lam, common):
    """The same problem written down for cvxpy."""
    n_clients, rank, q = coefficients.shape
    blocks, terms = [], []
    index = iter(distances)
    for k in range(n_clients):
        if mask[k]:
            blocks.append(cp.Constant(coefficients[k]))
        else:
            variable = cp.Variable((rank, q))
            blocks.append(variable)
            terms.append(cp.norm(cp.hstack([cp.vec(coefficients[k] - variable, order="C"), next(index)]), 2))
    if common:
        mean = sum(blocks) / n_clients
        blocks = [block - mean for block in blocks]
    objective = cp.normNuc(cp.hstack(blocks)) + lam * cp.sum(cp.hstack(terms))
    return cp.Problem(cp.Minimize(objective)).solve(solver=cp.CLARABEL)


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_objective_agrees_with_a_conic_solver(seed, common):
    coefficients, distances, mask = problem(seed, common, n_clients=7, q=2, n_contaminated=3)
    found = solve_oracle(coefficients, distances, collaborative_set=mask, block_penalty=0.5, common_component=common)
    assert found.objective == pytest.approx(conic(coefficients, distances, mask, 0.5, common), rel=1e-6)


@pytest.mark.parametrize("common", [False, True])
def test_gradient_and_hessian_match_finite_differences(common):
    coefficients, distances, mask = problem(11, common, rank=2, p=6, q=3)
    rng = np.random.default_rng(0)
    free = rng.normal(size=coefficients[~mask].shape)
    direction = rng.normal(size=free.shape)

    def at(step):
        return _Objective(free + step * direction, coefficients, mask, distances, 0.7, common)

    h = 1e-5
    slope = (at(h).value - at(-h).value) / (2 * h)
    assert np.vdot(at(0).gradient, direction) == pytest.approx(slope, rel=1e-7)
    change = (at(h).gradient - at(-h).gradient) / (2 * h)
    np.testing.assert_allclose(at(0).hessian(direction), change, atol=1e-7)


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_newton_reaches_rounding_level(seed, common):
    coefficients, distances, mask = problem(100 + seed, common)
    found = solve_oracle(coefficients, distances, collaborative_set=mask, block_penalty=0.4, common_component=common)
    assert found.residual < 1e-11
    assert found.n_iterations <= 30


def test_many_unknowns_use_conjugate_gradients_and_reach_the_same_accuracy():
    coefficients, distances, mask = problem(3, True, rank=2, p=12, q=12, n_clients=60, n_contaminated=25)
    found = solve_oracle(coefficients, distances, collaborative_set=mask, block_penalty=0.3, common_component=True)
    assert found.residual < 1e-9


def test_without_contamination_the_coefficients_are_returned():
    coefficients = np.random.default_rng(0).normal(size=(5, 2, 3))
    mask = np.ones(5, dtype=bool)
    found = solve_oracle(coefficients, np.zeros(0), collaborative_set=mask, block_penalty=1.0, common_component=False)
    np.testing.assert_array_equal(found.coefficients, coefficients)
    flat = coefficients.transpose(1, 0, 2).reshape(2, -1)
    assert found.objective == pytest.approx(np.linalg.norm(flat, "nuc"))
