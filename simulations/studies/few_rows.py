"""Three and four rows: the detector with and without the exact law of a bulk of two eigenvalues, 200 random settings.

Without it no direction was seen in many of these federations and nothing was proposed. Sizes, ranks, kinds and noises
are drawn once; every fifth setting is clean. Stream, seed and replications were written down before the first run; the
law was built on twelve clients of 3 x 2 with three reversed. Exploratory.
"""

from __future__ import annotations

import numpy as np

from simulations.design import Study, crossed
from simulations.measures.summaries import Proportion
from simulations.methods.ablated import PIECES_OF_FEW_ROWS, DetectorWithout
from simulations.regimes.gaussian import GaussianRegime

__all__ = ["STUDY"]

_STREAM = 20_261_151
_SETTINGS = 200
_KINDS = (
    ("random", 1.0),
    ("random", 3.0),
    ("coordinated", 1.0),
    ("identical", 3.0),
    ("sign_flip", 1.0),
    ("mimic", 2.0),
)


def _drawn(generator: np.random.Generator, *, clean: bool) -> GaussianRegime:
    p, q = int(generator.integers(3, 5)), int(generator.integers(1, 5))
    kind, scale = _KINDS[int(generator.integers(len(_KINDS)))]
    share = float(generator.choice((0.1, 0.2, 0.3, 0.4)))
    return GaussianRegime(
        n_clients=int(generator.integers(8, 41)),
        n_rows=p,
        n_columns=q,
        rank=int(generator.integers(1, p - 1)),
        contamination=kind,
        contamination_scale=scale,
        share=0.0 if clean else share,
        noise_scale=float(generator.choice((0.03, 0.1, 0.2, 0.4))),
        noise_known=bool(generator.integers(2)),
        common_scale=round(float(generator.uniform(0.2, 0.8)), 3),
    )


def _settings() -> tuple[GaussianRegime, ...]:
    generator = np.random.default_rng(_STREAM)
    return tuple(_drawn(generator, clean=i % 5 == 0) for i in range(_SETTINGS))


STUDY = Study(
    name="few_rows",
    title="Three and four rows: what the exact law of two eigenvalues is worth",
    cells=crossed(_settings(), (DetectorWithout(), *map(DetectorWithout, PIECES_OF_FEW_ROWS))),
    replications=6,
    root_seed=_STREAM,
    aims="Are more sets found where rows are few, at no more false alarms?",
    estimands="P(exact set), the probability of any false alarm and of a verdict.",
    measures=(Proportion("exact_set"), Proportion("false_alarm"), Proportion("majority")),
)
