"""What the detector does where its assumptions fail: benign differences, given noise too small, odd coefficients.

Three shapes, without and with a quarter of the clients contaminated a little above the noise. Benign clients differ off
the subspace by .1, .3 and 1 noise norm, which nobody is told, with σ_k given and not; σ_k is given too small by 1.1,
1.5, 2 and 4; coefficients are Student's t₃ or of client sizes with log standard deviation .7. Shapes, seed and
replications were written down before the first run; nothing was built on them. Exploratory: no criterion.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulations.design import Cell, Study, crossed
from simulations.measures.summaries import Mean, Proportion
from simulations.methods.ablated import DetectorWithout
from simulations.regimes.gaussian import GaussianRegime

__all__ = ["STUDY"]

_NOISE = 0.2
_SHAPES = (
    {"n_clients": 20, "n_rows": 20, "n_columns": 6, "rank": 2},
    {"n_clients": 40, "n_rows": 12, "n_columns": 3, "rank": 1},
    {"n_clients": 60, "n_rows": 30, "n_columns": 10, "rank": 3},
)


def _cells(*, noise_factor: float = 1.0, **changes: Any) -> Iterator[Cell]:  # noqa: ANN401
    for shape in _SHAPES:
        for share in (0.0, 0.25):
            regime = GaussianRegime(
                **{
                    "contamination": "random",
                    "contamination_scale": 0.7,
                    "share": share,
                    "noise_scale": _NOISE,
                    "common_scale": 0.3,
                    **shape,
                    **changes,
                }
            )
            yield from crossed(regime, DetectorWithout(noise_factor=noise_factor))


STUDY = Study(
    name="departures",
    title="The detector where benign clients differ, the given noise is too small or coefficients are not normal",
    cells=(
        *(
            cell
            for known in (True, False)
            for h in (0.0, 0.1, 0.3, 1.0)
            for cell in _cells(noise_known=known, heterogeneity_scale=h * _NOISE)
        ),
        *(cell for factor in (1.1, 1.5, 2.0, 4.0) for cell in _cells(noise_known=True, noise_factor=1.0 / factor)),
        *(cell for law in ("student", "unequal") for cell in _cells(noise_known=False, coefficient_law=law)),
    ),
    replications=60,
    root_seed=20_261_211,
    aims="Is the level kept where an assumption of the detector fails, and what is left of its power?",
    estimands="P(any false alarm), P(exact set), P(a verdict) and the share of contaminated clients that are flagged.",
    measures=(Proportion("false_alarm"), Proportion("exact_set"), Proportion("majority"), Mean("recall")),
    notes="Level 0.05; recall is undefined in clean federations.",
)
