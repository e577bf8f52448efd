"""Rows for other programs: csv, parquet.

Exports are ordered by the study's cells and by replication and hold no measured times unless asked, so their bytes are
the same for any number of workers, any order of work and after any number of kills.  They are written block by block,
beside their destination, and renamed when whole.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from clair_stats.files import written_whole
from simulations.design import Study
from simulations.storage.store import Store, StoreError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["export"]

FORMATS = (".csv", ".parquet")


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
        parts = store.frames(seconds=seconds)
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
