"""Whose update points away: is the level of the naming kept, and are clients with exchanged labels named?

Simulated adapters whose honest clients agree on a direction inside the subspace that all share, where a change of sign
is benign by definition and nobody is flagged.  Development used other draws (of a regime with a common component off
the subspace, seeds below 50) and chose between the sum of all others, weights by agreement once and twice, and four
laws of groups; settings, seed, replications and rules were written down and committed before this seed was used.

Decision rules.  The level .05 is kept where the Wilson 99 % interval of the rate of federations in which an honest
client is named, pooled over the clean settings of i.i.d. clients (agreement 0, .5; K 12, 24, 48; ranks 4, 8, 16), holds
.05 or lies below, and likewise pooled over the settings with others at shares up to .35 and over those at .45.
Exchanged labels *are named* where the 95 % interval of the share named, pooled over shares .1, .2 and .35 at agreement
.5, lies above .5.  Settings outside the assumption (unequal noise, two columns, another task) are reported alone.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from simulations.design import Study, crossed
from simulations.measures.summaries import Mean, Proportion
from simulations.methods.pointing_away import PointingAway
from simulations.regimes.pointing_modules import PointingModulesRegime

__all__ = ["STUDY"]

_CLEAN: tuple[dict[str, Any], ...] = (
    *(
        {"n_clients": count, "adapter_rank": rank, "agreement": agreement}
        for count, rank, agreement in product((12, 24, 48), (4, 8, 16), (0.0, 0.5))
    ),
    {"agreement": 0.0, "heterogeneity_scale": 0.1},
    {"agreement": 0.5, "heterogeneity_scale": 0.1},
    {"agreement": 0.5, "noise_spread": 0.7},
    {"n_clients": 12, "n_columns": 2, "adapter_rank": 2, "agreement": 0.0},
)
_OTHERS: tuple[dict[str, Any], ...] = (
    *(
        {"adapter_rank": 8, "share": share, "agreement": agreement}
        for share, agreement in product((0.1, 0.2, 0.35, 0.45), (0.25, 0.5))
    ),
    *({"n_clients": count, "share": share} for count, share in product((12, 48), (0.2, 0.35))),
    {"share": 0.2, "heterogeneity_scale": 0.1},
    {"share": 0.2, "noise_spread": 0.7},
    *({"plan": "another task", "share": 0.2, "agreement": agreement} for agreement in (0.25, 0.5)),
    *({"plan": "copies", "share": share} for share in (0.2, 0.45)),
    *({"plan": "reversed", "share": share} for share in (0.2, 0.35, 0.45)),
)

STUDY = Study(
    name="alignment",
    title="Updates that point away from the others': level and share named",
    cells=crossed(tuple(PointingModulesRegime(**setting) for setting in (*_CLEAN, *_OTHERS)), (PointingAway(),)),
    replications=40,
    root_seed=20_261_401,
    aims="Are clients named whose update has the opposite sign, and honest ones at most at the level?",
    estimands="Share of the others named and flagged; probability that an honest client is named.",
    measures=(
        Mean("named"),
        Proportion("accused"),
        Mean("flagged"),
        Proportion("wrongly_flagged"),
        Mean("honest_alignment"),
        Mean("honest_spread"),
        Mean("other_alignment"),
        Proportion("majority"),
    ),
)
