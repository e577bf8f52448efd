"""Clients of a size far above the others', where the clients' scales differ and norms are divided out."""

import numpy as np
import pytest

from clair_stats import CLAIR
from clair_stats.detection.sizes import SHARE, oversized
from tests.detection.test_copies import federation

LEVEL = 0.05


@pytest.mark.parametrize("n_clients", [6, 12, 30, 120])
def test_sizes_of_one_lognormal_law_keep_their_level(n_clients):
    draws = 600
    generator = np.random.default_rng([71, n_clients])
    alarms = sum(
        bool(oversized(np.exp(0.7 * generator.standard_normal(n_clients)), LEVEL).flagged.any()) for _ in range(draws)
    )
    assert alarms / draws <= LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / draws)
    assert alarms > 5  # the level is used


@pytest.mark.parametrize("factor", [100.0, 1e8])
@pytest.mark.parametrize("count", [1, 3])
def test_large_clients_are_found_whatever_the_unit_and_nobody_else(factor, count):
    generator = np.random.default_rng(72)
    sizes = 1e-5 * np.exp(0.5 * generator.standard_normal(20))
    sizes[:count] *= factor
    found = oversized(sizes, LEVEL)
    np.testing.assert_array_equal(found.flagged, np.arange(20) < count)
    assert (found.p_values[:count] < found.critical).all()
    np.testing.assert_allclose(oversized(sizes * 2.0**40, LEVEL).p_values, found.p_values, rtol=1e-6)


def test_small_and_silent_clients_are_not_large():
    sizes = np.exp(0.5 * np.random.default_rng(73).standard_normal(20))
    sizes[:2] = 0.0, 1e-200
    assert not oversized(sizes, LEVEL).flagged.any()


def sent(seed, spread, factor):
    """Three modules of twenty clients, each on a scale of its own; client 3 sends ``factor`` times the usual size."""
    modules, generator = federation(seed)
    scales = np.exp(spread * generator.standard_normal(20))
    scales[3] = factor
    return [blocks * scales[:, None, None] for blocks in modules]


@pytest.mark.parametrize(("spread", "factor"), [(0.3, 10.0), (0.3, 1e4), (0.7, 100.0)])
def test_a_boosted_update_is_flagged_where_scales_differ(spread, factor):
    """It was like any other once norms were divided out: ten thousand times the usual size was called benign."""
    modules = sent(1, spread, factor)
    joint = CLAIR().fit({f"module {m}": blocks for m, blocks in enumerate(modules)})
    assert joint.modules_.verdict.scale == "norms divided out"
    single = CLAIR().fit(modules[0])
    assert single.consensus_.normalised or spread < 0.5  # else the scale as given tells it
    for model in (joint, single):
        np.testing.assert_array_equal(np.flatnonzero(model.flagged_), [3])
        assert model.scores_[3] > model.thresholds_[3]
        others = np.arange(20) != 3
        assert (model.scores_[others] <= model.thresholds_[others]).all()
        assert model.p_values_[3] < LEVEL / 20
    assert "flagged for their size" in joint.summary()
    assert ("flagged for their size" in single.summary()) == single.consensus_.normalised
    np.testing.assert_array_equal(np.flatnonzero(joint.modules_.verdict.oversized), [3])


def test_nobody_is_flagged_for_a_size_that_others_have_too():
    for seed in range(6):
        modules = sent(seed, 0.7, 1.0)
        joint = CLAIR().fit({f"module {m}": blocks for m, blocks in enumerate(modules)})
        assert not joint.flagged_.any()
        assert "flagged for their size" not in joint.summary()


def test_both_looks_share_the_level():
    found = oversized(np.exp(np.random.default_rng(74).standard_normal(12)), LEVEL)
    np.testing.assert_allclose(
        found.p_values_with(np.full(12, 0.004)), np.minimum(0.004 / (1 - SHARE), found.p_values / SHARE)
    )
