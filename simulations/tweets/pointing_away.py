"""Who is named for an update that points away from the others', among trained clients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from simulations.methods.pointing_away import named_metrics

if TYPE_CHECKING:
    from simulations.tweets.federation import TweetsWorld

__all__ = ["TweetsPointingAway"]


@dataclass(frozen=True)
class TweetsPointingAway:
    """CLAIR on the updates of the first training; the others are months with wrong labels.

    Parameters
    ----------
    level : float
        As in :class:`clair_stats.CLAIR`.
    """

    name: ClassVar[str] = "alignment, tweets"

    level: float = 0.02

    def evaluate(self, instance: TweetsWorld, generator: np.random.Generator) -> Mapping[str, float]:
        """As :meth:`simulations.methods.pointing_away.PointingAway.evaluate`."""
        return named_metrics(instance.updates, instance.collaborative_set, self.level)
