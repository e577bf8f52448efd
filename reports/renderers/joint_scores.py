"""Joint scores of the clients of one federation, by group, with the threshold above which a client is flagged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from reports.figures import style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from clair_stats.records import BoolArray
    from simulations.copying.collaborate import Collaboration

__all__ = ["draw_joint_scores"]


def draw_joint_scores(axis: Axes, found: Collaboration, groups: Iterable[tuple[str, BoolArray]]) -> None:
    """Draw every client's joint score in rising order, a marker per group, and the threshold, with a legend.

    Parameters
    ----------
    axis : Axes
    found : Collaboration
        The verdict, with scores and thresholds (K,).
    groups : iterable of (str, ndarray of shape (K,))
        Label and members; a group without members is left out.
    """
    order = np.argsort(found.scores)
    places = np.arange(order.size)
    for i, (label, members) in enumerate(groups):
        chosen = members[order]
        if chosen.any():
            style = {**style_of(i), "linestyle": "none"}
            axis.plot(places[chosen], found.scores[order][chosen], markersize=4, label=label, **style)
    axis.plot(places, found.thresholds[order], color="black", linewidth=0.8, linestyle="--", label="flagged above")
    axis.set(xlabel="clients, ordered", ylabel="joint score")
    axis.legend(fontsize=7, frameon=False)
