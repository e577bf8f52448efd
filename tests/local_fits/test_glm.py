import numpy as np
import pytest
import scipy.special
import statsmodels.api as sm
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression, PoissonRegressor

from clair_stats.local_fits import SeparationError, class_contrasts, fit_glm, fit_mnlogit, multinomial_coefficients
from clair_stats.local_fits.glm import is_separated
from clair_stats.local_fits.mnlogit import is_separated_multinomial


def data(seed, family, n=150, p=4, q=2):
    generator = np.random.default_rng(seed)
    design = generator.standard_normal((n, p))
    scores = 0.5 * design @ generator.standard_normal((p, q))
    if family == "logistic":
        return design, (generator.random((n, q)) < scipy.special.expit(scores)).astype(float)
    return design, generator.poisson(np.exp(scores)).astype(float)


def negative_likelihood(theta, design, y, family):
    eta = design @ theta
    return np.sum(np.logaddexp(0, eta) - y * eta) if family == "logistic" else np.sum(np.exp(eta) - y * eta)


@pytest.mark.parametrize("family", ["logistic", "poisson"])
@pytest.mark.parametrize("seed", range(3))
def test_maximum_likelihood_and_its_covariance_are_those_of_other_libraries(family, seed):
    design, responses = data(seed, family)
    fit = fit_glm(design, responses, family=family)
    assert fit.converged
    for j in range(2):
        y = responses[:, j]
        unpenalised = (
            LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-12, solver="newton-cholesky")
            if family == "logistic"
            else PoissonRegressor(alpha=0.0, fit_intercept=False, tol=1e-12, solver="newton-cholesky")
        ).fit(design, y)
        np.testing.assert_allclose(fit.estimate[:, j], np.ravel(unpenalised.coef_), atol=1e-6)
        discrete = (sm.Logit if family == "logistic" else sm.Poisson)(y, design).fit(disp=0, method="newton", tol=1e-12)
        np.testing.assert_allclose(fit.estimate[:, j], discrete.params, atol=1e-6)
        np.testing.assert_allclose(fit.standard_errors[:, j], discrete.bse, rtol=1e-6)


@pytest.mark.parametrize("family", ["logistic", "poisson"])
def test_marginals_average_the_responses_own_covariances(family):
    design, responses = data(11, family)
    fit = fit_glm(design, responses, family=family)
    model = sm.Logit if family == "logistic" else sm.Poisson
    covariances = [model(y, design).fit(disp=0, method="newton", tol=1e-12).cov_params() for y in responses.T]
    np.testing.assert_allclose(fit.row_covariance, np.mean(covariances, axis=0), rtol=1e-6, atol=1e-10)
    traces = np.array([np.trace(c) for c in covariances])
    np.testing.assert_allclose(np.diag(fit.column_covariance), 2 * traces / traces.sum(), rtol=1e-6)
    assert fit.noise_scale**2 == pytest.approx(traces.sum() / 8, rel=1e-6)


@pytest.mark.parametrize("family", ["logistic", "poisson"])
def test_ridge_minimises_the_penalised_likelihood(family):
    design, responses = data(12, family)
    fit = fit_glm(design, responses, family=family, ridge=3.0)
    for j in range(2):
        found = minimize(
            lambda t, j=j: negative_likelihood(t, design, responses[:, j], family) + 1.5 * t @ t,
            np.zeros(4),
            method="BFGS",
            options={"gtol": 1e-9},
        )
        np.testing.assert_allclose(fit.estimate[:, j], found.x, atol=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_separation_is_what_a_hyperplane_shows(seed):
    generator = np.random.default_rng(seed)
    design = generator.standard_normal((30, 3))
    direction = generator.standard_normal(3)
    separated = (design @ direction > 0).astype(float)
    assert is_separated(design, separated, "logistic")
    # Opposite responses at z and −z: no hyperplane through the origin has either of them strictly on its side.
    doubled = np.vstack([design, design])
    assert not is_separated(doubled, np.concatenate([separated, 1 - separated]), "logistic")
    assert is_separated(np.abs(design), np.zeros(30), "poisson")
    assert not is_separated(design, np.ones(30), "poisson")


def test_quasi_separation_counts_too():
    # One row sits on the hyperplane with both responses: still no finite maximum.
    design = np.array([[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    response = np.array([1.0, 1.0, 0.0, 0.0, 1.0])
    assert is_separated(design, response, "logistic")
    with pytest.raises(SeparationError, match=r"clinic: responses \[0\]") as caught:
        fit_glm(design, response[:, None], family="logistic", client="clinic")
    assert caught.value.responses == [0]
    assert np.isfinite(fit_glm(design, response[:, None], family="logistic", ridge=1.0).estimate).all()


def test_only_the_separated_response_is_named():
    design, responses = data(13, "logistic")
    responses[:, 1] = (design[:, 0] > 0).astype(float)
    with pytest.raises(SeparationError) as caught:
        fit_glm(design, responses, family="logistic")
    assert caught.value.responses == [1]


@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_multinomial_is_the_limit_of_small_penalties_with_covariance_of_its_likelihood(n_classes):
    generator = np.random.default_rng(n_classes)
    design = generator.standard_normal((300, 3))
    noisy = 0.5 * design @ generator.standard_normal((3, n_classes)) + generator.gumbel(size=(300, n_classes))
    labels = noisy.argmax(axis=1)
    fit = fit_mnlogit(design, labels, n_classes=n_classes)
    contrasts = class_contrasts(n_classes)

    def loss(flat):
        scores = design @ flat.reshape(3, n_classes - 1) @ contrasts.T
        return float(np.sum(scipy.special.logsumexp(scores, axis=1) - scores[np.arange(300), labels]))

    found = minimize(loss, np.zeros(3 * (n_classes - 1)), method="BFGS", options={"gtol": 1e-8})
    np.testing.assert_allclose(fit.estimate.ravel(), found.x, atol=1e-6)
    penalised, _ = multinomial_coefficients(design, labels, n_classes=n_classes, ridge=1e-6)
    np.testing.assert_allclose(fit.estimate, penalised, atol=1e-3)
    # Standard errors against the numerically differentiated likelihood.
    size, step = found.x.size, 1e-3
    hessian = np.empty((size, size))
    unit = step * np.eye(size)
    at = fit.estimate.ravel()
    for i in range(size):
        for j in range(size):
            corners = [loss(at + a * unit[i] + b * unit[j]) * a * b for a in (1, -1) for b in (1, -1)]
            hessian[i, j] = sum(corners) / (4 * step**2)
    np.testing.assert_allclose(fit.standard_errors.ravel(), np.sqrt(np.diag(np.linalg.inv(hessian))), rtol=1e-4)


def test_multinomial_separation_and_missing_classes_are_refused():
    generator = np.random.default_rng(3)
    design = generator.standard_normal((40, 2))
    labels = np.argmax(design @ np.array([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]]), axis=1)
    assert is_separated_multinomial(design, labels, 3)
    assert not is_separated_multinomial(np.vstack([design] * 3), np.repeat([0, 1, 2], 40), 3)
    with pytest.raises(SeparationError):
        fit_mnlogit(design, labels, n_classes=3)
    with pytest.raises(SeparationError) as caught:
        fit_mnlogit(design, labels % 2, n_classes=3)
    assert caught.value.responses == [2]


@pytest.mark.parametrize(
    ("family", "responses", "message"),
    [
        ("logistic", np.full((20, 1), 2.0), "0 or 1"),
        ("poisson", np.full((20, 1), 0.5), "counts"),
        ("gamma", np.ones((20, 1)), "family"),
    ],
)
def test_bad_input_names_client_and_remedy(family, responses, message):
    design = np.random.default_rng(0).standard_normal((20, 2))
    with pytest.raises(ValueError, match=f"clinic.*{message}"):
        fit_glm(design, responses, family=family, client="clinic")
