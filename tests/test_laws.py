"""Shared laws against SciPy, textbook formulas and simulation."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from clair_stats.laws import chi_square, fisher, holm, homogeneity_quantile, noise_edge, per_client_level

NONE = np.zeros(1)


def test_per_client_level_is_the_one_whose_complement_multiplies():
    each = per_client_level(0.05, 30)
    assert 1 - (1 - each) ** 30 == pytest.approx(0.05, rel=1e-12)


def test_holm_is_that_of_statsmodels_and_leaves_undefined_aside(monkeypatch):
    # statsmodels collects garbage at each call, which takes a second where all tests are loaded.
    monkeypatch.setattr("gc.collect", lambda: 0)
    for p_values in [np.random.default_rng(seed).beta(0.2, 2.0, 30) for seed in range(5)]:
        rejected, adjusted, _, _ = multipletests(p_values, 0.05, method="holm")
        np.testing.assert_array_equal(holm(p_values), adjusted)
        np.testing.assert_array_equal(holm(p_values) <= 0.05, rejected)
    some = np.array([0.01, np.nan, 0.04, 0.03, 0.005, 0.9])
    np.testing.assert_array_equal(holm(some)[~np.isnan(some)], multipletests(some[~np.isnan(some)], method="holm")[1])
    assert np.isnan(holm(some)[1])
    assert np.isnan(holm(np.full(3, np.nan))).all()
    assert holm([]).shape == (0,)


def test_central_tails_and_critical_values_are_those_of_scipy():
    tail, critical = chi_square(np.array([20.0]), np.array([12.0]), NONE, 0.01)
    assert tail[0] == pytest.approx(stats.chi2.sf(20, 12))
    assert critical[0] == pytest.approx(stats.chi2.isf(0.01, 12))
    tail, critical = fisher(np.array([2.0]), np.array([5.0]), np.array([17.0]), NONE, 0.01)
    assert tail[0] == pytest.approx(stats.f.sf(2.0, 5, 17))
    assert critical[0] == pytest.approx(stats.f.isf(0.01, 5, 17))


@pytest.mark.parametrize("degrees", [4.0, 60.0, 740.0])
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_large_non_centralities_agree_with_scipy_where_scipy_answers(degrees, alpha):
    shift = np.array([1.01e4])
    _, critical = chi_square(NONE, np.array([degrees]), shift, alpha)
    tail, _ = chi_square(critical, np.array([degrees]), shift, alpha)
    assert tail[0] == pytest.approx(alpha, rel=1e-9)
    assert stats.ncx2.sf(critical[0], degrees, shift[0]) == pytest.approx(alpha, rel=0.02)


def test_enormous_non_centralities_are_answered():
    shift = np.array([1e4 + 1, 1e18, 1e30])
    tail, critical = chi_square(shift, np.full(3, 9.0), shift, 0.01)
    assert np.isfinite(critical).all()
    assert (critical > shift).all() or np.allclose(critical, shift)
    np.testing.assert_allclose(tail, 0.5, atol=0.05)
    tail, critical = fisher(shift, np.full(3, 9.0), np.full(3, 50.0), shift, 0.01)
    assert np.isfinite(tail).all()
    assert np.isfinite(critical).all()


def test_large_non_central_f_against_simulation():
    rng = np.random.default_rng(1)
    first, second, shift = 9.0, 40.0, 2e4
    draws = (rng.noncentral_chisquare(first, shift, 200_000) / first) / (rng.chisquare(second, 200_000) / second)
    _, critical = fisher(NONE, np.array([first]), np.array([second]), np.array([shift]), 0.01)
    assert np.mean(draws > critical[0]) == pytest.approx(0.01, abs=4 * np.sqrt(0.01 * 0.99 / 200_000))


@pytest.mark.parametrize("n_clients", [20, 301])
def test_homogeneity_quantile_against_bartletts_chi_square(n_clients):
    # −2 log LR = K·ν·(log mean − mean log) is χ² with K − 1 degrees of freedom for large ν (Bartlett, 1937).
    expected = stats.chi2.ppf(0.995, n_clients - 1) / (n_clients * 200)
    np.testing.assert_allclose(homogeneity_quantile(n_clients, 200, 0.005), expected, rtol=0.05)


def test_noise_edge_is_exceeded_as_often_as_tracy_and_widom_say():
    rng = np.random.default_rng(2)
    above = 0
    for _ in range(400):
        noise = rng.standard_normal((20, 200))
        above += np.linalg.eigvalsh(noise @ noise.T)[-1] > noise_edge(20, 200, tracy_widom=0.98)
    assert above / 400 == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 400))
