"""Who is named for an update that points away from the others', among trained clients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from simulations.methods.pointing_away import named_metrics

if TYPE_CHECKING:
    from simulations.copying.federated import World

__all__ = ["CopyingPointingAway"]


@dataclass(frozen=True)
class CopyingPointingAway:
    """CLAIR on the updates of the first training; the others are clients with a backdoor or a rule of their own.

    Parameters
    ----------
    level : float
        As in :class:`clair_stats.CLAIR`.
    """

    name: ClassVar[str] = "alignment, copying"

    level: float = 0.02

    def evaluate(self, instance: World, generator: np.random.Generator) -> Mapping[str, float]:
        """As :meth:`simulations.methods.pointing_away.PointingAway.evaluate`."""
        return named_metrics(instance.first.dense(), instance.federation.collaborative_set, self.level)
