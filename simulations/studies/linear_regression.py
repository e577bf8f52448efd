"""Linear multi-response regression: CLAIR's gain and its level where X_k is a real least-squares fit.

Settings were fixed before the first run: the textbook case (n = 10p), few observations (n = 2.5p), fewer observations
than covariates (n = 0.75p, ridge), sample sizes spread by 20, correlated designs with heavy tails, error variance that
depends on the design, and benign heterogeneity; each with contamination, and the first two also without, where false
alarms show the level.
"""

from __future__ import annotations

from simulations.design import Study, crossed
from simulations.measures.summaries import Mean, PairedDifference, Proportion
from simulations.methods.clients_and_oracles import (
    Clair,
    ClairWithCovariance,
    FederatedAverage,
    Local,
    OracleClair,
    OracleDetection,
)
from simulations.methods.error_laws import OracleWithCovariance
from simulations.regimes.linear_regression import LinearRegressionRegime

__all__ = ["STUDY", "regression_regime"]

_P = 20


def regression_regime(sample_size: int, *, share: float = 0.3, **fields: float | str) -> LinearRegressionRegime:
    """K = 30, p = 20, q = 10, r = 2, M* of size 0.3."""
    return LinearRegressionRegime(
        n_clients=30,
        n_rows=_P,
        n_columns=10,
        rank=2,
        common_scale=0.3,
        sample_size=sample_size,
        share=share,
        **fields,  # type: ignore[arg-type]
    )


_REGIMES = (
    regression_regime(10 * _P, share=0.0),
    regression_regime(10 * _P),
    regression_regime(50, share=0.0),
    regression_regime(50),
    regression_regime(15, contamination="random"),
    regression_regime(10 * _P, sample_size_spread=20.0),
    regression_regime(10 * _P, design_correlation=0.8, error_degrees=5.0),
    regression_regime(10 * _P, heteroscedasticity=0.5, covariance="sandwich"),
    regression_regime(10 * _P, heterogeneity_scale=0.05),
)

STUDY = Study(
    name="linear_regression",
    title="Linear multi-response regression: refinement, detection and level with fitted noise scales",
    cells=(
        *crossed(
            _REGIMES,
            (Local(), FederatedAverage(), Clair(), Clair(whiten=True), OracleClair(), OracleDetection()),
        ),
        # Ridge with n < p has a singular covariance, which the test cannot use.
        *crossed(
            tuple(regime for regime in _REGIMES if regime.sample_size > _P),
            (ClairWithCovariance(), OracleWithCovariance()),
        ),
    ),
    replications=60,
    root_seed=20260701,
    aims=(
        "Does CLAIR keep its level, find the contaminated clients and improve on local fits when the estimates come "
        "from least squares, whose error covariance is (ZᵀZ)⁻¹ ⊗ Σ_W and whose noise scale is itself estimated? How "
        "far does each departure (few observations, ridge bias, correlation, heavy tails, heteroscedasticity, "
        "heterogeneity) bend that?"
    ),
    estimands=(
        "The coefficient matrices Θ*_k of the benign clients, the shared subspace span(U*), and the collaborative set."
    ),
    measures=(
        Mean("refined_mse"),
        PairedDifference("refined_mse", reference="Local"),
        Mean("sin_theta"),
        Proportion("exact_set"),
        Proportion("false_alarm"),
        Mean("recall"),
    ),
    notes=(
        "Oracle detection knows U* and M* and uses the same fitted noise scales as CLAIR: its false alarms show what "
        "the scalar noise scale alone does to the nominal family-wise level of 0.05. CLAIR with covariance is handed "
        "each fit's own covariance, and the last oracle uses it at U* and M*."
    ),
)
