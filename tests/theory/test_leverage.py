import numpy as np
import pytest
from scipy.linalg import fractional_matrix_power

from clair_stats.theory import block_leverages, incoherence, leverage


def naive(coefficients, centred):
    """ν from its definition: V = A(AᵀA)^{-1/2}, block by block."""
    blocks = coefficients - coefficients.mean(axis=0) if centred else coefficients
    flat = np.concatenate(list(blocks))
    root = fractional_matrix_power(flat.T @ flat, -0.5)
    return np.array([np.linalg.norm(block @ root) ** 2 for block in blocks])


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_block_leverages_equal_the_definition(seed, centred):
    coefficients = np.random.default_rng(seed).normal(size=(7, 3, 2))
    expected = naive(coefficients, centred)
    found = block_leverages(coefficients, common_component=centred)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert found.sum() == pytest.approx(2, rel=1e-12)


def test_leverage_adds_the_mean_term_only_with_a_common_component():
    coefficients = np.random.default_rng(0).normal(size=(6, 4, 3))
    assert leverage(coefficients) == pytest.approx(naive(coefficients, False).max())
    assert leverage(coefficients, common_component=True) == pytest.approx(naive(coefficients, True).max() + 3 / 6)


def test_leverage_is_invariant_under_a_change_of_basis():
    rng = np.random.default_rng(1)
    coefficients = rng.normal(size=(6, 4, 3))
    mixed = coefficients @ rng.normal(size=(3, 3))
    assert leverage(mixed) == pytest.approx(leverage(coefficients), rel=1e-10)


def test_equal_blocks_have_incoherence_one_and_a_dominant_one_has_many():
    orthonormal = np.stack([np.linalg.qr(np.random.default_rng(k).normal(size=(4, 2)))[0] for k in range(5)])
    assert incoherence(orthonormal) == pytest.approx(1, rel=1e-12)
    orthonormal[0] *= 1e4
    assert incoherence(orthonormal) == pytest.approx(5, rel=1e-6)


@pytest.mark.parametrize(
    ("bad", "error", "word"),
    [
        (np.ones((3, 2)), ValueError, "(\\|C\\|, q, r)"),
        (np.ones((3, 2, 2)), ValueError, "rank 1"),
        (np.full((3, 2, 1), np.nan), ValueError, "client 0"),
        (np.array([[["a"]]]), TypeError, "dtype"),
    ],
)
def test_bad_coefficients_are_refused(bad, error, word):
    with pytest.raises(error, match=word):
        leverage(bad)


def test_identical_benign_clients_are_not_identified_with_a_common_component():
    same = np.repeat(np.random.default_rng(2).normal(size=(1, 3, 1)), 5, axis=0)
    assert leverage(same) == pytest.approx(1 / 5)
    with pytest.raises(ValueError, match="centred"):
        leverage(same, common_component=True)
