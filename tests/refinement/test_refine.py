"""Theorem 5's identity, weights, and what flagged clients are handed."""

import numpy as np
import pytest

from clair_stats import ClientEstimates, refine


def _instance(rng, noise=0.2):
    basis = np.linalg.qr(rng.standard_normal((9, 2)))[0]
    centre = rng.standard_normal((9, 4))
    targets = centre + basis @ rng.standard_normal((7, 2, 4))
    errors = noise * rng.standard_normal((7, 9, 4))
    return targets, errors, basis


def test_the_error_is_the_one_of_theorem_5():
    rng = np.random.default_rng(1)
    targets, errors, basis = _instance(rng)
    members = np.arange(7) >= 2
    refined = refine(targets + errors, basis=basis, collaborative_set=members)
    inside = basis @ basis.T
    mean_error = errors[members].mean(axis=0)
    drift = targets[members].mean(axis=0)
    for k in np.flatnonzero(members):
        expected = inside @ errors[k] + (np.eye(9) - inside) @ (mean_error + drift - targets[k])
        np.testing.assert_allclose(refined.estimates[k] - targets[k], expected, atol=1e-12)


def test_flagged_clients_keep_their_own_estimate():
    rng = np.random.default_rng(2)
    targets, errors, basis = _instance(rng)
    members = np.arange(7) != 3
    refined = refine(targets + errors, basis=basis, collaborative_set=members)
    np.testing.assert_array_equal(refined.estimates[3], (targets + errors)[3])
    assert refined.weights[3] == 0.0
    assert refined.weights.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("field", ["noise_scales", "sample_sizes"])
def test_weights_follow_the_precision(field):
    rng = np.random.default_rng(3)
    targets, errors, basis = _instance(rng)
    given = np.array([1.0, 2.0, 4.0, 1.0, 2.0, 4.0, 8.0])
    record = ClientEstimates(values=targets + errors, **{field: given})
    members = np.ones(7, dtype=bool)
    weights = refine(record, basis=basis, collaborative_set=members).weights
    expected = given**-2.0 if field == "noise_scales" else given
    np.testing.assert_allclose(weights, expected / expected.sum(), rtol=1e-12)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"collaborative_set": np.zeros(7, dtype=bool)}, "nobody"),
        ({"collaborative_set": np.ones(6, dtype=bool)}, "7 booleans"),
        ({"collaborative_set": np.ones(7)}, "7 booleans"),
        ({"basis": np.eye(4)}, "p × r"),
        ({"weights": np.zeros(7)}, "positive"),
    ],
)
def test_bad_input_names_the_field(fields, message):
    rng = np.random.default_rng(4)
    targets, errors, basis = _instance(rng)
    arguments = {"basis": basis, "collaborative_set": np.ones(7, dtype=bool)} | fields
    with pytest.raises(ValueError, match=message):
        refine(targets + errors, **arguments)
