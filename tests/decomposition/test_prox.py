"""Proximal operators against their definition: the subgradient, not another implementation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clair_stats.decomposition.problem import Problem, nuclear_norm, tall_norms
from clair_stats.decomposition.solvers.noise_ball import ball_step
from clair_stats.decomposition.solvers.prox import block_shrink, prox_centred_nuclear, singular_value_threshold
from clair_stats.decomposition.solvers.spectrum import SpectrumTracker


def _stack(seed, n_clients=5, q=4, p=6):
    return np.random.default_rng(seed).standard_normal((n_clients, q, p))


def _is_block_prox(tall, prox, thresholds, slack=1e-10):
    """(Y − S)/t in the subdifferential of the block norm at S: norm at most 1, equal to S_k/‖S_k‖ where S_k ≠ 0."""
    for y, s, t in zip(tall, prox, thresholds, strict=True):
        step = (y - s) / t
        if np.linalg.norm(step) > 1 + slack:
            return False
        if np.any(s) and not np.allclose(step, s / np.linalg.norm(s), atol=slack):
            return False
    return True


def _is_nuclear_prox(matrix, prox, threshold, slack=1e-9):
    """(Y − Z)/t = G with ‖G‖_op ≤ 1 and ⟨G, Z⟩ = ‖Z‖_*."""
    gradient = (matrix - prox) / threshold
    value = np.linalg.svd(prox, compute_uv=False).sum()
    return np.linalg.norm(gradient, 2) <= 1 + slack and abs(np.vdot(gradient, prox) - value) <= slack * max(1.0, value)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 8.0))
def test_block_shrink_meets_its_definition(seed, threshold):
    tall = _stack(seed)
    thresholds = threshold * np.linspace(0.5, 1.5, len(tall))
    assert _is_block_prox(tall, block_shrink(tall, thresholds), thresholds)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 8.0))
def test_singular_value_threshold_meets_its_definition(seed, threshold):
    matrix = _stack(seed).reshape(-1, 6)
    assert _is_nuclear_prox(matrix, singular_value_threshold(matrix, threshold), threshold)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 8.0))
def test_centred_nuclear_prox_meets_its_definition(seed, threshold):
    tall = _stack(seed) + 3.0
    prox = prox_centred_nuclear(tall, threshold)
    np.testing.assert_allclose(prox.mean(axis=0), tall.mean(axis=0), atol=1e-12)
    centred = [(a - a.mean(axis=0)).reshape(-1, 6) for a in (tall, prox)]
    assert _is_nuclear_prox(*centred, threshold)


def test_wrong_proxes_are_caught():
    """Sabotage: hard thresholding, a shifted threshold, entrywise shrinkage and the identity all fail the checks."""
    tall = _stack(0)
    thresholds = np.full(len(tall), 2.0)
    norms = tall_norms(tall)
    hard = tall * (norms > 2.0)[:, None, None]
    entrywise = np.sign(tall) * np.maximum(np.abs(tall) - 0.5, 0.0)
    for wrong in (hard, entrywise, tall, block_shrink(tall, thresholds * 1.01)):
        assert not _is_block_prox(tall, wrong, thresholds)
    matrix = tall.reshape(-1, 6)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    hard = (left * (values * (values > 1.0))) @ right
    for wrong in (hard, matrix, singular_value_threshold(matrix, 1.01)):
        assert not _is_nuclear_prox(matrix, wrong, 1.0)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("threshold", [1e-8, 1.0, 3.0, 100.0])
def test_tracker_equals_the_naive_threshold(centred, partial, threshold):
    """On a slowly changing stack of low rank plus noise, full and partial spectra give the naive answer."""
    rng = np.random.default_rng(1)
    base = np.einsum("kqr,pr->kqp", rng.standard_normal((6, 10, 2)), 4.0 * rng.standard_normal((40, 2)))
    noise = 0.05 * rng.standard_normal(base.shape)
    tracker = SpectrumTracker(centred=centred, partial=partial)
    for step in range(6):
        tall = base * (1.0 + 0.01 * 0.3**step) + noise
        mean = tall.mean(axis=0) if centred else None
        matrix = (tall - mean if centred else tall).reshape(-1, 40)
        leading = tracker.threshold(tall, mean, threshold)
        found = leading.scaled_left() @ leading.basis.T
        expected = singular_value_threshold(matrix, threshold)
        np.testing.assert_allclose(found, expected, atol=2e-7 * np.linalg.norm(matrix, 2))
        assert leading.nuclear_norm == pytest.approx(
            np.linalg.svd(expected, compute_uv=False).sum(), rel=1e-6, abs=1e-9
        )
    if threshold in (1.0, 3.0):
        assert tracker.n_full == (1 if partial else 6)


def test_tracker_notices_a_growing_rank():
    rng = np.random.default_rng(2)
    tall = 0.01 * rng.standard_normal((6, 10, 40))
    tracker = SpectrumTracker(centred=False)
    tracker.threshold(tall, None, 1.0)
    grown = tall + rng.standard_normal(tall.shape)
    found = tracker.threshold(grown, None, 1.0)
    expected = singular_value_threshold(grown.reshape(-1, 40), 1.0)
    assert found.rank == np.linalg.matrix_rank(expected)
    np.testing.assert_allclose(found.scaled_left() @ found.basis.T, expected, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 4.0), st.floats(1e-3, 12.0))
def test_ball_step_meets_its_optimality_conditions(seed, penalty, radius):
    """T = Y − S − N: ρT_k in λ∂‖S_k‖, N a nonnegative multiple of T on the sphere (or N = Y inside the ball)."""
    tall, rho = _stack(seed), 0.7
    problem = Problem(tall, np.full(len(tall), penalty), noise_radius=radius)
    f, g = ball_step(problem)(tall_norms(tall), rho)
    sparse, noise = f[:, None, None] * tall, (g - f)[:, None, None] * tall
    size = np.linalg.norm(noise)
    assert size <= radius * (1 + 1e-9)
    left = tall - sparse - noise
    if np.linalg.norm(tall) <= radius:
        assert np.linalg.norm(left) == 0.0
        return
    assert size == pytest.approx(radius, rel=1e-8)
    assert np.vdot(left, noise) == pytest.approx(np.linalg.norm(left) * size, rel=1e-8)
    for t, s in zip(left, sparse, strict=True):
        assert rho * np.linalg.norm(t) <= penalty * (1 + 1e-9)
        if np.any(s):
            np.testing.assert_allclose(rho * t, penalty * s / np.linalg.norm(s), atol=1e-8)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.sampled_from([0.0, 1e-14, 1e-9, 1e-3]))
def test_nuclear_norm_is_never_below_the_truth(seed, rank, noise):
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((30, rank)) @ rng.standard_normal((rank, 45)) + noise * rng.standard_normal((30, 45))
    tall = matrix.T.reshape(9, 5, 30)
    truth = np.linalg.svd(matrix, compute_uv=False).sum()
    found = nuclear_norm(tall)
    assert truth * (1 - 1e-13) <= found <= truth * (1 + 2e-12)
