"""Who counts towards the majority: members that do not owe their place to a direction bought for a few.

A subspace of dimension r can always be bent to let in a handful of clients that the rest of a set has nothing to do
with: 27 contaminated clients that agree with each other and five benign ones make 32 of 60.  A direction that the
collaborative set shares is still there when the fifth of the members with the most energy along it is left out; a
direction that is not is the price of those few, and they do not vote (docs/derivations/detection.md, section 4).
"""

from __future__ import annotations

import numpy as np
from scipy import special

from clair_stats.detection.panel import Panel
from clair_stats.detection.shared_fit import SharedFit, center_and_scatter, centered_blocks
from clair_stats.detection.whiteness import spike_ratio
from clair_stats.records import BoolArray, FloatArray

__all__ = ["count_votes"]

_FEW = 0.2
# Energy along a direction that noise alone exceeds once in a thousand clients makes a carrier.
_CARRIER_LEVEL = 1e-3
# Here the harm is in calling a shared direction bought, so the edge is the 99 % point of the Tracy–Widom law.
_TRACY_WIDOM = 2.02


def count_votes(panel: Panel, fit: SharedFit, members: BoolArray, noise: float) -> int:
    """Number of ``members`` (K,) without those that carry a direction that only few of them share."""
    q = panel.shape[2]
    n_members, rank = int(members.sum()), fit.basis.shape[1]
    if rank == 0 or n_members < 3:
        return n_members
    centered = centered_blocks(panel, fit)
    inside = fit.basis.T @ centered
    energies = np.where(members[:, None], np.einsum("krq,krq->kr", inside, inside), 0.0)
    carriers = energies > noise**2 * special.chdtri(q, _CARRIER_LEVEL)
    bought = np.zeros_like(members)
    for direction in np.flatnonzero(carriers.any(axis=0)):
        rest = members.copy()
        rest[np.argsort(energies[:, direction])[::-1][: max(int(_FEW * n_members), 1)]] = False
        if not _still_there(panel, np.delete(fit.basis, direction, axis=1), rest):
            bought |= carriers[:, direction]
    return n_members - int(bought.sum())


def _still_there(panel: Panel, others: FloatArray, rest: BoolArray) -> bool:
    """Whether the rest leaves more than noise when all directions but one are granted to it.

    Granted as they are, not refitted: a subspace that is one dimension too large would otherwise use the spare one for
    the direction in question, and every direction would look bought.
    """
    if panel.noise is None and len(others) - others.shape[1] <= 1:
        return True  # one dimension is left, and nothing to tell its noise by
    common, scatter = center_and_scatter(panel, rest)
    off = np.eye(len(scatter)) - others @ others.T
    values = np.maximum(np.linalg.eigvalsh(off @ scatter @ off)[::-1], 0.0)
    # The granted directions are the smallest eigenvalues, exactly 0; the others are those of a fit of that rank.
    granted = others.shape[1]
    order = np.concatenate([np.zeros(granted), values[: values.size - granted]])
    fit = SharedFit(others, common, rest, order, np.zeros((0, 0)))
    return spike_ratio(panel, fit, tracy_widom=_TRACY_WIDOM) > 1.0
