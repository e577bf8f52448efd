"""Everyone before any subset, and whether a direction is everybody's."""

import numpy as np
from scipy import stats

from clair_stats.detection.consensus import find_consensus, rank_limit
from clair_stats.detection.decide import decide
from clair_stats.detection.everyone import everyone_stands, homogeneity_quantile
from clair_stats.detection.generic_use import members_share, used_by_all
from clair_stats.detection.panel import make_panel
from clair_stats.detection.shared_fit import fit_shared


def clean(seed, *, n_clients, p, q, rank, noise):
    generator = np.random.default_rng(seed)
    basis = np.linalg.qr(generator.normal(size=(p, rank)))[0]
    blocks = 0.3 * generator.normal(size=(p, q)) + basis @ generator.normal(size=(n_clients, rank, q))
    return blocks + noise * generator.normal(size=blocks.shape)


def alarms(procedure, **shape):
    found = [procedure(make_panel(clean([31, i], **shape)), rank=None, level=0.05) for i in range(100)]
    return sum(f.majority and not f.collaborative_set.all() for f in found)


def test_clean_clients_with_one_column_are_left_alone():
    shape = {"n_clients": 12, "p": 12, "q": 1, "rank": 1, "noise": 0.1}
    # The search alone flags somebody far too often; .05 in 100 runs exceeds 12 with probability .001.
    assert alarms(find_consensus, **shape) > 12
    assert alarms(decide, **shape) <= 12


def test_everyone_stands_at_the_true_rank_and_not_below():
    panel = make_panel(clean([32, 0], n_clients=20, p=12, q=6, rank=2, noise=0.1))
    assert everyone_stands(panel, 1, level=0.05) is None
    stands = everyone_stands(panel, 2, level=0.05)
    assert stands is not None
    assert (stands[1].p_values > 0.0025).all()


def test_outliers_that_inflate_the_variance_are_not_homogeneous():
    generator = np.random.default_rng(33)
    blocks = 0.1 * generator.normal(size=(30, 12, 1))
    blocks[:13] += generator.normal(size=(13, 12, 1))
    assert everyone_stands(make_panel(blocks), 0, level=0.05) is None


def test_homogeneity_quantile_against_bartletts_chi_square():
    # −2 log LR = K·ν·(log mean − mean log) is χ² with K − 1 degrees of freedom for large ν (Bartlett, 1937).
    expected = stats.chi2.ppf(0.995, 19) / (20 * 200)
    np.testing.assert_allclose(homogeneity_quantile(20, 200), expected, rtol=0.05)


def test_no_degree_of_freedom_is_no_agreement():
    panel = make_panel(np.random.default_rng(34).normal(size=(4, 6, 1)))
    assert everyone_stands(panel, 3, level=0.05) is None


def test_a_direction_of_a_third_is_told_from_one_that_all_use():
    generator = np.random.default_rng(35)
    for minority, expected in ((True, False), (False, True)):
        coefficients = generator.normal(size=(30, 3, 4))
        if minority:
            coefficients[10:, 2] = 0.0
        blocks = np.eye(15)[:, :3] @ coefficients + 0.1 * generator.normal(size=(30, 15, 4))
        panel = make_panel(blocks)
        everyone = fit_shared(panel, np.ones(30, dtype=bool), 3)
        least = np.argsort(np.sum((everyone.basis.T @ blocks)[:, 2] ** 2, axis=1))
        members = np.arange(30) >= 10 if minority else np.isin(np.arange(30), least[:20])
        assert used_by_all(panel, everyone, members, 2, 0.1) is expected


def test_rank_limit_leaves_more_columns_than_directions():
    assert rank_limit(make_panel(np.ones((12, 64, 64)) + np.eye(64))) == 9
    assert rank_limit(make_panel(np.random.default_rng(36).normal(size=(8, 20, 1)))) == 2


def test_sharing_has_its_level_and_sees_a_shared_direction():
    shared = 0
    for seed in range(200):
        generator = np.random.default_rng([37, seed])
        blocks = 0.2 * generator.normal(size=(20, 10, 3))
        blocks[14:, 0] += generator.normal(size=(6, 3))
        fit = fit_shared(make_panel(blocks), np.arange(20) < 14, 0)
        shared += members_share(make_panel(blocks), fit, 0.2)
    # Level .3 (a little less: the fit's own centre takes part of the energy); four binomial errors.
    assert abs(shared / 200 - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 200)
    blocks[:, 0] += generator.normal(size=(20, 3))
    fit = fit_shared(make_panel(blocks), np.arange(20) < 14, 0)
    assert members_share(make_panel(blocks), fit, 0.2)
