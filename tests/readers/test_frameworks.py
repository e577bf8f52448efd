import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from clair_stats import CLAIR, from_sklearn, from_statsmodels

N, P = 60, 4


def designs(seed, n_clients=8):
    rng = np.random.default_rng(seed)
    return rng, [rng.normal(size=(N, P)) for _ in range(n_clients)]


def test_linear_models_hand_on_their_covariances():
    rng, xs = designs(1)
    fits = {f"site {k}": sm.OLS(x @ np.arange(P) + rng.normal(size=N), x).fit() for k, x in enumerate(xs)}
    record = from_statsmodels(fits)
    for k, (name, fit) in enumerate(fits.items()):
        assert record.names[k] == name
        np.testing.assert_allclose(record.values[k, :, 0], fit.params)
        np.testing.assert_allclose(record.row_covariances[k] * record.column_covariances[k, 0, 0], fit.cov_params())
        np.testing.assert_allclose(record.row_covariances[k], np.linalg.inv(xs[k].T @ xs[k]))
    assert (record.residual_degrees_of_freedom == N - P).all()


def test_likelihood_models_hand_on_a_known_covariance():
    rng, xs = designs(2)
    fits = [sm.Poisson(rng.poisson(np.exp(0.2 * x[:, 0])), x).fit(disp=0) for x in xs]
    record = from_statsmodels(fits)
    assert record.residual_degrees_of_freedom is None
    np.testing.assert_allclose(record.row_covariances[3], fits[3].cov_params())


def test_parameters_are_aligned_by_name():
    rng, xs = designs(3)
    names = [f"x{j}" for j in range(P)]
    order = [[2, 0, 1, 3] if k == 5 else list(range(P)) for k in range(len(xs))]
    tables = [pd.DataFrame(x, columns=names)[[names[j] for j in o]] for x, o in zip(xs, order, strict=True)]
    fits = {f"s{k}": sm.OLS(x @ np.arange(P) + 0.01 * rng.normal(size=N), t).fit()
            for k, (x, t) in enumerate(zip(xs, tables, strict=True))}  # fmt: skip
    record = from_statsmodels(fits)
    np.testing.assert_allclose(record.values[5, :, 0], np.arange(P), atol=0.02)
    model = CLAIR(rank=0, level=0.001).fit(record)
    assert model.collaborative_set_.all()


def test_several_equations_are_refused():
    rng, xs = designs(4, 3)
    fits = [sm.MNLogit(rng.integers(0, 3, N), x).fit(disp=0) for x in xs]
    with pytest.raises(ValueError, match=r"client 0: its coefficients have shape \(4, 2\)"):
        from_statsmodels(fits)
    with pytest.raises(TypeError, match="client 0: dict has no params"):
        from_statsmodels([{}])


def test_scikit_learn_is_turned_to_features_times_responses():
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng, xs = designs(5)
    ys = [x @ rng.normal(size=(P, 2)) for x in xs]
    fits = {f"s{k}": linear_model.LinearRegression().fit(x, y) for k, (x, y) in enumerate(zip(xs, ys, strict=True))}
    record = from_sklearn(fits)
    assert record.block_shape == (P, 2)
    np.testing.assert_array_equal(record.dense()[3], fits["s3"].coef_.T)
    with pytest.raises(TypeError, match="client 0: LinearRegression has no coef_"):
        from_sklearn([linear_model.LinearRegression()])


def test_scikit_learn_features_are_aligned_by_name():
    linear_model = pytest.importorskip("sklearn.linear_model")
    _, xs = designs(6, 4)
    names = [f"x{j}" for j in range(P)]
    tables = [pd.DataFrame(x, columns=names) for x in xs]
    tables[2] = tables[2][["x3", "x1", "x0", "x2"]]
    fits = [linear_model.LinearRegression().fit(t, x @ np.arange(P)) for t, x in zip(tables, xs, strict=True)]
    np.testing.assert_allclose(from_sklearn(fits).dense()[2, :, 0], np.arange(P), atol=1e-9)
    tables[1] = tables[1].rename(columns={"x0": "y"})
    fits[1] = linear_model.LinearRegression().fit(tables[1], xs[1][:, 0])
    with pytest.raises(ValueError, match="client 1: features y"):
        from_sklearn(fits)
