"""Concentration steps against a naive twin that fits every mask by least squares."""

import numpy as np
import pytest

from clair_stats.detection.concentration import Fits, Kernel, best_groups
from clair_stats.detection.panel import make_panel
from clair_stats.detection.reduction import Reduction, reduce_panel
from clair_stats.detection.shared_fit import fit_shared
from clair_stats.detection.starts import random_subsets
from tests.detection.instances import benign_stack, contaminate_some


@pytest.mark.parametrize("common_component", [True, False])
@pytest.mark.parametrize("rank", [0, 1, 3])
def test_batched_residuals_equal_one_fit_at_a_time(common_component, rank):
    rng = np.random.default_rng(1)
    scales = rng.uniform(0.1, 0.5, 14)
    blocks, *_ = benign_stack(rng, n_clients=14, p=6, q=4, rank=3, scales=scales)
    panel = make_panel(blocks, noise_scales=scales, common_component=common_component)
    whole = Reduction(np.eye(6), panel.blocks, np.zeros(14))
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
    panel = make_panel(blocks)
    masks = random_subsets(30, {2: 60}, rng)
    groups = best_groups(Kernel(panel, reduce_panel(panel)), masks, 2, half=16, level=0.05, n_best=3)
    np.testing.assert_array_equal(groups[0], benign)


def test_reduction_keeps_what_clients_share_and_drops_what_is_scattered():
    rng = np.random.default_rng(4)
    blocks, _, basis, _ = benign_stack(rng, p=30, noise=0.05)
    blocks, _ = contaminate_some(rng, blocks, 10, size=5.0)
    reduction = reduce_panel(make_panel(blocks))
    assert reduction.directions.shape[1] < 15  # 2 are needed; too many cost time only
    off = basis - reduction.directions @ (reduction.directions.T @ basis)
    assert np.linalg.norm(off, 2) < 0.1
