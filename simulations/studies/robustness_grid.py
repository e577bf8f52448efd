"""CLAIR without tuning against oracles and robust aggregators, over kinds, shares and sizes of contamination.

CLAIR is given neither the rank nor the noise nor the number of contaminated clients.  Oracle detection knows U*, M*
and σ; the test on the true set and oracle CLAIR know the benign set and the rank; the baselines know the rank, σ and
the number of contaminated clients.  The root seed was fixed before its first run, and building used other seeds; it
was changed whenever the search was (CHANGELOG).
"""

from __future__ import annotations

from simulations.design import Study, crossed
from simulations.measures.summaries import Mean, PairedDifference, Proportion
from simulations.methods.clients_and_oracles import Clair, OracleClair, OracleDetection, OracleSetTest
from simulations.methods.combined import CombinedClair
from simulations.methods.robust_aggregators import all_baselines
from simulations.presentation import Criteria
from simulations.regimes.gaussian import GaussianRegime

__all__ = ["KINDS", "MEASURES", "METHODS", "STUDY", "grid_regime"]

# Contamination and its scale (simulations.regimes.contamination): scale 1 is as large as a benign client's own part.
KINDS: tuple[tuple[str, float], ...] = (
    ("random", 0.5),
    ("random", 1.0),
    ("random", 30.0),
    ("coordinated", 1.0),
    ("coordinated", 3.0),
    ("identical", 1.0),
    ("sign_flip", 1.0),
    ("mimic", 0.7),
)
SHARES = (0.1, 0.3, 0.45)
NOISE = (0.05, 0.2, 0.5)
COMMON = (0.0, 0.3)
MEASURES = (
    Proportion("exact_set"),
    Proportion("false_alarm"),
    Mean("sin_theta"),
    Mean("refined_mse"),
    *(PairedDifference(metric, Clair.name) for metric in ("exact_set", "sin_theta", "refined_mse")),
    PairedDifference("refined_mse", CombinedClair.name),
)
METHODS = (Clair(), CombinedClair(), OracleDetection(), OracleSetTest(), OracleClair())


def grid_regime(kind: str, scale: float, share: float, noise: float, common: float) -> GaussianRegime:
    """K = 60, p = 40, q = 20, r = 3; the noise is not given to CLAIR.

    Parameters
    ----------
    kind : str
        Of contamination.
    scale : float
        Of contamination, in norms of a clean target.
    share : float
        Of contaminated clients.
    noise : float
        σ of one entry.
    common : float
        Scale of the common component.
    """
    return GaussianRegime(
        n_clients=60,
        n_rows=40,
        n_columns=20,
        rank=3,
        contamination=kind,
        contamination_scale=scale,
        share=share,
        noise_scale=noise,
        common_scale=common,
        noise_known=False,
    )


_REGIMES = tuple(
    grid_regime(kind, scale, share, noise, common)
    for common in COMMON
    for kind, scale in KINDS
    for share in SHARES
    for noise in NOISE
)

STUDY = Study(
    name="robustness_grid",
    title="CLAIR without tuning against oracles and robust aggregators",
    cells=crossed(_REGIMES, (*METHODS, *all_baselines())),
    replications=20,
    root_seed=20261221,
    aims=(
        "Does CLAIR, told nothing, find the benign set as often as the χ² test that knows U*, M* and σ, estimate the "
        "subspace and the benign targets as well as a fit on the true benign set, and never fall behind a robust "
        "aggregator that is told rank, noise and number of bad clients?"
    ),
    estimands="The collaborative set, the shared subspace span(U*), and the targets Θ*_k of the benign clients.",
    measures=MEASURES,
    notes=(
        "Without a common component a sign-flipped client is benign by definition: it is moved inside the shared "
        "subspace only."
    ),
    presentation=Criteria(),
)
