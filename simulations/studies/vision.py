"""Digits in colour: clean and robust accuracy of local models, of averages and of CLAIR.

The setting of ``vision_detection`` in eight of its federations' kinds.  Fixed before this study's seed was used: rank
4 of refinement as in the copying case, and the sizes of the attacks, on one trial federation, so that they neither do
nothing nor leave nothing (at ε = 0.1 and similarity 0.9 every model was wrong on 95 % of the images or more).  Eight
federations a cell; the model that all start from is one and the same, so that intervals do not hold its chance.

Decision rule: CLAIR counts as better or worse than local models, or than the average of all, where the paired 95 % t
interval over federations lies beyond zero.
"""

from __future__ import annotations

from simulations.design import Study, crossed
from simulations.measures.summaries import Mean, Proportion
from simulations.presentation import Page
from simulations.vision.regime import VISION_METHODS, VisionMethod, VisionRegime

__all__ = ["STUDY"]

STUDY = Study(
    name="vision",
    title="Digits in colour: clean and robust accuracy under augmentation and poison",
    cells=crossed(
        [
            *(VisionRegime(augmented=who) for who in ("nobody", "some benign", "everybody")),
            *(VisionRegime(poison="label flip", augmented=who) for who in ("nobody", "everybody")),
            *(VisionRegime(poison="backdoor", rate=0.5, augmented=who) for who in ("nobody", "poisoned", "everybody")),
        ],
        [VisionMethod(aggregation=name) for name in VISION_METHODS if name != "oracle_clair"],
    ),
    replications=8,
    root_seed=20_261_162,
    aims="Whether what CLAIR hands back is more accurate than a client's own model and than the average, also under "
    "attack, and whether a backdoor gets through.",
    estimands="Accuracy of benign clients on their own scans: clean, FGSM, PGD, similarity-preserving; backdoor.",
    measures=(
        *(Mean(name) for name in ("clean", "worst_client", "fgsm", "pgd", "similar", "backdoor")),
        Proportion("exact_set"),
    ),
    presentation=Page("vision", "accuracy"),
)
