"""Months of one account that learn which device a tweet came from: LoRA on MiniLM, real text, real clients.

Fixed before this study's seed was used, on one trial split with another seed: which matrices are adapted, rank 4, 60
steps and their size.  Months were fixed from counts alone (:mod:`simulations.tweets.months`).  Seventeen months, half
of each held out, three of them contaminated; rank 2 of refinement as a guess.  Twenty splits a setting: they share the
data, so that intervals are those of splits and trainings, and not of other accounts.

Decision rule: a way to hand adapters back is better or worse than a month's own where the paired 95 % t interval of
accuracy lies beyond zero; contaminated months *are found* where the interval of the share flagged lies above .5, and
*are not found* where it lies below.
"""

from __future__ import annotations

from simulations.design import Study, crossed, grid, levels
from simulations.measures.summaries import Mean, PairedDifference, Proportion
from simulations.tweets.regime import TWEETS_METHODS, TweetsMethod, TweetsRegime

__all__ = ["STUDY"]

# Those of simulations.tweets.federation, whose import needs PyTorch.
_PLANTED = ("none", "flipped", "shuffled")

STUDY = Study(
    name="tweets",
    title="Tweets by month: LoRA on MiniLM by real clients, and months with wrong labels",
    cells=crossed(
        grid(TweetsRegime, planted=levels(*_PLANTED)), [TweetsMethod(aggregation=name) for name in TWEETS_METHODS]
    ),
    replications=20,
    root_seed=20_261_301,
    aims=(
        "Do months of one account help each other to tell its devices apart, and are months with flipped or shuffled "
        "labels found?"
    ),
    estimands=(
        "Accuracy and log loss on held-out tweets of honest months; share of wrong months and number of honest ones "
        "flagged."
    ),
    measures=(
        Mean("accuracy"),
        PairedDifference("accuracy", TweetsMethod.name),  # the first: each month alone
        Mean("log_loss"),
        Mean("found"),
        Mean("accused"),
        Mean("wrong_above"),
        Proportion("exact_set"),
        Proportion("false_alarm"),
        Proportion("majority"),
    ),
    notes="The encoder and the tweets come with packages: pip install 'clair-stats[tweets]'.",
)
