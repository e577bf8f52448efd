"""Whether clients' scales differ is asked of a majority, so that no minority can answer."""

from itertools import combinations

import numpy as np
import pytest

from clair_stats.detection.decide import decide
from clair_stats.detection.panel import make_panel
from clair_stats.detection.scales import SCALES_DIFFER, majority_spread, spread_ratio
from tests.adapters.folders import truncated


def updates(seed, n_clients=16, enlarged=(), factor=100.0):
    """Adapters of rank 4 of clients that agree, some of them multiplied by a factor."""
    generator = np.random.default_rng(seed)
    basis = np.linalg.qr(generator.standard_normal((48, 2)))[0]
    blocks = basis @ generator.standard_normal((n_clients, 2, 40))
    blocks = blocks + 0.2 * generator.standard_normal((n_clients, 48, 40))
    blocks = np.stack([np.matmul(*truncated(block, 4)) for block in blocks])
    blocks[list(enlarged)] *= factor
    return blocks


def flagged(blocks):
    return np.flatnonzero(decide(make_panel(blocks), rank=None, level=0.05).flagged)


@pytest.mark.parametrize("n_clients", [3, 6, 9])
def test_the_spread_is_that_of_the_narrowest_majority(n_clients):
    values = np.random.default_rng(n_clients).standard_normal(n_clients)
    majorities = combinations(values, n_clients // 2 + 1)
    assert majority_spread(values) == pytest.approx(min(np.ptp(some) for some in majorities))


@pytest.mark.parametrize("n_clients", [10, 11, 24])
def test_fewer_than_half_of_the_values_cannot_enlarge_the_spread(n_clients):
    values = np.random.default_rng(n_clients).standard_normal(n_clients)
    minority = (n_clients - 1) // 2
    for far in (50.0, 1e12, -1e12):
        moved = values.copy()
        moved[:minority] = far
        assert majority_spread(moved) <= np.ptp(values[minority:])
    # One more, and there is no bound: the breakdown point is not larger than a half.
    values[: minority + 1] = 1e12 * np.arange(1, minority + 2)
    assert majority_spread(values) > 1e11


def test_equal_residuals_on_both_scales_are_no_difference():
    assert spread_ratio(np.zeros(8), np.zeros(8)) == 1.0 < SCALES_DIFFER
    assert spread_ratio(np.arange(8.0), np.zeros(8)) > SCALES_DIFFER


@pytest.mark.parametrize("seed", range(6))
def test_one_client_enlarged_a_hundredfold_is_flagged(seed):
    found = flagged(updates(seed, enlarged=(5,)))
    assert 5 in found
    assert found.size <= 2


@pytest.mark.parametrize("seed", range(6))
def test_two_fifths_of_the_clients_enlarged_a_hundredfold_are_flagged(seed):
    bad = (1, 4, 5, 9, 12, 14)
    np.testing.assert_array_equal(flagged(updates(seed, enlarged=bad)), bad)


def test_clients_that_all_have_a_scale_of_their_own_are_not_flagged_for_it():
    alarms = 0
    for seed in range(10):
        blocks = updates(seed)
        blocks *= np.exp(0.7 * np.random.default_rng(seed).standard_normal(len(blocks)))[:, None, None]
        found = decide(make_panel(blocks), rank=None, level=0.05)
        assert found.normalised
        alarms += int(found.flagged.any())
    assert alarms <= 2  # 10 runs at .05
