import cvxpy as cp
import numpy as np
import pytest
import scipy.special
from scipy.optimize import approx_fprime

from clair_stats.local_fits import debiasing, fit_trace_regression, minimise_nuclear_norm, trace_penalty
from clair_stats.local_fits.debiasing import _newton


def data(seed, link, n=80, p=5, q=3, scale=1.0):
    generator = np.random.default_rng(seed)
    target = scale * generator.standard_normal((p, 1)) @ generator.standard_normal((1, q))
    measurements = generator.standard_normal((n, p, q))
    scores = np.einsum("nij,ij->n", measurements, target)
    if link == "gaussian":
        return target, measurements, scores + generator.standard_normal(n)
    return target, measurements, (generator.random(n) < scipy.special.expit(scores)).astype(float)


def oracle(measurements, responses, penalty, link):
    n, p, q = measurements.shape
    theta = cp.Variable((p, q))
    scores = measurements.reshape(n, p * q) @ cp.reshape(theta, p * q, order="C")
    if link == "gaussian":
        loss = cp.sum_squares(responses - scores) / (2 * n)
    else:
        loss = cp.sum(cp.logistic(scores) - cp.multiply(responses, scores)) / n
    problem = cp.Problem(cp.Minimize(loss + penalty * cp.normNuc(theta)))
    problem.solve(solver="CLARABEL", tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
    return theta.value, problem.value


@pytest.mark.parametrize("link", ["gaussian", "one_bit"])
@pytest.mark.parametrize(("seed", "n"), [(0, 80), (1, 80), (2, 12)])
def test_minimiser_is_that_of_a_conic_solver(link, seed, n):
    _, measurements, responses = data(seed, link, n=n)
    penalty = trace_penalty(n, (5, 3), 0.3)
    fit = minimise_nuclear_norm(measurements, responses, penalty=penalty, link=link, tol=1e-13, max_iterations=50_000)
    estimate, value = oracle(measurements, responses, penalty, link)
    assert fit.converged
    assert fit.objective == pytest.approx(value, abs=1e-8)
    if n == 80:  # strictly convex: the minimiser is unique
        np.testing.assert_allclose(fit.estimate, estimate, atol=1e-6)


@pytest.mark.parametrize("link", ["gaussian", "one_bit"])
def test_the_gap_bounds_the_distance_to_the_optimum_at_every_stop(link):
    _, measurements, responses = data(3, link)
    penalty = trace_penalty(80, (5, 3), 0.3)
    _, value = oracle(measurements, responses, penalty, link)
    gaps = []
    for iterations in (1, 2, 4, 8):
        fit = minimise_nuclear_norm(
            measurements, responses, penalty=penalty, link=link, tol=1e-15, max_iterations=iterations
        )
        assert not fit.converged
        assert fit.objective - value <= fit.duality_gap + 1e-9
        gaps.append(fit.duality_gap)
    assert gaps[-1] < 0.1 * gaps[0]


@pytest.mark.parametrize("link", ["gaussian", "one_bit"])
def test_at_the_critical_penalty_the_estimate_is_exactly_zero(link):
    _, measurements, responses = data(4, link)
    centred = responses - (0.5 if link == "one_bit" else 0.0)
    critical = np.linalg.norm(np.einsum("n,nij->ij", centred, measurements) / 80, 2)
    at_zero = minimise_nuclear_norm(measurements, responses, penalty=1.0001 * critical, link=link)
    assert not at_zero.estimate.any()
    below = minimise_nuclear_norm(measurements, responses, penalty=0.99 * critical, link=link)
    assert np.linalg.matrix_rank(below.estimate) == 1


def test_newton_step_inverts_the_average_hessian():
    generator = np.random.default_rng(5)
    theta = 0.8 * generator.standard_normal((3, 2))
    draws = generator.standard_normal((400_000, 3, 2))

    def average_score(flat):
        return np.einsum("n,nij->ij", scipy.special.expit(draws.reshape(-1, 6) @ flat), draws).ravel() / len(draws)

    hessian = approx_fprime(theta.ravel(), average_score, 1e-5)
    change = generator.standard_normal((1, 3, 2))
    stepped = _newton((hessian @ change.ravel()).reshape(1, 3, 2), theta, "one_bit")
    np.testing.assert_allclose(stepped, change, atol=0.03)


def test_debiasing_removes_the_shrinkage():
    errors, shrunk, scales = [], [], []
    for seed in range(60):
        target, measurements, responses = data(100, "gaussian", n=4)  # one target for all
        generator = np.random.default_rng(seed)
        measurements = generator.standard_normal((150, 5, 3))
        responses = np.einsum("nij,ij->n", measurements, target) + generator.standard_normal(150)
        fit = fit_trace_regression(measurements, responses)
        errors.append((fit.estimate - target) / fit.standard_errors)
        raw = fit_trace_regression(measurements, responses, debias=False)
        shrunk.append((raw.estimate - target) / fit.standard_errors)
        scales.append(fit.noise_scale)
    size = np.sqrt(60)
    assert np.abs(np.mean(errors, axis=0) * size).max() < 4.0  # 15 standard normal means
    assert np.abs(np.mean(shrunk, axis=0) * size).max() > 6.0
    assert np.std(errors) == pytest.approx(1.0, abs=0.12)


def test_standard_errors_of_one_bit_fits_do_not_forget_that_the_second_step_saw_the_fold(monkeypatch):
    def ratio():
        errors = []
        for seed in range(60):
            target, measurements, responses = data(seed, "one_bit", n=300, scale=0.4)
            fit = fit_trace_regression(measurements, responses, link="one_bit")
            errors.append((fit.estimate - target) / fit.standard_errors)
        return float(np.sqrt(np.mean(np.square(errors))))

    # 900 entries of 60 fits: the root mean square has a standard error of about 0.024, more for its dependence.
    assert ratio() == pytest.approx(1.0, abs=0.1)
    monkeypatch.setattr(debiasing, "_left_out", lambda influences, z, point: influences)
    assert ratio() > 1.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"penalty": 0.0}, "penalty"),
        ({"link": "probit"}, "link"),
        ({"responses": np.full(80, 2.0), "link": "one_bit"}, "0 or 1"),
        ({"measurements": np.zeros((80, 5))}, r"\(n, p, q\)"),
        ({"measurements": np.full((80, 5, 3), np.nan)}, "NaN"),
    ],
)
def test_bad_input_names_client_and_remedy(changes, message):
    _, measurements, responses = data(6, "gaussian")
    arguments = {"measurements": measurements, "responses": responses, "penalty": 0.1, **changes}
    with pytest.raises(ValueError, match=f"clinic.*{message}"):
        minimise_nuclear_norm(arguments.pop("measurements"), arguments.pop("responses"), client="clinic", **arguments)


def test_too_few_measurements_for_the_folds_are_refused():
    _, measurements, responses = data(6, "gaussian", n=3)
    with pytest.raises(ValueError, match="folds"):
        fit_trace_regression(measurements, responses)
