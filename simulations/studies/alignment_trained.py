"""Whose update points away, among clients that were trained: months of tweets, and Transformers that copy.

The regimes of the studies ``tweets`` and ``copying``.  Development saw nine splits with flipped months and six without
(seeds 11 to 19), and four federations each with a backdoor and without (seeds 11 to 14); this seed, the number of
replications and the rules were committed before it was used.

Decision rules, at level .02.  Wrong months *are named* where the 95 % t interval of the share named lies above zero,
and mostly named where it lies above .5; the level is kept where the Wilson 99 % interval of the rate of splits in which
an honest month is named holds .02 or lies below.  Splits share the data: intervals speak of other splits and trainings.
"""

from __future__ import annotations

from simulations.copying.pointing_away import CopyingPointingAway
from simulations.copying.regime import CopyingRegime
from simulations.design import Cell, Study
from simulations.measures.summaries import Mean, Proportion
from simulations.tweets.pointing_away import TweetsPointingAway
from simulations.tweets.regime import TweetsRegime

__all__ = ["STUDY"]

_TWEETS = tuple(TweetsRegime(planted=planted) for planted in ("flipped", "none", "shuffled"))
_COPYING = (CopyingRegime(contamination="backdoor"), CopyingRegime(contaminated_share=0.0))

STUDY = Study(
    name="alignment_trained",
    title="Updates that point away from the others': tweets and text copying",
    cells=(
        *(Cell(regime, CopyingPointingAway()) for regime in _COPYING),
        *(Cell(regime, TweetsPointingAway()) for regime in _TWEETS),
    ),
    replications=15,
    root_seed=20_261_402,
    aims="Are months that learnt from flipped labels named, and clients with a backdoor?",
    estimands="Share of the others named and flagged; probability that an honest client is named.",
    measures=(
        Mean("named"),
        Proportion("accused"),
        Mean("flagged"),
        Mean("honest_alignment"),
        Mean("honest_spread"),
        Mean("other_alignment"),
        Proportion("majority"),
    ),
    notes="Needs pip install 'clair-stats[tweets]'.",
)
