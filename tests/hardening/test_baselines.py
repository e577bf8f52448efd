"""Every baseline gives finite answers for identical, zero, huge and tiny clients."""

import numpy as np
import pytest

from clair_stats.baselines import BASELINES
from tests.hardening.cases import K, P, Q, shared

X = shared()[0]
EDGES = {
    "identical": np.repeat(X[:1], K, axis=0),
    "zero": np.zeros((K, P, Q)),
    "mostly zero": np.concatenate([np.zeros((8, P, Q)), X[:4]]),
    "mostly identical": np.concatenate([np.repeat(X[:1], 8, axis=0), X[:4]]),
    "one huge": np.concatenate([X[1:], 1e200 * X[:1]]),
    "zero but one huge": np.concatenate([np.zeros((K - 1, P, Q)), 1e300 * X[:1]]),
    "huge": 1e200 * X,
    "tiny": 1e-200 * X,
}


@pytest.mark.parametrize("blocks", EDGES.values(), ids=EDGES)
@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.filterwarnings("error")
def test_degenerate_clients_get_finite_answers(name, blocks):
    for rank in (0, 1, P):
        for n_contaminated in (0, 1, 3, K - 1):
            fit = BASELINES[name](blocks, rank=rank, n_contaminated=n_contaminated)
            assert np.isfinite(fit.estimates).all()
            assert np.isfinite(fit.common).all()
            assert fit.basis is None or np.allclose(fit.basis.T @ fit.basis, np.eye(rank), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", BASELINES)
def test_a_power_of_two_changes_nothing_but_the_scale(name):
    plain = BASELINES[name](X, rank=1, n_contaminated=2)
    for exponent in (700, -700):
        scaled = BASELINES[name](np.ldexp(X, exponent), rank=1, n_contaminated=2)
        size = np.abs(plain.estimates).max()
        assert np.abs(np.ldexp(scaled.estimates, -exponent) - plain.estimates).max() <= 1e-9 * size
        if plain.collaborative_set is not None:
            assert np.array_equal(scaled.collaborative_set, plain.collaborative_set)


@pytest.mark.parametrize("name", ["coordinate_median", "geometric_median", "fast_median_subspace", "armul_low_rank"])
def test_where_most_clients_are_equal_their_estimate_is_the_centre(name):
    fit = BASELINES[name](EDGES["mostly identical"], rank=1, n_contaminated=4)
    assert np.abs(fit.common - X[0]).max() < 1e-6
