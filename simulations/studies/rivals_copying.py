"""Aggregations of adapters over three rounds of LoRA on text copying: accuracy, backdoor, set found, bytes sent.

The federations are those of the study ``copying``: 30 % with rules of their own, and 30 % with a backdoor.  Settings,
number of replications and criteria were written down before the first run.  One federation of another seed showed that
the schemes run and how long; there FedSA-LoRA was the strongest, so that a criterion names it, and the backdoor was not
found.  Criteria are tested over federations: a replication draws one for both settings.
"""

from __future__ import annotations

from simulations.copying.regime import CopyingRegime
from simulations.copying.rivals import (
    CopyingClair,
    CopyingClairThenFlora,
    CopyingFedsa,
    CopyingFlora,
    CopyingScheme,
)
from simulations.design import Method, Study, crossed
from simulations.measures.group_criteria import AheadOverGroups
from simulations.measures.summaries import Mean, PairedDifference, Proportion

__all__ = ["METHODS", "STUDY"]

_OTHERS = ("local", "fedit", "fedex", "flexlora", "fedrpca", "fedrot", "ffa_lora", "rolora")
_MARGIN = 0.01  # of token accuracy

METHODS: tuple[Method, ...] = (
    CopyingClair(),
    CopyingClairThenFlora(),
    CopyingFlora(),
    CopyingFedsa(),
    *(CopyingScheme(scheme=scheme) for scheme in _OTHERS),
)

STUDY = Study(
    name="rivals_copying",
    title="Aggregations of adapters over rounds of text copying",
    cells=crossed(
        (CopyingRegime(), CopyingRegime(contamination="backdoor")),
        METHODS,
    ),
    replications=6,
    root_seed=20_261_145,  # of development; a registered try has the registry's
    aims=(
        "Which aggregation leaves benign clients most accurate on a language task, which lets a backdoor in, and what "
        "does it send?"
    ),
    estimands="Token accuracy of benign clients, resistance to the trigger, the set found, kilobytes sent.",
    measures=(
        Mean("own_accuracy"),
        Mean("common_accuracy"),
        Mean("common_rule_accuracy"),
        Mean("resisted"),
        Proportion("exact_set"),
        Mean("kilobytes"),
        PairedDifference("own_accuracy", CopyingClair.name),
        PairedDifference("resisted", CopyingClair.name),
    ),
    confirmatory="rivals_copying",
    criteria=(
        AheadOverGroups("own_accuracy", CopyingClair.name, CopyingFlora.name, group="replication"),
        AheadOverGroups("resisted", CopyingClairThenFlora.name, CopyingFlora.name, group="replication"),
        AheadOverGroups("own_accuracy", CopyingClair.name, CopyingFedsa.name, _MARGIN, group="replication"),
    ),
)
