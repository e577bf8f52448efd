"""Every baseline: one signature, its defining property, and exactness where it promises it."""

import numpy as np
import pytest
from scipy.optimize import minimize

from clair_stats import ClientEstimates
from clair_stats.baselines import BASELINES
from clair_stats.baselines.fast_median_subspace import reweighted_subspace
from clair_stats.baselines.geometric_median import weiszfeld
from clair_stats.baselines.krum import krum_scores
from clair_stats.linalg import block_norms, project_off, sin_theta

SUBSPACE = ("median_svd", "fast_median_subspace", "subspace_tyler", "winsorised_spectral", "armul_low_rank")


def _instance(seed, *, noise=0.05, bad=4, n_clients=20, size=1.0):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((10, 2)))[0]
    targets = basis @ rng.standard_normal((n_clients, 2, 6))
    targets[:bad] = size * rng.standard_normal((bad, 10, 6))
    blocks = targets + noise * rng.standard_normal(targets.shape)
    return ClientEstimates(values=blocks, noise_scales=np.full(n_clients, max(noise, 1e-9))), targets, basis


@pytest.mark.parametrize("name", BASELINES)
def test_shapes_and_bad_arguments(name):
    record, _, _ = _instance(1)
    fit = BASELINES[name](record, rank=2, n_contaminated=4)
    assert fit.estimates.shape == (20, 10, 6)
    assert np.isfinite(fit.estimates).all()
    with pytest.raises(ValueError, match="rank"):
        BASELINES[name](record, rank=11, n_contaminated=4)
    with pytest.raises(ValueError, match="n_contaminated"):
        BASELINES[name](record, rank=2, n_contaminated=20)


@pytest.mark.parametrize("name", BASELINES)
def test_equivariance_under_client_order(name):
    record, _, _ = _instance(2)
    order = np.random.default_rng(3).permutation(20)
    shuffled = ClientEstimates(values=record.dense()[order], noise_scales=record.noise_scales[order])
    first = BASELINES[name](record, rank=2, n_contaminated=4)
    second = BASELINES[name](shuffled, rank=2, n_contaminated=4)
    np.testing.assert_allclose(second.estimates, first.estimates[order], atol=1e-6)


@pytest.mark.parametrize("name", SUBSPACE)
def test_subspace_methods_find_the_subspace_without_contamination(name):
    record, _, basis = _instance(4, bad=0, noise=0.2, n_clients=60)
    fit = BASELINES[name](record, rank=2, n_contaminated=0)
    assert sin_theta(fit.basis, basis) < 0.1
    assert fit.collaborative_set.sum() >= 50


@pytest.mark.parametrize("name", ["subspace_tyler", "armul_low_rank"])
def test_robust_subspaces_withstand_what_breaks_plain_svd(name):
    """Three of forty clients, four times as large per entry as the others, along one direction."""
    rng = np.random.default_rng(5)
    record, _, basis = _instance(5, bad=0, noise=0.2, n_clients=40)
    direction = np.linalg.qr(np.concatenate([basis, rng.standard_normal((10, 1))], axis=1))[0][:, 2:]
    blocks = record.dense().copy()
    blocks[:3] += 4.0 * direction @ rng.standard_normal((3, 1, 6))
    attacked = ClientEstimates(values=blocks, noise_scales=record.noise_scales)
    plain = BASELINES["median_svd"](attacked, rank=2, n_contaminated=3)
    robust = BASELINES[name](attacked, rank=2, n_contaminated=3)
    assert sin_theta(plain.basis, basis) > 0.5
    assert sin_theta(robust.basis, basis) < 0.1
    assert not robust.collaborative_set[:3].any()


def test_fast_median_subspace_lowers_its_own_objective():
    rng = np.random.default_rng(10)
    blocks = _instance(10, bad=8, n_clients=30)[0].dense()
    plain = np.linalg.svd(blocks.transpose(1, 0, 2).reshape(10, -1))[0][:, :2]
    found = reweighted_subspace(blocks, 2)

    def loss(basis):
        return block_norms(project_off(basis, blocks)).sum()

    assert loss(found) < loss(plain) - 0.1
    for _ in range(20):
        near = np.linalg.qr(found + 0.02 * rng.standard_normal(found.shape))[0]
        assert loss(found) < loss(near)


def test_weiszfeld_reaches_the_minimum():
    blocks = np.random.default_rng(6).standard_normal((9, 2, 3))
    blocks[:2] += 5.0

    def loss(flat):
        return sum(np.linalg.norm(block - flat.reshape(2, 3)) for block in blocks)

    best = minimize(loss, blocks.mean(axis=0).ravel(), method="Nelder-Mead", options={"maxiter": 20000, "xatol": 1e-9})
    assert loss(weiszfeld(blocks).ravel()) <= best.fun + 1e-6


def test_krum_scores_equal_their_definition():
    blocks = np.random.default_rng(7).standard_normal((8, 3, 2))
    distances = np.array([[np.sum((a - b) ** 2) for b in blocks] for a in blocks])
    expected = [np.sort(np.delete(distances[k], k))[: 8 - 2 - 2].sum() for k in range(8)]
    np.testing.assert_allclose(krum_scores(blocks, 2), expected, rtol=1e-10)


def test_medians_and_trimmed_mean_ignore_a_minority_and_the_average_does_not():
    rng = np.random.default_rng(8)
    blocks = 1.0 + 0.01 * rng.standard_normal((15, 4, 3))
    blocks[:6] += 1000.0
    record = ClientEstimates(values=blocks)
    for name in ("coordinate_median", "geometric_median", "trimmed_mean", "krum", "multi_krum"):
        centre = BASELINES[name](record, rank=0, n_contaminated=6).common
        np.testing.assert_allclose(centre, 1.0, atol=0.2)
    assert BASELINES["federated_average"](record, rank=0, n_contaminated=6).common.min() > 300.0


def test_local_only_changes_nothing_and_average_weighs_by_sample_size():
    record, _, _ = _instance(9)
    np.testing.assert_array_equal(BASELINES["local_only"](record, rank=2, n_contaminated=4).estimates, record.dense())
    weighted = ClientEstimates(values=record.dense(), sample_sizes=np.arange(1, 21))
    expected = np.tensordot(np.arange(1, 21) / 210, record.dense(), axes=1)
    found = BASELINES["federated_average"](weighted, rank=2, n_contaminated=4).common
    np.testing.assert_allclose(found, expected, rtol=1e-12)
