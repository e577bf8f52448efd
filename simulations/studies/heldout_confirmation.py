"""Confirmatory: what ``heldout_designs`` and ``program_and_search`` found, on 200 settings that nobody has seen.

Settings are drawn like those of ``heldout_designs``, from another stream; the root seed comes from the registry.  The
run of ``heldout_designs`` counts as the first try.  The margin is that of the earlier run's question, fixed before it.
"""

from __future__ import annotations

from simulations.design import Study, crossed
from simulations.measures.criteria import NonInferior, ShareAtLeast
from simulations.measures.summaries import PairedDifference, Proportion
from simulations.methods.clients_and_oracles import Clair, OracleSetTest
from simulations.methods.sources import SourcesCompared
from simulations.studies.heldout_designs import drawn_settings

__all__ = ["STUDY"]

_STREAM = 20_261_130
_MARGIN = 0.02  # of P(Ĉ = C) against the test on the true set
_SAME = 0.97  # the program's candidates and the search's lead to one answer

STUDY = Study(
    name="heldout_confirmation",
    title="CLAIR on 200 settings that were registered before the run",
    cells=crossed(drawn_settings(_STREAM), (Clair(), SourcesCompared(), OracleSetTest())),
    replications=6,
    root_seed=_STREAM,  # of development; a registered try has the registry's
    aims=(
        "On settings that nobody has looked at, does CLAIR, told neither rank nor set, find the benign set as often as "
        "the test on the true set at the true rank, and do the program's candidates lead to the same answer as the "
        "search's?"
    ),
    estimands="P(Ĉ = C), and the probability that both sources of candidates give one answer.",
    measures=(
        Proportion("exact_set"),
        Proportion("false_alarm"),
        PairedDifference("exact_set", OracleSetTest.name),
        Proportion("same_set"),
    ),
    confirmatory="heldout_confirmation",
    criteria=(
        NonInferior("exact_set", Clair.name, OracleSetTest.name, _MARGIN),
        ShareAtLeast("same_set", SourcesCompared.name, _SAME),
    ),
)
