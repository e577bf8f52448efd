"""Concentration steps against a naive twin that fits every mask by least squares."""

import numpy as np
import pytest

from clair_stats.decomposition.problem import from_tall
from clair_stats.detection.panel import make_panel
from clair_stats.detection.shared_fit import centre_and_scatter, fit_shared
from clair_stats.detection.step_2_candidates import random_subsets, search, starting_subsets
from clair_stats.detection.trimmed_fits import Coordinates, Fits, Kernel, directions_above_noise
from tests.detection.instances import benign_stack, contaminate_some


@pytest.mark.parametrize("common_component", [True, False])
@pytest.mark.parametrize("rank", [0, 1, 3])
def test_batched_residuals_equal_one_fit_at_a_time(common_component, rank):
    rng = np.random.default_rng(1)
    scales = rng.uniform(0.1, 0.5, 14)
    blocks, *_ = benign_stack(rng, n_clients=14, p=6, q=4, rank=3, scales=scales)
    panel = make_panel(blocks, noise_scales=scales, common_component=common_component)
    whole = Coordinates(np.eye(6), from_tall(panel.tall), np.zeros(14))
    masks = random_subsets(14, {5: 4, 9: 4}, rng)
    residuals, left = Fits(Kernel(panel, whole), rank).residuals(masks)
    for mask, found, eigenvalue in zip(masks, residuals, left, strict=True):
        fit = fit_shared(panel, mask, rank)
        off = panel.blocks - panel.design[:, None, None] * fit.common
        off = off - fit.basis @ (fit.basis.T @ off)
        np.testing.assert_allclose(found, np.sum(off**2, axis=(1, 2)), rtol=1e-8)
        assert eigenvalue == pytest.approx(fit.eigenvalues[rank], rel=1e-8)


def test_subsets_have_the_sizes_asked_for():
    masks = random_subsets(20, {2: 30, 5: 10}, np.random.default_rng(2))
    np.testing.assert_array_equal(masks.sum(axis=1), [2] * 30 + [5] * 10)
    assert len(np.unique(masks, axis=0)) > 35


def test_the_benign_group_comes_first():
    rng = np.random.default_rng(3)
    blocks, *_ = benign_stack(rng)
    blocks, benign = contaminate_some(rng, blocks, 13, size=1.0)
    first = next(search(make_panel(blocks), rank=2))[0]
    assert (first.rank, first.source) == (2, "search")
    np.testing.assert_array_equal(first.members, benign)
    ranks = [group[0].rank for group in search(make_panel(blocks))]
    assert ranks == sorted(set(ranks))


def test_common_directions_keep_what_clients_share_and_drop_what_is_scattered():
    rng = np.random.default_rng(4)
    blocks, _, basis, _ = benign_stack(rng, p=30, noise=0.05)
    blocks, _ = contaminate_some(rng, blocks, 10, size=5.0)
    directions = directions_above_noise(make_panel(blocks)).directions
    assert directions.shape[1] < 15  # 2 are needed; too many cost time only
    assert np.linalg.norm(basis - directions @ (directions.T @ basis), 2) < 0.1


def test_starts_follow_the_clients_when_these_change_places():
    blocks, *_ = benign_stack(np.random.default_rng(5))
    order = np.random.default_rng(6).permutation(30)
    plain, moved = starting_subsets(make_panel(blocks), 2), starting_subsets(make_panel(blocks[order]), 2)
    np.testing.assert_array_equal(moved, plain[:, order])


@pytest.mark.parametrize("common_component", [True, False])
@pytest.mark.parametrize("shape", [(12, 8, 5), (12, 30, 5)])  # with moments and, for tall blocks, without
def test_centre_and_scatter_are_those_of_least_squares(shape, common_component):
    rng = np.random.default_rng(1)
    scales = rng.uniform(0.2, 2.0, shape[0])
    blocks = 100.0 + rng.standard_normal(shape)
    panel = make_panel(blocks, noise_scales=scales, common_component=common_component)
    assert (panel.moments is None) == (shape[1] == 30)
    members = rng.random(shape[0]) < 0.6
    common, scatter = centre_and_scatter(panel, members)
    expected = np.average(blocks[members], axis=0, weights=scales[members] ** -2.0) if common_component else 0.0
    np.testing.assert_allclose(common * panel.unit, np.broadcast_to(expected, shape[1:]), rtol=1e-12, atol=1e-9)
    centred = (blocks[members] - expected) / scales[members][:, None, None]
    np.testing.assert_allclose(scatter, sum(block @ block.T for block in centred), rtol=1e-8, atol=1e-8)


def test_the_robust_centre_minimises_the_sum_of_distances():
    rng = np.random.default_rng(7)
    blocks, *_ = benign_stack(rng)
    blocks[:9] += 50.0
    panel = make_panel(blocks)
    centre = panel.robust_centre * panel.unit

    def total(point):
        return np.linalg.norm(blocks - point, axis=(1, 2)).sum()

    # Near the minimum the sum is flat to second order: 1e-6 of weights is 1e-12 of the sum.
    assert all(total(centre) <= total(centre + 1e-2 * rng.standard_normal(centre.shape)) for _ in range(20))


@pytest.mark.parametrize("copies", [1, 5])
def test_the_robust_centre_is_a_client_exactly_where_that_client_is_the_median(copies):
    """Steps that only come near leave copies a distance that is rounding, and with it a direction."""
    rng = np.random.default_rng(8)
    scales = rng.uniform(0.5, 2.0, 10)
    blocks = 3.0 + rng.standard_normal((10, 4, 3))
    blocks[:copies] = blocks[0]
    if copies == 1:  # others in pairs on opposite sides of it pull it nowhere
        scales[1::2] = scales[[2, 4, 6, 8, 9]]
        blocks[1:8:2] = 2.0 * blocks[0] - blocks[2:9:2]
        blocks[9] = blocks[0] + 0.5
        scales[9] = 2.0
    panel = make_panel(blocks, noise_scales=scales)
    np.testing.assert_allclose(panel.robust_centre * panel.unit, blocks[0], rtol=1e-14)
    pulls = (blocks[copies:] - blocks[0]) / np.linalg.norm(blocks[copies:] - blocks[0], axis=(1, 2))[:, None, None]
    weights = 1.0 / scales
    assert np.linalg.norm(np.tensordot(weights[copies:], pulls, 1)) < weights[:copies].sum()  # so it is the median
