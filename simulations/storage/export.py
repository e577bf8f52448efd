"""Rows for other programs: data frame, csv, parquet.

Exports are ordered by the study's cells and by replication and hold no measured times unless asked, so their bytes are
the same for any number of workers, any order of work and after any number of kills.  They are written block by block,
beside their destination, and renamed when whole.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clair_stats.files import written_whole
from simulations.design import Cell, Study, canonical_json, describe
from simulations.storage.rows import Block
from simulations.storage.store import Store, StoreError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["export", "factor_columns", "factors", "frame", "metric_names"]

FORMATS = (".csv", ".parquet")


def metric_names(store: Store) -> list[str]:
    """Every metric of the study's rows, sorted."""
    return sorted({name for cell in store.study.cells for names in store.signatures(cell) for name in names})


def _flat(description: dict[str, Any], prefix: str) -> dict[str, Any]:
    """``{"regime": name, "regime.field": value, ...}``; nested parts get dotted names, lists become JSON text."""
    flat: dict[str, Any] = {prefix: description["name"]} if "name" in description else {}
    for key, value in description.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}.{key}"))
        elif key != "name":
            flat[f"{prefix}.{key}"] = canonical_json(value) if isinstance(value, list) else value
    return flat


def factors(cell: Cell) -> dict[str, Any]:
    """Columns that describe a cell: ``regime``, ``regime.<field>``, ``method``, ``method.<field>``."""
    return {**_flat(describe(cell.regime), "regime"), **_flat(describe(cell.method), "method")}


def factor_columns(cells: Sequence[Cell]) -> list[str]:
    """Names of :func:`factors` over all cells; those of regimes before those of methods."""
    columns = dict.fromkeys(name for cell in cells for name in factors(cell))
    return sorted(columns, key=lambda name: name.split(".")[0] != "regime")


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


def _frames(store: Store, *, seconds: bool) -> Iterator[pd.DataFrame]:
    """Blocks of all cells, with the same columns and types; the first one is empty."""
    metrics, types = metric_names(store), _factor_types(store.study.cells)
    yield _block_frame(store.study.cells[0], Block.empty(), types, metrics, seconds=seconds)
    for cell in store.study.cells:
        for block in store.blocks(cell):
            yield _block_frame(cell, block, types, metrics, seconds=seconds)


def frame(store: Store, *, seconds: bool = False) -> pd.DataFrame:
    """All rows of the store's study as a data frame (:func:`simulations.storage.store.load_rows`)."""
    import pandas as pd

    parts = list(_frames(store, seconds=seconds))
    return pd.concat(parts[1:], ignore_index=True) if len(parts) > 1 else parts[0]


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A temporary file in the folder of ``path`` that replaces it when the body ends well."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as beside:
            yield beside
    except OSError as error:
        raise StoreError(
            f"{path}: cannot write here ({error.strerror or error}); nothing was written, give another --output"
        ) from error


def export(
    store_path: str | os.PathLike[str], study: Study, output: str | os.PathLike[str], *, seconds: bool = False
) -> int:
    """Write all rows of a study to a ``.csv`` or ``.parquet`` file; returns their number.

    Floats are written with their shortest exact representation.  In csv an undefined metric is an empty field.

    Raises
    ------
    ValueError
        Another ending.
    StoreError
        An unusable store, or an output that cannot be written.
    """
    path = Path(output)
    if path.suffix not in FORMATS:
        raise ValueError(f"{path}: unknown format {path.suffix!r}; give a name ending in {' or '.join(FORMATS)}")
    with Store(store_path, study) as store, _beside(path) as temporary:
        parts = _frames(store, seconds=seconds)
        return _write_csv(parts, temporary) if path.suffix == ".csv" else _write_parquet(parts, temporary)


def _write_csv(parts: Iterator[pd.DataFrame], path: Path) -> int:
    n_rows = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        for number, part in enumerate(parts):
            part.to_csv(file, index=False, header=number == 0, lineterminator="\n")
            n_rows += len(part)
    return n_rows


def _write_parquet(parts: Iterator[pd.DataFrame], path: Path) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ValueError("parquet needs pyarrow: pip install 'clair-stats[studies]', or export to .csv") from error

    empty = next(parts)
    kinds = {"object": pa.string(), "bool": pa.bool_(), "int64": pa.int64(), "float64": pa.float64()}
    schema = pa.schema([(name, kinds[str(kind).replace("str", "object")]) for name, kind in empty.dtypes.items()])
    n_rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in itertools.chain((empty,), parts):
            writer.write_table(
                pa.Table.from_pandas(part, schema=schema, preserve_index=False).replace_schema_metadata()
            )
            n_rows += len(part)
    return n_rows
