"""Everyone before any subset, and whether a direction is everybody's."""

import numpy as np
import pytest
from scipy.stats import binom

from clair_stats.detection.decide import decide, everyone_agrees
from clair_stats.detection.generic_use import used_by_all
from clair_stats.detection.panel import make_panel
from clair_stats.detection.shared_fit import fit_shared
from clair_stats.detection.step_2_candidates import rank_limit
from clair_stats.detection.step_4_test import SetTest


def clean(seed, *, n_clients, p, q, rank, noise):
    generator = np.random.default_rng(seed)
    basis = np.linalg.qr(generator.normal(size=(p, rank)))[0]
    blocks = 0.3 * generator.normal(size=(p, q)) + basis @ generator.normal(size=(n_clients, rank, q))
    return blocks + noise * generator.normal(size=blocks.shape)


def everyone(panel, *ranks):
    return everyone_agrees(SetTest(panel, level=0.05), range(ranks[0], ranks[-1] + 1))


def alarms(runs):
    shape = {"n_clients": 16, "p": 12, "q": 2, "rank": 2, "noise": 0.3}
    found = [decide(make_panel(clean([31, i], **shape)), rank=None, level=0.05) for i in range(runs)]
    return sum(f.flagged.any() for f in found)


@pytest.mark.filterwarnings("ignore::clair_stats.clair.NoMajorityWarning")
def test_clean_clients_with_two_columns_are_left_alone():
    assert alarms(25) <= binom.ppf(0.999, 25, 0.05)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::clair_stats.clair.NoMajorityWarning")
def test_clean_clients_with_two_columns_are_left_alone_because_everyone_is_tested_first(monkeypatch):
    own = alarms(100)
    monkeypatch.setattr("clair_stats.detection.decide.everyone_agrees", lambda *_: None)
    # The search alone flags somebody more often; 3 against 8 in 100 runs for these seeds.
    assert own <= 3
    assert alarms(100) >= 2 * max(own, 3)


def test_everyone_agrees_at_the_true_rank_and_not_below():
    panel = make_panel(clean([32, 0], n_clients=20, p=12, q=6, rank=2, noise=0.1))
    assert everyone(panel, 0, 1) is None
    found = everyone(panel, 0, 5)
    assert found.rank == 2
    assert found.consistent


def test_outliers_that_inflate_the_variance_are_not_homogeneous():
    generator = np.random.default_rng(33)
    blocks = 0.1 * generator.normal(size=(30, 12, 1))
    blocks[:13] += 0.25 * generator.normal(size=(13, 12, 1))
    assert everyone(make_panel(blocks), 0) is None
    tested = SetTest(make_panel(blocks), level=0.05)(np.ones(30, dtype=bool), 0)
    assert tested.passed[:13].sum() >= 8  # one by one most of them do not stand out
    assert not tested.homogeneous


def test_no_degree_of_freedom_is_no_agreement():
    panel = make_panel(np.random.default_rng(34).normal(size=(4, 6, 1)))
    assert everyone(panel, 3) is None


def generic(blocks, rank, smaller, counts, level=0.01, noise=0.1):
    panel = make_panel(blocks)
    fit = fit_shared(panel, np.ones(len(blocks), dtype=bool), rank)
    return used_by_all(panel, fit, noise / panel.unit, rank=smaller, counts=counts, level=level)


@pytest.mark.parametrize("minority", [True, False])
def test_a_direction_of_a_third_is_told_from_one_that_all_use(minority):
    generator = np.random.default_rng(35)
    coefficients = generator.normal(size=(30, 3, 4))
    if minority:
        coefficients[10:, 2] = 0.0
    blocks = np.eye(15)[:, :3] @ coefficients + 0.1 * generator.normal(size=(30, 15, 4))
    assert generic(blocks, 3, 2, (20,)) is not minority


@pytest.mark.parametrize(
    "shape", [(12, 8, 1, 1), *(pytest.param(s, marks=pytest.mark.slow) for s in ((20, 12, 4, 2), (30, 16, 2, 3)))]
)
def test_generic_use_keeps_its_level_for_normal_coefficients(monkeypatch, shape):
    n_clients, p, q, rank = shape
    rejected = 0
    for seed in range(200):
        # Its own draws for each data set: with the same for all, the level is that of 19 draws and not of the law.
        monkeypatch.setattr("clair_stats.detection.generic_use._SEED", seed)
        blocks = clean([36, seed], n_clients=n_clients, p=p, q=q, rank=rank, noise=0.1)
        half = n_clients // 2 + 1
        rejected += not generic(blocks, rank, rank - 1, (half, (half + n_clients) // 2, n_clients - 1), level=0.05)
    # Four binomial errors.
    assert rejected <= 200 * 0.05 + 4 * np.sqrt(200 * 0.05 * 0.95)


def test_a_direction_bought_for_five_of_32_does_not_make_a_majority():
    rejected = 0
    for seed in range(10):
        generator = np.random.default_rng([37, seed])
        blocks = 0.5 * generator.normal(size=(32, 40, 20))
        direction = np.linalg.qr(generator.normal(size=(40, 1)))[0]
        blocks[:5] += direction @ generator.normal(size=(5, 1, 20))
        rejected += not generic(blocks, 1, 0, (17, 24, 31), noise=0.5)
    assert rejected >= 9


def test_rank_limit_leaves_more_columns_than_directions():
    assert rank_limit(make_panel(np.ones((12, 64, 64)) + np.eye(64))) == 9
    assert rank_limit(make_panel(np.random.default_rng(36).normal(size=(8, 20, 1)))) == 2
