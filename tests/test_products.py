import numpy as np
import pytest

from clair_stats.products import capped, mean_product, truncated_product

RNG = np.random.default_rng(6)
PAIRS = [(RNG.normal(size=(9, s)), RNG.normal(size=(s, 7))) for s in (1, 2, 3)]
MEAN = np.mean([left @ right for left, right in PAIRS], axis=0)


def test_the_mean_of_products_is_exact():
    left, right = mean_product(PAIRS)
    np.testing.assert_allclose(left @ right, MEAN, atol=1e-14)


@pytest.mark.parametrize("rank", [1, 2, 3, 5])
def test_the_cap_is_the_best_approximation_and_says_what_it_loses(rank):
    (left, right), lost = capped(mean_product(PAIRS), rank)
    u, d, vt = np.linalg.svd(MEAN)
    np.testing.assert_allclose(left @ right, (u[:, :rank] * d[:rank]) @ vt[:rank], atol=1e-12)
    assert lost == pytest.approx(float(np.sum(d[rank:] ** 2) / np.sum(d**2)))
    assert left.shape[1] == rank


def test_no_cap_keeps_the_rank_below_the_smaller_side():
    many = [(RNG.normal(size=(5, 4)), RNG.normal(size=(4, 6))) for _ in range(4)]
    (left, right), lost = capped(mean_product(many))
    assert left.shape == (5, 5)
    assert lost < 1e-25
    np.testing.assert_allclose(left @ right, np.mean([a @ b for a, b in many], axis=0), atol=1e-12)


@pytest.mark.parametrize(("p", "s", "q"), [(9, 4, 7), (3, 6, 8), (8, 6, 2)])
@pytest.mark.parametrize("rank", [1, 2, 9])
def test_a_truncated_product_is_that_of_the_whole_matrix(p, s, q, rank):
    generator = np.random.default_rng([p, s, q])
    left, right = generator.standard_normal((p, s)), generator.standard_normal((s, q))
    u, values, vt = np.linalg.svd(left @ right, full_matrices=False)
    first, second, found = truncated_product(left, right, rank)
    np.testing.assert_allclose(first @ second, (u[:, :rank] * values[:rank]) @ vt[:rank], atol=1e-12)
    np.testing.assert_allclose(found, values[: min(p, s, q)], atol=1e-12)
    np.testing.assert_allclose(first.T @ first, second @ second.T, atol=1e-12)  # balanced
