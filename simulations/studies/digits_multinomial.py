"""Handwritten digits with multinomial logistic regression: few clients with many images each."""

from __future__ import annotations

from simulations.design import Study, crossed, grid, levels
from simulations.regimes.digits import DigitsRegime
from simulations.studies import digits

__all__ = ["STUDY"]

STUDY = Study(
    name="digits_multinomial",
    title="Handwritten digits by multinomial logistic regression: held-out accuracy of truthful clients",
    cells=crossed(
        grid(DigitsRegime, n_clients=8, rank=levels(0, 8), share=0.25, classifier="multinomial"), digits.METHODS
    ),
    replications=20,
    root_seed=20261172,
    aims="Does what holds for least squares on class indicators hold for the fit that practitioners use?",
    estimands=digits.STUDY.estimands,
    measures=digits.STUDY.measures,
    notes=digits.NOTES,
)
