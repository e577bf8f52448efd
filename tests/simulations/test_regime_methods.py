import numpy as np
import pytest
import scipy.linalg
from statsmodels.multivariate.multivariate_ols import multivariate_stats

from simulations.design import content_hash
from simulations.methods.clients_and_oracles import ClairWithCovariance, OracleDetection
from simulations.methods.error_laws import OracleWithCovariance, hotelling_lawley_p_value
from simulations.regimes.linear_regression import LinearRegressionRegime
from simulations.streams import Streams

# n = 2p: (ZᵀZ)⁻¹ is far from a multiple of the identity, and σ_k comes from 10 degrees of freedom.
FEW = {"n_clients": 12, "n_rows": 10, "n_columns": 3, "sample_size": 20, "design_correlation": 0.8}
PER_CLIENT = 0.05
LEVEL = 1.0 - (1.0 - PER_CLIENT) ** FEW["n_clients"]


def flagged(method, replications, **fields):
    regime = LinearRegressionRegime(**{**FEW, **fields})
    drawn = (regime.generate(Streams(9, content_hash(regime), r)) for r in range(replications))
    counts = [method.evaluate(instance, np.random.default_rng(0)) for instance in drawn]
    return np.array([count["flagged"] for count in counts]), np.array([count["hits"] for count in counts])


def test_the_fits_own_covariance_gives_the_level_that_one_scale_misses():
    own, _ = flagged(OracleWithCovariance(level=LEVEL), 50, share=0.0)
    scalar, _ = flagged(OracleDetection(level=LEVEL), 50, share=0.0)
    tests = 50 * FEW["n_clients"]
    error = np.sqrt(PER_CLIENT * (1 - PER_CLIENT) / tests)
    assert own.sum() / tests == pytest.approx(PER_CLIENT, abs=4 * error)
    assert scalar.sum() / tests > PER_CLIENT + 6 * error


def test_contamination_off_the_subspace_is_found():
    found, hits = flagged(OracleWithCovariance(level=0.05), 3, share=0.25, contamination_scale=4.0, sample_size=100)
    np.testing.assert_array_equal(hits, 3)
    assert (found >= hits).all()


def test_clair_is_handed_the_covariance_of_every_fit():
    found, hits = flagged(
        ClairWithCovariance(), 5, share=0.25, contamination_scale=4.0, sample_size=60, design_correlation=0.0
    )
    np.testing.assert_array_equal(hits, 3)
    assert found.sum() <= hits.sum() + 1


@pytest.mark.parametrize(("m", "q", "freedom"), [(18, 10, 30.0), (18, 10, 180.0), (5, 3, 9.5), (18, 10, 12.0)])
def test_hotelling_lawley_is_that_of_statsmodels(m, q, freedom):
    rng = np.random.default_rng(0)
    residual = rng.standard_normal((m, q))
    rows, columns = np.cov(rng.standard_normal((m, 50))), np.cov(rng.standard_normal((q, 40)))
    roots = scipy.linalg.eigh(residual.T @ np.linalg.solve(rows, residual), columns * freedom, eigvals_only=True)
    table = multivariate_stats(roots / (1.0 + roots), q, m, freedom, tolerance=0.0)
    expected = float(table.loc["Hotelling-Lawley trace", "Pr > F"])
    assert hotelling_lawley_p_value(residual, rows, columns, freedom) == pytest.approx(expected, rel=1e-10)
