import numpy as np
import pytest

from clair_stats.local_fits import LocalFit, pooled_whitening


def fits(row, column, scales):
    return [
        LocalFit.from_covariances(
            np.zeros((row.shape[0], column.shape[0])),
            scale**2 * row,
            column,
            effective_sample_size=9.0,
            residual_degrees_of_freedom=8.0,
            converged=True,
            message="",
        )
        for scale in scales
    ]


def positive(generator, size):
    root = generator.standard_normal((size, size + 2))
    return root @ root.T


def test_whitened_errors_are_uncorrelated_with_the_stated_scale():
    generator = np.random.default_rng(0)
    row, column, scales = positive(generator, 4), positive(generator, 3), np.array([1.0, 2.0, 0.5])
    whitening = pooled_whitening(fits(row, column, scales))
    left, right = np.linalg.cholesky(row), np.linalg.cholesky(column)
    for k, scale in enumerate(scales):
        linear = np.kron(whitening.left @ left, whitening.right.T @ right) * scale
        np.testing.assert_allclose(linear @ linear.T, whitening.noise_scales[k] ** 2 * np.eye(12), rtol=1e-9, atol=1e-9)


def test_undo_inverts_apply_and_keeps_what_was_left_out():
    generator = np.random.default_rng(1)
    row = np.zeros((5, 5))
    row[:3, :3] = positive(generator, 3)
    whitening = pooled_whitening(fits(row, positive(generator, 2), [1.0, 3.0]))
    blocks = generator.standard_normal((2, 5, 2))
    assert whitening.apply(blocks).shape == (2, 3, 2)
    moved = whitening.apply(blocks) + 1.0
    back = whitening.undo(moved, blocks=blocks)
    np.testing.assert_allclose(whitening.apply(back), moved, atol=1e-10)
    np.testing.assert_allclose(back[:, 3:], blocks[:, 3:], atol=1e-10)
    np.testing.assert_allclose(whitening.undo(whitening.apply(blocks), blocks=blocks), blocks, atol=1e-10)


def test_clients_without_error_and_no_clients_are_refused():
    with pytest.raises(ValueError, match=r"client 1: the fit has no error"):
        pooled_whitening(fits(np.eye(2), np.eye(2), [1.0, 0.0]))
    with pytest.raises(ValueError, match="no local fits"):
        pooled_whitening([])


def test_noise_scale_is_the_root_mean_variance_of_an_entry():
    fit = fits(np.diag([1.0, 3.0]), np.diag([2.0, 4.0, 6.0]), [2.0])[0]
    variances = 4.0 * np.outer([1.0, 3.0], [2.0, 4.0, 6.0])
    assert fit.noise_scale**2 == pytest.approx(variances.mean())
    assert np.trace(fit.column_covariance) == pytest.approx(3.0)
