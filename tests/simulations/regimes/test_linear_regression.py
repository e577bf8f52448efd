import math

import numpy as np
import pytest
from scipy import stats

from clair_stats.linalg import project_off
from simulations.design import content_hash
from simulations.regimes.linear_regression import LinearRegressionRegime
from simulations.streams import Streams


def draw(replication=0, **fields):
    regime = LinearRegressionRegime(**{"n_clients": 12, **fields})
    return regime.generate(Streams(7, content_hash(regime), replication))


def standardised(instance):
    """E_k entry by entry over the fit's own standard error."""
    fits = instance.extras["fits"]
    variances = np.stack([np.outer(np.diag(f.row_covariance), np.diag(f.column_covariance)) for f in fits])
    return instance.errors / np.sqrt(variances)


@pytest.mark.parametrize(
    "fields",
    [
        {"sample_size": 200},
        {"sample_size": 60, "design_correlation": 0.9, "response_spread": 10.0},
        {"sample_size": 300, "error_degrees": 5.0},
        {"sample_size": 400, "heteroscedasticity": 0.4, "covariance": "sandwich"},
    ],
)
def test_standard_errors_cover(fields):
    ratios = np.concatenate([standardised(draw(replication, **fields)).ravel() for replication in range(10)])
    inside = float(np.mean(np.abs(ratios) < stats.norm.ppf(0.975)))
    # 24,000 entries from 120 independent fits; within a fit responses are independent, so at least 1,200 units.
    assert inside == pytest.approx(0.95, abs=0.02)


def test_classical_standard_errors_do_not_cover_where_they_must_not():
    fields = {"sample_size": 400, "heteroscedasticity": 0.6}
    wrong = np.concatenate([standardised(draw(r, **fields))[:, 0].ravel() for r in range(10)])
    right = np.concatenate([standardised(draw(r, covariance="sandwich", **fields))[:, 0].ravel() for r in range(10)])
    assert np.std(wrong) > 1.15
    assert np.std(right) == pytest.approx(1.0, abs=0.1)


def test_error_falls_at_the_root_of_n():
    sizes = np.array([60, 120, 240, 480])
    errors = [math.sqrt(np.mean([np.mean(draw(r, sample_size=int(n)).errors ** 2) for r in range(6)])) for n in sizes]
    # The exact rate is (n − p − 1)^(−1/2) for OLS with a Gaussian design.
    slope = np.polyfit(np.log(sizes - 21), np.log(errors), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.05)


def test_fewer_observations_than_covariates_fall_back_to_ridge():
    instance = draw(sample_size=15)
    assert (instance.extras["ridge"] > 0).all()
    assert np.isfinite(instance.estimates.dense()).all()
    mixed = draw(sample_size=60, sample_size_spread=20.0)
    sizes = mixed.estimates.sample_sizes
    assert np.array_equal(mixed.extras["ridge"] > 0, sizes < 24)
    assert (sizes < 24).any()
    assert (sizes >= 24).any()


def test_level_of_the_scalar_chi_square_test_at_the_truth_needs_many_observations():
    """Unequal variances and an estimated scale make the χ² test liberal at n = 2.5p, hardly at n = 20p."""
    rejected = {}
    for size in (50, 400):
        p_values = []
        for replication in range(25):
            instance = draw(replication, sample_size=size, share=0.0, n_clients=20)
            residuals = project_off(instance.basis, instance.estimates.dense() - instance.common)
            scores = (residuals**2).sum(axis=(1, 2)) / instance.estimates.noise_scales**2
            p_values += list(stats.chi2(180).sf(scores))
        rejected[size] = float(np.mean(np.array(p_values) < 0.05))
    assert rejected[50] > 0.08
    assert rejected[400] == pytest.approx(0.05, abs=0.035)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sample_size", 1),
        ("sample_size_spread", 0.0),
        ("design_correlation", 1.0),
        ("response_scale", 0.0),
        ("error_degrees", 2.0),
        ("covariance", "none"),
        ("heteroscedasticity", math.inf),
    ],
)
def test_bad_settings_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        LinearRegressionRegime(**{field: value})
