"""Mean around the median, MoNNA, centred clipping and the covariance filter: by hand, by definition, and edges."""

import numpy as np
import pytest
from scipy.optimize import minimize

from clair_stats.baselines import ROBUST_MEANS
from clair_stats.baselines.centred_clipping import clipped_mean
from clair_stats.baselines.covariance_filter import filtered_mean
from tests.hardening.cases import K, P
from tests.hardening.test_baselines import EDGES, X

NEW = ("meamed", "monna", "centred_clipping", "covariance_filter")


@pytest.mark.parametrize("name", NEW)
def test_arguments_order_of_clients_and_a_minority_far_away(name):
    rng = np.random.default_rng(1)
    blocks = rng.standard_normal((20, 4, 3))
    blocks[:4] += 1e3
    fit = ROBUST_MEANS[name](blocks, rank=0, n_contaminated=4)
    order = rng.permutation(20)
    again = ROBUST_MEANS[name](blocks[order], rank=0, n_contaminated=4)
    np.testing.assert_allclose(again.estimates, fit.estimates[order], atol=1e-8)
    assert np.abs(fit.estimates[4:] - blocks[4:].mean(axis=0)).max() < 2.0
    for field in ("rank", "n_contaminated"):
        with pytest.raises(ValueError, match=field):
            ROBUST_MEANS[name](blocks, **{"rank": 0, "n_contaminated": 4, field: 99})


@pytest.mark.parametrize("blocks", EDGES.values(), ids=EDGES)
@pytest.mark.parametrize("name", NEW)
@pytest.mark.filterwarnings("error")
def test_degenerate_clients_get_finite_answers(name, blocks):
    for n_contaminated in (0, 3, K - 1):
        assert np.isfinite(ROBUST_MEANS[name](blocks, rank=0, n_contaminated=n_contaminated).estimates).all()


@pytest.mark.parametrize("name", NEW)
def test_a_power_of_two_changes_nothing_but_the_scale_and_nobody_bad_is_the_mean(name):
    plain = ROBUST_MEANS[name](X, rank=P, n_contaminated=2).estimates
    for exponent in (700, -700):
        scaled = ROBUST_MEANS[name](np.ldexp(X, exponent), rank=P, n_contaminated=2).estimates
        assert np.abs(np.ldexp(scaled, -exponent) - plain).max() <= 1e-9 * np.abs(plain).max()
    if name != "centred_clipping":  # which is not told how many are bad
        fit = ROBUST_MEANS[name](X, rank=0, n_contaminated=0)
        np.testing.assert_allclose(fit.common, X.mean(axis=0), atol=1e-12)


def test_five_numbers_by_hand():
    """0, 1, 2, 3, 100 with one bad: the four nearest to the median 2, and the four nearest to each."""
    blocks = np.array([0.0, 1.0, 2.0, 3.0, 100.0])[:, None, None]
    assert ROBUST_MEANS["meamed"](blocks, rank=0, n_contaminated=1).common.item() == 1.5
    np.testing.assert_allclose(
        ROBUST_MEANS["monna"](blocks, rank=0, n_contaminated=1).estimates.ravel(), [1.5] * 4 + [26.5]
    )


def test_clipping_ends_at_the_minimum_of_hubers_loss():
    rng = np.random.default_rng(2)
    blocks = rng.standard_normal((15, 2, 2)) + np.where(np.arange(15) < 3, 6.0, 0.0)[:, None, None]

    def loss(centre):
        norms = np.linalg.norm(blocks.reshape(15, -1) - centre, axis=1)
        return np.sum(np.where(norms <= 1.5, 0.5 * norms**2, 1.5 * norms - 0.5 * 1.5**2))

    best = minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-9}).x
    np.testing.assert_allclose(clipped_mean(blocks, np.zeros((2, 2)), 1.5, 2000).ravel(), best, atol=1e-6)


def test_the_filter_by_the_covariance_itself():
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((9, 5))
    vectors[:2] += 5.0
    weights, least, best = np.ones(9), np.inf, None
    while weights.sum() > 9 - 2 * 2:
        covariance = np.cov(vectors.T, aweights=weights, ddof=0)
        mean = np.average(vectors, axis=0, weights=weights)
        values, directions = np.linalg.eigh(covariance)
        if values[-1] < least:
            least, best = values[-1], mean
        along = ((vectors - mean) @ directions[:, -1]) ** 2 * (weights > 0)
        weights = weights * (1.0 - along / along.max())
    np.testing.assert_allclose(filtered_mean(vectors, 2), best, atol=1e-10)
