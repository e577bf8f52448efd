"""Outlier pursuit, trimmed reduced rank, RAS: criteria by definition, and what each finds."""

import numpy as np
import pytest
from scipy.linalg import subspace_angles

from clair_stats import ClientEstimates
from clair_stats.baselines import STATISTICAL_RIVALS
from clair_stats.baselines.ras import adaptive_subspace, marchenko_pastur_median
from clair_stats.baselines.robust_reduced_rank import trimmed_fit
from clair_stats.linalg import block_norms, project_off, sin_theta
from tests.hardening.cases import K, P
from tests.hardening.test_baselines import EDGES, X

BAD = 4


def instance(seed, *, noise=0.05, bad=BAD, n_clients=20, size=1.0, common=0.0):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((10, 2)))[0]
    targets = basis @ rng.standard_normal((n_clients, 2, 6))
    targets[:bad] = size * rng.standard_normal((bad, 10, 6))
    targets += common * rng.standard_normal((10, 6))
    blocks = targets + noise * rng.standard_normal(targets.shape)
    return ClientEstimates(values=blocks, noise_scales=np.full(n_clients, noise)), targets, basis


@pytest.mark.parametrize("name", STATISTICAL_RIVALS)
def test_arguments_order_of_clients_and_the_planted_set(name):
    record, targets, basis = instance(1)
    fit = STATISTICAL_RIVALS[name](record, rank=2, n_contaminated=BAD)
    order = np.random.default_rng(2).permutation(20)
    shuffled = ClientEstimates(values=record.dense()[order], noise_scales=record.noise_scales[order])
    again = STATISTICAL_RIVALS[name](shuffled, rank=2, n_contaminated=BAD)
    np.testing.assert_allclose(again.estimates, fit.estimates[order], atol=1e-6)
    with pytest.raises(ValueError, match="rank"):
        STATISTICAL_RIVALS[name](record, rank=11, n_contaminated=BAD)
    with pytest.raises(ValueError, match="n_contaminated"):
        STATISTICAL_RIVALS[name](record, rank=2, n_contaminated=20)
    errors = block_norms(fit.estimates - targets)[BAD:]
    if name == "optspace":  # nothing in it withstands anybody, and nobody is named
        assert fit.collaborative_set is None
        assert sin_theta(fit.basis, basis) > 0.2
        return
    assert errors.mean() < 1.01 * block_norms(record.dense() - targets)[BAD:].mean()
    if name != "ras":  # scattered clients fill the space, and RAS keeps what they span
        np.testing.assert_array_equal(fit.collaborative_set, np.arange(20) >= BAD)
        assert sin_theta(fit.basis, basis) < 0.1


@pytest.mark.parametrize("blocks", EDGES.values(), ids=EDGES)
@pytest.mark.parametrize("name", STATISTICAL_RIVALS)
@pytest.mark.filterwarnings("error")
def test_degenerate_clients_get_finite_answers(name, blocks):
    for rank in (0, 1, P):
        for n_contaminated in (0, 3, K - 1):
            fit = STATISTICAL_RIVALS[name](blocks, rank=rank, n_contaminated=n_contaminated)
            assert np.isfinite(fit.estimates).all()
            columns = fit.basis.shape[1]
            assert columns == rank or name == "ras"
            np.testing.assert_allclose(fit.basis.T @ fit.basis, np.eye(columns), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", STATISTICAL_RIVALS)
def test_a_power_of_two_changes_nothing_but_the_scale(name):
    plain = STATISTICAL_RIVALS[name](X, rank=1, n_contaminated=2)
    for exponent in (700, -700):
        scaled = STATISTICAL_RIVALS[name](np.ldexp(X, exponent), rank=1, n_contaminated=2)
        size = np.abs(plain.estimates).max()
        assert np.abs(np.ldexp(scaled.estimates, -exponent) - plain.estimates).max() <= 1e-9 * size


def test_trimming_ends_at_a_fit_that_no_exchange_of_one_client_betters_and_below_the_untrimmed_one():
    blocks = instance(3, noise=0.3)[0].dense()
    basis, centre, kept = trimmed_fit(blocks, 2, BAD)
    assert kept.sum() == 20 - BAD

    def loss(members):
        own = blocks[members]
        tail = np.linalg.svd((own - own.mean(axis=0)).transpose(1, 0, 2).reshape(10, -1), compute_uv=False)[2:]
        return float(np.sum(tail**2))

    np.testing.assert_allclose(np.sum(block_norms(project_off(basis, blocks - centre))[kept] ** 2), loss(kept))
    for leaves in np.flatnonzero(kept):
        for enters in np.flatnonzero(~kept):
            other = kept.copy()
            other[[leaves, enters]] = False, True
            assert loss(kept) <= loss(other) + 1e-9


def test_the_median_of_the_marchenko_pastur_law_is_that_of_a_large_wishart_matrix():
    for ratio in (0.1, 0.5, 1.0):
        rows = int(1000 * ratio)
        values = np.linalg.svd(np.random.default_rng(4).standard_normal((rows, 1000)), compute_uv=False) ** 2 / 1000
        assert marchenko_pastur_median(ratio) == pytest.approx(np.median(values), rel=0.02)


@pytest.mark.parametrize("known", [True, False])
def test_ras_keeps_the_directions_above_the_noise_and_no_others(known):
    rng = np.random.default_rng(5)
    found = []
    for _ in range(40):
        columns = 0.7 * rng.standard_normal((20, 200))
        found.append(adaptive_subspace(columns, 0.7 if known else None).shape[1])
    assert np.mean(np.array(found) > 0) < 0.1
    direction = np.linalg.qr(rng.standard_normal((20, 3)))[0]
    spiked = columns + 4.0 * direction @ rng.standard_normal((3, 200))
    basis = adaptive_subspace(spiked, 0.7 if known else None)
    assert basis.shape[1] == 3
    assert np.sin(subspace_angles(basis, direction)).max() < 0.1


def test_ras_withstands_four_fifths_of_outliers_on_one_direction_where_a_told_rank_does_not():
    """Its claim: strong outliers add directions, and the inliers' own are kept."""
    rng = np.random.default_rng(6)
    directions = np.linalg.qr(rng.standard_normal((12, 3)))[0]
    targets = directions[:, :2] @ rng.standard_normal((60, 2, 5))
    targets[:48] = 3.0 * directions[:, 2:] @ rng.standard_normal((48, 1, 5))
    record = ClientEstimates(values=targets + 0.2 * rng.standard_normal(targets.shape), noise_scales=np.full(60, 0.2))

    def error(fit):
        return np.mean(block_norms(fit.estimates - targets)[48:] ** 2)

    own = np.mean(block_norms(record.dense() - targets)[48:] ** 2)
    assert error(STATISTICAL_RIVALS["ras"](record, rank=2, n_contaminated=48)) < 0.5 * own
    assert error(STATISTICAL_RIVALS["outlier_pursuit"](record, rank=2, n_contaminated=48)) > 0.5 * own
