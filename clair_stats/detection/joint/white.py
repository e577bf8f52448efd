"""Exact statistics of several modules in one χ² sum, where errors are white inside a client and between modules.

Each module gives client k a p-value p_km: χ² when the noise is known, F against the other members when it is not
(docs/derivations/detection.md).  Lancaster's sum C_k = Σ_m χ²-quantile_{d_m}(1 − p_km), d_m = (p_m − r_m)q_m, is χ²
with Σ d_m degrees of freedom when the modules' errors are independent (Lancaster, Austral. J. Statist. 3, 1961); with
known noise it is the plain sum of the statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from clair_stats.detection.calibration import calibrate
from clair_stats.detection.panel import Panel
from clair_stats.detection.shared_fit import fit_shared
from clair_stats.detection.step_4_test import spike_ratio
from clair_stats.laws import per_client_level
from clair_stats.records import BoolArray, FloatArray

__all__ = ["SUM_SHARE", "WhiteSums", "lancaster_sums", "spread_is_refuted", "white_rank", "white_set"]

# A p-value below this is beyond the tables of χ²; the client is flagged by far.
_LEAST = 1e-290
# The level is split: eight tenths for the clients' sums, one tenth for the spread of the members' own, one tenth for
# what the first-order law of T_k leaves over (.035 to .060 at .05, docs/derivations/detection.md).
SUM_SHARE = 0.8
_SPREAD_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class WhiteSums:
    """The clients' sums against a fit on ``members``."""

    members: BoolArray  # (K,)
    sums: FloatArray  # (K,), χ² with ``degrees`` degrees of freedom for a benign client
    degrees: float
    p_values: FloatArray  # (K,)
    by_module: FloatArray  # (M, K), p-values of the modules


def lancaster_sums(panels: Sequence[Panel], ranks: Sequence[int], members: BoolArray, level: float) -> WhiteSums:
    """Fit each module on the members, test every client in it, and add up.

    Parameters
    ----------
    panels : sequence of Panel
        One per module.
    ranks : sequence of int
        One per module.
    members : bool ndarray, shape (K,)
        True = in the set.
    level : float
        Family-wise level.

    Returns
    -------
    WhiteSums
    """
    values = np.empty((len(panels), members.size))
    degrees = np.empty(len(panels))
    for number, (panel, rank) in enumerate(zip(panels, ranks, strict=True)):
        fit = fit_shared(panel, members, rank)
        tested = calibrate(panel, fit, level=level).p_values
        values[number] = np.where(np.isnan(tested), 0.0, tested)  # without a p-value nobody is benign
        degrees[number] = (panel.shape[1] - rank) * panel.shape[2]
    parts = special.chdtri(degrees[:, None], np.maximum(values, _LEAST))
    total = float(degrees.sum())
    sums = np.asarray(parts.sum(axis=0))
    return WhiteSums(members, sums, total, np.asarray(special.chdtrc(total, sums)), values)


def spread_is_refuted(found: WhiteSums, level: float) -> bool:
    """Whether the members' sums scatter more than χ² ones: errors that modules share, or hidden outliers.

    Parameters
    ----------
    found : WhiteSums
    level : float
        Family-wise level.

    Returns
    -------
    bool
    """
    own, d = found.sums[found.members], found.degrees
    n = own.size
    # Var of a χ²_d sample variance: that of a normal one times 1 + 6/d; matched by the degrees of freedom.
    freedom = (n - 1) / (1.0 + 6.0 / d)
    return bool(special.chdtrc(freedom, freedom * own.var(ddof=1) / (2.0 * d)) < _SPREAD_SHARE * level)


def white_rank(panel: Panel, halves: Sequence[BoolArray]) -> int:
    """The smallest rank at which the half found for it (ranks 0, 1, …) leaves nothing above the noise edge.

    Parameters
    ----------
    panel : Panel
    halves : sequence of bool ndarray, shape (K,)
        By rank.

    Returns
    -------
    int
    """
    for rank, members in enumerate(halves):
        if spike_ratio(panel, fit_shared(panel, members, rank)) <= 1.0:
            return rank
    return len(halves) - 1


def white_set(panels: Sequence[Panel], ranks: Sequence[int], start: BoolArray, level: float) -> WhiteSums | None:
    """The largest consistent set on the way from ``start`` to everyone, one client at a time; everyone first.

    A set is consistent when no member stands out at the family-wise level and the members' sums scatter as the law
    says.  None when not even ``start`` is.

    Parameters
    ----------
    panels : sequence of Panel
        One per module.
    ranks : sequence of int
        One per module.
    start : bool ndarray, shape (K,)
        The set to begin with.
    level : float
        Family-wise level.

    Returns
    -------
    WhiteSums or None
    """
    alpha = per_client_level(SUM_SHARE * level, start.size)

    def consistent(found: WhiteSums) -> bool:
        return bool((found.p_values[found.members] >= alpha).all()) and not spread_is_refuted(found, level)

    everyone = lancaster_sums(panels, ranks, np.ones_like(start), level)
    if consistent(everyone):
        return everyone
    members, best = start.copy(), None
    for _ in range(int((~start).sum())):
        found = lancaster_sums(panels, ranks, members, level)
        if consistent(found):
            best = found
        outside = np.where(members, -np.inf, found.p_values)
        members = members.copy()
        members[int(np.argmax(outside))] = True
    return best
