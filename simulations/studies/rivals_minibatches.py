"""FedHyper against fixed learning rates where gradients are those of minibatches, of a tenth and of half of the data.

The settings of ``rivals_training``, the goal included.  Exploratory; settings and seed were written down before the
run.
"""

from __future__ import annotations

from simulations.design import Study, crossed
from simulations.measures.summaries import Mean, Proportion
from simulations.methods.fed_hyper_minibatches import FedHyperMinibatches
from simulations.regimes.linear_regression import LinearRegressionRegime

__all__ = ["STUDY"]

_SCHEDULES = ("global", "local", "both")

STUDY = Study(
    name="rivals_minibatches",
    title="FedHyper against fixed rates on minibatches: rounds to one hundredth of the initial gap",
    cells=crossed(
        tuple(
            LinearRegressionRegime(
                n_clients=24,
                n_rows=20,
                n_columns=10,
                rank=2,
                share=0.0,
                sample_size=50,
                common_scale=size,
                coefficient_scale=size,
                response_scale=size,
            )
            for size in (0.3, 3.0)
        ),
        tuple(
            FedHyperMinibatches(rate=rate, batch=batch)
            for batch in (5, 25)
            for rate in (0.002, 0.0063, 0.02, 0.063, 0.2)
        ),
    ),
    replications=6,
    root_seed=20_261_146,
    aims="How many times fewer rounds do adapted rates need, from which initial rates, and where do they need more?",
    estimands="Logarithm of rounds with fixed rates over rounds with adapted rates, and the rounds themselves.",
    measures=(
        *(Mean(f"log_gain_{name}") for name in _SCHEDULES),
        *(Mean(f"rounds_{name}") for name in ("fixed", *_SCHEDULES)),
        *(Proportion(f"reached_{name}") for name in ("fixed", *_SCHEDULES)),
    ),
)
