import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.linear_model import Ridge, RidgeCV

from clair_stats.local_fits import fit_least_squares, select_ridge


def data(seed, n=50, p=6, q=3):
    generator = np.random.default_rng(seed)
    design = generator.standard_normal((n, p)) @ generator.standard_normal((p, p))
    return design, design @ generator.standard_normal((p, q)) + generator.standard_normal((n, q)), generator


@pytest.mark.parametrize("seed", range(5))
def test_ols_estimate_and_covariance_are_those_of_statsmodels(seed):
    design, responses, _ = data(seed)
    fit = fit_least_squares(design, responses)
    for j in range(3):
        reference = sm.OLS(responses[:, j], design).fit()
        np.testing.assert_allclose(fit.estimate[:, j], reference.params, rtol=1e-9, atol=1e-11)
        own = fit.row_covariance * fit.column_covariance[j, j]
        np.testing.assert_allclose(own, reference.cov_params(), rtol=1e-7, atol=1e-12)
    assert fit.residual_degrees_of_freedom == pytest.approx(44)
    assert np.trace(fit.column_covariance) == pytest.approx(3)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("covariance", "name"), [("sandwich", "cov_HC3"), ("HC2", "cov_HC2")])
def test_sandwiches_are_those_of_statsmodels_on_average_over_responses(seed, covariance, name):
    design, responses, _ = data(seed)
    fit = fit_least_squares(design, responses, covariance=covariance)
    references = [getattr(sm.OLS(responses[:, j], design).fit(), name) for j in range(3)]
    np.testing.assert_allclose(fit.row_covariance, np.mean(references, axis=0), rtol=1e-7, atol=1e-12)
    traces = np.array([np.trace(reference) for reference in references])
    np.testing.assert_allclose(np.diag(fit.column_covariance), 3 * traces / traces.sum(), rtol=1e-7)
    assert fit.noise_scale**2 == pytest.approx(traces.sum() / 18, rel=1e-9)


@pytest.mark.parametrize(("covariance", "power"), [("HC2", 0), ("sandwich", 1)])
def test_with_high_leverage_hc2_states_the_error_and_hc3_more(covariance, power):
    design, _, generator = data(4, n=12)  # mean leverage 1/2
    stated = [
        np.trace(fit_least_squares(design, generator.standard_normal((12, 3)), covariance=covariance).row_covariance)
        for _ in range(2000)
    ]
    influence = np.linalg.pinv(design)
    leverages = np.einsum("ij,ji->i", design, influence)
    expected = np.sum(influence**2 / (1 - leverages) ** power)
    assert np.mean(stated) == pytest.approx(expected, abs=4 * np.std(stated) / np.sqrt(2000))
    assert power == 0 or expected > 1.5 * np.sum(influence**2)


@pytest.mark.parametrize("penalty", [0.1, 3.0, 100.0])
def test_ridge_is_that_of_scikit_learn_also_with_fewer_observations_than_covariates(penalty):
    design, responses, _ = data(1, n=4)
    reference = Ridge(alpha=penalty, fit_intercept=False, solver="svd").fit(design, responses)
    fit = fit_least_squares(design, responses, ridge=penalty)
    np.testing.assert_allclose(fit.estimate, reference.coef_.T, rtol=1e-6, atol=1e-9)


def test_unpenalised_rows_are_an_intercept():
    design, responses, _ = data(2)
    with_ones = np.hstack([design, np.ones((50, 1))])
    fit = fit_least_squares(with_ones, responses + 7.0, ridge=[2.0] * 6 + [0.0])
    reference = Ridge(alpha=2.0, solver="svd").fit(design, responses + 7.0)
    np.testing.assert_allclose(fit.estimate[:6], reference.coef_.T, rtol=1e-8)
    np.testing.assert_allclose(fit.estimate[6], reference.intercept_, rtol=1e-8)


@pytest.mark.parametrize("seed", range(8))
def test_penalty_chosen_as_ridgecv_chooses_it(seed):
    design, responses, generator = data(seed, n=int(np.random.default_rng(seed).integers(4, 40)))
    candidates = [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0]
    noisy = responses + 5 * generator.standard_normal(responses.shape)
    reference = RidgeCV(alphas=candidates, fit_intercept=False).fit(design, noisy)
    assert select_ridge(design, noisy, candidates=candidates) == reference.alpha_


def test_covariance_of_ridge_is_that_of_repeated_errors():
    design, _, generator = data(3, n=12)
    truth = generator.standard_normal((6, 3))
    mixing = np.array([[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.0, 0.3, 2.0]])
    draws, scales = [], []
    for _ in range(4000):
        fit = fit_least_squares(design, design @ truth + generator.standard_normal((12, 3)) @ mixing.T, ridge=2.0)
        draws.append(fit.estimate)
        scales.append(np.trace(fit.row_covariance) / 6)
    errors = np.array(draws) - np.mean(draws, axis=0)
    # Relative Monte Carlo error of either side is near sqrt(2/4000) = 2 %; 10 % is five of them.
    empirical = np.einsum("nij,nij->", errors, errors) / (4000 * 18)
    bias_in_residuals = np.mean(scales) / empirical
    assert 0.9 < bias_in_residuals < 1.6  # ridge residuals contain bias: the scale can only be too large
    shape = np.einsum("nij,nik->jk", errors, errors)
    expected = mixing @ mixing.T
    np.testing.assert_allclose(shape / np.trace(shape), expected / np.trace(expected), atol=0.03)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"design": np.ones((5, 2)) * np.nan}, "nurse.*design.*NaN"),
        ({"design": np.ones((5, 0))}, "nurse.*design.*shape"),
        ({"design": np.ones((4, 2))}, "nurse.*4 rows, responses 5"),
        ({"design": np.ones((5, 2))}, "nurse.*rank 1.*ridge"),
        ({"design": np.eye(5), "responses": np.ones((5, 1))}, "nurse.*no residual degree of freedom"),
        ({"ridge": -1.0}, "nurse.*ridge.*not negative"),
        ({"ridge": [1.0, 2.0, 3.0]}, "nurse.*ridge has shape"),
        ({"covariance": "HC9"}, "nurse.*covariance 'HC9'"),
    ],
)
def test_bad_input_names_client_field_and_remedy(change, message):
    generator = np.random.default_rng(0)
    arguments = {"design": generator.standard_normal((5, 2)), "responses": generator.standard_normal((5, 1))}
    with pytest.raises(ValueError, match=message):
        fit_least_squares(client="nurse", **{**arguments, **change})


def test_complex_design_is_a_type_error():
    with pytest.raises(TypeError, match=r"client: design has dtype complex"):
        fit_least_squares(np.ones((3, 1), dtype=complex), np.ones((3, 1)))
