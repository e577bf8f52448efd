"""Input is checked once, and every refusal names client, field and remedy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from clair_stats import combine, refine
from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.linalg import block_norms, orthonormal_basis, project_off, project_on, sin_theta, stack, unstack


def blocks(n_clients=4, p=3, q=2, seed=0):
    return np.random.default_rng(seed).standard_normal((n_clients, p, q))


def test_values_are_copied_and_frozen():
    raw = blocks()
    estimates = ClientEstimates(values=raw)
    before = estimates.dense().copy()
    raw[:] = 7.0
    np.testing.assert_array_equal(estimates.dense(), before)
    with pytest.raises(ValueError, match="read-only"):
        estimates.dense()[0, 0, 0] = 1.0


def test_defaults_and_shapes():
    estimates = as_client_estimates(blocks(5, 3, 2))
    assert estimates.n_clients == 5
    assert estimates.block_shape == (3, 2)
    assert estimates.names[4] == "client 4"
    assert as_client_estimates(estimates) is estimates


def test_factors_of_different_ranks_multiply_to_the_same_blocks():
    rng = np.random.default_rng(1)
    pairs = [(rng.standard_normal((6, s)), rng.standard_normal((s, 5))) for s in (1, 2, 3)]
    estimates = ClientEstimates(factors=pairs)
    assert estimates.block_shape == (6, 5)
    np.testing.assert_allclose(estimates.dense()[2], pairs[2][0] @ pairs[2][1], rtol=1e-14)


def nan_at(k):
    values = blocks()
    values[k, 1, 0] = np.nan
    return values


def inf_factor():
    pairs = [(np.ones((3, 1)), np.ones((1, 2))) for _ in range(3)]
    pairs[1] = (np.full((3, 1), np.inf), np.ones((1, 2)))
    return pairs


ONE = np.ones


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "exactly one of values"),
        ({"values": blocks(), "factors": [(ONE((3, 1)), ONE((1, 2)))]}, ValueError, "exactly one of values"),
        ({"values": 3.0}, TypeError, "one matrix per client"),
        ({"values": np.ones((0, 3, 2))}, ValueError, "no client"),
        ({"values": np.ones((4, 0, 2))}, ValueError, "at least 1"),
        ({"values": np.ones((4, 3))}, ValueError, "one p × q block per client"),
        ({"values": np.ones((4, 3, 2), dtype=complex)}, TypeError, "real numbers"),
        ({"values": np.array([["a"]])}, TypeError, "real numbers"),
        ({"values": [np.ones((3, 2)), np.ones((2, 2))]}, ValueError, "client 1: values has shape"),
        ({"values": [np.ones((3, 2)), np.ones(3)]}, ValueError, "client 1: values has shape"),
        ({"values": nan_at(2)}, ValueError, r"client 2: values has 1 entries .* row 1, column 0\); refit"),
        (
            {"values": nan_at(0), "client_names": ["ann", "bob", "eve", "dan"]},
            ValueError,
            "ann: values has 1 entries",
        ),
        ({"factors": [(ONE((3, 2)), ONE((1, 2)))]}, ValueError, "client 0: factors have shapes"),
        (
            {"factors": [(ONE((3, 1)), ONE((1, 2))), (ONE((4, 1)), ONE((1, 2)))]},
            ValueError,
            "client 1: factors multiply",
        ),
        ({"factors": [ONE((3, 1))]}, ValueError, "client 0: factors must be a pair"),
        ({"factors": inf_factor()}, ValueError, r"client 1: factors\[0\] has 3 entries"),
        ({"values": blocks(), "client_names": ["a", "b"]}, ValueError, "2 names for 4 clients"),
        ({"values": blocks(), "client_names": ["a", "b", "a", "c"]}, ValueError, "'a' is used more than once"),
        ({"values": blocks(), "noise_scales": [1.0, 1.0]}, ValueError, r"noise_scales: shape \(2,\) for 4 clients"),
        ({"values": blocks(), "noise_scales": [1, 1, -1, 1]}, ValueError, "client 2: noise_scales is -1.0"),
        ({"values": blocks(), "sample_sizes": [1, np.nan, 1, 1]}, ValueError, "client 1: sample_sizes is nan"),
        ({"values": blocks(), "sample_sizes": ["x"] * 4}, TypeError, "sample_sizes: dtype"),
    ],
)
def test_bad_input_names_client_field_and_remedy(arguments, error, message):
    with pytest.raises(error, match=message):
        ClientEstimates(**arguments)


def spd(n_clients=4, size=3):
    return np.stack([np.diag(np.arange(1.0, size + 1.0))] * n_clients)


def changed(matrices, k, row, column, value):
    matrices = matrices.copy()
    matrices[k, row, column] = value
    return matrices


def test_covariances_are_kept_and_frozen():
    estimates = ClientEstimates(
        values=blocks(), row_covariances=spd(), column_covariances=spd(size=2), residual_degrees_of_freedom=[6, 7, 8, 9]
    )
    np.testing.assert_array_equal(estimates.row_covariances, spd())
    np.testing.assert_array_equal(estimates.residual_degrees_of_freedom, [6.0, 7.0, 8.0, 9.0])
    with pytest.raises(ValueError, match="read-only"):
        estimates.column_covariances[0, 0, 0] = 1.0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"row_covariances": spd(3)}, "row_covariances: 3 matrices for 4 clients"),
        ({"row_covariances": spd(size=2)}, r"client 0: row_covariances has shape \(2, 2\); give 3 × 3"),
        ({"row_covariances": spd(), "column_covariances": spd()}, "client 0: column_covariances has shape"),
        ({"row_covariances": changed(spd(), 2, 0, 1, 0.5)}, "client 2: row_covariances is not symmetric"),
        ({"row_covariances": changed(spd(), 1, 2, 2, -1.0)}, "client 1: row_covariances is not positive definite"),
        ({"row_covariances": changed(spd(), 3, 0, 0, 0.0)}, "client 3: row_covariances is not positive definite"),
        ({"row_covariances": changed(spd(), 3, 0, 0, np.nan)}, "client 3: row_covariances has 1 entries that are NaN"),
        ({"column_covariances": spd(size=2)}, "row_covariances: missing"),
        ({"row_covariances": spd(), "residual_degrees_of_freedom": [9] * 4}, "belong to column_covariances"),
        (
            {
                "row_covariances": spd(),
                "column_covariances": spd(size=2),
                "residual_degrees_of_freedom": [9, 5, 9, 9],
            },
            r"client 1: residual_degrees_of_freedom is 5 and must exceed q \+ 3 = 5",
        ),
        ({"row_covariances": spd(), "noise_scales": np.ones(4)}, "give one of the two"),
        (
            {"values": None, "factors": [(np.ones((3, 1)), np.ones((1, 2)))] * 4, "row_covariances": spd()},
            "give the products as values",
        ),
    ],
)
def test_bad_covariances_name_client_field_and_remedy(fields, message):
    with pytest.raises(ValueError, match=message):
        ClientEstimates(**{"values": blocks(), **fields})


@given(hnp.arrays(np.float64, st.tuples(*[st.integers(1, 5)] * 3), elements=st.floats(-1e3, 1e3)))
def test_stack_and_unstack_are_inverse_and_side_by_side(values):
    matrix = stack(values)
    np.testing.assert_array_equal(matrix, np.hstack(list(values)))
    np.testing.assert_array_equal(unstack(matrix, values.shape[0]), values)


@pytest.mark.parametrize("scale", [1e-170, 1.0, 1e170])
def test_block_norms_survive_extreme_scales(scale):
    values = blocks()
    np.testing.assert_allclose(
        block_norms(values * scale) / scale, [np.linalg.norm(block) for block in values], rtol=1e-13
    )


def test_block_norms_of_nothing_but_zeros():
    np.testing.assert_array_equal(block_norms(np.zeros((2, 3, 4))), np.zeros(2))


def test_projections_add_up_and_basis_spans():
    matrix = blocks(1, 6, 2)[0] @ blocks(1, 2, 5, seed=3)[0]
    basis = orthonormal_basis(matrix)
    assert basis.shape == (6, 2)
    np.testing.assert_allclose(project_off(basis, matrix), 0, atol=1e-13)
    other = blocks(3, 6, 4, seed=5)
    np.testing.assert_allclose(project_on(basis, other) + project_off(basis, other), other, atol=1e-13)
    assert orthonormal_basis(np.zeros((4, 3))).shape == (4, 0)


@pytest.mark.parametrize("angle", [1e-12, 1e-6, 0.3, np.pi / 2])
def test_sin_theta_is_accurate_for_tiny_angles(angle):
    first = np.eye(5)[:, :2]
    second = first.copy()
    second[:, 1] = np.cos(angle) * first[:, 1] + np.sin(angle) * np.eye(5)[:, 4]
    assert sin_theta(first, second) == pytest.approx(np.sin(angle), rel=1e-9)


def test_sin_theta_of_different_dimensions_is_one():
    assert sin_theta(np.eye(4)[:, :1], np.eye(4)[:, :2]) == 1.0
    assert sin_theta(np.eye(4)[:, :0], np.eye(4)[:, :0]) == 0.0


def test_the_former_spelling_of_the_centre_can_be_read_and_not_written():
    members = np.array([False, True, True, True])
    refined = refine(blocks(), basis=np.eye(3)[:, :1], collaborative_set=members)
    combined = combine(blocks(), basis=np.eye(3)[:, :1], collaborative_set=members, noise_scales=np.ones(4))
    for record in (refined, combined):
        assert record.center is record.centre
        with pytest.raises(AttributeError):
            record.center = record.centre
