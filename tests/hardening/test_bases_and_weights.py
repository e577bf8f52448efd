"""What a caller gives beside the estimates: bases, common components, weights."""

import numpy as np
import pytest

from clair_stats import ClientEstimates, combine, detect, refine
from clair_stats.linalg import checked_frame
from tests.hardening.cases import K, P, Q, shared

ESTIMATES, BASIS = shared()
EVERYONE = np.ones(K, dtype=bool)
SCALES = np.full(K, 0.1)
BAD_BASES = {
    "NaN": np.full((P, 1), np.nan),
    "infinite": np.full((P, 1), np.inf),
    "one NaN": np.where(np.arange(P)[:, None] == 2, np.nan, BASIS),
    "not orthonormal": np.ones((P, 2)),
    "huge": 1e200 * BASIS,
    "zero": np.zeros((P, 1)),
    "a vector": np.ones(P),
    "rows missing": np.eye(P - 1)[:, :2],
    "wider than p": np.ones((P, P + 2)),
    "text": "abc",
    "complex": BASIS * 1j,
}


@pytest.mark.parametrize("bad", BAD_BASES.values(), ids=BAD_BASES)
def test_a_bad_basis_is_refused_by_everything_that_takes_one(bad):
    for call in (
        lambda: refine(ESTIMATES, basis=bad, collaborative_set=EVERYONE),
        lambda: detect(ESTIMATES, basis=bad, noise_scales=SCALES),
        lambda: combine(ESTIMATES, basis=bad, collaborative_set=np.arange(K) > 1, noise_scales=SCALES),
    ):
        with pytest.raises((TypeError, ValueError), match=r"^basis: .*; (give|orthonormalise)"):
            call()


def test_a_basis_in_float32_is_made_orthonormal():
    frame = np.linalg.qr(np.random.default_rng(1).standard_normal((30, 4)))[0]
    made = checked_frame(frame.astype(np.float32), 30)
    assert np.abs(made.T @ made - np.eye(4)).max() < 1e-14
    assert np.abs(made - frame).max() < 1e-6


def test_a_common_component_that_is_not_finite_makes_nobody_benign():
    for bad in (np.full((P, Q), np.nan), np.where(np.arange(Q) == 0, np.inf, np.zeros((P, Q)))):
        with pytest.raises(ValueError, match=r"common: some entries are NaN or infinite; give"):
            detect(ESTIMATES, basis=BASIS, common=bad, noise_scales=SCALES)


@pytest.mark.parametrize("size", [1e308, 1.0, 5e-324])
def test_weights_of_any_size_give_the_same_mean(size):
    for record, weights in (
        (ClientEstimates(values=ESTIMATES), np.full(K, size)),
        (ClientEstimates(values=ESTIMATES, sample_sizes=np.full(K, size)), None),
    ):
        refined = refine(record, basis=BASIS, collaborative_set=EVERYONE, weights=weights)
        assert np.allclose(refined.centre, ESTIMATES.mean(axis=0), rtol=0, atol=1e-14)
        assert abs(refined.weights.sum() - 1.0) < 1e-14


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
def test_weights_that_are_no_weights_are_refused(bad):
    weights = np.where(np.arange(K) == 3, bad, 1.0)
    with pytest.raises(ValueError, match="weights: give 12 positive finite numbers"):
        refine(ESTIMATES, basis=BASIS, collaborative_set=EVERYONE, weights=weights)
