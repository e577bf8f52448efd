"""What the search leaves out for speed, against one that leaves nothing out; and corners that studies found."""

import numpy as np
import pytest

from clair_stats.detection import consensus
from clair_stats.detection.camps import equal_camps
from clair_stats.detection.concentration import Kernel, least_rank
from clair_stats.detection.consensus import find_consensus
from clair_stats.detection.panel import make_panel
from clair_stats.detection.reduction import extended, reduce_panel
from clair_stats.detection.shared_fit import center_and_scatter, fit_shared
from clair_stats.detection.starts import random_subsets, starting_subsets
from clair_stats.detection.votes import count_votes
from clair_stats.detection.whiteness import noise_edge
from clair_stats.linalg import entrywise_median
from simulations.design import content_hash
from simulations.streams import Streams
from simulations.studies.linear_regression import regression_regime
from tests.detection.instances import benign_stack, contaminate_some


@pytest.mark.parametrize("count", [1, 2, 7, 12])
def test_entrywise_median_is_the_median(count):
    blocks = np.random.default_rng(count).standard_normal((count, 5, 3))
    np.testing.assert_allclose(entrywise_median(blocks), np.median(blocks, axis=0), rtol=1e-15)


@pytest.mark.parametrize("common_component", [True, False])
@pytest.mark.parametrize("shape", [(12, 8, 5), (12, 30, 5)])  # with moments and, for tall blocks, without
def test_center_and_scatter_are_those_of_least_squares(shape, common_component):
    rng = np.random.default_rng(1)
    scales = rng.uniform(0.2, 2.0, shape[0])
    blocks = 100.0 + rng.standard_normal(shape)
    panel = make_panel(blocks, noise_scales=scales, common_component=common_component)
    assert (panel.moments is None) == (shape[1] == 30)
    members = rng.random(shape[0]) < 0.6
    common, scatter = center_and_scatter(panel, members)
    expected = np.average(blocks[members], axis=0, weights=scales[members] ** -2.0) if common_component else 0.0
    np.testing.assert_allclose(common, np.broadcast_to(expected, shape[1:]), rtol=1e-12, atol=1e-12)
    centered = (blocks[members] - expected) / scales[members][:, None, None]
    np.testing.assert_allclose(scatter, sum(block @ block.T for block in centered), rtol=1e-9, atol=1e-9)


def _naive_least_rank(panel, starts, noise):
    """Start by start, in all coordinates."""
    _, p, q = panel.shape
    ranks = []
    for start in starts:
        values = fit_shared(panel, start, 0).eigenvalues
        columns = [(int(start.sum()) - 1) * q - r for r in range(p)]
        fits = (r for r in range(p) if values[r] <= noise**2 * noise_edge(p - r, max(columns[r], 1)))
        ranks.append(next(fits, p))
    return min(ranks)


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_least_rank_never_exceeds_the_rank_and_is_that_of_the_naive_twin(rank):
    for seed in range(15):
        rng = np.random.default_rng(seed)
        blocks, *_ = benign_stack(rng, n_clients=24, p=20, q=10, rank=rank, noise=0.1)
        blocks, _ = contaminate_some(rng, blocks, 9)
        panel = make_panel(blocks, noise_scales=np.full(24, 0.1))
        starts = starting_subsets(panel, 0)
        found = least_rank(Kernel(panel, reduce_panel(panel)), starts)
        # In fewer coordinates eigenvalues can only be smaller: the bound is lower or the same.
        assert found <= min(rank, _naive_least_rank(panel, starts, 1.0))
        assert found >= rank // 2  # and it does exclude something at this noise


@pytest.mark.parametrize("kind", ["scattered", "coordinated", "clean"])
@pytest.mark.parametrize("noise", [0.05, 0.4])
def test_the_quick_search_finds_what_the_complete_one_finds(monkeypatch, kind, noise):
    for seed in range(4):
        rng = np.random.default_rng(50 + seed)
        blocks, _, basis, center = benign_stack(rng, n_clients=30, p=20, q=8, rank=3, noise=noise)
        if kind == "scattered":
            blocks, _ = contaminate_some(rng, blocks, 12, size=1.5)
        if kind == "coordinated":
            other = np.linalg.qr(np.concatenate([basis, rng.standard_normal((20, 2))], axis=1))[0][:, 3:]
            blocks[:13] = center + other @ rng.standard_normal((13, 2, 8)) + noise * rng.standard_normal((13, 20, 8))
        quick = find_consensus(make_panel(blocks), rank=None, level=0.05)
        with monkeypatch.context() as patch:
            patch.setattr(consensus, "least_rank", lambda *_, **__: 0)
            patch.setattr("clair_stats.detection.fixed_point._FAR_FROM_WHITE", (np.inf, np.inf))
            complete = find_consensus(make_panel(blocks), rank=None, level=0.05)
        assert quick.accepted
        assert complete.accepted
        np.testing.assert_array_equal(quick.collaborative_set, complete.collaborative_set)
        np.testing.assert_array_equal(quick.fit.basis, complete.fit.basis)


def test_ranks_that_the_bound_excludes_in_error_are_looked_at_in_the_end(monkeypatch):
    rng = np.random.default_rng(3)
    blocks, *_ = benign_stack(rng, n_clients=20, rank=2)
    blocks, benign = contaminate_some(rng, blocks, 8)
    monkeypatch.setattr(consensus, "least_rank", lambda *_, **__: 10)
    found = find_consensus(make_panel(blocks), rank=None, level=0.01)
    assert found.majority
    np.testing.assert_array_equal(found.collaborative_set, benign)


def test_a_direction_that_the_signs_miss_is_added_to_the_common_ones(monkeypatch):
    rng = np.random.default_rng(4)
    blocks, *_ = benign_stack(rng, n_clients=40, p=20, q=10, rank=2, noise=0.5)
    panel = make_panel(blocks)
    whole = reduce_panel(panel)
    short = _without(whole, panel)
    grown = extended(panel, short, whole.directions[:, -1])
    np.testing.assert_allclose(grown.directions, whole.directions, atol=1e-12)
    np.testing.assert_allclose(grown.coordinates, whole.coordinates, atol=1e-12)
    # The median of an entry along a direction is not the coordinate of the entrywise median, but near it.
    np.testing.assert_allclose(grown.outside, whole.outside, rtol=0.25)
    monkeypatch.setattr(consensus, "reduce_panel", lambda _: short)
    monkeypatch.setattr(consensus, "_NEAR_THE_EDGE", 100.0)
    found = find_consensus(panel, rank=None, level=0.01)
    assert found.majority
    assert found.fit.basis.shape[1] == 2
    monkeypatch.setattr(consensus, "_NEAR_THE_EDGE", 0.0)  # the old way
    assert not find_consensus(panel, rank=None, level=0.01).accepted


def _without(reduction, panel):
    """The same reduction with its last direction forgotten."""
    from clair_stats.detection.reduction import Reduction

    last = reduction.coordinates[:, -1:]
    outside = reduction.outside + np.einsum("kij,kij->k", last, last)
    return Reduction(reduction.directions[:, :-1], reduction.coordinates[:, :-1], outside)


def test_a_spare_dimension_does_not_make_shared_directions_look_bought():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        blocks, *_ = benign_stack(rng, n_clients=33, p=40, q=20, rank=3, noise=0.2)
        panel = make_panel(blocks)
        members = np.ones(33, dtype=bool)
        # The fourth direction is noise, of which a few clients happen to have much; the other three are shared.
        assert count_votes(panel, fit_shared(panel, members, 4), members, 0.2) >= 25


def test_halves_of_one_benign_set_are_no_camps_and_two_populations_are():
    clean, tied = 0, 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        blocks, *_ = benign_stack(rng, n_clients=8, p=40, q=20, rank=3, noise=0.5)
        panel = make_panel(blocks)
        clean += bool(equal_camps(Kernel(panel, reduce_panel(panel)), 3, 0.05))
        blocks, _, basis, center = benign_stack(rng, n_clients=8, p=40, q=20, rank=3, noise=0.2)
        other = np.linalg.qr(np.concatenate([basis, rng.standard_normal((40, 3))], axis=1))[0][:, 3:]
        blocks[:4] = center + other @ rng.standard_normal((4, 3, 20)) + 0.2 * rng.standard_normal((4, 40, 20))
        panel = make_panel(blocks)
        tied += bool(equal_camps(Kernel(panel, reduce_panel(panel)), 6, 0.05))
    # Before halves had to reject each other, 3 clean stacks in 100 looked tied.
    assert clean == 0
    assert tied >= 30


def test_unequal_scales_add_starts_from_the_precise_half():
    rng = np.random.default_rng(6)
    blocks, *_ = benign_stack(rng, n_clients=20, noise=0.1)
    equal = starting_subsets(make_panel(blocks, noise_scales=np.full(20, 0.1)), 1)
    scales = np.geomspace(0.05, 0.5, 20)
    unequal = starting_subsets(make_panel(blocks, noise_scales=scales), 1)
    np.testing.assert_array_equal(unequal[: len(equal)], equal)
    assert len(unequal) == 2 * len(equal)
    assert not unequal[len(equal) :, scales > np.median(scales)].any()
    assert (random_subsets(20, {3: 5}, rng).sum(axis=1) == 3).all()


def test_benign_pairs_of_least_squares_fits_stay_below_the_edge():
    """Why twice the i.i.d. edge is room enough at n = 2.5 p, where one client's errors are far from i.i.d."""
    regime = regression_regime(50, share=0.0)
    ratios = []
    for seed in range(12):
        instance = regime.generate(Streams(seed, content_hash(regime), 0))
        scales = instance.estimates.noise_scales
        blocks = instance.estimates.dense() / scales[:, None, None]
        _, p, q = blocks.shape
        for first, second in zip(range(0, 16, 2), range(1, 16, 2), strict=True):
            difference = (blocks[first] - blocks[second]) / np.sqrt(2.0)
            left = np.linalg.eigvalsh(difference @ difference.T)[::-1][instance.rank]
            ratios.append(left / noise_edge(p - instance.rank, q - instance.rank))
    whitest = np.min(np.reshape(ratios, (12, 8)), axis=1)
    assert whitest.max() < 1.0
