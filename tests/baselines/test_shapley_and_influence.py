"""Shapley values against their definition, influence against refits, clusters and selection of SHED."""

from itertools import permutations

import numpy as np
import pytest

from clair_stats.baselines.detectors import exact_shapley, pairwise_influence, sampled_shapley
from clair_stats.baselines.detectors.shed import Clusters, cluster_proxies, select


def glove(mask):
    """Players 0 and 1 own a left glove each, player 2 the right one: a pair is worth 1."""
    return float(mask[2] and (mask[0] or mask[1]))


def coverage(mask):
    """A game without symmetry: number of different tens that the members' numbers reach, and a bonus for a pair."""
    numbers = np.array([3, 14, 15, 92, 65, 35])
    return len(set(numbers[mask] // 10)) + 0.5 * (mask[0] and mask[3]) + 2.0


def by_orders(value, n):
    """Mean marginal contribution over all n! orders."""
    total = np.zeros(n)
    orders = list(permutations(range(n)))
    for order in orders:
        mask = np.zeros(n, dtype=bool)
        for k in order:
            before = value(mask)
            mask[k] = True
            total[k] += value(mask) - before
    return total / len(orders)


def test_the_glove_game():
    np.testing.assert_allclose(exact_shapley(glove, 3).values, [1 / 6, 1 / 6, 4 / 6], atol=1e-14)


def test_exact_values_are_the_mean_over_all_orders_and_add_up():
    exact = exact_shapley(coverage, 6)
    np.testing.assert_allclose(exact.values, by_orders(coverage, 6), atol=1e-12)
    everyone, nobody = np.ones(6, dtype=bool), np.zeros(6, dtype=bool)
    assert exact.values.sum() == pytest.approx(coverage(everyone) - coverage(nobody))
    assert not exact.errors.any()


def test_sampled_values_add_up_exactly_and_lie_within_their_errors():
    exact = exact_shapley(coverage, 6).values
    sampled = sampled_shapley(coverage, 6, permutations=400, generator=np.random.default_rng(1))
    assert sampled.values.sum() == pytest.approx(exact.sum(), abs=1e-12)
    standard = (sampled.values - exact)[sampled.errors > 0] / sampled.errors[sampled.errors > 0]
    assert np.abs(standard).max() < 4.0  # six values; each beyond 4 with probability 6e-5
    few = sampled_shapley(coverage, 6, permutations=25, generator=np.random.default_rng(2))
    assert few.errors.sum() > 2.5 * sampled.errors.sum()  # a sixteenth of the orders: four times the error


def test_too_many_players_and_too_few_orders_are_refused():
    with pytest.raises(ValueError, match="12"):
        exact_shapley(glove, 13)
    with pytest.raises(ValueError, match="permutations"):
        sampled_shapley(glove, 3, permutations=1, generator=np.random.default_rng(1))


def test_influence_is_the_change_of_loss_when_a_point_is_left_out_up_to_its_leverage():
    """Least squares: leaving j out moves the loss of i, to first order in the move, by g_iᵀH⁻¹g_j/(n(1 − h_j))."""
    rng = np.random.default_rng(3)
    design, response = rng.standard_normal((15, 3)), rng.standard_normal(15)
    fitted = np.linalg.lstsq(design, response, rcond=None)[0]
    gradients = (design @ fitted - response)[:, None] * design
    hessian = design.T @ design / 15
    found = pairwise_influence(gradients, hessian)
    leverages = np.einsum("ij,jk,ik->i", design, np.linalg.inv(design.T @ design), design)
    for j in range(15):
        kept = np.arange(15) != j
        refitted = np.linalg.lstsq(design[kept], response[kept], rcond=None)[0]
        np.testing.assert_allclose(gradients @ (refitted - fitted), found[:, j] / (1 - leverages[j]), atol=1e-12)
    np.testing.assert_allclose(found, found.T, atol=1e-14)


def test_bad_hessians_are_refused():
    with pytest.raises(ValueError, match="shape"):
        pairwise_influence(np.ones((3, 2)), np.eye(3))
    with pytest.raises(ValueError, match="positive definite"):
        pairwise_influence(np.ones((3, 2)), -np.eye(2))


def test_proxies_are_the_points_nearest_to_the_centres_of_separated_clusters():
    rng = np.random.default_rng(4)
    truth = np.repeat([0, 1, 2], 20)
    features = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]])[truth] + rng.standard_normal((60, 2))
    clusters = cluster_proxies(features, 3, np.random.default_rng(1))
    for cluster, proxy in enumerate(clusters.proxies):
        own = clusters.labels == cluster
        assert len(set(truth[own])) == 1
        assert own.sum() == 20
        distances = np.linalg.norm(features - features[own].mean(axis=0), axis=1)
        assert proxy == np.argmin(np.where(own, distances, np.inf))
    with pytest.raises(ValueError, match="n_clusters"):
        cluster_proxies(features, 61, np.random.default_rng(1))


def test_selection_empties_the_best_clusters_first_and_weights_prefer_them():
    clusters = Clusters(np.repeat([0, 1, 2], [4, 3, 5]), np.array([0, 4, 7]))
    scores = np.array([0.0, 2.0, 1.0])
    best = select(clusters, scores, 5, rule="best", generator=np.random.default_rng(1))
    assert sorted(best)[:3] == [4, 5, 6]
    assert set(clusters.labels[best]) == {1, 2}
    # Scores over their standard deviation .816: weights e^(−2.45), 1, e^(−1.22) of the clusters, first draw ∝ them.
    drawn = [
        select(clusters, scores, 1, rule="weighted", generator=np.random.default_rng(seed))[0] for seed in range(3000)
    ]
    shares = np.bincount(clusters.labels[drawn], minlength=3) / 3000
    weights = np.exp(scores / scores.std())
    expected = weights / weights.sum()
    np.testing.assert_allclose(shares, expected, atol=4 * np.sqrt(0.25 / 3000))
    assert sorted(select(clusters, scores, 12, rule="weighted", generator=np.random.default_rng(1))) == list(range(12))
    with pytest.raises(ValueError, match="budget"):
        select(clusters, scores, 13, rule="best", generator=np.random.default_rng(1))
    with pytest.raises(ValueError, match="rule"):
        select(clusters, scores, 3, rule="all", generator=np.random.default_rng(1))
