"""Rows for other programs: data frame, csv, parquet; and shards merged into one store.

Exports are ordered by the study's cells and by replication and hold no measured times unless asked, so their bytes are
the same for any number of workers, any order of work and after any number of kills.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simulations.design import Cell, describe
from simulations.store import Store, flat_fields

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["frame"]


def _metric_names(store: Store) -> list[str]:
    """Every metric of the study's rows, sorted."""
    used: set[str] = set()
    for cell in store.study.cells:
        used.update(*store.signatures(cell), ())
    return sorted(used)


def _factors(cell: Cell) -> dict[str, Any]:
    return {**flat_fields(describe(cell.regime), "regime"), **flat_fields(describe(cell.method), "method")}


def _factor_columns(cells: Sequence[Cell]) -> list[str]:
    """Columns of all cells; regime columns before method columns, otherwise in order of appearance."""
    columns = dict.fromkeys(name for cell in cells for name in _factors(cell))
    return sorted(columns, key=lambda name: not name.startswith("regime"))


def cell_frame(store: Store, cell: Cell, metrics: Sequence[str], *, seconds: bool) -> pd.DataFrame:
    """Rows of one cell: replication, status, error, metrics (and seconds), by replication."""
    import pandas as pd

    records = store.records(cell)
    replications = np.fromiter((r[0] for r in records), dtype=np.int64, count=len(records))
    table: dict[str, Any] = {
        "replication": replications,
        "status": np.array([r[1] for r in records], dtype=object),
        "error": np.array([r[2] for r in records], dtype=object),
    }
    values = np.full((len(records), len(metrics)), np.nan)
    where = {name: column for column, name in enumerate(metrics)}
    for chunk in store.chunks(cell):
        lines = np.searchsorted(replications, chunk.replications)
        values[np.ix_(lines, np.array([where[name] for name in chunk.names], dtype=np.intp))] = chunk.values
    table.update({name: values[:, column] for name, column in where.items()})
    if seconds:
        table["seconds"] = np.fromiter((r[3] for r in records), dtype=np.float64, count=len(records))
    return pd.DataFrame(table)


def _frames(store: Store, *, seconds: bool) -> Iterator[pd.DataFrame]:
    """One frame per cell, all with the same columns in the same order."""
    metrics = _metric_names(store)
    factors = _factor_columns(store.study.cells)
    for cell in store.study.cells:
        part = cell_frame(store, cell, metrics, seconds=seconds)
        part.insert(0, "cell", np.full(len(part), cell.hash, dtype=object))
        mine = _factors(cell)
        for position, name in enumerate(factors):
            part.insert(4 + position, name, [mine.get(name)] * len(part))
        yield part


def frame(store: Store, *, seconds: bool = False) -> pd.DataFrame:
    """All rows of the store's study as a data frame (:func:`simulations.store.load_rows`)."""
    import pandas as pd

    parts = [part for part in _frames(store, seconds=seconds) if len(part)]
    if not parts:
        return next(iter(_frames(store, seconds=seconds)))
    return pd.concat(parts, ignore_index=True)
