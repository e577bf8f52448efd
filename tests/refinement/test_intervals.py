"""Intervals: the covariance against simulation, coverage, orientation, selection, refusals."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import norm

from clair_stats import CLAIR, ClientEstimates
from clair_stats.linalg import project_off
from clair_stats.refinement.given_data import error_given_data
from clair_stats.refinement.intervals import ErrorLaw
from clair_stats.refinement.members_fit import Errors, MembersFit


def _truth(rng, *, n=12, p=10, q=3, rank=2, spread=0.0):
    basis = np.linalg.qr(rng.standard_normal((p, rank)))[0]
    targets = rng.standard_normal((p, q)) + 4 * basis @ rng.standard_normal((n, rank, q))
    return targets + spread * project_off(basis, rng.standard_normal((n, p, q))), basis


def _row_covariance(blocks, scales, weights, basis):
    """Covariance of a row of E_0 + D_0 off the subspace where there are no true differences, (q, q)."""
    q = blocks.shape[2]
    errors = Errors(None, scales[:, None, None] ** 2 * np.eye(q))
    fit = MembersFit.of(blocks, np.ones(len(blocks), dtype=bool), weights, basis, errors)
    told = [error_given_data(fit, k, np.zeros(1)).right[0] for k in range(len(blocks))]
    return [scales[k] ** 2 * np.eye(q) - told[k] @ told[k].T for k in range(len(blocks))]


def test_the_covariance_of_averaging_is_that_of_the_simulation():
    """Rows of P_{U⊥}(Θ̃_k − Θ*_k) over fresh noise, unequal scales; V_kV_kᵀ is most of it here."""
    rng = np.random.default_rng(1)
    targets, basis = _truth(rng)
    n, p, q = targets.shape
    scales = rng.uniform(0.05, 0.2, n)
    weights = scales**-2.0
    seen, draws = np.zeros((q, q)), 3000
    for _ in range(draws):
        blocks = targets + scales[:, None, None] * rng.standard_normal(targets.shape)
        mean = np.average(blocks, axis=0, weights=weights)
        tall = np.concatenate(list(np.sqrt(weights)[:, None, None] * (blocks - mean)), axis=1)
        fitted = np.linalg.svd(tall, full_matrices=False)[0][:, :2]
        error = project_off(basis, mean + fitted @ (fitted.T @ (blocks[0] - mean)) - targets[0])
        seen += error.T @ error / (p - 2)
    expected = _row_covariance(targets, scales, weights, basis)[0]
    alone = np.eye(q) / weights.sum()
    np.testing.assert_allclose(seen / draws, expected, atol=6 * expected.max() / np.sqrt(draws * (p - 2)))
    assert np.abs(seen / draws - alone).max() > 0.3 * expected.max()


def test_equal_scales_give_the_formula_with_leverages():
    rng = np.random.default_rng(2)
    targets, basis = _truth(rng)
    n, _, q = targets.shape
    found = _row_covariance(targets, np.full(n, 0.3), np.ones(n), basis)
    coefficients = np.concatenate(list((targets - targets.mean(axis=0)).transpose(0, 2, 1) @ basis))
    v = coefficients @ np.linalg.inv(np.linalg.cholesky(coefficients.T @ coefficients)).T
    for k in range(n):
        own = v[k * q : (k + 1) * q]
        np.testing.assert_allclose(found[k], 0.09 * (np.eye(q) / n + own @ own.T), atol=1e-12)


def test_the_error_given_the_residuals_is_linear_prediction():
    """Mean and variances against the joint covariance of everybody's errors and residuals, written out."""
    rng = np.random.default_rng(14)
    n, p, q, r, spread = 5, 6, 2, 1, 0.03
    basis = np.linalg.qr(rng.standard_normal((p, r)))[0]
    blocks = basis @ rng.standard_normal((n, r, q)) + 0.1 * rng.standard_normal((n, p, q))
    columns = 0.01 * np.stack([np.cov(rng.standard_normal((q, 9))) for _ in range(n)])
    fit = MembersFit.of(blocks, np.ones(n, dtype=bool), rng.uniform(0.5, 1.0, n), basis, Errors(None, columns))
    coefficients = basis.T @ (blocks - np.tensordot(fit.shares, blocks, axes=1))
    gram = np.einsum("j,jrc,jsc->rs", fit.weights, coefficients, coefficients)
    k, maps = 2, []
    for j in range(n):
        leverage = fit.weights[j] * coefficients[j].T @ np.linalg.inv(gram) @ coefficients[k]
        maps.append((j == k) * np.eye(q) - fit.shares[j] * np.eye(q) - leverage)
    residual = sum(m.T @ (c + spread * np.eye(q)) @ m for m, c in zip(maps, columns, strict=True))
    weight = columns[k] @ maps[k] @ np.linalg.inv(residual)
    found = error_given_data(fit, k, np.array([spread, np.inf]))
    np.testing.assert_allclose(found.mean[0], fit.residuals[k] @ weight.T, atol=1e-12)
    some = rng.standard_normal((3, p, q))
    off = project_off(basis, some)
    lower = np.einsum("mij,jl,mil->m", off, weight @ maps[k].T @ columns[k], off)
    np.testing.assert_allclose(found.told_of_functionals(some)[0], lower, atol=1e-12)
    unit = np.eye(p * q).reshape(-1, p, q)
    np.testing.assert_allclose(found.told_of_entries()[0].ravel(), found.told_of_functionals(unit)[0], atol=1e-12)
    np.testing.assert_array_equal(found.told_of_functionals(some)[1], 0.0)
    # The same law, told as covariances on both sides, in which every row direction has its own part.
    wide = np.broadcast_to(np.eye(p), (n, p, p))
    told = error_given_data(replace(fit, errors=Errors(wide, columns)), k, np.array([spread]))
    np.testing.assert_allclose(told.mean[0], found.mean[0], atol=1e-12)
    np.testing.assert_allclose(told.told_of_functionals(some)[0], lower, atol=1e-12)
    np.testing.assert_allclose(told.told_of_entries()[0], found.told_of_entries()[0], atol=1e-12)


def test_the_variance_of_true_differences_is_found():
    rng = np.random.default_rng(3)
    everybody, errors = np.ones(20, dtype=bool), Errors(None, 0.01 * np.broadcast_to(np.eye(3), (20, 3, 3)))
    held = []
    for _ in range(200):
        targets, basis = _truth(rng, n=20, spread=0.2)
        blocks = targets + 0.1 * rng.standard_normal(targets.shape)
        tall = np.concatenate(list(blocks - blocks.mean(axis=0)), axis=1)
        basis = np.linalg.svd(tall, full_matrices=False)[0][:, :2]
        law = MembersFit.of(blocks, everybody, np.ones(20), basis, errors).differences()
        low, high = law.limits(0.05)
        held.append([low > 0.04, high < 0.04])
        nodes, shares = law.posterior()
        assert shares.sum() == pytest.approx(1.0)
        assert low < nodes @ shares < high
    misses = np.mean(held, axis=0)
    np.testing.assert_allclose(misses, 0.05, atol=3 * np.sqrt(0.05 * 0.95 / 200))
    larger = replace(law, energy=0.2 * law.without)
    assert larger.limits(0.05) == (0.0, 0.0)
    assert replace(law, freedom=0.0).limits(0.05) == (np.inf, np.inf)


def test_half_widths_and_tails_of_mixtures():
    rng = np.random.default_rng(15)
    law = ErrorLaw(rng.standard_normal((4, 30)), rng.uniform(0.1, 2.0, (4, 30)), np.array([0.4, 0.3, 0.2, 0.1]))
    for tail in (0.5, 0.05, 1e-7):
        half = law.half_width(tail)
        np.testing.assert_allclose(law.tail(half), tail, rtol=1e-7)
        exact = sum(
            w * (norm.sf(half, b, np.sqrt(v)) + norm.cdf(-half, b, np.sqrt(v)))
            for w, b, v in zip(law.weights, law.bias, law.variance, strict=True)
        )
        np.testing.assert_allclose(exact, tail, rtol=1e-7)
        assert (law.widest().half_width(tail) >= half).all()
    sure = ErrorLaw(np.array([[0.0, 0.5]]), np.zeros((1, 2)), np.ones(1))
    np.testing.assert_allclose(sure.half_width(0.05), [0.0, 0.5])


def _coverage(refinement, spread, draws=20, **asked):
    rng = np.random.default_rng(4)
    covered = []
    for _ in range(draws):
        targets, _ = _truth(rng, n=15, p=12, q=4, spread=spread * 0.2)
        blocks = targets + 0.2 * rng.standard_normal(targets.shape)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            model = CLAIR(2, refinement=refinement).fit(blocks, noise_scales=np.full(15, 0.2))
        found = model.conf_int(**asked)
        truth = targets
        if "functional" in asked:
            truth = np.einsum("ij,kij->k", asked["functional"], targets)[:, None]
        inside = (found.lower <= truth) & (truth <= found.upper)
        covered.append(inside.all() if asked.get("simultaneous") else inside.mean())
    return np.mean(covered), np.std(covered, ddof=1) / np.sqrt(draws)


@pytest.mark.parametrize(
    ("refinement", "spread"),
    [("average", 0.0), ("shrinkage", 1.0), pytest.param("shrinkage", 0.0, marks=pytest.mark.slow)],
)
def test_coverage_of_entries(refinement, spread):
    mean, error = _coverage(refinement, spread)
    assert mean > 0.95 - 3 * error - 0.005  # first order in the error of the fit
    assert mean < (0.96 if refinement == "average" else 0.98) + 3 * error


def test_own_intervals_hold_at_every_heterogeneity():
    mean, error = _coverage("average", 1.0, parameter="own")
    assert mean == pytest.approx(0.95, abs=3 * error)


def test_functionals_and_all_together():
    rng = np.random.default_rng(5)
    mean, error = _coverage("shrinkage", 0.5, functional=rng.standard_normal((12, 4)))
    assert 0.95 - 3 * error - 0.01 < mean < 0.97 + 3 * error
    together, error = _coverage("shrinkage", 0.0, simultaneous=True)
    assert together > 0.95 - 3 * np.sqrt(0.05 * 0.95 / 20)


def test_entries_are_functionals():
    rng = np.random.default_rng(6)
    targets, _ = _truth(rng)
    model = CLAIR(2).fit(targets + 0.1 * rng.standard_normal(targets.shape), noise_scales=np.full(12, 0.1))
    unit = np.zeros((30, 10, 3))
    unit[np.arange(30), np.arange(30) // 3, np.arange(30) % 3] = 1.0
    entries, functionals = model.conf_int(0.9), model.conf_int(0.9, functional=unit)
    np.testing.assert_allclose(functionals.lower.reshape(12, 10, 3), entries.lower, atol=1e-12)
    np.testing.assert_allclose(entries.estimate, model.refined_, atol=1e-15)
    np.testing.assert_allclose(functionals.p_value.reshape(12, 10, 3), entries.p_value, atol=1e-9)
    np.testing.assert_allclose(entries.upper - entries.estimate, entries.estimate - entries.lower, atol=1e-12)
    assert (entries.standard_error < 0.1 * (1 + 1e-12)).all()


def test_coefficients_common_component_and_rows():
    rng = np.random.default_rng(7)
    targets, _ = _truth(rng, n=15)
    blocks = targets + 0.1 * rng.standard_normal(targets.shape)
    told = {"noise_scales": np.full(15, 0.1)}
    model = CLAIR(2).fit(blocks, **told)
    found = model.conf_int(parameter="coefficients")
    np.testing.assert_allclose(found.estimate, model.coefficients_, atol=1e-12)
    np.testing.assert_allclose(found.standard_error, 0.1 * np.sqrt(1 - 1 / 15), atol=1e-12)
    common = model.conf_int(parameter="common")
    np.testing.assert_allclose(common.estimate, model.common_, atol=1e-12)
    np.testing.assert_allclose(common.standard_error, 0.1 / np.sqrt(15), atol=1e-12)
    rows = CLAIR(2, shared="rows").fit(blocks.transpose(0, 2, 1), **told)
    np.testing.assert_allclose(rows.conf_int().lower.transpose(0, 2, 1), model.conf_int().lower, atol=1e-10)
    some = rng.standard_normal((10, 3))
    np.testing.assert_allclose(
        rows.conf_int(functional=some.T).lower, model.conf_int(functional=some).lower, atol=1e-10
    )


def test_flagged_clients_have_intervals_about_their_own():
    rng = np.random.default_rng(8)
    targets, _ = _truth(rng, n=15)
    targets[:3] += 3 * rng.standard_normal((3, 10, 3))
    blocks = targets + 0.1 * rng.standard_normal(targets.shape)
    model = CLAIR().fit(blocks, noise_scales=np.full(15, 0.1))
    np.testing.assert_array_equal(model.collaborative_set_, np.arange(15) >= 3)
    found = model.conf_int()
    np.testing.assert_allclose(found.standard_error[:3], 0.1, atol=1e-12)
    assert (found.standard_error[3:] < 0.1).all()


def test_covariances_and_halves():
    rng = np.random.default_rng(9)
    targets, _ = _truth(rng, n=15)
    size = np.linspace(0.5, 1.5, 10)
    halves = targets[:, None] + np.sqrt(2) * 0.1 * rng.standard_normal((15, 2, 10, 3))
    model = CLAIR(2).fit(ClientEstimates(halves=halves))
    assert np.median(model.conf_int(parameter="own").standard_error) == pytest.approx(0.1, rel=0.2)
    rows = np.broadcast_to(0.01 * np.diag(size**2), (15, 10, 10)).copy()
    blocks = targets + 0.1 * size[:, None] * rng.standard_normal(targets.shape)
    told = CLAIR(2).fit(ClientEstimates(values=blocks, row_covariances=rows))
    own = told.conf_int(parameter="own")
    np.testing.assert_allclose(own.standard_error, np.broadcast_to(0.1 * size[:, None], (15, 10, 3)), atol=1e-12)
    some = rng.standard_normal((10, 3))
    np.testing.assert_allclose(
        told.conf_int(parameter="own", functional=some).standard_error[0, 0],
        0.1 * np.sqrt(np.sum((size[:, None] * some) ** 2)),
    )
    refined, functional = told.conf_int(), told.conf_int(functional=np.eye(30).reshape(30, 10, 3))
    np.testing.assert_allclose(functional.upper.reshape(15, 10, 3), refined.upper, atol=1e-9)
    assert ((refined.lower <= targets) & (targets <= refined.upper)).mean() == pytest.approx(0.96, abs=0.03)
    assert 0.4 < (refined.standard_error / own.standard_error).mean() < 0.9
    mean = told.conf_int(parameter="common").standard_error
    np.testing.assert_allclose(mean, np.broadcast_to(0.1 * size[:, None] / np.sqrt(15), (10, 3)), atol=1e-12)
    coefficients = told.conf_int(parameter="coefficients")
    along = np.einsum("ir,ij,js->rs", told.basis_, rows[0], told.basis_).diagonal() * (1 - 1 / 15)
    np.testing.assert_allclose(coefficients.standard_error[0, 0], np.sqrt(along), atol=1e-12)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"level": 1.0}, "level: 1.0"),
        ({"parameter": "basis"}, "parameter: 'basis'"),
        ({"functional": np.ones((3, 10))}, "functional: shape"),
        ({"functional": np.ones((10, 3)), "parameter": "common"}, "functional: given with"),
    ],
)
def test_bad_requests_name_the_field(asked, message):
    rng = np.random.default_rng(10)
    targets, _ = _truth(rng)
    model = CLAIR(2).fit(targets + 0.1 * rng.standard_normal(targets.shape), noise_scales=np.full(12, 0.1))
    with pytest.raises(ValueError, match=message):
        model.conf_int(**asked)
    factors = tuple((block, np.eye(3)) for block in targets + 0.1 * rng.standard_normal(targets.shape))
    with pytest.raises(ValueError, match="for factors"):
        CLAIR(2).fit(ClientEstimates(factors=factors)).conf_int()


def test_the_table_of_own_estimates_is_that_of_statsmodels():
    rng = np.random.default_rng(12)
    fits, designs = [], []
    for _ in range(9):
        design = rng.standard_normal((40, 5))
        response = design @ np.arange(5.0) + 0.3 * rng.standard_normal(40)
        fits.append(sm.GLM(response, design).fit(scale=0.09))
        designs.append(design)
    record = ClientEstimates(
        values=np.stack([fit.params[:, None] for fit in fits]),
        row_covariances=np.stack([0.09 * np.linalg.inv(z.T @ z) for z in designs]),
        client_names=[f"site {k}" for k in range(9)],
    )
    frame = CLAIR(0).fit(record).summary_frame("site 4", parameter="own")
    assert list(frame.columns) == ["coef", "std err", "z", "P>|z|", "[0.025", "0.975]"]
    assert list(frame.index) == [("site 4", row, 0) for row in range(5)]
    np.testing.assert_allclose(frame.to_numpy(), fits[4].summary2().tables[1].to_numpy(), rtol=1e-9, atol=1e-300)


def test_the_table_has_the_intervals_that_were_asked_for():
    rng = np.random.default_rng(13)
    targets, _ = _truth(rng, n=15)
    model = CLAIR(2).fit(targets + 0.1 * rng.standard_normal(targets.shape), noise_scales=np.full(15, 0.1))
    for asked, names, shape in (
        ({"simultaneous": True}, ["client", "row", "column"], (15, 10, 3)),
        ({"parameter": "common", "level": 0.9}, ["row", "column"], (10, 3)),
        ({"parameter": "coefficients"}, ["client", "column", "direction"], (15, 3, 2)),
    ):
        frame, found = model.summary_frame(**asked), model.conf_int(**asked)
        assert frame.index.names == names
        for place, part in ((0, found.estimate), (1, found.standard_error), (4, found.lower), (5, found.upper)):
            np.testing.assert_array_equal(frame.iloc[:, place].to_numpy().reshape(shape), part)
    own, alone = (model.summary_frame(parameter="own", simultaneous=s)["P>|z|"] for s in (True, False))
    np.testing.assert_allclose(own, 1 - (1 - alone) ** 450, atol=1e-12)
    found = CLAIR(2).fit(1e6 * model.refined_, noise_scales=np.full(15, 1e5)).conf_int(0.9, simultaneous=True)
    assert found.level == 0.9  # in every unit of the estimates
    assert found.simultaneous is True
    # An interval leaves 0 out exactly where the p-value is below 1 − level.
    for simultaneous in (False, True):
        frame = model.summary_frame(simultaneous=simultaneous)
        np.testing.assert_array_equal((frame["[0.025"] > 0) | (frame["0.975]"] < 0), frame["P>|z|"] < 0.05)
    with pytest.raises(ValueError, match="client: 'nobody'"):
        model.summary_frame("nobody")


@pytest.mark.parametrize("refinement", ["shrinkage", "average"])
def test_where_nothing_tells_the_error_intervals_about_refined_estimates_say_what_they_assume(refinement):
    rng = np.random.default_rng(14)
    targets, _ = _truth(rng, n=15)
    halves = targets[:, None] + 0.1 * rng.standard_normal((15, 2, 10, 3))
    learnt = CLAIR(2, refinement=refinement).fit(halves.mean(axis=1))
    for ask in (learnt.conf_int, learnt.summary_frame):
        with pytest.warns(UserWarning, match=r"learnt from the clients.*give noise_scales, covariances or halves"):
            ask()
    told = (
        CLAIR(2, refinement=refinement).fit(halves.mean(axis=1), noise_scales=np.full(15, 0.07)),
        CLAIR(2, refinement=refinement).fit(ClientEstimates(halves=halves)),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learnt.conf_int(parameter="own")
        learnt.conf_int(parameter="common")
        for model in told:
            model.conf_int()
