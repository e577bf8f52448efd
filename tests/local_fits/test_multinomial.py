import cvxpy as cp
import numpy as np
import pytest
from scipy.linalg import sqrtm
from sklearn.linear_model import LogisticRegression

from clair_stats.local_fits import class_contrasts, fit_multinomial, multinomial_coefficients


def draw(generator, n, coefficients):
    design = generator.standard_normal((n, coefficients.shape[0]))
    scores = design @ coefficients
    return design, np.argmax(scores + generator.gumbel(size=scores.shape), axis=1)


def oracle(design, labels, n_classes, ridge):
    """Class coefficients (p, n_classes) of the penalised likelihood, by a conic solver."""
    coefficients = cp.Variable((design.shape[1], n_classes))
    scores = design @ coefficients
    chosen = cp.sum(cp.multiply(scores, np.eye(n_classes)[labels]))
    loss = cp.sum(cp.log_sum_exp(scores, axis=1)) - chosen + 0.5 * ridge * cp.sum_squares(coefficients)
    cp.Problem(cp.Minimize(loss)).solve(solver="CLARABEL", tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
    return coefficients.value


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_contrasts_are_orthonormal_and_blind_to_a_common_score(n_classes):
    contrasts = class_contrasts(n_classes)
    np.testing.assert_allclose(contrasts.T @ contrasts, np.eye(n_classes - 1), atol=1e-14)
    np.testing.assert_allclose(contrasts.sum(axis=0), 0.0, atol=1e-14)


@pytest.mark.parametrize(("n_classes", "drop"), [(2, None), (3, None), (4, 3)])
def test_minimises_the_penalised_likelihood_also_with_a_class_never_seen(n_classes, drop):
    generator = np.random.default_rng(n_classes)
    design, labels = draw(generator, 40, generator.standard_normal((3, n_classes)))
    if drop is not None:
        design, labels = design[labels != drop], labels[labels != drop]
    found, converged = multinomial_coefficients(design, labels, n_classes=n_classes, ridge=0.7)
    expected = oracle(design, labels, n_classes, 0.7) @ class_contrasts(n_classes)
    assert converged
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_weights_count_observations():
    generator = np.random.default_rng(5)
    design, labels = draw(generator, 30, generator.standard_normal((2, 3)))
    counts = generator.integers(0, 4, 30)
    weighted, _ = multinomial_coefficients(design, labels, n_classes=3, ridge=1.0, weights=counts)
    repeated, _ = multinomial_coefficients(
        np.repeat(design, counts, axis=0), np.repeat(labels, counts), n_classes=3, ridge=1.0
    )
    np.testing.assert_allclose(weighted, repeated, atol=1e-6)


def test_sandwich_covariance_is_close_to_the_jackknife():
    generator = np.random.default_rng(6)
    design, labels = draw(generator, 60, generator.standard_normal((3, 3)))
    fit = fit_multinomial(design, labels, n_classes=3, ridge=1.0)
    kept = [np.delete(np.arange(60), i) for i in range(60)]
    left_out = [multinomial_coefficients(design[k], labels[k], n_classes=3, ridge=1.0)[0] for k in kept]
    changes = np.array(left_out) - fit.estimate
    rows, columns = np.einsum("nij,nkj->ik", changes, changes), np.einsum("nij,nik->jk", changes, changes)
    np.testing.assert_allclose(fit.row_covariance * 2, rows, rtol=0.08, atol=0.02 * np.trace(rows))
    np.testing.assert_allclose(fit.column_covariance, 2 * columns / np.trace(columns), atol=0.05)
    assert 0 < fit.residual_degrees_of_freedom < 60


def test_hc2_divides_by_the_root_of_what_the_sandwich_divides_by():
    generator = np.random.default_rng(8)
    design, labels = draw(generator, 40, generator.standard_normal((3, 3)))
    design[0] = 0.0  # says nothing: M = 0
    half, whole = (
        fit_multinomial(design, labels, n_classes=3, ridge=1.0, covariance=name) for name in ("HC2", "sandwich")
    )
    estimate, contrasts = half.estimate, class_contrasts(3)
    scores = np.exp(design @ estimate @ contrasts.T)
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    curvatures = [contrasts.T @ (np.diag(own) - np.outer(own, own)) @ contrasts for own in probabilities]
    hessian = sum(np.kron(np.outer(z, z), w) for z, w in zip(design, curvatures, strict=True))
    inverse = np.linalg.inv(hessian + np.eye(hessian.shape[0]))
    rows = np.zeros((3, 3))
    for z, w, own, label in zip(design, curvatures, probabilities, labels, strict=True):
        inside = np.kron(z[None], np.eye(2)) @ inverse @ np.kron(z[:, None], np.eye(2))
        root = np.linalg.inv(sqrtm(np.eye(2) - w @ inside)).real
        moved = (inverse @ np.kron(z[:, None], np.eye(2)) @ root @ contrasts.T @ (np.eye(3)[label] - own)).reshape(3, 2)
        rows += moved @ moved.T
    np.testing.assert_allclose(half.row_covariance * 2, rows, atol=1e-8 * np.trace(rows))
    assert np.trace(half.row_covariance) < np.trace(whole.row_covariance)


def test_separable_classes_stay_finite_and_agree_with_scikit_learn():
    design = np.array([[-2.0, 1.0], [-1.0, 1.0], [1.0, 1.0], [2.0, 1.0], [9.0, 1.0], [8.0, 1.0]])
    labels = np.array([0, 0, 1, 1, 2, 2])
    fit = fit_multinomial(design, labels, n_classes=3, ridge=0.5)
    reference = LogisticRegression(C=2.0, fit_intercept=False, tol=1e-12, solver="newton-cholesky").fit(design, labels)
    np.testing.assert_allclose(fit.estimate, reference.coef_.T @ class_contrasts(3), atol=1e-6)


def test_running_out_of_iterations_is_said():
    generator = np.random.default_rng(7)
    design, labels = draw(generator, 60, 5 * generator.standard_normal((4, 3)))
    fit = fit_multinomial(design, labels, n_classes=3, ridge=1e-4, max_iterations=2)
    assert not fit.converged
    assert "raise max_iterations" in fit.message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ridge": 0.0}, "site 4: ridge"),
        ({"labels": np.array([0, 1, 9])}, r"site 4: labels lie in \[0, 9\]"),
        ({"labels": np.array([0.0, 1.0, 1.0])}, "site 4: labels have dtype float"),
        ({"labels": np.array([0, 1])}, "site 4: design has 3 rows, responses 2"),
        ({"weights": np.array([1.0, -1.0, 1.0])}, "site 4: weights"),
    ],
)
def test_bad_input_names_client_field_and_remedy(change, message):
    arguments = {"design": np.eye(3), "labels": np.array([0, 1, 2]), "n_classes": 3, "ridge": 1.0, "client": "site 4"}
    with pytest.raises(ValueError, match=message):
        multinomial_coefficients(**{**arguments, **change})
