"""Does an augmented client look contaminated, and does a poisoned one hide behind augmentation?

20 clients with scanners of their own, 6 of them poisoned (or 6 benign ones augmented).  Fixed before this study's seed
was used, from trial runs with other seeds: the spread of the scanners (at 1 a benign scanner was flagged in one of
eight federations, at 0.6 in none of eight) and the weaker poisons (a flip of 40 % of the labels, a trigger in half of
the images, found in three of six federations), since nothing can hide where everything is found.  The probabilities
(0.4, 0.05) are those of the source of the augmentation; beside them stand only patches, only grey images, and a strong
mixture.

Decision rules.  An augmented client *looks contaminated* where the 95 % t interval over federations of the share
flagged among augmented benign clients lies above the level, 0.02, or that of the probability that its score exceeds a
plain benign client's lies above .5.  A poisoned client *hides* where Welch's 95 % interval of the share of poisoned
clients found, with the poisoned augmented or with everybody augmented, minus that with nobody augmented, lies below 0.
"""

from __future__ import annotations

from simulations.design import Study, crossed, grid, levels
from simulations.measures.summaries import Mean, Proportion
from simulations.presentation import Page
from simulations.vision.regime import VisionDetection, VisionRegime

__all__ = ["STUDY"]

_WEAK = (("label flip", 0.4), ("backdoor", 0.5))

STUDY = Study(
    name="vision_detection",
    title="Digits in colour: grey patches as augmentation, poisoned clients, and the joint verdict",
    cells=crossed(
        [
            *grid(VisionRegime, augmented=levels("nobody", "some benign", "everybody")),
            *(VisionRegime(augmented="some benign", p_local=p, p_global=q) for p, q in ((1.0, 0.0), (0.0, 1.0))),
            *grid(VisionRegime, poison="label flip", augmented=levels("nobody", "poisoned", "everybody")),
            *(
                VisionRegime(poison=poison, rate=rate, augmented=who)
                for poison, rate in _WEAK
                for who in ("nobody", "some benign", "poisoned", "everybody")
            ),
            *(
                VisionRegime(poison=poison, rate=rate, augmented="poisoned", p_local=1.0, p_global=0.5)
                for poison, rate in _WEAK
            ),
        ],
        [VisionDetection()],
    ),
    replications=20,
    root_seed=20_261_161,
    aims="Whether augmentation makes a benign client look contaminated, and whether it hides a poisoned one.",
    estimands="Share flagged of plain, augmented and poisoned clients; how often the scores order two groups rightly.",
    measures=(
        *(Mean(f"flagged_{group}") for group in ("plain", "augmented", "poisoned")),
        Mean("augmented_above"),
        Mean("poisoned_above"),
        Proportion("exact_set"),
        Proportion("majority"),
    ),
    presentation=Page("vision", "detection"),
)
