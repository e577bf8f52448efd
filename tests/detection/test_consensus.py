"""The search: rank, set, majority, ties, level of detail of the evidence."""

import numpy as np
import pytest
from scipy import stats

from clair_stats.detection.calibration import per_client_level
from clair_stats.detection.consensus import find_consensus
from clair_stats.detection.panel import make_panel
from tests.detection.instances import benign_stack, contaminate_some


def _search(blocks, **fields):
    return find_consensus(make_panel(blocks), rank=fields.pop("rank", None), level=0.01, **fields)


@pytest.mark.parametrize("rank", [0, 1, 2, 5])
def test_rank_and_set_are_found(rank):
    rng = np.random.default_rng(10 + rank)
    blocks, *_ = benign_stack(rng, rank=rank, p=20)
    blocks, benign = contaminate_some(rng, blocks, 12)
    found = _search(blocks)
    assert found.majority
    assert found.fit.basis.shape == (20, rank)
    np.testing.assert_array_equal(found.collaborative_set, benign)
    assert [e.rank for e in found.evidence] == list(range(rank + 1))
    assert [e.accepted for e in found.evidence] == [False] * rank + [True]


def _coordinated(rng, count, *, identical=False, n_clients=30, noise=0.1):
    blocks, _, basis, center = benign_stack(rng, n_clients=n_clients, p=20, noise=noise)
    other = np.linalg.qr(np.concatenate([basis, rng.standard_normal((20, 2))], axis=1))[0][:, 2:]
    rows = rng.standard_normal((1 if identical else count, 2, 8))
    bad = center + other @ rows + noise * rng.standard_normal((count, 20, 8))
    return np.concatenate([np.broadcast_to(bad, (count, 20, 8)), blocks[count:]]), np.arange(n_clients) >= count


@pytest.mark.parametrize("identical", [False, True])
@pytest.mark.parametrize("count", [4, 9, 13])
def test_a_coordinated_minority_is_not_given_its_own_dimensions(identical, count):
    blocks, benign = _coordinated(np.random.default_rng(20 + count), count, identical=identical)
    found = _search(blocks)
    assert found.fit.basis.shape[1] == 2
    np.testing.assert_array_equal(found.collaborative_set, benign)


def test_two_equal_camps_are_no_majority():
    blocks, benign = _coordinated(np.random.default_rng(30), 6, n_clients=12)
    found = _search(blocks)
    assert not found.majority
    camps = {tuple(camp) for camp in found.camps}
    assert camps == {tuple(benign), tuple(~benign)}


def test_scattered_clients_are_no_majority():
    rng = np.random.default_rng(31)
    found = _search(rng.standard_normal((12, 20, 8)) * rng.uniform(1, 30, 12)[:, None, None])
    assert not found.majority
    assert not any(e.accepted for e in found.evidence)


def test_the_second_look_finds_clients_below_the_first_threshold():
    """Coordinated clients too weak for the χ² test of their whole residual, but all in one direction."""
    rng = np.random.default_rng(32)
    blocks, _, basis, _ = benign_stack(rng, p=40, q=10, noise=0.5, n_clients=40)
    direction = np.linalg.qr(np.concatenate([basis, rng.standard_normal((40, 1))], axis=1))[0][:, 2:]
    rows = rng.standard_normal((14, 1, 10))
    blocks[:14] += direction @ (5.0 * rows / np.linalg.norm(rows, axis=2, keepdims=True))
    found = _search(blocks)
    benign = np.arange(40) >= 14
    np.testing.assert_array_equal(found.collaborative_set, benign)
    first = found.calibrated.statistics[:14] / found.calibrated.noise**2
    limit = stats.chi2.isf(per_client_level(0.01, 40), 38 * 10)
    assert (first < limit).sum() >= 5  # these the first test would have missed


def test_exact_data_give_the_exact_answer_and_repeat():
    rng = np.random.default_rng(33)
    blocks, _, basis, _ = benign_stack(rng, noise=0.0)
    blocks, benign = contaminate_some(rng, blocks, 12, size=1e-3)
    first, second = _search(blocks), _search(blocks)
    np.testing.assert_array_equal(first.collaborative_set, benign)
    assert np.linalg.norm(basis - first.fit.basis @ (first.fit.basis.T @ basis), 2) < 1e-9
    np.testing.assert_array_equal(first.fit.basis, second.fit.basis)


def test_the_answer_does_not_depend_on_scale_or_order():
    rng = np.random.default_rng(34)
    blocks, *_ = benign_stack(rng)
    blocks, _ = contaminate_some(rng, blocks, 11, size=0.4)
    found = _search(blocks)
    for factor in (1e-9, 1e9):
        np.testing.assert_array_equal(_search(factor * blocks).collaborative_set, found.collaborative_set)
    order = rng.permutation(30)
    np.testing.assert_array_equal(_search(blocks[order]).collaborative_set, found.collaborative_set[order])


def test_family_wise_level_without_contamination():
    """60 runs at level 0.05: more than 9 with a false alarm has probability 0.0008 under the level."""
    rng = np.random.default_rng(35)
    alarms = 0
    for _ in range(60):
        blocks, *_ = benign_stack(rng, n_clients=12, p=8, q=5)
        found = find_consensus(make_panel(blocks), rank=None, level=0.05)
        alarms += not found.collaborative_set.all()
    assert alarms <= 9
