"""Save what is whole in a damaged store: every row that agrees with its checksum, into a new store."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from simulations.design import Study
from simulations.storage.rows import Origin, Row
from simulations.storage.store import Store, StoreError

__all__ = ["Repaired", "repair"]

_BATCH = 1000  # rows per transaction


@dataclass(frozen=True)
class Repaired:
    """What was saved, and what a run on the new store computes again."""

    saved: int  # rows
    lost: tuple[tuple[str, int], ...]  # (cell hash, replication) of rows that are there and damaged


def repair(damaged: str | os.PathLike[str], study: Study, target: str | os.PathLike[str]) -> Repaired:
    """Write every whole row of ``damaged`` into a new store; the damaged one is left as it is.

    Rows are read one by one, so that a damaged page loses its own rows only.  Rows of the first schema have no
    checksum and are taken over where they can be read.

    Raises
    ------
    StoreError
        A target that is there already, or a store so damaged that its study or its list of cells cannot be read.
    """
    if Path(target).exists():
        raise StoreError(f"{target}: exists already; give the name of a new store")
    lost: list[tuple[str, int]] = []
    saved = 0
    with Store(damaged, study) as source, Store(target, study, mode="append") as store:
        origins = _origins(source)
        for cell in study.cells:
            batch: list[tuple[Row, int | None]] = []
            for replication in range(study.replications):
                try:
                    row = source.row(cell, replication)
                    if row is not None:
                        batch.append((row, source.origin_id(cell, replication)))
                except StoreError:
                    lost.append((cell.hash, replication))
                if len(batch) == _BATCH:
                    saved += _write(store, batch, origins)
                    batch = []
            saved += _write(store, batch, origins)
    return Repaired(saved, tuple(lost))


def _origins(source: Store) -> dict[int, Origin]:
    """Number -> what made rows; those whose record cannot be read are left out, and their rows have none."""
    found: dict[int, Origin] = {}
    with contextlib.suppress(StoreError), source.reading():
        for number, key, version, record in source.connection.execute(
            "SELECT id, hash, version, record FROM provenance"
        ):
            found[number] = Origin(key, version, record)
    return found


def _write(store: Store, batch: list[tuple[Row, int | None]], origins: dict[int, Origin]) -> int:
    """Append rows, those of one origin together."""
    for number in {number for _, number in batch}:
        rows = [row for row, own in batch if own == number]
        origin = None if number is None else origins.get(number)
        store.origins = {} if origin is None else {row.cell: origin for row in rows}
        store.append(rows)
    return len(batch)
