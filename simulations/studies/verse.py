"""Who wrote this, does it scan, was it any of us: style under every client's adapter, by way of aggregation.

The setting of ``verse_detection`` in two of its kinds, four schools without forgers and with some. Rank 6 of
refinement was fixed beforehand: three contrasts of four schools, two habits, and one to spare. Five federations a
setting; the reader of prose that all start from is one and the same, so that intervals do not hold its chance.

Decision rule: CLAIR's adapters tell poets apart better or worse than the poets' own, and what they write keeps the
rules more or less often, where the paired 95 % t interval over federations lies beyond zero.
"""

from __future__ import annotations

from simulations.design import Study, crossed
from simulations.measures.summaries import Mean, Proportion
from simulations.presentation import Page
from simulations.verse.regime import VERSE_METHODS, VerseMethod, VerseRegime

__all__ = ["STUDY"]

STUDY = Study(
    name="verse",
    title="Poets: style by likelihood under each client's adapter, and by the rules of the metre",
    cells=crossed(
        [
            VerseRegime(n_schools=4),
            VerseRegime(n_schools=4, forgery="dialect"),
        ],
        [VerseMethod(aggregation=name) for name in VERSE_METHODS if name != "oracle_average"],
    ),
    replications=5,
    root_seed=20_261_173,
    aims="Whether refined adapters keep the style of their poet, and whether forged poems are unlikely under all.",
    estimands="Loss on own poems; share of poems ascribed to their poet and school; rules kept by what models write.",
    measures=(
        *(Mean(name) for name in ("own_loss", "author", "school", "forged", "layout", "stress", "rhyme")),
        Proportion("exact_set"),
    ),
    presentation=Page("verse", "style"),
)
