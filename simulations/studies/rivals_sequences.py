"""Judging training sequences of text copying: the influence graph with a planted trigger, and SHED's selection.

The counterpart of ``rivals_points`` in a neural network.  Exploratory; settings and seed were written down before the
run, one instance of another seed showed that trainings converge.
"""

from __future__ import annotations

from simulations.copying.judged_sequences import PoisonedSequences, SequenceSelection
from simulations.copying.sequences import PoisonedCopyingRegime
from simulations.design import Study, crossed
from simulations.measures.summaries import Mean

__all__ = ["STUDY"]

STUDY = Study(
    name="rivals_sequences",
    title="Training sequences of text copying: poisoned ones, and a tenth that is enough",
    cells=(
        *crossed(
            tuple(PoisonedCopyingRegime(share=share) for share in (0.1, 0.2)),
            (PoisonedSequences(), PoisonedSequences(unit=False)),
        ),
        *crossed(PoisonedCopyingRegime(share=0.0), SequenceSelection()),
    ),
    replications=8,
    root_seed=20_261_146,
    aims=(
        "Which share of the sequences that the influence graph finds in a fine-tuned Transformer is poisoned, and what "
        "does fine-tuning lose on a tenth that SHED chooses?"
    ),
    estimands="Precision at the poisoned share; success of the trigger; token accuracy.",
    measures=(
        *(Mean(f"precision_{name}") for name in ("subgraph", "alone", "loss")),
        *(Mean(name) for name in ("attack", "attack_cleaned", "accuracy", "accuracy_cleaned")),
        *(Mean(f"accuracy_{name}") for name in ("all", "best", "weighted", "random")),
        Mean("largest_error"),
    ),
)
