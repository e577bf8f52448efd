"""A direction of flagged clients that members have as well: found where it is, not where it is not."""

import numpy as np
import pytest

from clair_stats.detection import consensus
from clair_stats.detection.consensus import find_consensus
from clair_stats.detection.joint_look import shared_after_all
from clair_stats.detection.panel import make_panel
from clair_stats.detection.shared_fit import fit_shared
from tests.detection.instances import benign_stack


def _vectors(seed, *, noise=0.2):
    """Coefficient vectors (q = 1) along one direction: half of the clients have little of it."""
    blocks, *_ = benign_stack(np.random.default_rng(seed), n_clients=30, p=12, q=1, rank=1, noise=noise)
    return blocks


def test_members_chosen_for_having_little_of_a_direction_still_show_it():
    found = 0
    for seed in range(20):
        blocks = _vectors(seed, noise=0.1)
        panel = make_panel(blocks, noise_scales=np.full(30, 0.1))
        energy = np.sum((blocks - np.median(blocks, axis=0)) ** 2, axis=(1, 2))
        members = energy <= np.sort(energy)[17]
        found += shared_after_all(panel, fit_shared(panel, members, 0), members, 1.0)
    assert found >= 18


@pytest.mark.parametrize("identical", [False, True])
def test_a_direction_of_contaminated_clients_alone_is_not_shared(identical):
    """At 1e-3 each, more than one rejection in 60 has probability 0.002."""
    rejected = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        blocks, _, basis, center = benign_stack(rng, n_clients=30, p=20, q=4, rank=2, noise=0.2)
        other = np.linalg.qr(np.concatenate([basis, rng.standard_normal((20, 1))], axis=1))[0][:, 2:]
        rows = rng.standard_normal((1 if identical else 13, 1, 4))
        blocks[:13] = center + other @ rows + 0.2 * rng.standard_normal((13, 20, 4))
        panel, members = make_panel(blocks), np.arange(30) >= 13
        rejected += shared_after_all(panel, fit_shared(panel, members, 2), members, 0.2)
    assert rejected <= 1


def test_a_tolerated_difference_is_no_shared_direction():
    rng = np.random.default_rng(5)
    blocks, _, basis, _ = benign_stack(rng, n_clients=30, p=20, q=4, rank=2, noise=0.05)
    other = np.linalg.qr(np.concatenate([basis, rng.standard_normal((20, 1))], axis=1))[0][:, 2:]
    rows = rng.standard_normal((30, 1, 4))
    rows /= np.linalg.norm(rows, axis=2, keepdims=True)
    blocks += np.where(np.arange(30) < 10, 3.0, 0.3)[:, None, None] * (other @ rows)
    panel, members = make_panel(blocks), np.arange(30) >= 10
    fit = fit_shared(panel, members, 2)
    assert shared_after_all(panel, fit, members, 0.05)
    assert not shared_after_all(panel, fit, members, 0.05, heterogeneity=0.3)


def test_the_rank_of_vectors_is_found_more_often(monkeypatch):
    """One number each along the shared direction: at least half of the ranks that were too small no longer are."""

    def too_small():
        return sum(
            find_consensus(
                make_panel(_vectors(seed), noise_scales=np.full(30, 0.2)), rank=None, level=0.05
            ).fit.basis.shape[1]
            < 1
            for seed in range(40)
        )

    own = too_small()
    monkeypatch.setattr(consensus, "shared_after_all", lambda *_, **__: False)
    assert own <= too_small() // 2
