"""The present rule on 200 settings of a stream that nobody has used: ``heldout_designs`` once more, after changes.

Settings are drawn like those of ``heldout_designs`` from a stream of their own; stream, seed and replications were
written down before the first run.  Exploratory: the registered confirmation is ``heldout_confirmation``.
"""

from __future__ import annotations

from simulations.design import Study, crossed
from simulations.measures.summaries import PairedDifference, Proportion
from simulations.methods.clients_and_oracles import Clair, ClairProgram, OracleSetTest
from simulations.studies.heldout_designs import drawn_settings

__all__ = ["STUDY"]

_STREAM = 20_261_141

STUDY = Study(
    name="heldout_again",
    title="Both detections on 200 further settings that were drawn at random",
    cells=crossed(drawn_settings(_STREAM), (Clair(), ClairProgram(), OracleSetTest())),
    replications=6,
    root_seed=_STREAM,
    aims=(
        "After the rule has changed, does CLAIR still find the benign set as often as the test on the true set at the "
        "true rank, with the search and by the program alone?"
    ),
    estimands="P(Ĉ = C) and the probability of any false alarm, pooled over the settings.",
    measures=(
        Proportion("exact_set"),
        Proportion("false_alarm"),
        PairedDifference("exact_set", OracleSetTest.name),
    ),
)
