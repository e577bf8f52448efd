import cvxpy as cp
import numpy as np
import pytest
import statsmodels.api as sm

from clair_stats.local_fits import fit_huber


def data(seed, n=60, p=4, q=2):
    generator = np.random.default_rng(seed)
    design = generator.standard_normal((n, p)) @ generator.standard_normal((p, p))
    return design, design @ generator.standard_normal((p, q)) + generator.standard_t(2.5, (n, q))


@pytest.mark.parametrize("seed", range(4))
def test_covariance_is_statsmodels_h1(seed):
    design, responses = data(seed)
    fit = fit_huber(design, responses)
    assert fit.converged
    for j in range(2):
        reference = sm.RLM(responses[:, j], design).fit(maxiter=500, tol=1e-12)
        np.testing.assert_allclose(fit.estimate[:, j], reference.params, atol=1e-6)
        own = fit.row_covariance * fit.column_covariance[j, j]
        np.testing.assert_allclose(own, reference.cov_params(), rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_estimate_minimises_the_huber_loss_at_its_scale(seed):
    design, responses = data(seed)
    fit = fit_huber(design, responses)
    for j in range(2):
        scale = sm.RLM(responses[:, j], design).fit(maxiter=500, tol=1e-12).scale
        theta = cp.Variable(4)
        loss = cp.sum(cp.huber((responses[:, j] - design @ theta) / scale, 1.345))
        cp.Problem(cp.Minimize(loss)).solve(solver="CLARABEL", tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
        np.testing.assert_allclose(fit.estimate[:, j], theta.value, atol=1e-6)


def test_an_outlier_moves_huber_less_than_least_squares():
    design, responses = data(7)
    before = fit_huber(design, responses).estimate
    responses[0] += 1e4
    after = fit_huber(design, responses).estimate
    assert np.abs(after - before).max() < 1.0
    assert np.abs(np.linalg.lstsq(design, responses, rcond=None)[0] - before).max() > 10.0


def test_iterations_that_run_out_are_told():
    design, responses = data(8)
    fit = fit_huber(design, responses, max_iterations=1)
    assert not fit.converged
    assert "max_iterations" in fit.message


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"threshold": 0.0}, "threshold"), ({"design": np.ones((60, 4))}, "rank 1"), ({"design": np.eye(60)}, "n > p")],
)
def test_bad_input_names_client_and_remedy(changes, message):
    design, responses = data(9)
    arguments = {"design": design, "responses": responses, **changes}
    with pytest.raises(ValueError, match=f"clinic.*{message}"):
        fit_huber(arguments.pop("design"), arguments.pop("responses"), client="clinic", **arguments)
