"""Every kind of contamination of the copying task in one round: where detection works and fails, and what it saves.

The setting of the study ``copying`` with six kinds of contamination, with text in place of independent tokens, and
with shared rows in place of shared columns; five federations each, fixed before the first run.  A map, not a test.
"""

from __future__ import annotations

from simulations.copying.regime import CopyingMethod, CopyingRegime
from simulations.design import Study, crossed, grid, levels
from simulations.measures.summaries import Mean, Precision, Proportion, Recall
from simulations.presentation import Copying

__all__ = ["STUDY"]

# Those of simulations.copying.federation, whose import needs PyTorch.
_KINDS = ("random_mapping", "coordinated_mapping", "label_noise", "reversed_copy", "backdoor", "sign_flip")
_METHODS = (
    "local",
    "average",
    "coordinate_median",
    "geometric_median",
    "krum",
    "multi_krum",
    "clair",
    "oracle_average",
)

STUDY = Study(
    name="copying_contaminations",
    title="Text copying: kinds of contamination, one round",
    cells=crossed(
        [*grid(CopyingRegime, contamination=levels(*_KINDS)), CopyingRegime(source="text")],
        [*(CopyingMethod(aggregation=name) for name in _METHODS), CopyingMethod(aggregation="clair", shared="rows")],
    ),
    replications=5,
    root_seed=20261104,
    aims="Which contaminations are found, and what undetected ones cost benign clients.",
    estimands="The collaborative set; token accuracy of benign clients; success of the backdoor with them.",
    measures=(
        Mean("own_accuracy"),
        Mean("common_accuracy"),
        Proportion("exact_set"),
        Precision("true_positives", "false_positives"),
        Recall("true_positives", "false_negatives"),
    ),
    presentation=Copying("contaminations"),
)
