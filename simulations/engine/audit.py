"""A random part of the rows of a store, computed again and compared bit for bit."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from simulations.engine.planning import Replayed, replay
from simulations.storage.store import Store

__all__ = ["audited", "chosen_rows"]


def chosen_rows(store: Store, share: float, seed: int) -> list[tuple[str, int]]:
    """(cell hash, replication) of a share of the successful rows, rounded up, drawn without replacement.

    Raises
    ------
    ValueError
        A share outside 0 to 1.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share is {share}; give a number from 0 to 1")
    gaps = store.missing(retry_failed=True)  # a row that killed its worker must not end this process
    present = [
        (cell.hash, int(replication))
        for cell in store.study.cells
        for replication in np.setdiff1d(np.arange(store.study.replications), gaps[cell.hash])
    ]
    chosen = np.random.default_rng(seed).choice(len(present), math.ceil(share * len(present)), replace=False)
    return [present[place] for place in sorted(chosen)] if present else []


def audited(store: Store, share: float, seed: int) -> Iterator[Replayed]:
    """Compute the chosen rows again; see :func:`chosen_rows`."""
    cells = {cell.hash: cell for cell in store.study.cells}
    for cell, replication in chosen_rows(store, share, seed):
        yield from replay(store.study, [cells[cell]], replication, store.path)
