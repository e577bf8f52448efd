"""Whom CLAIR refines on what: the set where errors are learnt, whoever is alike where they are known, halves, exact."""

import warnings

import numpy as np
import pytest

from clair_stats import CLAIR, ClientEstimates, refine
from clair_stats.clair import NoMajorityWarning
from clair_stats.linalg import project_off

SIGMA = 0.1


def _federation(seed, heterogeneity, *, n_clients=30, p=16, q=10, rank=2, bad=6):
    """Benign clients ``heterogeneity`` noise norms off the subspace; the first ``bad`` are contaminated."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((p, rank)))[0]
    off = project_off(basis, rng.standard_normal((n_clients, p, q)))
    off *= heterogeneity * SIGMA * np.sqrt((p - rank) * q) / np.linalg.norm(off, axis=(1, 2), keepdims=True)
    targets = rng.standard_normal((p, q)) + basis @ rng.standard_normal((n_clients, rank, q)) + off
    targets[:bad] += project_off(basis, rng.standard_normal((bad, p, q)))
    return targets + SIGMA * rng.standard_normal(targets.shape), targets, np.arange(n_clients) >= bad


def _fit(estimates, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoMajorityWarning)
        return CLAIR(**settings).fit(estimates)


def _ratio(model, targets, blocks, benign):
    return np.sum((model.refined_ - targets)[benign] ** 2) / np.sum((blocks - targets)[benign] ** 2)


@pytest.mark.parametrize("bad", [0, 6])
@pytest.mark.parametrize("heterogeneity", [0.0, 0.5, 1.0, 3.0])
def test_known_errors_refine_at_every_heterogeneity(heterogeneity, bad):
    """Within 0.06 + 2/d of what a known heterogeneity and the true set would give, σ_k known and nothing else told."""
    p, q, rank = 16, 10, 2
    n, d = 30 - bad, (p - rank) * q
    ratios = []
    for seed in range(3):
        blocks, targets, benign = _federation(seed, heterogeneity, bad=bad)
        model = _fit(ClientEstimates(values=blocks, noise_scales=np.full(30, SIGMA)))
        ratios.append(_ratio(model, targets, blocks, benign))
        np.testing.assert_array_equal(model.refined_[~benign], blocks[~benign])
    off = 1 / n + (1 - 1 / n) * heterogeneity**2 / (1 + heterogeneity**2)
    assert np.mean(ratios) <= (rank + (p - rank) * off) / p + 0.06 + 2 / d


@pytest.mark.parametrize("heterogeneity", [0.0, 1.0])
def test_the_rank_of_refinement_is_its_own(heterogeneity):
    """A rank that is too small or too large for the set loses nothing; averaging at rank 1 is many times worse."""
    blocks, targets, benign = _federation(5, heterogeneity, rank=3, bad=0)
    record = ClientEstimates(values=blocks, noise_scales=np.full(30, SIGMA))
    right = _ratio(_fit(record, rank=3), targets, blocks, benign)
    for rank in (0, 1, 2, 5):
        model = _fit(record, rank=rank)
        assert model.refinement_.basis.shape[1] >= 3
        assert _ratio(model, targets, blocks, benign) < 1.02 * right < 1.0
    averaged = refine(record, basis=np.linalg.svd(blocks[0] - blocks[1])[0][:, :1], collaborative_set=benign)
    assert np.sum((averaged.estimates - targets) ** 2) > 5 * np.sum((blocks - targets) ** 2)


def test_what_exceeds_the_given_noise_is_true_difference():
    blocks, targets, benign = _federation(1, 1.0)
    record = ClientEstimates(values=blocks, noise_scales=np.full(30, SIGMA))
    model = _fit(record)
    np.testing.assert_array_equal(model.refinement_.members, benign)
    np.testing.assert_allclose(model.refinement_.own_risk, SIGMA**2 * 160)
    assert "24 of 30 clients drawn towards each other" in model.summary()
    averaged = _fit(record, refinement="average")
    assert _ratio(model, targets, blocks, benign) < 0.75 * _ratio(averaged, targets, blocks, benign)
    # Without σ_k nothing tells error from differences: the summary says so.
    learnt = _fit(blocks)
    assert not learnt.error_is_known_
    assert "true differences larger than the error would be taken for error" in learnt.summary()


def test_without_a_verdict_known_errors_still_refine():
    rng = np.random.default_rng(6)
    common = rng.standard_normal((15, 8))
    blocks = common + rng.standard_normal((10, 15, 8)) * rng.uniform(1, 50, 10)[:, None, None]
    unknown = _fit(blocks)
    assert not unknown.majority_
    np.testing.assert_array_equal(unknown.refined_, blocks)
    halves = blocks[:, None] + 0.5 * np.array([1.0, -1.0])[:, None, None] * rng.standard_normal((10, 1, 15, 8))
    told = _fit(ClientEstimates(halves=halves))
    assert not told.majority_
    assert told.refinement_.members.all()
    assert 0 < np.abs(told.refined_ - blocks).max() < 1.0


def test_halves_tell_error_from_differences():
    """At three noise norms the learnt scale takes differences for error and loses; two halves do not."""
    rng = np.random.default_rng(2)
    blocks, targets, benign = _federation(2, 3.0)
    errors = blocks - targets
    other = SIGMA * rng.standard_normal(blocks.shape)  # halves are the mean plus and minus an independent half
    halves = targets[:, None] + np.stack([errors + other, errors - other], axis=1)
    told = _fit(ClientEstimates(halves=halves))
    assert told.error_is_known_
    assert _ratio(told, targets, blocks, benign) < 1.0
    assert _ratio(_fit(blocks), targets, blocks, benign) > 2.0


def test_halves_follow_factors_and_rows():
    rng = np.random.default_rng(3)
    blocks, _, _ = _federation(3, 0.0)
    halves = blocks[:, None] + SIGMA * rng.standard_normal((30, 2, 16, 10))
    pairs = tuple((block, np.eye(10)) for block in blocks)
    dense = _fit(ClientEstimates(values=blocks, halves=halves))
    factored = _fit(ClientEstimates(factors=pairs, halves=halves))
    rows = _fit(ClientEstimates(values=blocks.transpose(0, 2, 1), halves=halves.transpose(0, 1, 3, 2)), shared="rows")
    np.testing.assert_allclose(factored.refined_, dense.refined_, atol=1e-9)
    np.testing.assert_allclose(rows.refined_.transpose(0, 2, 1), dense.refined_, atol=1e-9)


def test_exact_estimates_are_kept():
    blocks, _, _ = _federation(4, 0.0)
    targets = blocks - project_off(np.linalg.svd(blocks[10] - blocks[11])[0][:, :2], blocks - blocks[10])
    model = _fit(targets)
    np.testing.assert_array_equal(model.refined_, targets)


def test_the_function_agrees_with_the_class():
    blocks, _, benign = _federation(5, 0.0)
    record = ClientEstimates(values=blocks, noise_scales=np.full(30, SIGMA))
    model = _fit(record)
    found = refine(record, basis=None, collaborative_set=benign, method="shrinkage")
    np.testing.assert_allclose(found.estimates, model.refined_, atol=1e-12)
    np.testing.assert_array_equal(found.basis, model.refinement_.basis)
    assert found.kept[benign].max() < 0.3
    np.testing.assert_array_equal(found.kept[~benign], 1.0)
    scaled = refine(blocks, basis=None, collaborative_set=benign, method="shrinkage", noise_scales=np.full(30, SIGMA))
    np.testing.assert_allclose(scaled.estimates, found.estimates, atol=1e-12)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"method": "median"}, "method: 'median'"),
        ({"method": "shrinkage"}, "noise_scales: missing"),
        ({}, "basis: None"),
    ],
)
def test_bad_requests_name_the_field(told, message):
    with pytest.raises(ValueError, match=message):
        refine(np.ones((4, 3, 2)), basis=None, collaborative_set=np.ones(4, dtype=bool), **told)


@pytest.mark.parametrize(
    ("halves", "message"),
    [
        (np.ones((4, 3, 3, 2)), "two fits per client"),
        (np.full((4, 2, 3, 2), np.nan), "halves: client 0"),
        (np.ones((5, 2, 3, 2)), "halves: shape"),
    ],
)
def test_bad_halves_are_refused(halves, message):
    with pytest.raises(ValueError, match=message):
        ClientEstimates(values=np.ones((4, 3, 2)), halves=halves)
    with pytest.raises(TypeError, match="halves: dtype"):
        ClientEstimates(values=np.ones((4, 3, 2)), halves=np.full((4, 2, 3, 2), "x"))
