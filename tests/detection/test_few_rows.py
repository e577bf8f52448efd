"""Few rows: directions are seen where the edge of noise cannot be passed, and a set is proposed and accepted."""

import numpy as np
import pytest
from scipy import stats

from clair_stats import CLAIR, NoMajorityWarning
from clair_stats.detection.trimmed_fits import _above_bulk, _two_unlike
from clair_stats.laws import noise_edge


@pytest.mark.parametrize("columns", [4, 24])
def test_likeness_of_two_eigenvalues_of_white_noise_has_the_stated_law(columns):
    draws = np.random.default_rng(1).standard_normal((4000, 2, columns))
    values = np.linalg.eigvalsh(draws @ draws.transpose(0, 2, 1))
    likeness = 4 * values.prod(axis=1) / values.sum(axis=1) ** 2
    assert stats.kstest(likeness ** ((columns - 1) / 2), "uniform").pvalue > 1e-3
    assert stats.kstest(likeness ** ((columns + 1) / 2), "uniform").pvalue < 1e-3  # another exponent is refuted
    # The level is 1e-3: of 4000 draws 4 are expected, and 13 have a probability below 1e-3.
    assert sum(_two_unlike(pair[::-1], columns) for pair in values) <= 13


def test_a_bulk_of_two_could_not_pass_the_edge():
    assert noise_edge(2, 24) / 24 > 2.0  # the larger of two is at most twice their mean
    assert _above_bulk(np.array([0.5, 0.49, 0.01]), 3, 24) == 2
    assert _above_bulk(np.array([0.4, 0.32, 0.28]), 3, 24) == 0
    assert _above_bulk(np.array([0.98, 0.01, 0.01]), 3, 24) == 1


@pytest.mark.filterwarnings(f"ignore::{NoMajorityWarning.__module__}.{NoMajorityWarning.__name__}")
def test_three_reversed_clients_of_twelve_are_found_in_three_rows():
    exact = 0
    for seed in range(100, 110):
        generator = np.random.default_rng(seed)
        basis = np.linalg.qr(generator.standard_normal((3, 1)))[0]
        common = 0.6 * generator.standard_normal((3, 2))
        targets = common + basis @ generator.standard_normal((12, 1, 2))
        targets[:3] *= -1
        noisy = targets + 0.03 * generator.standard_normal(targets.shape)
        model = CLAIR().fit(noisy, noise_scales=np.full(12, 0.03))
        exact += bool(model.majority_ and np.array_equal(model.collaborative_set_, np.arange(12) >= 3))
    assert exact >= 4  # 6 of 10 here; 0 of 10 while nothing was proposed
