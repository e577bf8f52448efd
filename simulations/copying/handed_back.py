"""What clients get back from one round on their whole updates, by the name of the method, and the verdict on them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import numpy as np

from clair_stats.records import BoolArray, FloatArray
from simulations.copying.collaborate import Collaboration, collaborate
from simulations.measures import metrics

__all__ = ["Trained", "handed_back", "judged", "verdict_metrics"]


class Trained(Protocol):
    """A federation whose clients have been trained once."""

    @property
    def updates(self) -> dict[str, FloatArray]:
        """ΔW_k, name -> (K, out, in)."""
        ...

    @property
    def collaborative_set(self) -> BoolArray:
        """(K,), True = benign."""
        ...

    def __hash__(self) -> int:
        """By identity: what is kept belongs to one federation."""
        ...


@lru_cache(maxsize=2)
def judged(world: Trained, rank: int) -> Collaboration:
    """CLAIR's joint verdict on all modules; kept, since two methods begin with it.

    Parameters
    ----------
    world : Trained
        Hashed by identity.
    rank : int
        r of refinement.
    """
    return collaborate(world.updates, rank=rank)


def handed_back(
    world: Trained, aggregation: str, rank: int, halves: Callable[[], dict[str, FloatArray]]
) -> dict[str, FloatArray]:
    """ΔW_k of every client after aggregation, name -> (K, out, in).

    Parameters
    ----------
    world : Trained
    aggregation : str
        "base", "local", "average", "clair", "clair_halves", "oracle_average" or "oracle_clair".
    rank : int
        r of refinement.
    halves : callable
        Gives the updates trained on either half of the data, name -> (K, 2, out, in); called where they are needed.
    """
    updates, benign = world.updates, world.collaborative_set
    if aggregation == "base":
        return {name: np.zeros_like(blocks) for name, blocks in updates.items()}
    if aggregation == "local":
        return dict(updates)
    if aggregation == "clair":
        return judged(world, rank).refined
    if aggregation == "clair_halves":
        members = judged(world, rank).collaborative_set
        return collaborate(updates, rank=rank, collaborative_set=members, halves=halves()).refined
    if aggregation == "oracle_clair":
        return collaborate(updates, rank=rank, collaborative_set=benign).refined
    averaged = np.ones_like(benign) if aggregation == "average" else benign
    return {
        name: np.repeat(blocks[averaged].mean(axis=0)[None], len(blocks), axis=0) for name, blocks in updates.items()
    }


def verdict_metrics(benign: BoolArray, found: Collaboration) -> dict[str, float]:
    """:func:`simulations.measures.metrics.verdict_metrics` of what clients were handed.

    Parameters
    ----------
    benign : bool ndarray, shape (K,)
        The truth.
    found : Collaboration
    """
    return metrics.verdict_metrics(benign, found.flagged, bool(found.collaborative_set.any()))
