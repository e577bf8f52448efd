"""CLAIR told nothing against the detectors of the literature and the nearest statistical methods.

Adapters of rank 8 and cells of the robustness grid, in kinds of contamination that the rivals' papers assume and do not
assume.  Every detector runs by its own rule and told the number of contaminated clients; the statistical methods are
told rank, number and noise, and those whose authors have a rule for rank and number run by it as well.  Settings, seed
and criterion were written down before the first run; building used other seeds.  OptSpace, penalised subspaces and the
own rule of robust reduced rank joined before the third try.  The criterion names the benign sub-graph because it was
the strongest on real adapters.
"""

from __future__ import annotations

from simulations.design import Method, Study, crossed
from simulations.measures.criteria import NonInferior
from simulations.measures.summaries import Mean, PairedDifference, Proportion
from simulations.methods.clients_and_oracles import Clair
from simulations.methods.rival_detectors import DETECTORS, LabelledProbe, RivalDetector, SubgraphTold
from simulations.methods.robust_aggregators import RobustBaseline
from simulations.methods.statistical_rivals import RIVALS, WITH_OWN_RULE, StatisticalRival
from simulations.studies.adapters import adapter_regime
from simulations.studies.robustness_grid import grid_regime

__all__ = ["METHODS", "REGIMES", "STUDY"]

_MARGIN = 0.05  # of P(Ĉ = C)

REGIMES = (
    adapter_regime(ranks=(8,), n_clients=24, share=0.0, noise=0.1),
    *(
        adapter_regime(ranks=(8,), n_clients=24, share=share, noise=0.1, kind=kind, scale=scale)
        for kind, scale in (("random", 1.0), ("coordinated", 1.0), ("identical", 1.0), ("mimic", 0.7))
        for share in (0.2, 0.35)
    ),
    *(
        grid_regime(kind, scale, 0.3, 0.2, 0.3)
        for kind, scale in (("random", 1.0), ("coordinated", 1.0), ("mimic", 0.7))
    ),
)

METHODS: tuple[Method, ...] = (
    Clair(),
    SubgraphTold(),
    *(RivalDetector(detector, "nothing") for detector in DETECTORS),
    *(RivalDetector(detector, "number") for detector in DETECTORS if detector != "subgraph_benign"),
    LabelledProbe(),
    *(StatisticalRival(method, "all") for method in RIVALS),
    *(StatisticalRival(method, "nothing") for method in WITH_OWN_RULE),
    *(RobustBaseline(method) for method in ("armul_low_rank", "winsorised_spectral", "fast_median_subspace")),
)

STUDY = Study(
    name="rivals",
    title="Detectors and statistical methods of the literature beside CLAIR",
    cells=crossed(REGIMES, METHODS),
    replications=10,
    root_seed=20_261_140,  # of development; a registered try has the registry's
    aims=(
        "Who is found by whom, with what knowledge, and at what error?  Is CLAIR, told nothing, as good as the "
        "sub-graph of the clients' influence graph that is told the number of contaminated clients?"
    ),
    estimands="P(Ĉ = C), the probability of any false accusation, and the error of what benign clients are handed.",
    measures=(
        Proportion("exact_set"),
        Proportion("false_alarm"),
        Mean("accused"),
        Mean("refined_mse"),
        PairedDifference("exact_set", Clair.name),
        PairedDifference("refined_mse", Clair.name),
    ),
    confirmatory="rivals",
    criteria=(NonInferior("exact_set", Clair.name, SubgraphTold.name, _MARGIN),),
)
