"""Robust PCA and outlier pursuit: the minimum of another solver, the certificate, and the house's own program."""

import cvxpy as cp
import numpy as np
import pytest

from clair_stats import ClientEstimates, decompose
from clair_stats.baselines.splitting import split


def instance(sparsity):
    rng = np.random.default_rng(5)
    matrix = rng.standard_normal((6, 1)) @ rng.standard_normal((1, 9)) + 0.2 * rng.standard_normal((6, 9))
    if sparsity == "entries":
        matrix[3, 1] += 5.0
    else:
        matrix[:, 1] += 3.0 * rng.standard_normal(6)
    return matrix


@pytest.mark.parametrize(("sparsity", "penalty"), [("entries", 1.0 / 3.0), ("columns", 0.6)])
def test_the_minimum_is_that_of_another_solver_and_the_gap_bounds_the_distance(sparsity, penalty):
    matrix = instance(sparsity)
    found = split(matrix, penalty=penalty, sparsity=sparsity)
    np.testing.assert_allclose(found.low_rank + found.sparse, matrix, atol=1e-12)
    variable = cp.Variable(matrix.shape)
    norm = cp.sum(cp.abs(variable)) if sparsity == "entries" else cp.sum(cp.norm(variable, axis=0))
    reference = cp.Problem(cp.Minimize(cp.normNuc(matrix - variable) + penalty * norm))
    reference.solve(solver="CLARABEL")
    sizes = np.abs(found.sparse) if sparsity == "entries" else np.linalg.norm(found.sparse, axis=0)
    objective = np.linalg.norm(found.low_rank, "nuc") + penalty * sizes.sum()
    # Clarabel is accurate to about 1e-8 of the objective, the gap of the returned point is 1e-7 of ‖X‖_*.
    assert objective == pytest.approx(reference.value, rel=1e-6)
    assert objective - found.duality_gap <= reference.value * (1 + 1e-7)


def test_outlier_pursuit_is_program_e_without_common_component_on_clients_of_one_column():
    matrix = instance("columns")
    found = split(matrix, penalty=0.6, sparsity="columns")
    record = ClientEstimates(values=matrix.T[:, :, None])
    program = decompose(record, block_penalty=0.6, common_component=False)
    objective = np.linalg.norm(found.low_rank, "nuc") + 0.6 * np.linalg.norm(found.sparse, axis=0).sum()
    assert objective == pytest.approx(program.objective, rel=1e-5)
    np.testing.assert_array_equal(
        np.linalg.norm(found.sparse, axis=0) > 1e-3, np.abs(program.block_sparse).sum(axis=(1, 2)) > 1e-3
    )


def test_zero_is_split_into_zeros_and_bad_penalties_are_refused():
    found = split(np.zeros((2, 3)), penalty=1.0, sparsity="columns")
    assert not found.low_rank.any()
    assert not found.sparse.any()
    with pytest.raises(ValueError, match="penalty"):
        split(np.ones((2, 3)), penalty=0.0, sparsity="columns")
