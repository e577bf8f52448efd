"""Aggregations of adapters: hand-computed cases, and identities between them."""

import numpy as np
import pytest

from clair_stats.baselines.aggregation import AGGREGATIONS, ffa_lora, rolora
from clair_stats.baselines.aggregation.fedrot import turned

P, Q, S, K = 7, 5, 2, 4
BY_HAND = [(np.array([[1.0]]), np.array([[2.0]])), (np.array([[3.0]]), np.array([[4.0]]))]
TURNED = [BY_HAND[0], (-BY_HAND[1][0], -BY_HAND[1][1])]


def pairs(seed=1, ranks=(S,) * K):
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal((P, s)), rng.standard_normal((s, Q))) for s in ranks]


def products(given):
    return np.stack([left @ right for left, right in given])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fedit", [6.0, 6.0]),  # 2 · 3
        ("flora", [7.0, 7.0]),  # (1 · 2 + 3 · 4)/2
        ("fedex", [7.0, 7.0]),
        ("flexlora", [7.0, 7.0]),
        ("fedsa_lora", [3.0, 9.0]),  # 1 · 3 and 3 · 3
        ("fedrot", [6.0, 6.0]),
    ],
)
def test_two_numbers_by_hand(name, expected):
    np.testing.assert_allclose(AGGREGATIONS[name](BY_HAND).updates().ravel(), expected, rtol=1e-14)


def test_a_turned_client_cancels_in_fedit_and_not_in_fedrot():
    np.testing.assert_allclose(AGGREGATIONS["fedit"](TURNED).updates().ravel(), [1.0, 1.0])  # (1 − 3)/2 · (2 − 4)/2
    np.testing.assert_allclose(AGGREGATIONS["fedrot"](TURNED).updates().ravel(), [6.0, 6.0])


def test_fedrot_is_exact_for_equal_updates_in_any_coordinates():
    rng = np.random.default_rng(3)
    left, right = pairs()[0]
    rotations = [np.linalg.qr(rng.standard_normal((S, S)))[0] for _ in range(K)]
    given = [(left @ rotation, rotation.T @ right) for rotation in rotations]
    for aligned in ("left", "right"):
        found = AGGREGATIONS["fedrot"](given, aligned=aligned).updates()
        np.testing.assert_allclose(found, products(given), atol=1e-12)
    assert np.abs(AGGREGATIONS["fedit"](given).updates() - products(given)).max() > 0.1


def test_turning_keeps_the_product_and_is_the_nearest_rotation():
    rng = np.random.default_rng(4)
    (left, right), (_, reference) = pairs()[:2]
    first, second = turned((left, right), reference, aligned="right")
    np.testing.assert_allclose(first @ second, left @ right, atol=1e-13)
    best = np.linalg.norm(second - reference)
    for _ in range(50):
        other = np.linalg.qr(rng.standard_normal((S, S)))[0].T @ right
        assert best <= np.linalg.norm(other - reference) + 1e-12


@pytest.mark.parametrize("weights", [None, np.array([1.0, 2.0, 3.0, 4.0])])
def test_flora_and_fedex_are_the_mean_of_products_and_flexlora_is_at_full_rank(weights):
    given = pairs()
    expected = np.average(products(given), axis=0, weights=weights)
    for name in ("flora", "fedex"):
        found = AGGREGATIONS[name](given, weights=weights).updates()
        np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=1e-13)
    full = AGGREGATIONS["flexlora"](given, weights=weights, ranks=[min(P, Q)] * K).updates()
    np.testing.assert_allclose(full, AGGREGATIONS["flora"](given, weights=weights).updates(), atol=1e-12)


def test_flexlora_cuts_to_every_clients_rank_and_loses_what_the_spectrum_says():
    given = pairs(ranks=(1, 2, 3))
    found = AGGREGATIONS["flexlora"](given)
    assert [left.shape[1] for left, _ in found.factors] == [1, 2, 3]
    mean = products(given).mean(axis=0)
    values = np.linalg.svd(mean, compute_uv=False)
    for rank, update in zip((1, 2, 3), found.updates(), strict=True):
        assert np.linalg.norm(update - mean) == pytest.approx(np.sqrt(np.sum(values[rank:] ** 2)), rel=1e-10)


def test_fedit_lacks_exactly_the_cross_terms():
    given = pairs()
    left, right = (np.mean([pair[i] for pair in given], axis=0) for i in (0, 1))
    cross = np.mean([(b - left) @ (a - right) for b, a in given], axis=0)
    assert np.abs(cross).max() > 0.1
    found = AGGREGATIONS["fedit"](given).updates()[0]
    np.testing.assert_allclose(found + cross, products(given).mean(axis=0), atol=1e-13)


def test_a_frozen_factor_makes_the_mean_exact_and_must_be_frozen():
    lefts, right = [b for b, _ in pairs()], pairs()[0][1]
    given = [(left, right) for left in lefts]
    expected = products(given).mean(axis=0)
    for found in (ffa_lora(given), rolora(given, trained="left"), AGGREGATIONS["fedit"](given)):
        np.testing.assert_allclose(found.updates()[0], expected, atol=1e-13)
    mirrored = [(right.T, left.T) for left in lefts]
    np.testing.assert_allclose(rolora(mirrored, trained="right").updates()[0], expected.T, atol=1e-13)
    for method in (ffa_lora, lambda x: rolora(x, trained="left")):
        with pytest.raises(ValueError, match="client 1 has another"):
            method(pairs())
    with pytest.raises(ValueError, match="trained"):
        rolora(given, trained="both")


def test_fedsa_is_fedit_when_all_keep_the_same_left_factor():
    left = pairs()[0][0]
    given = [(left, right) for _, right in pairs()]
    np.testing.assert_allclose(
        AGGREGATIONS["fedsa_lora"](given).updates(), AGGREGATIONS["fedit"](given).updates(), atol=1e-13
    )


def test_fedrpca_without_amplification_is_fedit_and_amplifies_the_sparse_part_alone():
    given = pairs()
    plain = AGGREGATIONS["fedrpca"](given, amplification=1.0).updates()
    np.testing.assert_allclose(plain, AGGREGATIONS["fedit"](given).updates(), atol=1e-12)
    # Equal left factors but for one entry of one client: that entry is the sparse part, worth 1/K in the mean.
    left, right = np.ones((P, 1)), np.ones((1, Q))
    spiked = left.copy()
    spiked[2, 0] += 8.0
    given = [(spiked, right), *[(left, right)] * (K - 1)]
    expected = np.ones((P, Q))
    expected[2] += 3.0 * 8.0 / K
    np.testing.assert_allclose(AGGREGATIONS["fedrpca"](given, amplification=3.0).updates()[0], expected, atol=1e-6)


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_shapes_numbers_sent_and_refusals(name):
    given = pairs()
    found = AGGREGATIONS[name](given)
    assert found.updates().shape == (K, P, Q)
    one_factor_pair = S * (P + Q)
    expected = {"fedsa_lora": (K * S * Q, K * S * Q), "flora": (K * one_factor_pair, K * K * one_factor_pair)}
    expected["fedex"] = (K * one_factor_pair, K * (one_factor_pair + P * Q))
    both = (K * one_factor_pair, K * one_factor_pair)
    assert (found.sent_up, found.sent_down) == expected.get(name, both)
    with pytest.raises(ValueError, match="no client"):
        AGGREGATIONS[name]([])
    with pytest.raises(ValueError, match="client 1: factors have entries"):
        AGGREGATIONS[name]([given[0], (np.full((P, S), np.nan), given[1][1])])
    with pytest.raises(ValueError, match="client 1"):
        AGGREGATIONS[name]([given[0], (given[1][0].T, given[1][1])])
    with pytest.raises(ValueError, match="weights"):
        AGGREGATIONS[name](given, weights=-np.ones(K))
    if name not in ("flora", "flexlora"):
        with pytest.raises(ValueError, match="ranks"):
            AGGREGATIONS[name](pairs(ranks=(1, 2)))
