"""CLAIR handed each fit's own covariance: level and exact set in linear regression at n = 2.5p, 5p and 10p.

Settings, replications and seed were fixed before the first run.
"""

from __future__ import annotations

from simulations.design import Study, crossed
from simulations.measures.summaries import Mean, Proportion
from simulations.methods.clients_and_oracles import Clair, ClairWithCovariance, OracleDetection
from simulations.methods.error_laws import OracleWithCovariance
from simulations.studies.linear_regression import regression_regime

__all__ = ["STUDY"]

_REGIMES = tuple(regression_regime(n, share=share) for share in (0.0, 0.3) for n in (50, 100, 200))

STUDY = Study(
    name="covariance_level",
    title="Linear regression with few observations: one scale per client against its own covariance",
    cells=crossed(
        _REGIMES, (Clair(), Clair(whiten=True), ClairWithCovariance(), OracleDetection(), OracleWithCovariance())
    ),
    replications=400,
    root_seed=20261225,
    aims=(
        "Does CLAIR keep its family-wise level of 0.05 with the covariance of every fit where one scale per client "
        "loses it, and does it find the collaborative set?"
    ),
    estimands="The probability of any false alarm among benign clients, and that of the exact set.",
    measures=(Proportion("false_alarm"), Proportion("exact_set"), Mean("recall")),
    notes="The oracles know U* and M*; the one with covariance uses a Hotelling-Lawley trace in McKeon's F.",
)
