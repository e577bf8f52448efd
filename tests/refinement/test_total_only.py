"""One weight where only the size of the errors is known: the test of white errors, the weights, a twin, a sabotage."""

import numpy as np
import pytest

from clair_stats.refinement.error_energy import WhiteEnergy
from clair_stats.refinement.shrink import shrink
from clair_stats.refinement.total_only import refutation, total_only

_SHAPE = (12, 10, 6)  # clients, rows, columns


def _uneven(seed, *, small=0.02, differences=0.0):
    """Errors of mean variance 1 that are small in half of the rows; σ_k = 1 is all that is told."""
    rng = np.random.default_rng(seed)
    sizes = np.r_[np.full(5, small), np.full(5, 2.0 - small)]
    truth = differences * rng.standard_normal(_SHAPE)
    return truth + np.sqrt(sizes)[:, None] * rng.standard_normal(_SHAPE), truth


def _shrunk(blocks, *, size_only):
    n, p, q = blocks.shape
    energy = WhiteEnergy(np.ones(n), (p, q), size_only=size_only)
    return shrink(blocks, np.ones(n, dtype=bool), np.ones(n), energy)


def test_white_errors_are_refuted_at_most_at_the_level_and_uneven_ones_are():
    rng = np.random.default_rng(1)
    entries = np.r_[np.full(10, 6.0), 0.0]

    def energies(blocks):
        n = len(blocks)
        centred = blocks - blocks.mean(axis=0)
        rows = np.sum(centred**2, axis=2) * n / (n - 1)
        order = np.argsort(-rows.mean(axis=0))
        return np.concatenate([rows[:, order], np.zeros((n, 1))], axis=1)

    white = [refutation(energies(rng.standard_normal(_SHAPE)), entries) for _ in range(200)]
    assert np.mean(np.array(white) < 0.05) <= 0.05
    assert refutation(energies(_uneven(2)[0]), entries) < 1e-6


def test_true_differences_alone_never_refute():
    entries = np.r_[np.full(4, 3.0), 0.0]
    assert refutation(np.c_[np.full((5, 4), 3.0), np.zeros(5)] * 7.0, entries) > 0.5


@pytest.mark.parametrize("differences", [0.0, 0.5, 0.9])
def test_with_uneven_errors_one_weight_is_never_worse_and_beats_weights_by_direction(differences):
    own, one, many = [], [], []
    for seed in range(12):
        blocks, truth = _uneven(seed, differences=differences)
        own.append(np.sum((blocks - truth) ** 2))
        one.append(np.sum((_shrunk(blocks, size_only=True).estimates - truth) ** 2))
        many.append(np.sum((_shrunk(blocks, size_only=False).estimates - truth) ** 2))
    assert np.sum(one) < np.sum(own)
    if differences == 0.0:
        assert np.sum(one) < np.sum(many)


def test_naive_twin_of_the_weights():
    rng = np.random.default_rng(3)
    n, m, q = 6, 4, 5.0
    entries = np.r_[np.full(m, q), 2 * q]
    shares, variances = np.full(n, 0.2), rng.uniform(0.5, 2.0, n)
    size = entries.sum()
    relative = rng.uniform(0.9, 1.1, (n, m + 1)) * entries * np.array([3.0, 1.5, 1.0, 0.02, 0.9])
    energies = relative * variances[:, None] * 1.2
    found = total_only(energies, variances, shares, entries)
    assert found is not None
    for k in range(n):
        shape = np.delete(relative, k, axis=0).mean(axis=0)
        shape *= size / shape.sum()
        for part, group in enumerate((range(m), [m])):
            peak = max(shape[i] / entries[i] for i in group)
            white, held = sum(entries[i] for i in group), sum(energies[k, i] for i in group)
            constant = variances[k] * max(min(white - 2, sum(shape[i] for i in group) - 2 * peak), 0.0)
            assert found.along[k, part] == pytest.approx(min(1.0, constant / held))
    assert (found.risk < size * variances).all()


def test_nothing_changes_where_errors_are_white_or_differences_are_large():
    rng = np.random.default_rng(4)
    for spread in np.repeat([0.0, 0.5, 1.0, 1.5], 15):
        basis = np.linalg.qr(rng.standard_normal((10, 2)))[0]
        white = spread * basis @ rng.standard_normal((12, 2, 6)) + rng.standard_normal(_SHAPE)
        found, asked = (_shrunk(white, size_only=size_only).estimates for size_only in (False, True))
        np.testing.assert_array_equal(found, asked)
    large, _ = _uneven(5, differences=3.0)
    np.testing.assert_array_equal(_shrunk(large, size_only=True).estimates, _shrunk(large, size_only=False).estimates)


def test_sabotage_beyond_steins_limit_costs_more_than_the_own_error():
    """c = 2(t − 2ℓ) is Stein's limit: 2.6 times the constant in the place of once costs more than the own error."""
    own, far = 0.0, 0.0
    for seed in range(12):
        blocks, truth = _uneven(seed, differences=2.0)
        distance = blocks - (blocks.sum(axis=0) - blocks) / 11
        held = np.sum(distance**2, axis=(1, 2))
        weight = np.minimum(1.0, 2.6 * 60.0 / held)[:, None, None]
        own += np.sum((blocks - truth) ** 2)
        far += np.sum((blocks - weight * distance - truth) ** 2)
    assert far > own
