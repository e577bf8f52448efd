"""A direction that a majority uses is shared: clients that lack it have a coefficient of zero."""

from itertools import combinations

import numpy as np
import pytest

from clair_stats.detection.decide import decide
from clair_stats.detection.majority_use import least_left_along_a_direction, used_by_majority
from clair_stats.detection.panel import make_panel
from clair_stats.detection.shared_fit import fit_shared

NOISE = 0.3


def clients(seed, n_lacking, n_clients=30, p=15, q=6, rank=2):
    """Clients of which some have no part in the subspace at all."""
    generator = np.random.default_rng([90, seed])
    coefficients = generator.standard_normal((n_clients, rank, q))
    coefficients[:n_lacking] = 0.0
    return np.eye(p)[:, :rank] @ coefficients + NOISE * generator.standard_normal((n_clients, p, q))


def fitted(blocks, rank, noise_scales=None):
    panel = make_panel(blocks, noise_scales=noise_scales)
    return panel, fit_shared(panel, np.ones(len(blocks), dtype=bool), rank)


def test_the_least_is_that_of_all_halves_and_directions():
    blocks = clients(0, 2, n_clients=7, rank=2)
    panel, fit = fitted(blocks, 2)
    inside = fit.basis.T @ (blocks / panel.unit)
    least = np.inf
    for some in combinations(range(7), 4):
        about = inside[list(some)] - inside[list(some)].mean(axis=0)
        least = min(least, np.linalg.eigvalsh(np.einsum("kiq,kjq->ij", about, about))[0])
    # Concentration steps take the mean of the step before: from above, and equal where a step repeats itself.
    found = least_left_along_a_direction(panel, fit, 4)
    assert least * (1 - 1e-9) <= found <= 1.1 * least


@pytest.mark.parametrize("known", [True, False])
def test_half_that_lacks_a_direction_is_seldom_refuted_and_a_third_is(known):
    refuted = {10: 0, 15: 0}
    for n_lacking in refuted:
        for seed in range(20):
            panel, fit = fitted(clients(seed, n_lacking), 2, np.full(30, NOISE) if known else None)
            refuted[n_lacking] += used_by_majority(panel, fit, panel.noise or NOISE / panel.unit, level=0.05)
    assert refuted[15] <= 20 * 0.05 + 3 * np.sqrt(20 * 0.05 * 0.95)
    assert refuted[10] >= 18


@pytest.mark.parametrize("n_lacking", [3, 10])
def test_a_minority_that_lacks_the_directions_does_not_take_the_verdict_from_all(n_lacking):
    decided = [decide(make_panel(clients(seed, n_lacking)), rank=None, level=0.05) for seed in range(6)]
    assert all(found.accepted for found in decided)
    assert sum(not found.collaborative_set.all() for found in decided) <= 1
    assert {found.fit.basis.shape[1] for found in decided if found.collaborative_set.all()} == {2}


def test_a_minority_of_users_is_not_made_a_majority():
    # Nineteen of thirty lack the directions: they are the set, and the eleven are flagged.
    found = decide(make_panel(clients(1, 19)), rank=None, level=0.05)
    np.testing.assert_array_equal(found.flagged, np.arange(30) >= 19)
    # Half lacks them: it is not told which half is contaminated.
    assert not decide(make_panel(clients(2, 15)), rank=None, level=0.05).accepted
