import numpy as np
import pytest

from clair_stats.linalg import truncated_product


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
