"""Detectors for comparison: hand-computed cases, identities, and what each finds and does not find."""

import numpy as np
import pytest

from clair_stats.baselines.detectors import average_subgraph, foolsgold, horus, spectral_statistics
from clair_stats.baselines.detectors.average_subgraph import max_average_subgraph, mean_edge
from clair_stats.baselines.detectors.foolsgold import foolsgold_weights
from clair_stats.baselines.detectors.horus import projection_features
from clair_stats.baselines.detectors.spectral_statistics import spectral_features
from clair_stats.baselines.detectors.suspicion import cosines, robust_z

K, P, Q, BAD = 14, 12, 8, 4
DETECTORS = {
    "foolsgold": foolsgold,
    "spectral": spectral_statistics,
    "benign sub-graph": average_subgraph,
    "poisoned sub-graph": lambda blocks, **told: average_subgraph(blocks, seeks="poisoned", **told),
    "horus": lambda blocks, **told: horus([(np.eye(P), block) for block in blocks], **told),
}


def federation(kind, seed=1):
    """Benign clients about a common block; the first four are identical elsewhere, or scattered."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((P, Q))
    blocks = common + 0.5 * rng.standard_normal((K, P, Q))
    shape = (1, P, Q) if kind == "identical" else (BAD, P, Q)
    blocks[:BAD] = 1.1 * rng.standard_normal(shape)
    return blocks


def exhaustive_by_definition(edges, size):
    """Best mean edge, by every mask of the size."""
    n = len(edges)
    masks = [np.array([code >> i & 1 for i in range(n)], dtype=bool) for code in range(2**n)]
    return max(mean_edge(edges, mask) for mask in masks if mask.sum() == size)


@pytest.mark.parametrize("size", [2, 4, 7])
def test_the_subgraph_is_the_best_by_brute_force(size):
    edges = np.random.default_rng(size).standard_normal((10, 10))
    assert mean_edge(edges, max_average_subgraph(edges, size)) == pytest.approx(exhaustive_by_definition(edges, size))


def test_the_heuristic_comes_near_the_exhaustive_search_at_fourteen_nodes_and_is_exact_where_a_group_is_planted():
    ratios = []
    for seed in range(30):
        edges = np.random.default_rng(seed).standard_normal((14, 14))
        best = mean_edge(edges, max_average_subgraph(edges, 6, exhaustive=True))
        found = mean_edge(edges, max_average_subgraph(edges, 6, exhaustive=False))
        assert found <= best + 1e-12
        ratios.append(found / best)
        planted = np.zeros(14, dtype=bool)
        planted[np.random.default_rng(seed).permutation(14)[:6]] = True
        edges += 3.0 * np.outer(planted, planted)
        np.testing.assert_array_equal(max_average_subgraph(edges, 6, exhaustive=False), planted)
    assert np.mean(ratios) > 0.9  # pure noise, where the many near-optimal groups are far apart


def test_bad_graphs_are_refused():
    with pytest.raises(ValueError, match="edges"):
        max_average_subgraph(np.ones((2, 3)), 2)
    with pytest.raises(ValueError, match="size"):
        max_average_subgraph(np.ones((3, 3)), 1)
    with pytest.raises(ValueError, match="seeks"):
        average_subgraph(federation("identical"), seeks="all")


def test_foolsgold_by_hand():
    """Two equal clients and one at a right angle: the pair has similarity 1 and weight 0, the other one keeps all."""
    np.testing.assert_allclose(foolsgold_weights(np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1.0]])), [0.0, 0.0, 1.0])
    # Similarities .8 (pair) and .4: third client's maximum .4 is below .8, so .4 · .4/.8 = .2 counts against it.
    found = foolsgold_weights(np.array([[1, 0.8, 0.4], [0.8, 1, 0.4], [0.4, 0.4, 1.0]]))
    pair = (1 - 0.8) / (1 - 0.2)
    np.testing.assert_allclose(found, [max(np.log(pair / (1 - pair)) + 0.5, 0.0)] * 2 + [1.0], atol=1e-12)


def test_spectral_features_by_hand():
    block = np.diag([3.0, 4.0])[None]
    largest, norm, share, entropy, kurtosis = spectral_features(block)[0]
    assert (largest, norm, share) == pytest.approx((4.0, 5.0, 16 / 25))
    assert entropy == pytest.approx(-(16 / 25) * np.log(16 / 25) - (9 / 25) * np.log(9 / 25))
    centred = np.array([3, 0, 0, 4]) - 1.75
    assert kurtosis == pytest.approx(np.mean(centred**4) / np.mean(centred**2) ** 2)
    gaussian = np.random.default_rng(1).standard_normal((1, 200, 200))
    assert spectral_features(gaussian)[0, 4] == pytest.approx(3.0, abs=4 * np.sqrt(24 / 40_000))


def test_projection_features_by_hand():
    rights = [np.array([[1.0, 0.0, 0.0]]), np.array([[2.0, 0.0, 0.0]]), np.array([[0.0, 1.0, 0.0]])]
    norm, share, entropy, agreement = projection_features(rights).T
    np.testing.assert_allclose(norm, [1, 2, 1])
    np.testing.assert_allclose(share, 1.0)
    np.testing.assert_allclose(entropy, 0.0, atol=1e-12)
    np.testing.assert_allclose(agreement, [1, 1, 0], atol=1e-12)


def test_cosines_and_scores_by_hand():
    blocks = np.array([[[1e-200, 0.0]], [[0.0, 2.0]], [[3e200, 3e200]], [[0.0, 0.0]]])
    root = np.sqrt(0.5)
    expected = [[1, 0, root, 0], [0, 1, root, 0], [root, root, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(cosines(blocks), expected, atol=1e-12)
    # Median 2, median absolute deviation 1: 9 is 7/1.4826 away.
    np.testing.assert_allclose(robust_z(np.array([[1.0], [2.0], [3.0], [2.0], [9.0]]))[4], 7 / 1.4826, rtol=1e-12)


@pytest.mark.parametrize("name", DETECTORS)
def test_told_the_number_it_flags_that_many_and_the_order_of_clients_does_not_matter(name):
    blocks = federation("scattered")
    order = np.random.default_rng(2).permutation(K)
    for told in (0, 1, BAD, None):
        first = DETECTORS[name](blocks, n_contaminated=told)
        second = DETECTORS[name](blocks[order], n_contaminated=told)
        np.testing.assert_allclose(second.scores, first.scores[order], rtol=1e-6, atol=1e-9)
        in_order = np.sort(first.scores)[::-1]
        tied = told in (1, BAD) and np.isclose(in_order[told - 1], in_order[told], rtol=1e-9)
        # The two clients that resemble each other most have one score in FoolsGold.
        assert tied or np.array_equal(second.flagged, first.flagged[order])
        assert told is None or first.flagged.sum() == told


@pytest.mark.parametrize(
    ("name", "kind", "found"),
    [
        ("foolsgold", "identical", True),
        ("foolsgold", "scattered", False),  # benign clients resemble each other more than they do
        ("poisoned sub-graph", "identical", True),
        ("poisoned sub-graph", "scattered", False),
        ("benign sub-graph", "scattered", True),
        ("benign sub-graph", "identical", True),
    ],
)
def test_what_each_finds_and_does_not_find_when_told_the_number(name, kind, found):
    flagged = DETECTORS[name](federation(kind), n_contaminated=BAD).flagged
    np.testing.assert_array_equal(bool(flagged[:BAD].all()), found)


def test_the_benign_subgraph_finds_scattered_clients_by_its_own_rule():
    np.testing.assert_array_equal(average_subgraph(federation("scattered")).flagged, np.arange(K) < BAD)


def test_a_large_client_stands_out_in_norm_and_a_bank_of_benign_updates_is_used():
    blocks = federation("scattered")
    blocks[:BAD] = blocks[BAD : 2 * BAD]
    blocks[0] *= 5.0
    for name in ("spectral", "horus"):
        assert np.argmax(DETECTORS[name](blocks).scores) == 0
        assert DETECTORS[name](blocks).flagged[0]
    bank = np.random.default_rng(3).standard_normal((40, P, Q))
    against_others = spectral_statistics(100.0 * bank, bank=bank)
    assert against_others.flagged.all()
    assert spectral_statistics(100.0 * bank).flagged.mean() < 0.3


@pytest.mark.parametrize("name", ["foolsgold", "spectral", "benign sub-graph", "horus"])
def test_bad_input_is_refused(name):
    with pytest.raises(ValueError, match="client 2"):
        DETECTORS[name](np.where(np.arange(K)[:, None, None] == 2, np.nan, federation("scattered")))
    with pytest.raises(ValueError, match="n_contaminated"):
        DETECTORS[name](federation("scattered"), n_contaminated=K)


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.filterwarnings("error")
def test_identical_and_zero_clients_give_finite_scores(name):
    for blocks in (np.zeros((K, P, Q)), np.ones((K, P, Q))):
        assert np.isfinite(DETECTORS[name](blocks).scores).all()
