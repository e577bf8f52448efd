"""Equivariances, critical values, monotone paths: what theory.md section 2 says about any data."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clair_stats.decomposition.decompose import decompose
from clair_stats.decomposition.path import (
    critical_block_penalty,
    critical_noise_penalty,
    penalty_path,
    vanishing_noise_penalty,
)
from tests.decomposition.named_problems import instance, penalty

TIGHT = 1e-10
PROGRAMS = {"E": {}, "B": {"noise_radius": 1.0}, "N": {"noise_penalty": 0.6}}

# A handful of examples in the default run; thousands under the slow marker, from the same bodies.
few = settings(max_examples=12, deadline=None)
thousands = settings(max_examples=1500, deadline=None)
cases = given(st.integers(0, 10**6), st.sampled_from(sorted(PROGRAMS)), st.booleans())


def _setting(seed, program, common):
    rng = np.random.default_rng(seed)
    p, q, n_clients = int(rng.integers(2, 7)), int(rng.integers(2, 6)), int(rng.integers(4, 9))
    noise = float(rng.choice([0.05, 0.3]))
    blocks = instance(p, q, n_clients, 1, seed=seed, common=common, noise=noise)
    low, high = 1.0 / np.sqrt(n_clients), np.sqrt(min(p, q))
    options = {
        "block_penalty": float(low + (high - low) * rng.uniform(0.1, 0.9)),
        "common_component": common,
        "tol": TIGHT,
        "max_iterations": 20000,
        **PROGRAMS[program],
    }
    return blocks, options, rng


def _orthogonal(rng, n):
    return np.linalg.qr(rng.standard_normal((n, n)))[0]


def _agree(first, second, scale=1.0):
    """Same optimal value; the fitted parts agree as far as a duality gap of 1e-10 determines them."""
    assert first.objective == pytest.approx(second.objective, rel=3e-10)
    for part in ("common", "low_rank", "block_sparse"):
        a, b = getattr(first, part), getattr(second, part)
        np.testing.assert_allclose(a, b, atol=2e-3 * scale)


def _rotation_of_columns(seed, program, common):
    blocks, options, rng = _setting(seed, program, common)
    turn = _orthogonal(rng, blocks.shape[1])
    base, turned = decompose(blocks, **options), decompose(turn @ blocks, **options)
    assert base.objective == pytest.approx(turned.objective, rel=3e-10)
    np.testing.assert_allclose(turn @ base.low_rank, turned.low_rank, atol=2e-3)
    np.testing.assert_allclose(turn @ base.common, turned.common, atol=2e-3)


def _rotation_of_rows(seed, program, common):
    blocks, options, rng = _setting(seed, program, common)
    q = blocks.shape[2]
    # One common rotation with a free common component, each client its own without.
    turns = np.stack([_orthogonal(rng, q) for _ in blocks]) if not common else _orthogonal(rng, q)
    base, turned = decompose(blocks, **options), decompose(blocks @ turns, **options)
    assert base.objective == pytest.approx(turned.objective, rel=3e-10)
    np.testing.assert_allclose(base.block_sparse @ turns, turned.block_sparse, atol=2e-3)


def _permutation_of_clients(seed, program, common):
    blocks, options, rng = _setting(seed, program, common)
    order = rng.permutation(len(blocks))
    base, turned = decompose(blocks, **options), decompose(blocks[order], **options)
    assert base.objective == pytest.approx(turned.objective, rel=3e-10)
    np.testing.assert_allclose(base.block_sparse[order], turned.block_sparse, atol=2e-3)
    np.testing.assert_allclose(base.common, turned.common, atol=2e-3)


def _scaling(seed, program, common):
    blocks, options, rng = _setting(seed, program, common)
    factor = float(10.0 ** rng.uniform(-9, 9))
    scaled_options = dict(options)
    for name in ("noise_penalty", "noise_radius"):
        if name in options:
            scaled_options[name] = factor * options[name]
    base, turned = decompose(blocks, **options), decompose(factor * blocks, **scaled_options)
    power = 2 if program == "N" else 1
    assert factor**power * base.objective == pytest.approx(turned.objective, rel=3e-10)
    np.testing.assert_allclose(factor * base.low_rank, turned.low_rank, atol=2e-3 * factor)


def _common_shift(seed, program, common):
    blocks, options, rng = _setting(seed, program, True)
    shift = 10.0 * rng.standard_normal(blocks.shape[1:])
    base, turned = decompose(blocks, **options), decompose(blocks + shift, **options)
    assert base.objective == pytest.approx(turned.objective, rel=3e-10)
    np.testing.assert_allclose(base.common + shift, turned.common, atol=2e-3)
    np.testing.assert_allclose(base.low_rank, turned.low_rank, atol=2e-3)


EQUIVARIANCES = {
    "columns": _rotation_of_columns,
    "rows": _rotation_of_rows,
    "clients": _permutation_of_clients,
    "scale": _scaling,
    "shift": _common_shift,
}


@pytest.mark.parametrize("name", sorted(EQUIVARIANCES))
@few
@cases
def test_equivariance(name, seed, program, common):
    check_equivariance = EQUIVARIANCES[name]
    check_equivariance(seed, program, common)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(EQUIVARIANCES))
@thousands
@cases
def test_equivariance_thousands(name, seed, program, common):
    check_equivariance = EQUIVARIANCES[name]
    check_equivariance(seed, program, common)


def test_the_checks_of_equivariance_can_fail():
    """Sabotage: a rotation that is not orthogonal, and own row rotations under a free common component."""
    blocks, options, rng = _setting(11, "E", True)
    base = decompose(blocks, **options)
    sheared = decompose(
        (np.eye(blocks.shape[1]) + 0.3 * rng.standard_normal((blocks.shape[1],) * 2)) @ blocks, **options
    )
    assert sheared.objective != pytest.approx(base.objective, rel=1e-3)
    turns = np.stack([_orthogonal(rng, blocks.shape[2]) for _ in blocks])
    assert decompose(blocks @ turns, **options).objective != pytest.approx(base.objective, rel=1e-3)


@few
@given(st.integers(0, 10**6), st.booleans())
def test_critical_block_penalty_is_where_s_vanishes(seed, common):
    blocks = instance(3, 4, 6, 1, seed=seed, common=common, noise=0.3)
    critical = critical_block_penalty(blocks, common_component=common)
    options = {"common_component": common, "tol": 1e-11, "max_iterations": 20000, "allow_degenerate": True}
    above = decompose(blocks, block_penalty=1.001 * critical, **options)
    below = decompose(blocks, block_penalty=0.98 * critical, **options)
    assert not above.block_sparse.any()
    assert below.block_sparse.any()


@few
@given(st.integers(0, 10**6))
def test_critical_noise_penalty_is_where_l_vanishes(seed):
    blocks = instance(4, 3, 6, 1, seed=seed, common=False, noise=0.3)
    lam = penalty(6, 1)
    critical = critical_noise_penalty(blocks, block_penalty=lam)
    options = {"block_penalty": lam, "common_component": False, "tol": 1e-11, "max_iterations": 20000}
    assert not decompose(blocks, noise_penalty=1.001 * critical, **options).low_rank.any()
    assert decompose(blocks, noise_penalty=0.98 * critical, **options).low_rank.any()


@few
@given(st.integers(0, 10**6), st.booleans())
def test_vanishing_noise_penalty_is_where_only_the_mean_is_fitted(seed, common):
    blocks = instance(4, 3, 6, 1, seed=seed, common=common, noise=0.3)
    lam = penalty(6, 1)
    critical = vanishing_noise_penalty(blocks, block_penalty=lam, common_component=common)
    options = {"block_penalty": lam, "common_component": common, "tol": 1e-11, "max_iterations": 20000}
    above = decompose(blocks, noise_penalty=1.001 * critical, **options)
    below = decompose(blocks, noise_penalty=0.98 * critical, **options)
    assert not above.low_rank.any()
    assert not above.block_sparse.any()
    assert below.low_rank.any() or below.block_sparse.any()


@pytest.mark.parametrize("common", [False, True])
def test_outside_the_window_the_answer_is_known(common):
    blocks = instance(6, 4, 9, 1, seed=1, common=common, noise=0.1)
    options = {"common_component": common, "allow_degenerate": True, "tol": 1e-9, "max_iterations": 20000}
    low = decompose(blocks, block_penalty=0.95 / 3.0, **options)
    high = decompose(blocks, block_penalty=1.05 * 2.0, **options)
    assert np.linalg.norm(low.low_rank) <= 1e-3 * np.linalg.norm(blocks)
    assert not high.block_sparse.any()


@pytest.mark.parametrize("common", [False, True])
def test_paths_are_monotone_and_warm_starts_change_nothing(common):
    blocks = instance(8, 5, 12, 1, seed=2, common=common, noise=0.2)
    values = np.geomspace(0.35, 1.8, 9)
    options = {"common_component": common, "tol": 1e-8}
    path = penalty_path(blocks, block_penalties=values, **options)
    # By optimality ‖L‖_* grows and Σ‖S_k‖ falls with λ, and the optimal value is concave and increasing in λ.
    sparse = [np.linalg.norm(d.block_sparse, axis=(1, 2)).sum() for d in path]
    objective = np.array([d.objective for d in path])
    slack = 1e-6 * objective[-1]
    assert np.all(np.diff(sparse) <= 10 * slack / np.diff(values).min() + slack)
    assert np.all(np.diff(objective) >= -slack)
    slopes = np.diff(objective) / np.diff(values)
    assert np.all(np.diff(slopes) <= slack / np.diff(values).min())
    for value, found in zip(values, path, strict=True):
        assert found.objective == pytest.approx(decompose(blocks, block_penalty=value, **options).objective, rel=2e-8)


@pytest.mark.parametrize("common", [False, True])
def test_path_over_tau_is_monotone(common):
    blocks = instance(8, 5, 12, 1, seed=2, common=common, noise=0.2)
    path = penalty_path(
        blocks, noise_penalties=np.geomspace(5.0, 0.05, 8), block_penalty=0.6, common_component=common, tol=1e-9
    )
    fits = [np.linalg.norm(blocks - d.common - d.low_rank - d.block_sparse) for d in path]
    assert all(late <= early * (1 + 1e-6) for early, late in pairwise(fits))
    assert all(d.status == "optimal" for d in path)


def test_a_path_needs_one_sequence():
    blocks = instance(4, 3, 5, 1, seed=0)
    with pytest.raises(ValueError, match="exactly one"):
        penalty_path(blocks)
    with pytest.raises(ValueError, match="exactly one"):
        penalty_path(blocks, block_penalties=[1.0], noise_penalties=[1.0])


def test_warm_start_saves_iterations():
    """Of splitting, that is: the turning span, which solves (E) and (N) where it can, needs none."""
    blocks = instance(20, 10, 20, 2, seed=1, noise=0.2)
    options = {"block_penalty": 0.6, "noise_radius": 3.0, "tol": 1e-8}
    cold = decompose(blocks, **options)
    warm = decompose(blocks, **options, warm_start=cold)
    assert warm.status == "optimal"
    assert warm.n_iterations < cold.n_iterations
