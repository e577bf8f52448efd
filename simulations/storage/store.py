"""The store: one SQLite file in WAL mode, rows keyed by configuration hash and replication.

Metrics are kept as packed little-endian doubles beside one shared list of names (``signatures``): bit-exact, NaN
included (SQLite columns turn NaN into NULL), and a million rows decode in a second.  ``simulations.storage.export``
writes csv or parquet for other programs.

A store belongs to one study name and one root seed.  Cells may be added, replications may be added; rows of cells that
the study no longer has stay and are ignored.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simulations.design import Cell, Study, canonical_json, describe
from simulations.storage.database import REPAIR, Database, StoreError
from simulations.storage.frames import frames
from simulations.storage.rows import Block, CellStatus, Chunk, Origin, Row, agrees, checksum, decoded

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Store", "StoreError", "load_rows"]

# A row that is there is never drawn again; only a failed one gives way, and only to what a requested retry wrote.
_INSERT = """
INSERT INTO rows (cell, replication, status, signature, metrics, error, seconds, provenance, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (cell, replication) DO UPDATE SET status = excluded.status, signature = excluded.signature,
    metrics = excluded.metrics, error = excluded.error, seconds = excluded.seconds, provenance = excluded.provenance,
    checksum = excluded.checksum
WHERE rows.status = 'failed'
"""

_CHECKED = "replication, signature, metrics, status, error, seconds, checksum"


def _names(texts: dict[int, str]) -> dict[int, tuple[str, ...]]:
    return {number: tuple(json.loads(text)) for number, text in texts.items()}


class Store(Database):
    """Rows of one study in one SQLite file.

    Parameters
    ----------
    path : path-like
        The file; its folder is made when missing.
    study : Study
        Its name and root seed must be the store's.
    mode : {"append", "read"}
        ``"append"`` makes the file when it is not there and takes the writer's lock; ``"read"`` never writes rows.

    Raises
    ------
    StoreError
        A missing, foreign, damaged or unwritable file, another schema version, another study or root seed, or a second
        writer.
    """

    def __init__(self, path: str | os.PathLike[str], study: Study, *, mode: str = "read") -> None:
        self.study = study
        self._signatures: dict[tuple[str, ...], int] = {}
        self.origins: dict[str, Origin] = {}  # cell hash -> what makes the rows that are appended
        self._origin_ids: dict[str, int] = {}
        super().__init__(path, study.name, study.root_seed, mode=mode)
        try:
            with self.reading():
                self._ids = self._cell_ids(mode)
        except BaseException:
            self.close()
            raise

    def _cell_ids(self, mode: str) -> dict[str, int]:
        execute = self.connection.execute
        known = dict(execute("SELECT hash, id FROM cells"))
        new = [cell for cell in self.study.cells if cell.hash not in known]
        if new and mode == "append":
            with self.transaction():
                self.connection.executemany(
                    "INSERT INTO cells (hash, regime_hash, regime, method) VALUES (?, ?, ?, ?)",
                    [
                        (c.hash, c.regime_hash, canonical_json(describe(c.regime)), canonical_json(describe(c.method)))
                        for c in new
                    ],
                )
            known = dict(execute("SELECT hash, id FROM cells"))
        return known

    def _signature(self, names: tuple[str, ...]) -> int:
        if names not in self._signatures:
            text = json.dumps(names, ensure_ascii=False)
            self.connection.execute("INSERT OR IGNORE INTO signatures (names) VALUES (?)", (text,))
            (number,) = self.connection.execute("SELECT id FROM signatures WHERE names = ?", (text,)).fetchone()
            self._signatures[names] = number
        return self._signatures[names]

    def _origin(self, cell: str) -> int | None:
        """Number of what makes the rows of a cell; None where nobody has said it."""
        origin = self.origins.get(cell)
        if origin is None:
            return None
        if origin.hash not in self._origin_ids:
            self.connection.execute(
                "INSERT OR IGNORE INTO provenance (hash, version, record) VALUES (?, ?, ?)",
                (origin.hash, origin.version, origin.record),
            )
            (number,) = self.connection.execute("SELECT id FROM provenance WHERE hash = ?", (origin.hash,)).fetchone()
            self._origin_ids[origin.hash] = number
        return self._origin_ids[origin.hash]

    def append(self, rows: Iterable[Row]) -> None:
        """Write rows in one transaction, all of them or none, each with its origin (:attr:`origins`)."""
        try:
            with self.errors(), self.transaction():
                self.connection.executemany(_INSERT, [self._record(row) for row in rows])
        except BaseException:
            # A rolled-back transaction took new signatures and origins with it.
            self._signatures.clear()
            self._origin_ids.clear()
            raise

    def _record(self, row: Row) -> tuple[int | str | bytes | float | None, ...]:
        cell, origin = self._ids[row.cell], self._origin(row.cell)
        if row.metrics is None:
            crc = checksum(row.cell, row.replication, (row.error or "").encode(), seconds=row.seconds)
            return cell, row.replication, "failed", None, None, row.error, row.seconds, origin, crc
        blob = np.array(list(row.metrics.values()), dtype="<f8").tobytes()
        crc = checksum(row.cell, row.replication, blob, json.dumps(list(row.metrics), ensure_ascii=False), row.seconds)
        signature = self._signature(tuple(row.metrics))
        return cell, row.replication, "ok", signature, blob, None, row.seconds, origin, crc

    def provenance(self) -> list[tuple[str, int]]:
        """(JSON record, rows of the study that it made) of all environments that wrote rows, by their first use."""
        counts: dict[int, int] = {}
        with self.reading():
            for cell in self.study.cells:
                for origin, count in self._by_origin(cell):
                    counts[origin] = counts.get(origin, 0) + count
            records = self.connection.execute("SELECT id, record FROM provenance ORDER BY id").fetchall()
        return [(text, counts.get(number, 0)) for number, text in records]

    def _by_origin(self, cell: Cell) -> list[tuple[int, int]]:
        return self.connection.execute(
            "SELECT provenance, COUNT(*) FROM rows WHERE cell = ? AND replication < ? AND provenance IS NOT NULL"
            " GROUP BY provenance",
            (self._ids.get(cell.hash, -1), self.study.replications),
        ).fetchall()

    def versions(self, cell: Cell) -> dict[str | None, int]:
        """Version -> rows of a cell that it made; None: not known."""
        with self.reading():
            return dict(
                self.connection.execute(
                    "SELECT version, COUNT(*) FROM rows LEFT JOIN provenance ON rows.provenance = provenance.id"
                    " WHERE cell = ? AND replication < ? GROUP BY version",
                    (self._ids.get(cell.hash, -1), self.study.replications),
                )
            )

    def damaged_row(self) -> tuple[str, int] | None:
        """(cell hash, replication) of a row of the study that does not agree with its checksum, or None."""
        with self.reading():
            texts = self._signature_texts()
            for cell in self.study.cells:
                for row in self._select(cell, _CHECKED):
                    if not self._whole(cell, row, texts):
                        return cell.hash, row[0]
        return None

    def _whole(self, cell: Cell, row: tuple[Any, ...], texts: dict[int, str]) -> bool:
        """Whether a row (replication, signature, metrics, status, error, seconds, checksum) is as it was written.

        Rows of the first schema have no checksum; of them only the shape is known.
        """
        replication, signature, metrics, status, error, seconds, crc = row
        # SQLite keeps a type beside each value, and one flipped bit there turns NULL into 0 or text into bytes.
        shape = ("failed", NoneType, NoneType, str) if metrics is None else ("ok", int, bytes, NoneType)
        if (status, type(signature), type(metrics), type(error)) != shape or type(seconds) is not float:
            return False
        text = None if signature is None else texts.get(signature)
        if metrics is not None and (text is None or len(metrics) != 8 * len(json.loads(text))):
            return False
        content = error if metrics is None else metrics
        return crc is None or agrees(cell.hash, replication, content, text, seconds, crc)

    def _checked(self, cell: Cell, rows: list[tuple[Any, ...]], texts: dict[int, str]) -> list[tuple[Any, ...]]:
        """The rows, each compared with its checksum."""
        for row in rows:
            if not self._whole(cell, row, texts):
                where = f"replication {row[0]} of cell {cell.hash[:12]}"
                raise StoreError(f"{self.path}: {where} does not agree with its checksum; {REPAIR}")
        return rows

    def integrity(self) -> str:
        """``"ok"``, or what is damaged: pages as SQLite sees them, and rows against their checksums."""
        found = super().integrity()
        row = self.damaged_row() if found == "ok" else None
        return found if row is None else f"row {row[1]} of cell {row[0][:12]} does not agree with its checksum"

    def missing(self, *, retry_failed: bool = False) -> dict[str, NDArray[np.int64]]:
        """Replications of each cell (by hash) that have no row yet, without loading any data.

        Parameters
        ----------
        retry_failed : bool
            Failed rows count as missing.

        Returns
        -------
        dict of str to int ndarray, shape (number missing,)
            Increasing; by hash of the cell.
        """
        wanted = " AND status = 'ok'" if retry_failed else ""
        gaps: dict[str, NDArray[np.int64]] = {}
        with self.reading():
            for cell in self.study.cells:
                absent = np.ones(self.study.replications, dtype=np.bool_)
                cursor = self.connection.execute(
                    f"SELECT replication FROM rows WHERE cell = ? AND replication < ?{wanted}",
                    (self._ids.get(cell.hash, -1), self.study.replications),
                )
                while block := cursor.fetchmany(100_000):
                    absent[np.array(block, dtype=np.int64).ravel()] = False
                gaps[cell.hash] = np.flatnonzero(absent)
        return gaps

    def status(self) -> list[CellStatus]:
        """Counts of every cell of the study, in the study's order."""
        with self.reading():
            counts = {
                (cell, status): (count, seconds)
                for cell, status, count, seconds in self.connection.execute(
                    "SELECT cell, status, COUNT(*), SUM(seconds) FROM rows WHERE replication < ? GROUP BY cell, status",
                    (self.study.replications,),
                )
            }
        result = []
        for cell in self.study.cells:
            number = self._ids.get(cell.hash, -1)
            ok, ok_seconds = counts.get((number, "ok"), (0, 0.0))
            failed, failed_seconds = counts.get((number, "failed"), (0, 0.0))
            missing = self.study.replications - ok - failed
            result.append(CellStatus(cell, ok, failed, missing, ok_seconds + failed_seconds))
        return result

    def failures(self) -> Iterator[tuple[str, int, str]]:
        """(cell hash, replication, traceback) of the failed rows, in the study's order."""
        with self.reading():
            for cell in self.study.cells:
                for replication, error in self.connection.execute(
                    "SELECT replication, error FROM rows WHERE cell = ? AND replication < ? AND status = 'failed'"
                    " ORDER BY replication",
                    (self._ids.get(cell.hash, -1), self.study.replications),
                ):
                    yield cell.hash, replication, error

    def signatures(self, cell: Cell) -> list[tuple[str, ...]]:
        """The lists of metric names that occur among the rows of a cell."""
        with self.reading():
            found = self.connection.execute(
                "SELECT names FROM signatures WHERE id IN"
                " (SELECT DISTINCT signature FROM rows WHERE cell = ? AND replication < ?) ORDER BY names",
                (self._ids.get(cell.hash, -1), self.study.replications),
            )
            return [tuple(json.loads(names)) for (names,) in found]

    def blocks(self, cell: Cell, *, size: int = 50_000) -> Iterator[Block]:
        """All rows of one cell, failed ones too, in the order of replications, at most ``size`` at a time.

        Raises
        ------
        StoreError
            A row that does not agree with its checksum, by cell and replication.
        """
        with self.reading():
            texts = self._signature_texts()
            names = _names(texts)
            cursor = self._select(cell, _CHECKED)
            while rows := cursor.fetchmany(size):
                self._checked(cell, rows, texts)
                yield Block(
                    replications=np.fromiter((row[0] for row in rows), dtype=np.int64, count=len(rows)),
                    status=[row[3] for row in rows],
                    errors=[row[4] for row in rows],
                    seconds=np.fromiter((row[5] for row in rows), dtype=np.float64, count=len(rows)),
                    chunks=list(decoded([row for row in rows if row[1] is not None], names)),
                )

    def chunks(self, cell: Cell, *, size: int = 50_000) -> Iterator[Chunk]:
        """Successful rows of one cell in the order of replications, at most ``size`` at a time; checked as blocks."""
        with self.reading():
            texts = self._signature_texts()
            names = _names(texts)
            cursor = self._select(cell, _CHECKED)
            while rows := cursor.fetchmany(size):
                # Failed rows are left out after the check: a row whose status is damaged is an error, not a failure.
                yield from decoded([row for row in self._checked(cell, rows, texts) if row[3] == "ok"], names)

    def _signature_texts(self) -> dict[int, str]:
        return dict(self.connection.execute("SELECT id, names FROM signatures"))

    def _select(self, cell: Cell, columns: str) -> sqlite3.Cursor:
        """Rows of one cell among the study's replications, in their order."""
        return self.connection.execute(
            f"SELECT {columns} FROM rows WHERE cell = ? AND replication < ? ORDER BY replication",
            (self._ids.get(cell.hash, -1), self.study.replications),
        )

    def row(self, cell: Cell, replication: int) -> Row | None:
        """One row as it was written, or None; checked as blocks."""
        with self.reading():
            texts = self._signature_texts()
            found = self.connection.execute(
                f"SELECT {_CHECKED} FROM rows WHERE cell = ? AND replication = ?",
                (self._ids.get(cell.hash, -1), replication),
            ).fetchone()
            if found is None:
                return None
            _, signature, blob, _, error, seconds, _ = self._checked(cell, [found], texts)[0]
            metrics = None
            if blob is not None:
                names = json.loads(texts[signature])
                metrics = dict(zip(names, np.frombuffer(blob, dtype="<f8").tolist(), strict=True))
            return Row(cell.hash, replication, metrics, error, seconds)

    def origin_id(self, cell: Cell, replication: int) -> int | None:
        """Number of what made a row; None where it is not known."""
        with self.reading():
            found = self.connection.execute(
                "SELECT provenance FROM rows WHERE cell = ? AND replication = ?",
                (self._ids.get(cell.hash, -1), replication),
            ).fetchone()
            return None if found is None else found[0]

    def metric_names(self) -> list[str]:
        """Every metric of the study's rows, sorted."""
        return sorted({name for cell in self.study.cells for names in self.signatures(cell) for name in names})

    def frames(self, *, seconds: bool = False) -> Iterator[pd.DataFrame]:
        """All rows as data frames, block by block, with the same columns and types; the first one is empty."""
        return frames(self.study.cells, self.metric_names(), self.blocks, seconds=seconds)


def load_rows(store_path: str | os.PathLike[str], study: Study, *, seconds: bool = False) -> pd.DataFrame:
    """All rows of a study, one line per cell and replication, in the study's order.

    Returns
    -------
    DataFrame
        Columns ``cell`` (hash), ``replication``, ``status`` (``"ok"`` or ``"failed"``), ``error`` (traceback or None),
        ``regime`` (name), ``regime.<field>``, ``method`` (name), ``method.<field>``, then one column per metric in
        alphabetical order (NaN where failed or undefined).  With ``seconds`` also ``seconds``, which is a measurement
        and therefore differs between runs; everything else is identical for any workers and order.

    Raises
    ------
    StoreError
        See :class:`Store`.
    """
    import pandas as pd

    with Store(store_path, study) as store:
        parts = list(store.frames(seconds=seconds))
    return pd.concat(parts[1:], ignore_index=True) if len(parts) > 1 else parts[0]
