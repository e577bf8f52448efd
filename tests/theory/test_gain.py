import numpy as np
import pytest

from clair_stats.linalg import block_norms, orthonormal_basis
from clair_stats.theory import oracle_gain, refinement_error, refinement_heterogeneity, subspace_cost


def test_equal_noise_gives_the_formula_of_the_theorem():
    found = oracle_gain(np.full(10, 0.3), shape=(8, 3), rank=2, heterogeneity=0.25)
    np.testing.assert_allclose(found.gain, 0.09 * 6 * 3 * (1 - 1 / 10) - 0.25)
    np.testing.assert_allclose(found.local_risk, 0.09 * 24)


def test_optimal_weights_help_every_client_and_equal_weights_need_not():
    sigma = np.array([0.1, 1.0, 2.0])
    assert np.all(oracle_gain(sigma, shape=(5, 2), rank=1).gain > 0)
    assert oracle_gain(sigma, shape=(5, 2), rank=1, weights=np.ones(3)).gain[0] < 0


def test_risks_agree_with_simulation():
    rng = np.random.default_rng(0)
    basis = orthonormal_basis(rng.normal(size=(6, 2)), 2)
    targets = rng.normal(size=(5, 6, 2))
    sigma = np.array([0.2, 0.3, 0.5, 0.4, 0.6])
    weights = sigma**-2
    bias = refinement_heterogeneity(targets, basis=basis, weights=weights)
    promise = oracle_gain(sigma, shape=(6, 2), rank=2, heterogeneity=bias)
    draws = np.stack(
        [
            block_norms(
                refinement_error(
                    targets, sigma[:, None, None] * rng.normal(size=targets.shape), basis=basis, weights=weights
                )
            )
            ** 2
            for _ in range(4000)
        ]
    )
    error = draws.std(axis=0) / np.sqrt(4000)
    assert np.all(np.abs(draws.mean(axis=0) - promise.oracle_risk) < 4.5 * error)


def test_the_cost_bounds_how_far_a_wrong_subspace_moves_a_client():
    rng = np.random.default_rng(1)
    basis = orthonormal_basis(rng.normal(size=(6, 2)), 2)
    other = orthonormal_basis(basis + 0.3 * rng.normal(size=(6, 2)), 2)
    values = rng.normal(size=(20, 6, 3))
    centre = values.mean(axis=0)
    moved = (other @ other.T - basis @ basis.T) @ (values - centre)
    cost = subspace_cost(values, center=centre, basis=basis, estimated_basis=other)
    assert np.all(block_norms(moved) <= cost + 1e-12)
    assert np.max(block_norms(moved) / cost) > 0.5


def test_sign_rule_compares_roots():
    found = oracle_gain(np.array([1.0, 1.0]), shape=(2, 2), rank=1)
    # local risk 4, oracle risk 2 + 1 = 3
    np.testing.assert_array_equal(found.beats_local([0.2, 0.3]), [True, False])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"noise_scales": [0.0, 1.0]}, "noise_scales"),
        ({"rank": 9}, "rank"),
        ({"weights": [1.0]}, "weights"),
    ],
)
def test_bad_arguments_are_refused(change, word):
    arguments = {"noise_scales": [1.0, 1.0], "shape": (3, 2), "rank": 1, **change}
    with pytest.raises(ValueError, match=word):
        oracle_gain(arguments.pop("noise_scales"), **arguments)
