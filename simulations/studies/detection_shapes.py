"""Family-wise level on 24 clean shapes: few clients, few columns, much noise, scales given or not, rank given or not.

The shapes were written down before the first run.  Root seeds 20261128 to 20261130 are retired: the rule was
changed after they had been seen (CHANGELOG), on other designs and seeds.
"""

from __future__ import annotations

from simulations.design import Study, crossed
from simulations.measures.summaries import Proportion
from simulations.methods.clients_and_oracles import Clair
from simulations.regimes.gaussian import GaussianRegime

__all__ = ["SHAPES", "STUDY"]

# K, p, q, r, σ, σ known, rank given.  Coefficients are standard normal: σ = .5 is noise of half the signal.
SHAPES: tuple[tuple[int, int, int, int, float, bool, bool], ...] = (
    (6, 8, 4, 1, 0.2, True, False),
    (6, 6, 2, 0, 0.2, False, False),
    (8, 6, 1, 1, 0.2, True, True),
    (8, 10, 5, 2, 0.1, False, False),
    (10, 10, 2, 1, 0.3, False, True),
    (10, 20, 3, 1, 0.5, True, False),
    (12, 6, 1, 1, 0.3, True, True),
    (12, 12, 1, 1, 0.1, False, False),
    (12, 30, 8, 2, 0.2, False, True),
    (15, 15, 4, 3, 0.3, True, False),
    (16, 40, 10, 5, 0.1, False, False),
    (20, 12, 2, 2, 0.2, True, True),
    (20, 60, 1, 1, 0.3, False, False),
    (24, 30, 8, 2, 0.5, False, False),
    (24, 12, 1, 0, 0.3, True, False),
    (30, 12, 1, 1, 0.3, False, False),
    (30, 12, 1, 1, 0.3, True, True),
    (30, 20, 20, 4, 0.2, False, True),
    (40, 30, 1, 3, 0.1, False, False),
    (40, 16, 4, 2, 0.5, True, False),
    (60, 40, 20, 3, 0.3, False, False),
    (100, 20, 2, 2, 0.2, True, True),
    (200, 10, 3, 1, 0.3, False, False),
    (200, 12, 1, 1, 0.05, True, False),
)


def _regime(shape: tuple[int, int, int, int, float, bool, bool]) -> GaussianRegime:
    n_clients, p, q, rank, noise, known, _ = shape
    return GaussianRegime(
        n_clients=n_clients,
        n_rows=p,
        n_columns=q,
        rank=rank,
        share=0.0,
        contamination="random",
        noise_scale=noise,
        common_scale=0.3,
        noise_known=known,
    )


STUDY = Study(
    name="detection_shapes",
    title="Share of runs with any false alarm on 24 clean shapes, nominal level 0.05",
    cells=tuple(
        cell for shape in SHAPES for cell in crossed(_regime(shape), Clair(rank=shape[3] if shape[6] else None))
    ),
    replications=400,
    root_seed=20_261_202,
    aims="Is the level kept from six clients and one column upwards, whatever is told and whatever is not?",
    estimands="The probability of any false alarm, and of a verdict.",
    measures=(Proportion("false_alarm"), Proportion("majority")),
)
