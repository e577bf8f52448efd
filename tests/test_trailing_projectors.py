"""Projectors on the trailing eigenvectors against the eigenvectors themselves."""

import numpy as np
import pytest

from clair_stats.linalg import trailing_projectors


def _plain(matrices, count):
    vectors = np.linalg.eigh(matrices)[1][..., :count]
    return vectors @ np.swapaxes(vectors, -1, -2)


def _with_spectrum(values, seed=0):
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values), len(values))))[0]
    return (turn * values) @ turn.T


@pytest.mark.parametrize("size", [1, 2, 3, 8, 15])
@pytest.mark.parametrize("count", [1, 2])
def test_random_scatters(size, count):
    rng = np.random.default_rng(size)
    factors = rng.standard_normal((3, 50, size, size + 4))
    scatters = factors @ factors.transpose(0, 1, 3, 2)
    count = min(count, size)
    np.testing.assert_allclose(trailing_projectors(scatters, count), _plain(scatters, count), atol=1e-9)


def test_eigenvalues_of_every_kind_in_one_stack():
    """Far apart, near each other, zero, tiny: inside a stack each is left to what can separate it."""
    spectra = [(1.0, 2.0, 3.0), (1.0, 1.001, 3.0), (1.0, 1.0 + 1e-6, 3.0), (0.0, 1.0, 2.0), (1e-9, 1e-3, 1.0)]
    matrices = np.stack([_with_spectrum(np.array(values), i) for i, values in enumerate(spectra)])
    np.testing.assert_allclose(trailing_projectors(matrices, 1), _plain(matrices, 1), atol=1e-8)


def test_without_a_smallest_eigenvector_there_is_still_a_projector_of_rank_one():
    matrices = np.stack([np.eye(4), np.zeros((4, 4)), np.diag([1.0, 1.0, 2.0, 3.0])])
    found = trailing_projectors(matrices, 1)
    np.testing.assert_allclose(found @ found, found, atol=1e-12)
    np.testing.assert_allclose(np.trace(found, axis1=1, axis2=2), 1.0, atol=1e-12)
    assert abs(found[2, 2:, 2:]).max() < 1e-9
