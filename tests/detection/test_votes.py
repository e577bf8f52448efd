"""A direction that few members use gives them no vote; one that most members use leaves every vote."""

import numpy as np
import pytest

from clair_stats.detection.panel import make_panel
from clair_stats.detection.shared_fit import fit_shared
from clair_stats.detection.votes import count_votes
from tests.detection.instances import benign_stack


def _votes(blocks, rank, *, known=None, common_component=True):
    scales = None if known is None else np.full(len(blocks), known)
    panel = make_panel(blocks, noise_scales=scales, common_component=common_component)
    members = np.ones(len(blocks), dtype=bool)
    return count_votes(panel, fit_shared(panel, members, rank), members, 0.5 if known is None else 1.0)


@pytest.mark.parametrize("known", [None, 0.5])
def test_five_clients_cannot_buy_a_majority_of_sixty(known):
    votes = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rest = 0.5 * rng.standard_normal((27, 40, 20))
        bought, *_ = benign_stack(rng, n_clients=5, p=40, q=20, rank=1, noise=0.5, common=0.0)
        votes.append(_votes(np.concatenate([rest, bought]), 1, known=known))
    # All 32 would be a majority.  The edge is a 99 % point, so one of twenty is luck and three would be a defect.
    assert sum(count >= 31 for count in votes) <= 2
    assert np.median(votes) == 27


@pytest.mark.parametrize("shape", [(8, 12, 8, 2), (33, 40, 20, 3), (33, 20, 4, 2), (60, 12, 2, 1)])
@pytest.mark.parametrize("common_component", [True, False])
def test_generic_coefficients_cost_no_vote(shape, common_component):
    n_clients, p, q, rank = shape
    for seed in range(10):
        rng = np.random.default_rng(100 + seed)
        blocks, *_ = benign_stack(
            rng, n_clients=n_clients, p=p, q=q, rank=rank, noise=0.5, common=0.3 * common_component
        )
        assert _votes(blocks, rank, common_component=common_component) == n_clients


def test_a_direction_of_half_the_clients_is_shared():
    rng = np.random.default_rng(7)
    blocks, *_ = benign_stack(rng, n_clients=30, p=20, q=8, rank=1, noise=0.5, common=0.0)
    blocks[::2] = 0.5 * rng.standard_normal((15, 20, 8))
    assert _votes(blocks, 1) == 30


def test_rank_zero_and_noise_free_clients_vote():
    rng = np.random.default_rng(8)
    assert _votes(rng.standard_normal((9, 6, 4)), 0) == 9
    basis = np.linalg.qr(rng.standard_normal((12, 2)))[0]
    panel = make_panel(basis @ rng.standard_normal((9, 2, 4)))
    members = np.ones(9, dtype=bool)
    assert count_votes(panel, fit_shared(panel, members, 2), members, panel.floor) == 9
