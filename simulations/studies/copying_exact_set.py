"""How often one-shot CLAIR finds exactly the contaminated clients: a second look with more federations.

With a former rule the study ``copying_detection`` found the exact set in 99 of 100 federations, an interval that begins
just below 0.95, and this one in 298 of 300 (seed 20261105, retired with that rule).  Fixed before the first run here:
300 fresh federations of the same setting; a rate of at least 0.95 counts as shown when the lower end of the Wilson 95 %
interval reaches 0.95.
"""

from __future__ import annotations

from simulations.copying.regime import CopyingDetection, CopyingRegime
from simulations.design import Study, crossed
from simulations.measures.summaries import Precision, Proportion, Recall
from simulations.presentation import Copying

__all__ = ["STUDY"]

STUDY = Study(
    name="copying_exact_set",
    title="Text copying: the rate of exact sets, from one round of LoRA fine-tuning",
    cells=crossed(CopyingRegime(), CopyingDetection()),
    replications=300,
    root_seed=20_261_137,
    aims="Whether the exact-set rate is at least 0.95.",
    estimands="The collaborative set.",
    measures=(
        Proportion("exact_set"),
        Precision("true_positives", "false_positives"),
        Recall("true_positives", "false_negatives"),
    ),
    presentation=Copying("exact_set"),
)
