"""The robustness grid at other sizes: few and many clients, rank 0, 1 and 8, tall and wide blocks, unequal noise.

With K = 8 a share of 0.45 means four clients of eight: no majority is benign, and the right answer is to say so.
"""

from __future__ import annotations

from dataclasses import replace

from simulations.design import Study, crossed
from simulations.presentation import Criteria
from simulations.regimes.gaussian import GaussianRegime
from simulations.studies.robustness_grid import MEASURES, METHODS, grid_regime

__all__ = ["STUDY"]

_KINDS = (("random", 1.0), ("coordinated", 1.0), ("identical", 1.0), ("mimic", 0.7), ("sign_flip", 1.0))


def _variants(base: GaussianRegime) -> tuple[GaussianRegime, ...]:
    return (
        replace(base, n_clients=8),
        replace(base, n_clients=20),
        replace(base, n_clients=200),
        replace(base, rank=0),
        replace(base, rank=1),
        replace(base, rank=8),
        replace(base, n_rows=100, n_columns=10),
        replace(base, n_rows=20, n_columns=80),
        # Unequal σ_k are given, unequal n_k too: unknown unequal scales cannot be told from contamination.
        replace(base, noise_spread=10.0, noise_known=True),
        replace(base, sample_size=200, sample_size_spread=20.0),
    )


_REGIMES = tuple(
    variant
    for kind, scale in _KINDS
    for share in (0.1, 0.3, 0.45)
    for variant in _variants(grid_regime(kind, scale, share, 0.2, 0.3))
)

STUDY = Study(
    name="robustness_shapes",
    title="CLAIR without tuning at other sizes, ranks and noise patterns",
    cells=crossed(_REGIMES, METHODS),
    replications=20,
    root_seed=20261222,
    aims="Does what holds on the robustness grid hold at other K, r, p × q, and with unequal σ_k and n_k?",
    estimands="The collaborative set, the shared subspace span(U*), and the targets Θ*_k of the benign clients.",
    measures=MEASURES,
    presentation=Criteria(),
)
