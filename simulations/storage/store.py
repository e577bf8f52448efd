"""The store: one SQLite file in WAL mode, rows keyed by configuration hash and replication.

Metrics are kept as packed little-endian doubles beside one shared list of names (``signatures``): bit-exact, NaN
included (SQLite columns turn NaN into NULL), and a million rows decode in a second.  ``simulations.storage.export``
writes csv or parquet for other programs.

A store belongs to one study name and one root seed.  Cells may be added, replications may be added; rows of cells that
the study no longer has stay and are ignored.  WAL needs a local disk: on a cluster without one, let each job write its
own shard and merge (``simulations.storage.export.merge``).
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simulations.design import Cell, Study, canonical_json, describe
from simulations.engine.replicate import Row
from simulations.storage.rows import Block, CellStatus, Chunk, decoded

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SCHEMA_VERSION", "Store", "StoreError", "load_rows"]

SCHEMA_VERSION = 1
_APPLICATION_ID = 0x434C5331  # "CLS1"
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE provenance (hash TEXT PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE cells (
    id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, regime_hash TEXT NOT NULL, regime TEXT NOT NULL,
    method TEXT NOT NULL);
CREATE TABLE signatures (id INTEGER PRIMARY KEY, names TEXT NOT NULL UNIQUE);
CREATE TABLE rows (
    cell INTEGER NOT NULL REFERENCES cells (id), replication INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('ok', 'failed')),
    signature INTEGER REFERENCES signatures (id), metrics BLOB, error TEXT, seconds REAL NOT NULL,
    PRIMARY KEY (cell, replication)) WITHOUT ROWID;
"""
# A row that is there is never drawn again; only a failed one gives way, and only to what a requested retry wrote.
_INSERT = """
INSERT INTO rows (cell, replication, status, signature, metrics, error, seconds) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (cell, replication) DO UPDATE SET status = excluded.status, signature = excluded.signature,
    metrics = excluded.metrics, error = excluded.error, seconds = excluded.seconds
WHERE rows.status = 'failed'
"""


class StoreError(Exception):
    """The store cannot be used; the message says which file, why and what to do."""


def _message(path: Path, error: BaseException) -> str:
    text = str(error)
    if "full" in text or "disk I/O" in text:
        return f"{path}: {text}; free some space and run again, the committed rows are safe"
    if "readonly" in text or "unable to open" in text:
        return f"{path}: {text}; the folder must exist and be writable, or give another path with --store"
    if "locked" in text:
        return f"{path}: {text}; another program is writing to it, wait for it or give another --store"
    if "not a database" in text or "malformed" in text:
        return f"{path}: {text}; restore it from a copy or move it away and run again"
    return f"{path}: {text}"


class Store:
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
        self.path = Path(path)
        self.study = study
        self._lock: Any = None
        self._signatures: dict[tuple[str, ...], int] = {}
        if mode not in ("read", "append"):
            raise ValueError(f"mode is {mode!r}; give 'read' or 'append'")
        with self.errors():
            if mode == "append":
                self._take_lock()
            elif not self.path.is_file():
                raise StoreError(f"{self.path}: no such store; run `python -m simulations run {study.name}` first")
            self.connection = self._connect()
        try:
            with self.errors():
                self._check_or_create(mode)
                self._ids = self._cell_ids(mode)
        except BaseException:
            self.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        address, uri = str(self.path), False
        if not os.access(self.path.parent, os.W_OK) and not Path(f"{self.path}-wal").exists():
            # Reading in WAL mode makes a file beside the store; where that is forbidden, nobody can be writing either.
            address, uri = f"{self.path.resolve().as_uri()}?mode=ro&immutable=1", True
        connection = sqlite3.connect(address, timeout=30.0, isolation_level=None, uri=uri)
        try:
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA schema_version").fetchone()  # the first read: is it a database at all?
        except BaseException:
            connection.close()
            raise
        return connection

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what SQLite and the system say into a StoreError with a remedy."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(_message(self.path, error)) from error

    def _take_lock(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Beside the database, never on it: closing any second descriptor of the file drops SQLite's own locks.
            self._lock = open(f"{self.path}.lock", "a")  # noqa: SIM115 - held until close()
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot write here ({error.strerror}); give a writable path with --store"
            ) from error
        try:
            import fcntl
        except ImportError:  # no advisory locks on this system: the rows are keyed, so two writers do double work only
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise StoreError(f"{self.path}: another run is writing to this store; wait for it to end") from None

    def _check_or_create(self, mode: str) -> None:
        execute = self.connection.execute
        tables = {name for (name,) in execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables and mode == "append":
            execute("PRAGMA journal_mode = WAL")
            with self.transaction():
                for statement in _SCHEMA.split(";")[:-1]:
                    execute(statement)
                execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                meta = {"study": self.study.name, "root_seed": str(self.study.root_seed)}
                self.connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            return
        if execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
            raise StoreError(f"{self.path}: not a store of this program; give another path with --store")
        version = execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"{self.path}: store schema {version}, this program reads schema {SCHEMA_VERSION}; "
                "use the program that wrote it, or give another path with --store"
            )
        meta = dict(execute("SELECT key, value FROM meta"))
        for key, wanted in (("study", self.study.name), ("root_seed", str(self.study.root_seed))):
            if meta.get(key) != wanted:
                raise StoreError(
                    f"{self.path}: a store of another configuration ({key} {meta.get(key)}, not {wanted}); "
                    "give another path with --store"
                )

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

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the body's statements or none of them."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            # On a full disk SQLite has rolled back already.
            with contextlib.suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the writer first folds the write-ahead log into it, so that one file can be copied."""
        if self._lock is not None:
            with contextlib.suppress(sqlite3.Error):
                self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.connection.close()
        if self._lock is not None:
            self._lock.close()

    def _signature(self, names: tuple[str, ...]) -> int:
        if names not in self._signatures:
            text = json.dumps(names, ensure_ascii=False)
            self.connection.execute("INSERT OR IGNORE INTO signatures (names) VALUES (?)", (text,))
            (number,) = self.connection.execute("SELECT id FROM signatures WHERE names = ?", (text,)).fetchone()
            self._signatures[names] = number
        return self._signatures[names]

    def append(self, rows: Iterable[Row]) -> None:
        """Write rows in one transaction: all of them or none."""
        try:
            with self.errors(), self.transaction():
                self.connection.executemany(_INSERT, [self._record(row) for row in rows])
        except BaseException:
            self._signatures.clear()  # a rolled-back transaction took new signatures with it
            raise

    def _record(self, row: Row) -> tuple[int, int, str, int | None, bytes | None, str | None, float]:
        cell = self._ids[row.cell]
        if row.metrics is None:
            return cell, row.replication, "failed", None, None, row.error, row.seconds
        blob = np.array(list(row.metrics.values()), dtype="<f8").tobytes()
        return cell, row.replication, "ok", self._signature(tuple(row.metrics)), blob, None, row.seconds

    def add_provenance(self, record_hash: str, record: str) -> None:
        """Remember the environment that wrote rows; the same environment is kept once."""
        with self.errors(), self.transaction():
            self.connection.execute("INSERT OR IGNORE INTO provenance VALUES (?, ?)", (record_hash, record))

    def provenance(self) -> list[str]:
        """JSON records of all environments that wrote rows, in the order of their first use."""
        with self.errors():
            return [text for (text,) in self.connection.execute("SELECT record FROM provenance ORDER BY rowid")]

    def missing(self, *, retry_failed: bool = False) -> dict[str, NDArray[np.int64]]:
        """Replications of each cell (by hash) that have no row yet, without loading any data."""
        wanted = " AND status = 'ok'" if retry_failed else ""
        gaps: dict[str, NDArray[np.int64]] = {}
        with self.errors():
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
        with self.errors():
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
        with self.errors():
            for cell in self.study.cells:
                for replication, error in self.connection.execute(
                    "SELECT replication, error FROM rows WHERE cell = ? AND replication < ? AND status = 'failed'"
                    " ORDER BY replication",
                    (self._ids.get(cell.hash, -1), self.study.replications),
                ):
                    yield cell.hash, replication, error

    def signatures(self, cell: Cell) -> list[tuple[str, ...]]:
        """The lists of metric names that occur among the rows of a cell."""
        with self.errors():
            found = self.connection.execute(
                "SELECT names FROM signatures WHERE id IN"
                " (SELECT DISTINCT signature FROM rows WHERE cell = ? AND replication < ?) ORDER BY names",
                (self._ids.get(cell.hash, -1), self.study.replications),
            )
            return [tuple(json.loads(names)) for (names,) in found]

    def blocks(self, cell: Cell, *, size: int = 50_000) -> Iterator[Block]:
        """All rows of one cell, failed ones too, in the order of replications, at most ``size`` at a time."""
        with self.errors():
            names = self._signature_names()
            cursor = self._select(cell, "replication, signature, metrics, status, error, seconds")
            while rows := cursor.fetchmany(size):
                yield Block(
                    replications=np.fromiter((row[0] for row in rows), dtype=np.int64, count=len(rows)),
                    status=[row[3] for row in rows],
                    errors=[row[4] for row in rows],
                    seconds=np.fromiter((row[5] for row in rows), dtype=np.float64, count=len(rows)),
                    chunks=list(decoded([row for row in rows if row[1] is not None], names)),
                )

    def chunks(self, cell: Cell, *, size: int = 50_000) -> Iterator[Chunk]:
        """Successful rows of one cell in the order of replications, at most ``size`` at a time."""
        with self.errors():
            names = self._signature_names()
            cursor = self._select(cell, "replication, signature, metrics", "AND status = 'ok'")
            while rows := cursor.fetchmany(size):
                yield from decoded(rows, names)

    def _signature_names(self) -> dict[int, tuple[str, ...]]:
        stored = self.connection.execute("SELECT id, names FROM signatures")
        return {number: tuple(json.loads(text)) for number, text in stored}

    def _select(self, cell: Cell, columns: str, condition: str = "") -> sqlite3.Cursor:
        """Rows of one cell among the study's replications, in their order."""
        return self.connection.execute(
            f"SELECT {columns} FROM rows WHERE cell = ? AND replication < ? {condition} ORDER BY replication",
            (self._ids.get(cell.hash, -1), self.study.replications),
        )

    def row(self, cell: Cell, replication: int) -> Row | None:
        """One row as it was written, or None."""
        with self.errors():
            found = self.connection.execute(
                "SELECT metrics, names, error, seconds FROM rows LEFT JOIN signatures ON signature = signatures.id"
                " WHERE cell = ? AND replication = ?",
                (self._ids.get(cell.hash, -1), replication),
            ).fetchone()
        if found is None:
            return None
        blob, names, error, seconds = found
        metrics = None
        if blob is not None:
            metrics = dict(zip(json.loads(names), np.frombuffer(blob, dtype="<f8").tolist(), strict=True))
        return Row(cell.hash, replication, metrics, error, seconds)

    def integrity(self) -> str:
        """``"ok"``, or what SQLite finds damaged."""
        with self.errors():
            return str(self.connection.execute("PRAGMA quick_check(1)").fetchone()[0])


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
    from simulations.storage.export import frame

    with Store(store_path, study) as store:
        return frame(store, seconds=seconds)
