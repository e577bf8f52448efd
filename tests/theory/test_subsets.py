from itertools import combinations

import numpy as np
import pytest

from clair_stats.theory import subset_margin
from clair_stats.theory.subsets import subset_indicators


def naive(blocks, size, others, weights, other_weights, common):
    """Margin and leverages from one design matrix per subset."""
    margin, leverages = np.inf, np.zeros(len(others))
    q, rank = blocks.shape[1:]
    for subset in combinations(range(len(blocks)), size):
        c = np.sqrt(weights[list(subset)])
        inside = [ck * blocks[k] for ck, k in zip(c, subset, strict=True)]
        rows = [np.hstack([a, ck * np.eye(q)]) if common else a for ck, a in zip(c, inside, strict=True)]
        design = np.vstack(rows)
        mean = sum(ck * a for ck, a in zip(c, inside, strict=True)) / (c @ c) if common else 0.0
        centred = np.vstack([a - ck * mean for ck, a in zip(c, inside, strict=True)])
        margin = min(margin, np.linalg.svd(centred, compute_uv=False)[rank - 1])
        inverse = np.linalg.inv(design.T @ design)
        for j, (other, v) in enumerate(zip(others, other_weights, strict=True)):
            row = np.sqrt(v) * (np.hstack([other, np.eye(q)]) if common else other)
            leverages[j] = max(leverages[j], np.linalg.norm(row @ inverse @ row.T, 2))
    return margin, leverages


def case(seed, q=3, rank=2):
    rng = np.random.default_rng(seed)
    return {
        "blocks": rng.normal(size=(7, q, rank)) + 2.0,
        "others": rng.normal(size=(2, q, rank)),
        "weights": rng.uniform(0.5, 2, size=7),
        "other_weights": rng.uniform(0.5, 2, size=2),
    }


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("size", [2, 4, 7])
def test_margin_is_that_of_the_worst_subset(size, common):
    drawn = case(size)
    found = subset_margin(
        drawn["blocks"],
        size,
        others=drawn["others"],
        weights=drawn["weights"],
        other_weights=drawn["other_weights"],
        common_component=common,
    )
    margin, leverages = naive(drawn["blocks"], size, drawn["others"], drawn["weights"], drawn["other_weights"], common)
    assert found.exact
    assert found.n_subsets == len(list(combinations(range(7), size)))
    assert found.value == pytest.approx(margin, rel=1e-9)
    np.testing.assert_allclose(found.leverages, leverages, rtol=1e-8)


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_bounds_from_pairs_are_bounds(seed, common):
    drawn = case(seed, q=8)
    options = {
        "others": drawn["others"],
        "weights": drawn["weights"],
        "other_weights": drawn["other_weights"],
        "common_component": common,
    }
    exact = subset_margin(drawn["blocks"], 4, **options)
    bound = subset_margin(drawn["blocks"], 4, enumeration_limit=0, **options)
    assert (exact.exact, bound.exact) == (True, False)
    assert 0 < bound.value <= exact.value
    assert np.all(bound.leverages >= exact.leverages)
    # With q well above r the bound from pairs keeps the order of magnitude.
    assert bound.value > 0.3 * exact.value


def test_a_subset_that_does_not_identify_has_margin_zero():
    blocks = np.random.default_rng(0).normal(size=(6, 2, 1))
    blocks[:3] = blocks[0]
    found = subset_margin(blocks, 3, others=blocks[:1] + 1)
    assert found.value == pytest.approx(0.0, abs=1e-7)
    assert found.leverages[0] > 1e8
    assert subset_margin(blocks, 4).value > 0.01


def test_subsets_are_listed_once_across_chunks():
    rows = np.concatenate(list(subset_indicators(15, 6)))
    assert rows.shape == (5005, 15)
    assert np.all(rows.sum(axis=1) == 6)
    assert np.unique(rows, axis=0).shape == rows.shape


def test_bad_arguments_are_refused():
    blocks = np.ones((4, 2, 1))
    with pytest.raises(ValueError, match="size"):
        subset_margin(blocks, 5)
    with pytest.raises(ValueError, match="weights of coefficients"):
        subset_margin(blocks, 2, weights=[1, 1, 1, 0])
    with pytest.raises(ValueError, match="others"):
        subset_margin(blocks, 2, others=np.ones((1, 3, 1)))
    with pytest.raises(ValueError, match="coefficients"):
        subset_margin(np.full((4, 2, 1), np.nan), 2)
