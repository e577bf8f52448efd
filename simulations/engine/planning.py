"""The expected cost of a run, and the recomputation of one replication."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from simulations.design import Cell, Study, content_hash
from simulations.engine.replicate import Task, run_task
from simulations.storage.rows import Row
from simulations.storage.store import Store

__all__ = ["Planned", "Replayed", "find_regime", "plan", "replay"]


@dataclass(frozen=True)
class Planned:
    """One cell of a plan."""

    cell: Cell
    present: int
    to_run: int
    seconds_each: float | None  # None: not known
    source: str  # "store", "probe", "failed probe" or "unknown"


def _task(study: Study, cells: list[Cell], replication: int) -> Task:
    methods = tuple((cell.hash, cell.method) for cell in cells)
    return Task(study.root_seed, cells[0].regime, cells[0].regime_hash, methods, (replication,), None)


def plan(study: Study, store_path: str | os.PathLike[str], *, probe_seconds: float = 10.0) -> Iterator[Planned]:
    """Cells, replications still to run and seconds per replication.

    Times come from the rows that are there; otherwise replication 0 of a cell is computed (and thrown away), until
    ``probe_seconds`` have gone by.
    """
    known = {}
    if Path(store_path).is_file():
        with Store(store_path, study) as store:
            known = {status.cell.hash: status for status in store.status()}
    started = time.monotonic()
    for cell in study.cells:
        status = known.get(cell.hash)
        present = status.ok + status.failed if status is not None else 0
        if status is not None and present:
            seconds, source = status.seconds / present, "store"
            yield Planned(cell, present, status.missing, seconds, source)
        elif time.monotonic() - started < probe_seconds:
            row = run_task(_task(study, [cell], 0))[0]
            source = "probe" if row.metrics is not None else "failed probe"
            yield Planned(cell, 0, study.replications, row.seconds, source)
        else:
            yield Planned(cell, 0, study.replications, None, "unknown")


@dataclass(frozen=True)
class Replayed:
    """One replication of one cell, computed again."""

    cell: Cell
    row: Row
    stored: Row | None  # None: not in the store, or no store

    @property
    def same(self) -> bool | None:
        """Whether the metrics are the stored ones, bit for bit; None without a stored row."""
        return None if self.stored is None else _bits(self.row.metrics) == _bits(self.stored.metrics)


def _bits(metrics: dict[str, float] | None) -> dict[str, bytes] | None:
    return None if metrics is None else {name: struct.pack("<d", value) for name, value in metrics.items()}


def find_regime(studies: dict[str, Study], regime: str) -> tuple[Study, list[Cell]]:
    """The one study that has a regime whose content hash starts with ``regime``, and the cells of that regime.

    Raises
    ------
    ValueError
        None or several; the message lists what there is.
    """
    hits: dict[tuple[str, str], list[Cell]] = {}
    for name, study in studies.items():
        for cell in study.cells:
            if cell.regime_hash.startswith(regime):
                hits.setdefault((name, cell.regime_hash), []).append(cell)
    if len(hits) == 1:
        ((name, _), cells) = next(iter(hits.items()))
        return studies[name], cells
    if hits:
        listed = ", ".join(f"{digest[:12]} in {name}" for name, digest in hits)
        raise ValueError(f"regime {regime!r} is not unique ({listed}); give more digits or --study")
    known = dict.fromkeys(
        f"{cell.regime_hash[:12]} ({cell.regime.name}, {name})" for name, s in studies.items() for cell in s.cells
    )
    listed = ", ".join(list(known)[:8]) + (" …" if len(known) > 8 else "")
    raise ValueError(f"no regime whose hash starts with {regime!r}; there are {listed or 'no studies'}")


def replay(
    study: Study, cells: list[Cell], replication: int, store_path: str | os.PathLike[str] | None = None
) -> list[Replayed]:
    """Compute one replication of one regime again, for all its methods, and compare with the store if there is one."""
    assert len({content_hash(cell.regime) for cell in cells}) == 1, "cells of one regime"
    rows = run_task(_task(study, cells, replication))
    stored: list[Row | None] = [None] * len(cells)
    if store_path is not None and Path(store_path).is_file():
        with Store(store_path, study) as store:
            stored = [store.row(cell, replication) for cell in cells]
    return [Replayed(cell, row, old) for cell, row, old in zip(cells, rows, stored, strict=True)]
