"""p-values after fitting: exact identities against naive twins, and the law by Monte Carlo."""

import numpy as np
import pytest
from scipy import stats

from clair_stats.detection.calibration import calibrate
from clair_stats.detection.panel import make_panel
from clair_stats.detection.shared_fit import fit_shared, given_fit, standardised_residuals
from clair_stats.laws import per_client_level
from tests.detection.instances import benign_stack


def _naive_hat_block(panel, fit, k):
    """H_kk of the linearised regression, from the full design matrix of all members."""
    rows = []
    for j in range(panel.shape[0]):
        own = fit.basis.T @ (panel.blocks[j] - panel.design[j] * fit.common)  # r × q
        mean = panel.design[j] * np.eye(panel.shape[2])
        rows.append(np.concatenate([own, mean]).T if panel.common_component else own.T)
    members = np.concatenate([rows[j] for j in np.flatnonzero(fit.members)])
    return rows[k] @ np.linalg.pinv(members.T @ members) @ rows[k].T


@pytest.mark.parametrize("common_component", [True, False])
@pytest.mark.parametrize("spread", [False, True])
def test_standardised_residuals_equal_the_full_regression(common_component, spread):
    rng = np.random.default_rng(1)
    scales = rng.uniform(0.1, 0.4, 9) if spread else None
    blocks, *_ = benign_stack(rng, n_clients=9, p=7, q=3, rank=2, common=0.3 * common_component, scales=scales)
    panel = make_panel(blocks, noise_scales=scales, common_component=common_component)
    members = np.arange(9) < 7
    fit = fit_shared(panel, members, 2)
    found = standardised_residuals(panel, fit)
    for k in range(9):
        residual = panel.blocks[k] - panel.design[k] * fit.common
        residual = residual - fit.basis @ (fit.basis.T @ residual)
        hat = _naive_hat_block(panel, fit, k)
        inner = np.eye(3) - hat if members[k] else np.eye(3) + hat
        expected = np.trace(residual @ np.linalg.inv(inner) @ residual.T)
        assert found.raw[k] == pytest.approx(np.sum(residual**2), rel=1e-10)
        assert found.standardised[k] == pytest.approx(expected, rel=1e-8)


def test_members_are_tested_as_if_they_had_not_been_in_the_fit():
    """Deletion: to first order T_k of a member is the statistic of the same client against the fit without it."""
    rng = np.random.default_rng(2)
    blocks, *_ = benign_stack(rng, noise=1e-4)
    panel = make_panel(blocks)
    everyone = np.ones(30, dtype=bool)
    inside = standardised_residuals(panel, fit_shared(panel, everyone, 2)).standardised
    for k in (0, 7, 29):
        without = everyone.copy()
        without[k] = False
        outside = standardised_residuals(panel, fit_shared(panel, without, 2)).standardised[k]
        assert inside[k] == pytest.approx(outside, rel=1e-3)


@pytest.mark.parametrize("n_clients", [6, 30])
@pytest.mark.parametrize("known", [True, False])
def test_p_values_are_uniform_after_fitting(n_clients, known):
    """Kolmogorov–Smirnov at 0.1 %, one client per replication so that the p-values are independent."""
    rng = np.random.default_rng(3)
    drawn = []
    for _ in range(300):
        blocks, *_ = benign_stack(rng, n_clients=n_clients, p=10, q=6, rank=2, noise=0.1)
        scales = np.full(n_clients, 0.1) if known else None
        panel = make_panel(blocks, noise_scales=scales)
        fit = fit_shared(panel, np.ones(n_clients, dtype=bool), 2)
        drawn.append(calibrate(panel, fit, level=0.05).p_values[0])
    assert stats.kstest(drawn, "uniform").pvalue > 1e-3


def test_raw_residuals_would_not_be_uniform():
    """Sabotage of the test above: without the leverage correction six clients give p-values that are far too large."""
    rng = np.random.default_rng(3)
    drawn = []
    for _ in range(300):
        blocks, *_ = benign_stack(rng, n_clients=6, p=10, q=6, rank=2, noise=0.1)
        panel = make_panel(blocks, noise_scales=np.full(6, 0.1))
        fit = fit_shared(panel, np.ones(6, dtype=bool), 2)
        drawn.append(stats.chi2.sf(standardised_residuals(panel, fit).raw[0], 8 * 6))
    assert stats.kstest(drawn, "uniform").pvalue < 1e-10


def test_scores_exceed_thresholds_exactly_when_p_values_are_below_the_level():
    rng = np.random.default_rng(4)
    blocks, *_ = benign_stack(rng)
    blocks[:12] += rng.uniform(0.0, 0.12, 12)[:, None, None] * rng.standard_normal(blocks[:12].shape)
    for scales in (np.full(30, 0.1), None):
        panel = make_panel(blocks, noise_scales=scales)
        members = np.arange(30) >= 12
        found = calibrate(panel, fit_shared(panel, members, 2), level=0.05)
        flagged = found.p_values < per_client_level(0.05, 30)
        assert 0 < flagged.sum() < 30
        np.testing.assert_array_equal(found.scores > found.thresholds, flagged)


def test_given_basis_has_the_textbook_law():
    rng = np.random.default_rng(5)
    blocks, _, basis, centre = benign_stack(rng)
    panel = make_panel(blocks, noise_scales=np.full(30, 0.1))
    found = calibrate(panel, given_fit(panel, basis, centre), level=0.05)
    residual = blocks - centre - basis @ (basis.T @ (blocks - centre))
    expected = stats.chi2.sf(np.sum(residual**2, axis=(1, 2)) / 0.01, 10 * 8)
    np.testing.assert_allclose(found.p_values, expected, rtol=1e-9)


def test_tolerated_heterogeneity_raises_the_threshold():
    rng = np.random.default_rng(6)
    blocks, _, basis, centre = benign_stack(rng, noise=0.05)
    panel = make_panel(blocks, noise_scales=np.full(30, 0.05))
    fit = given_fit(panel, basis, centre)
    strict = calibrate(panel, fit, level=0.05)
    tolerant = calibrate(panel, fit, level=0.05, heterogeneity=0.5)
    expected = stats.ncx2.isf(per_client_level(0.05, 30), 80, (0.5 / 0.05) ** 2) * 0.05**2
    np.testing.assert_allclose(tolerant.thresholds**2, expected, rtol=1e-9)
    assert (tolerant.p_values >= strict.p_values).all()
