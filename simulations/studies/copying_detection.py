"""How often one-shot CLAIR finds exactly the contaminated clients, and how often it flags one where all are benign.

The setting is that of the study ``copying``.  The seed of a first run (20261103) was retired when the joint verdict had
taken the place of a rule made for this case: its federations then served to find that groups hid themselves from the
joint verdict.  Fixed before the first run: 100 federations with 30 % contaminated and
100 with none.  An exact-set rate of at least 0.95 counts as shown when the lower end of the Wilson 95 % interval
reaches 0.95; the level of 0.02 counts as kept when the Wilson 95 % interval of the rate of false alarms without
contamination holds 0.02 or lies below it.  The second method is the same with the convex program as the only source of
candidates; the rule is the same for both.
"""

from __future__ import annotations

from simulations.copying.regime import CopyingDetection, CopyingRegime
from simulations.design import Study, crossed, grid, levels
from simulations.measures.summaries import Precision, Proportion, Recall
from simulations.presentation import Copying

__all__ = ["STUDY"]

STUDY = Study(
    name="copying_detection",
    title="Text copying: who is contaminated, from one round of LoRA fine-tuning",
    cells=crossed(
        grid(CopyingRegime, contaminated_share=levels(0.3, 0.0)),
        [CopyingDetection(), CopyingDetection(detection="program")],
    ),
    replications=100,
    root_seed=20_261_136,
    aims="Whether the exact-set rate is at least 0.95, and whether the level is kept without contamination.",
    estimands="The collaborative set.",
    measures=(
        Proportion("exact_set"),
        Proportion("any_false_alarm"),
        Precision("true_positives", "false_positives"),
        Recall("true_positives", "false_negatives"),
    ),
    presentation=Copying("detection"),
)
