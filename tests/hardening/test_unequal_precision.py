"""One client that is told to be far more precise, or far less, than all others: its word counts, and digits stay."""

import numpy as np
import pytest

from clair_stats import CLAIR, ClientEstimates, refine
from clair_stats.refinement.others import each_without_itself

USUAL = 0.1


def told(blocks, scales, kind):
    if kind == "scales":
        return ClientEstimates(blocks, noise_scales=scales)
    return ClientEstimates(blocks, row_covariances=scales[:, None, None] ** 2 * np.eye(blocks.shape[1]))


def clients(last, seed=0):
    """Twelve clients of rank one with a common component; client 3 is contaminated, the last has its own scale."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((7, 1)))[0]
    scales = np.full(12, USUAL)
    scales[-1] = last
    errors = np.random.default_rng(seed + 1).standard_normal((12, 7, 4))
    blocks = rng.standard_normal((7, 4)) + basis @ rng.standard_normal((12, 1, 4)) + scales[:, None, None] * errors
    blocks[3] += rng.standard_normal((7, 4))
    return blocks, scales


@pytest.mark.parametrize("kind", ["scales", "covariances"])
@pytest.mark.parametrize("last", [1e-3, 1e-6, 1e-9, 1e-12, 1e-40, 1e3, 1e9, 1e60])
def test_the_contaminated_client_is_found_and_nobody_else(kind, last):
    """With covariances a client of 1e-6 was fitted alone and had no degrees of freedom left (flagged, p-value NaN)."""
    blocks, scales = clients(last)
    model = CLAIR().fit(told(blocks, scales, kind))
    assert model.majority_
    np.testing.assert_array_equal(np.flatnonzero(model.flagged_), [3])
    assert np.isfinite(model.p_values_).all()
    assert np.isfinite(model.thresholds_).all()
    np.testing.assert_allclose(model.noise_scales_[:-1], USUAL, rtol=1e-6)
    if kind == "scales":
        np.testing.assert_array_equal(model.noise_scales_, scales)


@pytest.mark.parametrize("last", [1e-9, 1e-10, 1e-12])
def test_pure_noise_beside_one_exact_client_has_a_verdict(last):
    """In units of 1e-9 the others' residuals were rounding: no majority, at rank 2."""
    blocks = USUAL * np.random.default_rng(0).standard_normal((8, 7, 4))
    model = CLAIR().fit(blocks, noise_scales=[*np.full(7, USUAL), last])
    assert (model.majority_, model.rank_) == (True, 0)
    np.testing.assert_array_equal(np.flatnonzero(model.flagged_), [7])


@pytest.mark.parametrize("last", [1e-7, 1e-10, 1e-40])
def test_what_the_others_say_is_no_difference_of_ones(last):
    """The sum of the others' weights was 1 − 1 beside a client of 1e-10, and the answer infinite."""
    blocks, scales = clients(last)
    blocks[3] = blocks[2]
    weights = (scales.min() / scales) ** 2
    members = np.ones(12, dtype=bool)
    found = {
        int(k): others.mean - others.shares[i] * (blocks[k] - others.mean)
        for others in each_without_itself(blocks, members, weights, count=2)
        for i, k in enumerate(others.clients)
    }
    np.testing.assert_allclose(found[11], blocks[:11].mean(axis=0), rtol=1e-8)
    np.testing.assert_allclose(found[0], blocks[11], atol=1e-5)
    refined = refine(blocks, basis=None, collaborative_set=members, noise_scales=scales, method="shrinkage")
    assert np.isfinite(refined.estimates).all()
    # A client told to be exact keeps its estimate.
    np.testing.assert_allclose(refined.estimates[11], blocks[11], rtol=1e-9)


def test_noise_beyond_all_numbers_says_that_everything_is_error():
    blocks = USUAL * np.random.default_rng(0).standard_normal((8, 7, 4))
    model = CLAIR().fit(blocks, noise_scales=np.full(8, 1e150))
    assert not model.flagged_.any()
    np.testing.assert_allclose(model.refined_, (blocks.sum(axis=0) - blocks) / 7, atol=1e-12)  # the others' mean
