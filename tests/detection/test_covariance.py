"""Errors with their own covariance: identities against naive twins, invariance, the law and the edge by Monte Carlo."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
from scipy import stats
from statsmodels.multivariate.multivariate_ols import multivariate_stats

from clair_stats import CLAIR, ClientEstimates, detect
from clair_stats.detection.calibration import calibrate, calibrate_alone, calibrate_along
from clair_stats.detection.covariance import covariance_edge, pool_covariances
from clair_stats.detection.panel import make_panel, panel_of
from clair_stats.detection.shared_fit import fit_shared, hat_blocks, standardised_residuals
from clair_stats.detection.step_3_law import noise_in_excess
from clair_stats.detection.step_4_test import spike_ratio
from clair_stats.laws import hotelling_lawley, noise_edge
from tests.detection.instances import benign_stack

SMALL = {"n_clients": 8, "p": 6, "q": 3, "rank": 2}


def wishart_mean(rng, count, size, degrees):
    draws = rng.standard_normal((count, degrees, size))
    return draws.transpose(0, 2, 1) @ draws / degrees


def regression(rng, *, n_clients=30, p=20, q=10, rank=2, observations=50, known=False, noise=1.0):
    """K least-squares fits, from the definition: G_k = (ZᵀZ)⁻¹, Σ_k the residual covariance on n − p degrees."""
    basis = np.linalg.qr(rng.standard_normal((p, rank)))[0]
    centre = 0.3 * rng.standard_normal((p, q))
    targets = centre + basis @ rng.standard_normal((n_clients, rank, q))
    design = rng.standard_normal((n_clients, observations, p))
    errors = noise * rng.standard_normal((n_clients, observations, q))
    rows = np.linalg.inv(design.transpose(0, 2, 1) @ design)
    shift = rows @ design.transpose(0, 2, 1) @ errors
    left = errors - design @ shift
    degrees = observations - p
    columns = np.broadcast_to(noise**2 * np.eye(q), (n_clients, q, q))
    if not known:
        columns = left.transpose(0, 2, 1) @ left / degrees
    fields = {"row_covariances": rows, "column_covariances": columns}
    if not known:
        fields["residual_degrees_of_freedom"] = np.full(n_clients, float(degrees))
    return ClientEstimates(values=targets + shift, **fields), basis, centre


def one_scale_each(record):
    """σ_k, the root mean variance of an entry."""
    rows, columns = (np.trace(m, axis1=1, axis2=2) for m in (record.row_covariances, record.column_covariances))
    return np.sqrt(rows * columns / np.prod(record.block_shape))


def naive_p_value(residual, rows, columns, off, degrees):
    """statsmodels on explicit coordinates of the complement."""
    between = (off.T @ residual).T @ np.linalg.solve(off.T @ rows @ off, off.T @ residual)
    if degrees is None:
        statistic = np.trace(between @ np.linalg.inv(columns))
        return stats.chi2.sf(statistic, off.shape[1] * columns.shape[0])
    roots = scipy.linalg.eigh(between, columns * degrees, eigvals_only=True)
    table = multivariate_stats(roots / (1 + roots), columns.shape[0], off.shape[1], degrees, tolerance=0.0)
    return float(table.loc["Hotelling-Lawley trace", "Pr > F"])


@pytest.mark.parametrize("known", [True, False])
def test_at_a_known_subspace_every_p_value_is_that_of_statsmodels(known):
    record, basis, centre = regression(np.random.default_rng(0), known=known)
    found = detect(record, basis=basis, common=centre)
    off = scipy.linalg.null_space(basis.T)
    for k in range(30):
        expected = naive_p_value(
            record.values[k] - centre,
            record.row_covariances[k],
            record.column_covariances[k],
            off,
            None if known else 30.0,
        )
        assert found.p_values[k] == pytest.approx(expected, rel=1e-8)
        residual = record.values[k] - centre
        assert found.scores[k] == pytest.approx(np.linalg.norm(residual - basis @ (basis.T @ residual)), rel=1e-10)


@pytest.mark.parametrize("known", [True, False])
def test_shared_rows_swap_the_two_sides(known):
    """X_kᵀ has rows of covariance Σ_k: then the estimated side is the one that is projected."""
    rng = np.random.default_rng(1)
    record, *_ = regression(rng, q=12, p=9, observations=40, known=known)
    panel = panel_of(record, np.ascontiguousarray(record.values.transpose(0, 2, 1)), shared="rows")
    basis = np.linalg.qr(rng.standard_normal((12, 2)))[0]
    law = panel.covariances
    frame = np.linalg.qr(law.left @ basis)[0]
    residual = panel.blocks - frame @ (frame.T @ panel.blocks)
    between, precision = law.off_subspace(residual, frame)
    nobody = np.zeros(30, dtype=bool)
    statistics, columns, _ = law.standardised(between, precision, np.zeros((30, 9, 9)), nobody, np.zeros(30))
    p_values, _ = law.test(statistics, 10, columns, np.zeros(30), 0.05)
    off = scipy.linalg.null_space(basis.T)
    for k in range(30):
        turned = off.T @ record.values[k].T  # 10 × 9, rows of covariance offᵀΣoff
        rows, columns_k = off.T @ record.column_covariances[k] @ off, record.row_covariances[k]
        # The same hypothesis written the other way round: responses are the 10 projected rows.
        expected = naive_p_value(turned.T, columns_k, rows, np.eye(9), None if known else 31.0)
        assert p_values[k] == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("common_component", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_correction_for_leverage_against_explicit_matrices(common_component, known):
    rng = np.random.default_rng(2)
    record, *_ = regression(rng, **SMALL, observations=20, known=known)
    panel = panel_of(record, common_component=common_component)
    members = np.arange(8) < 6
    fit = fit_shared(panel, members, 2)
    found = standardised_residuals(panel, fit)
    off = scipy.linalg.null_space(fit.basis.T)
    for k in range(8):
        residual = off.T @ (panel.blocks[k] - panel.design[k] * fit.common)
        rows, columns = off.T @ panel.covariances.rows[k] @ off, panel.covariances.columns[k]
        hat = hat_blocks(panel, fit)[k]
        c = np.trace(np.linalg.inv(rows)) / 4
        own = np.eye(3) - hat if members[k] else np.eye(3)
        if known:
            noise = own @ columns @ own + c * hat @ own
        else:
            root = scipy.linalg.sqrtm(own @ (own + c * hat)).real
            noise = root @ columns @ root
        expected = np.trace(residual.T @ np.linalg.solve(rows, residual) @ np.linalg.inv(noise))
        assert found.standardised[k] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("shared", ["columns", "rows"])
@pytest.mark.parametrize("common_component", [True, False])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("rank", [0, 2, 6])
def test_the_test_of_one_client_alone_is_that_of_all(known, common_component, shared, rank):
    rng = np.random.default_rng(5)
    record, *_ = regression(rng, **{**SMALL, "rank": 2}, observations=20, known=known)
    blocks = record.values if shared == "columns" else record.values.transpose(0, 2, 1)
    panel = panel_of(record, blocks, common_component=common_component, shared=shared)
    rank = min(rank, panel.shape[1])
    members = np.arange(8) < 6
    fit = fit_shared(panel, members, rank)
    for tolerance in (0.0, 0.3):
        every = calibrate(panel, fit, level=0.05, heterogeneity=tolerance)
        for k in (6, 7):
            alone = calibrate_alone(panel, fit, k, level=0.05, heterogeneity=tolerance)
            expected = (every.p_values[k], every.scores[k], every.thresholds[k])
            np.testing.assert_allclose(alone, expected, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("members", [8, 6])
def test_multiples_of_the_identity_are_noise_scales(members):
    rng = np.random.default_rng(3)
    scales = rng.uniform(0.1, 0.4, 8)
    blocks, *_ = benign_stack(rng, **SMALL, scales=scales)
    scalar = make_panel(blocks, noise_scales=scales)
    panel = panel_of(ClientEstimates(values=blocks, row_covariances=scales[:, None, None] ** 2 * np.eye(6)))
    chosen = np.arange(8) < members
    one, other = (calibrate(p, fit_shared(p, chosen, 2), level=0.05) for p in (scalar, panel))
    np.testing.assert_allclose(other.p_values, one.p_values, rtol=1e-9)
    np.testing.assert_allclose(other.scores, one.scores, rtol=1e-10)
    np.testing.assert_allclose(other.thresholds, one.thresholds, rtol=1e-9)
    assert panel.noise == pytest.approx(1.0, rel=1e-6)
    np.testing.assert_allclose(panel.entry_scales * panel.noise, scales, rtol=1e-10)


def test_clair_gives_the_answer_of_noise_scales_for_multiples_of_the_identity():
    rng = np.random.default_rng(4)
    scales = rng.uniform(0.1, 0.3, 20)
    blocks, *_ = benign_stack(rng, n_clients=20, scales=scales)
    blocks[:4] += rng.standard_normal((4, 12, 8))
    scalar = CLAIR().fit(blocks, noise_scales=scales)
    own = CLAIR().fit(ClientEstimates(values=blocks, row_covariances=scales[:, None, None] ** 2 * np.eye(12)))
    np.testing.assert_array_equal(own.collaborative_set_, scalar.collaborative_set_)
    np.testing.assert_allclose(own.p_values_, scalar.p_values_, rtol=1e-7)
    np.testing.assert_allclose(own.refined_, scalar.refined_, atol=1e-10)
    np.testing.assert_allclose(own.noise_scales_, scalar.noise_scales_, rtol=1e-7)


@pytest.mark.parametrize("turn", ["rotation", "any invertible map"])
def test_p_values_do_not_depend_on_the_coordinates(turn):
    """X_k → A X_k B with the covariances turned along: the pooled scale undoes it up to a rotation."""
    rng = np.random.default_rng(5)
    record, *_ = regression(rng, n_clients=12, p=6, q=4, observations=30)
    left, right = rng.standard_normal((6, 6)), rng.standard_normal((4, 4))
    if turn == "rotation":
        left, right = np.linalg.qr(left)[0], np.linalg.qr(right)[0]
    turned = ClientEstimates(
        values=left @ record.values @ right,
        row_covariances=left @ record.row_covariances @ left.T,
        column_covariances=right.T @ record.column_covariances @ right,
        residual_degrees_of_freedom=record.residual_degrees_of_freedom,
    )
    one, other = CLAIR(rank=2).fit(record), CLAIR(rank=2).fit(turned)
    np.testing.assert_allclose(other.p_values_, one.p_values_, rtol=1e-6)
    np.testing.assert_array_equal(other.collaborative_set_, one.collaborative_set_)
    if turn == "rotation":
        np.testing.assert_allclose(other.scores_, one.scores_, rtol=1e-8)
        np.testing.assert_allclose(other.refined_, left @ one.refined_ @ right, atol=1e-8)


def test_shared_rows_are_the_transposed_problem():
    record, *_ = regression(np.random.default_rng(6), p=10, q=6, observations=40, known=True)
    turned = ClientEstimates(
        values=record.values.transpose(0, 2, 1),
        row_covariances=record.column_covariances,
        column_covariances=record.row_covariances,
    )
    columns, rows = CLAIR().fit(record), CLAIR(shared="rows").fit(turned)
    np.testing.assert_allclose(rows.p_values_, columns.p_values_, rtol=1e-9)
    np.testing.assert_allclose(rows.refined_, columns.refined_.transpose(0, 2, 1), atol=1e-12)


def test_the_pooled_covariance_is_the_identity_whatever_the_scales():
    rng = np.random.default_rng(7)
    rows = wishart_mean(rng, 9, 5, 8) * rng.uniform(0.1, 10.0, 9)[:, None, None]
    columns = wishart_mean(rng, 9, 4, 7)
    law, scales = pool_covariances(rows, columns, None, "columns")
    np.testing.assert_allclose(law.rows.mean(axis=0), np.eye(5), atol=1e-10)
    np.testing.assert_allclose(law.columns.mean(axis=0), np.eye(4), atol=1e-10)
    np.testing.assert_allclose(law.left @ law.left_inverse, np.eye(5), atol=1e-10)
    for k in range(9):
        turned = np.kron(law.left @ rows[k] @ law.left, law.right @ columns[k] @ law.right)
        np.testing.assert_allclose(scales[k] ** 2 * np.kron(law.rows[k], law.columns[k]), turned, atol=1e-10)


def test_mckeon_is_the_one_of_statsmodels():
    for e, h, nu in ((3, 8, 15.0), (10, 18, 30.0), (1, 5, 6.0), (4, 2, 9.0)):
        first, second, factor = hotelling_lawley(np.array([float(e)]), np.array([float(h)]), np.array([nu]))
        table = multivariate_stats(np.array([0.4, 0.2]), e, h, nu)
        trace = table.loc["Hotelling-Lawley trace"]
        assert first[0] == pytest.approx(trace["Num DF"], rel=1e-12)
        assert second[0] == pytest.approx(trace["Den DF"], rel=1e-12)
        assert factor[0] * nu * trace["Value"] == pytest.approx(trace["F Value"], rel=1e-12)


# Family-wise tests below count single tests, K per federation: at 5 % each, with binomial error 4 √(0.05 · 0.95/tests).
EACH = 0.05
FAMILY = 1.0 - (1.0 - EACH) ** 30


@pytest.mark.parametrize("known", [True, False])
def test_level_after_fitting_where_one_scale_misses_it(known):
    flagged, scalar = np.zeros(2), 0.0
    runs = 40
    for seed in range(runs):
        record, *_ = regression(np.random.default_rng(100 + seed), known=known)
        for i, members in enumerate((np.ones(30, dtype=bool), np.arange(30) >= 9)):  # inside the fit, outside of it
            panel = panel_of(record)
            p_values = calibrate(panel, fit_shared(panel, members, 2), level=FAMILY).p_values
            flagged[i] += float((p_values < EACH).mean())
        panel = make_panel(record.values, noise_scales=one_scale_each(record))
        p_values = calibrate(panel, fit_shared(panel, np.ones(30, dtype=bool), 2), level=FAMILY).p_values
        scalar += float((p_values < EACH).mean())
    error = np.sqrt(EACH * (1 - EACH) / (runs * 30))
    np.testing.assert_allclose(flagged / runs, EACH, atol=4 * error)
    assert scalar / runs > EACH + 4 * error


def test_level_and_edge_when_the_estimated_side_is_the_shared_one():
    """X_kᵀ of a regression with shared rows: the pooled scale is estimated too, and the edge has to know it."""
    runs, flagged, above, plain = 100, 0.0, 0, 0
    everyone = np.ones(30, dtype=bool)
    for seed in range(runs):
        record, *_ = regression(np.random.default_rng(300 + seed), p=9, q=12, rank=0, observations=36)
        panel = panel_of(record, np.ascontiguousarray(record.values.transpose(0, 2, 1)), shared="rows")
        fit = fit_shared(panel, everyone, 0)
        flagged += float((calibrate(panel, fit, level=FAMILY).p_values < EACH).mean())
        above += spike_ratio(panel, fit, tracy_widom=0.98) > 1.0
        plain += fit.eigenvalues[0] > noise_edge(12, 29 * 9, tracy_widom=0.98)
    assert flagged / runs == pytest.approx(EACH, abs=4 * np.sqrt(EACH * (1 - EACH) / (runs * 30)))
    band = 4 * np.sqrt(0.05 * 0.95 / runs)
    assert above / runs == pytest.approx(0.05, abs=band)
    assert plain / runs > 0.05 + band


def test_clair_keeps_its_level_with_covariances():
    """n = 2.5p; the band is the binomial one of the nominal level."""
    runs, own = 40, 0
    for seed in range(runs):
        record, *_ = regression(np.random.default_rng(500 + seed))
        own += not CLAIR().fit(record).collaborative_set_.all()
    upper = stats.binom.ppf(0.9999, runs, 0.05)
    assert own <= upper


@pytest.mark.filterwarnings("ignore::clair_stats.clair.NoMajorityWarning")
def test_few_noisy_clients_are_not_lost_to_a_smaller_rank():
    """Twelve clients, q = 3, n = 2.5p, r = 2: in several runs seven of them agree at rank 1."""
    runs, told, chosen = 15, 0, 0
    for seed in range(runs):
        record, *_ = regression(np.random.default_rng(700 + seed), n_clients=12, p=10, q=3, observations=25, noise=2.0)
        told += not CLAIR(rank=2).fit(record).collaborative_set_.all()
        chosen += not CLAIR().fit(record).collaborative_set_.all()
    upper = stats.binom.ppf(0.9999, runs, 0.05)
    assert told <= upper
    assert chosen <= upper


def test_level_of_the_second_look_along_given_directions():
    runs, count = 60, 0.0
    for seed in range(runs):
        rng = np.random.default_rng(900 + seed)
        record, *_ = regression(rng)
        panel = panel_of(record)
        fit = fit_shared(panel, np.arange(30) >= 5, 2)
        drawn = rng.standard_normal((20, 2))
        directions = np.linalg.qr(drawn - fit.basis @ (fit.basis.T @ drawn))[0]
        p_values, excess = calibrate_along(panel, fit, directions, alpha=EACH, heterogeneity=0.0)
        np.testing.assert_array_equal(p_values < EACH, excess > 1.0)
        count += float((p_values < EACH).mean())
    assert count / runs == pytest.approx(EACH, abs=4 * np.sqrt(EACH * (1 - EACH) / (runs * 30)))


@pytest.mark.parametrize("n_members", [21, *(pytest.param(n, marks=pytest.mark.slow) for n in (30, 2))])
def test_edge_of_errors_with_their_own_covariance(n_members):
    """The 95 % point of the Tracy–Widom law (0.98); the edge of i.i.d. entries is exceeded more often."""
    rng = np.random.default_rng(8)
    runs, above, plain = 300, 0, 0
    members = np.arange(30) < n_members
    for _ in range(runs):
        rows = np.linalg.inv(wishart_mean(rng, 30, 20, 50))
        law, _ = pool_covariances(rows, np.broadcast_to(np.eye(10), (30, 10, 10)), None, "columns")
        errors = np.linalg.cholesky(law.rows[members]) @ rng.standard_normal((n_members, 20, 10))
        top = np.linalg.norm(errors.transpose(1, 0, 2).reshape(20, -1), 2) ** 2
        above += top > covariance_edge(law, np.zeros((20, 0)), members, 10 * n_members, tracy_widom=0.98)
        plain += top > noise_edge(20, 10 * n_members, tracy_widom=0.98)
    band = 4 * np.sqrt(0.05 * 0.95 / runs)
    assert above / runs == pytest.approx(0.05, abs=band)
    assert n_members == 30 or plain / runs > 0.05 + band


def test_contamination_is_found_and_the_covariance_blind_set_is_not_the_true_one():
    hits = 0
    for seed in range(10):
        rng = np.random.default_rng(2000 + seed)
        record, *_ = regression(rng)
        values = record.values.copy()
        values[:9] += rng.standard_normal((9, 20, 10))
        altered = ClientEstimates(
            values=values,
            row_covariances=record.row_covariances,
            column_covariances=record.column_covariances,
            residual_degrees_of_freedom=record.residual_degrees_of_freedom,
        )
        model = CLAIR().fit(altered)
        hits += np.array_equal(model.collaborative_set_, np.arange(30) >= 9)
        np.testing.assert_array_equal(model.scores_ > model.detection_.threshold, ~model.collaborative_set_)
    assert hits >= stats.binom.ppf(0.001, 10, 0.95)


def test_tolerated_heterogeneity_makes_p_values_larger():
    record, basis, centre = regression(np.random.default_rng(9), n_clients=12)
    for known in (record, ClientEstimates(values=record.values, row_covariances=record.row_covariances)):
        strict = detect(known, basis=basis, common=centre)
        tolerant = detect(known, basis=basis, common=centre, heterogeneity=0.05)
        assert (tolerant.p_values > strict.p_values).all()
        assert (tolerant.threshold > strict.threshold).all()


def test_a_client_that_fits_a_direction_alone_loses_its_degrees_of_freedom():
    rng = np.random.default_rng(10)
    record, *_ = regression(rng, **SMALL, observations=20, known=True)
    panel = panel_of(record, common_component=False)
    only = np.zeros(8, dtype=bool)
    only[0] = True
    residuals = standardised_residuals(panel, fit_shared(panel, only, 2))
    assert residuals.degrees[0] == 4 * 1
    assert np.isfinite(residuals.standardised).all()


def test_nothing_is_tested_where_the_whole_space_is_shared():
    record, basis, _ = regression(np.random.default_rng(11), **SMALL, observations=20)
    found = detect(record, basis=np.linalg.qr(basis, mode="complete")[0])
    assert (found.p_values == 1.0).all()
    assert found.collaborative_set.all()
    plain = np.random.default_rng(12).standard_normal((6, 4, 3))
    for scales in (None, np.ones(6)):
        found = detect(plain, basis=np.eye(4), noise_scales=scales)
        assert (found.p_values == 1.0).all()
        assert found.collaborative_set.all()


@pytest.mark.parametrize("known", [True, False])
def test_covariances_that_are_too_small_are_told_from_right_ones(known):
    """At .001 a run a false excess in 12 has probability .012; half the standard deviation is seen always."""
    false, found = 0, []
    for seed in range(12):
        record, *_ = regression(np.random.default_rng(1100 + seed), known=known)
        panel = panel_of(record)
        fit = fit_shared(panel, np.ones(30, dtype=bool), 2)
        false += noise_in_excess(panel, fit) > 1.0
        small = panel_of(replace(record, row_covariances=record.row_covariances / 4.0))
        found.append(noise_in_excess(small, fit_shared(small, np.ones(30, dtype=bool), 2)))
    assert false == 0
    np.testing.assert_allclose(found, 2.0, rtol=0.1)
