"""Rows as a data frame: one table for all blocks of a cell, beside the columns that describe it.

Knows no store: the rows come as blocks, so that :mod:`simulations.storage.store` can hand them over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simulations.design import Cell, canonical_json, factor_columns, factors
from simulations.storage.rows import Block

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["frames"]


def _factor_types(cells: Sequence[Cell]) -> dict[str, str]:
    """One type per factor over the whole study, so that every block of an export has the same columns."""
    types: dict[str, str] = {}
    for name in factor_columns(cells):
        values = [factors(cell).get(name) for cell in cells]
        kinds = {type(value) for value in values if value is not None}
        if kinds <= {int, float} and kinds:
            types[name] = "int64" if kinds == {int} and None not in values else "float64"
        elif kinds == {bool} and None not in values:
            types[name] = "bool"
        else:
            types[name] = "object"
    return types


def _block_frame(
    cell: Cell, block: Block, types: dict[str, str], metrics: Sequence[str], *, seconds: bool
) -> pd.DataFrame:
    import pandas as pd

    n_rows = len(block.replications)
    table: dict[str, Any] = {
        "cell": np.full(n_rows, cell.hash, dtype=object),
        "replication": block.replications,
        "status": np.array(block.status, dtype=object),
        "error": np.array(block.errors, dtype=object),
    }
    mine = factors(cell)
    for name, kind in types.items():
        value = mine.get(name)
        if kind == "object" and value is not None and not isinstance(value, str):
            value = canonical_json(value)  # a factor of mixed types is text
        if kind == "float64" and value is None:
            value = np.nan
        table[name] = np.full(n_rows, value, dtype=kind)
    values = np.full((n_rows, len(metrics)), np.nan)
    where = {name: column for column, name in enumerate(metrics)}
    for chunk in block.chunks:
        lines = np.searchsorted(block.replications, chunk.replications)
        values[np.ix_(lines, np.array([where[name] for name in chunk.names], dtype=np.intp))] = chunk.values
    table.update({name: values[:, column] for name, column in where.items()})
    if seconds:
        table["seconds"] = block.seconds
    return pd.DataFrame(table)


def frames(
    cells: Sequence[Cell], metrics: Sequence[str], blocks: Callable[[Cell], Iterable[Block]], *, seconds: bool
) -> Iterator[pd.DataFrame]:
    """Blocks of all cells as data frames with the same columns and types; the first one is empty."""
    types = _factor_types(cells)
    yield _block_frame(cells[0], Block.empty(), types, metrics, seconds=seconds)
    for cell in cells:
        for block in blocks(cell):
            yield _block_frame(cell, block, types, metrics, seconds=seconds)
