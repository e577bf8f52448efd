"""Two-layer networks: the claims of Theorems 3 to 5 with hidden-layer weights trained from one initialisation.

Settings were fixed before the first run: 200 full-batch Adam steps, width 3.  The departures bend one thing at a time:
stopping early, a large step, mini-batches that keep it noisy, plain gradient descent, weight decay, more width.

Every replication draws its own starting weights, whose conditioning moves the log error of all its clients by about
0.15, three times what a regression design does.  120 replications give the rate the standard error 0.15/(0.775·√480) =
0.009, so terms of higher order may take half the margin of 0.05 and the rate is still shown.  Through the design alone,
E tr (JᵀJ)⁻¹ falls faster than 1/n: the slope of the error is −0.522 over n = 200 … 1600 and −0.510 over 400 … 3200
(a test computes both), and curvature comes on top.  So n begins at 400, 13 observations per weight; "n = 200" is a
departure.
"""

from __future__ import annotations

from simulations.regimes.neural import NeuralRegime
from simulations.studies._regime_design import RegimeDesign

__all__ = ["DESIGN", "STUDY"]

_BASE = NeuralRegime(
    n_clients=12,
    n_rows=10,
    n_columns=3,
    rank=2,
    share=0.25,
    coefficient_scale=0.5,
    common_scale=0.1,
    sample_size=400,
    n_outputs=4,
    response_scale=0.5,
)

DESIGN = RegimeDesign(
    name="regime_neural",
    title="Two-layer networks: error law, collaborative set, gain and level of fine-tuned hidden weights",
    variants={"tanh": _BASE},
    sizes=(400, 800, 1600, 3200),
    separations=(0.25, 0.5, 1.0, 2.0),
    clients=(8, 16, 32),
    departures={
        "H 0.05": ("tanh", {"heterogeneity_scale": 0.05}),
        "H 0.2": ("tanh", {"heterogeneity_scale": 0.2}),
        "n = 200": ("tanh", {"sample_size": 200}),
        "20 steps": ("tanh", {"steps": 20}),
        "60 steps": ("tanh", {"steps": 60}),
        "step size 0.3": ("tanh", {"learning_rate": 0.3}),
        "batches of 20": ("tanh", {"batch_size": 20}),
        "gradient descent": ("tanh", {"optimiser": "sgd", "learning_rate": 0.5}),
        "weight decay 0.05": ("tanh", {"weight_decay": 0.05}),
        "width 10": ("tanh", {"n_columns": 10}),
        "softplus": ("tanh", {"activation": "softplus"}),
    },
    controls={"coverage": "20 steps", "exact-set": "H 0.2"},
    root_seed=20260719,
    replications=120,
    residual=0.15,
    notes="The output layer is shared and frozen; every client starts at the same weights, so units keep their place.",
)

STUDY = DESIGN.study()
