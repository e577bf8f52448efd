"""The LLM case: LoRA fine-tuning on text copying with 30 % contaminated clients, one-shot and over three rounds.

The setting was fixed before this study's seed was used, from trial runs with other seeds.  12 sequences a client and
token weights that spread by 0.5 in the logarithm, because with 8 and 1.0 the set was exact in three federations of
four only; not more, because with many sequences local fine-tuning alone is hard to beat (Theorem 5: little noise to
average away).  8 of 32 tokens varied by every client in its own way, because with fewer the plain benign average is
best.  3 rounds of 50 steps, because in one round refinement loses to local fine-tuning on a client's own distribution;
rank 4 of 2 and 4.  The one-round cells are kept to
show exactly that loss; ``clair_halves``, added after it was seen, shrinks with two trainings on half the data each in
the place of averaging.

Decision rule: CLAIR over three rounds counts as better than local fine-tuning and than the average when the paired 95 %
t interval over the federations lies above zero, on own and on common tokens.
"""

from __future__ import annotations

from simulations.copying.regime import CopyingMethod, CopyingRegime
from simulations.design import Study, crossed
from simulations.measures.summaries import Mean, Precision, Proportion, Recall
from simulations.presentation import Copying

__all__ = ["STUDY"]

_ONCE = (
    "base",
    "local",
    "factor_average",
    "average",
    "coordinate_median",
    "trimmed_mean",
    "geometric_median",
    "multi_krum",
    "clair",
    "clair_halves",
    "oracle_average",
    "oracle_clair",
)
_ROUNDS = ("local", "average", "clair", "clair_halves", "oracle_average", "oracle_clair")

STUDY = Study(
    name="copying",
    title="LoRA fine-tuning of a Transformer on text copying, 30 % of the clients contaminated",
    cells=crossed(
        CopyingRegime(),
        [
            *(CopyingMethod(aggregation=name, rounds=1) for name in _ONCE),
            *(CopyingMethod(aggregation=name, rounds=3) for name in _ROUNDS),
        ],
    ),
    replications=10,
    root_seed=20261101,
    aims="Whether CLAIR finds the contaminated clients, and whether benign clients gain over local fine-tuning and "
    "over federated averaging.",
    estimands="Token accuracy of benign clients on their own distribution and on common tokens; the collaborative set.",
    measures=(
        Mean("own_accuracy"),
        Mean("common_accuracy"),
        Mean("common_rule_accuracy"),
        Mean("own_sequences"),
        Mean("own_loss"),
        Proportion("exact_set"),
        Precision("true_positives", "false_positives"),
        Recall("true_positives", "false_negatives"),
    ),
    presentation=Copying("methods"),
)
