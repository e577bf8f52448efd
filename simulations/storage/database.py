"""The file under a store: SQLite in WAL mode, one writer, a schema that names study and root seed.

WAL needs a local disk: on a cluster without one, let each job write its own shard and merge
(:mod:`simulations.storage.shards`).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["REPAIR", "SCHEMA_VERSION", "Database", "OtherConfigurationError", "StoreError"]

SCHEMA_VERSION = 2
_APPLICATION_ID = 0x434C5331  # "CLS1"
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE provenance (
    id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, version TEXT, record TEXT NOT NULL);
CREATE TABLE cells (
    id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, regime_hash TEXT NOT NULL, regime TEXT NOT NULL,
    method TEXT NOT NULL);
CREATE TABLE signatures (id INTEGER PRIMARY KEY, names TEXT NOT NULL UNIQUE);
CREATE TABLE rows (
    cell INTEGER NOT NULL REFERENCES cells (id), replication INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('ok', 'failed')),
    signature INTEGER REFERENCES signatures (id), metrics BLOB, error TEXT, seconds REAL NOT NULL,
    provenance INTEGER REFERENCES provenance (id), checksum INTEGER,
    PRIMARY KEY (cell, replication)) WITHOUT ROWID;
"""

# From schema 1: what made the rows that are there is not known.
_MIGRATION = """
CREATE TABLE known (id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, version TEXT, record TEXT NOT NULL);
INSERT INTO known (hash, record) SELECT hash, record FROM provenance ORDER BY rowid;
DROP TABLE provenance;
ALTER TABLE known RENAME TO provenance;
ALTER TABLE rows ADD COLUMN provenance INTEGER REFERENCES provenance (id);
ALTER TABLE rows ADD COLUMN checksum INTEGER;
"""


REPAIR = "restore it from a copy, or save the whole rows with `python -m simulations repair`"


class StoreError(Exception):
    """The store cannot be used; the message says which file, why and what to do."""


class OtherConfigurationError(StoreError):
    """The store holds the rows of another study or root seed."""


def _message(path: Path, error: BaseException) -> str:
    text = str(error)
    if "full" in text or "disk I/O" in text:
        return f"{path}: {text}; free some space and run again, the committed rows are safe"
    if "readonly" in text or "unable to open" in text:
        return f"{path}: {text}; the folder must exist and be writable, or give another path with --store"
    if "locked" in text:
        return f"{path}: {text}; another program is writing to it, wait for it or give another --store"
    if "not a database" in text or "malformed" in text:
        return f"{path}: {text}; {REPAIR}, or move it away and run again"
    return f"{path}: {text}"


class Database:
    """One SQLite file of one study name and one root seed; see :class:`simulations.storage.store.Store`."""

    def __init__(self, path: str | os.PathLike[str], study: str, root_seed: int, *, mode: str) -> None:
        self.path = Path(path)
        self._identity = {"study": study, "root_seed": str(root_seed)}
        self._lock: Any = None
        self.migrated = False  # from an earlier schema, in memory where it was opened for reading
        if mode not in ("read", "append"):
            raise ValueError(f"mode is {mode!r}; give 'read' or 'append'")
        with self.errors():
            if mode == "append":
                self._take_lock()
            elif not self.path.is_file():
                raise StoreError(f"{self.path}: no such store; run `python -m simulations run {study}` first")
            self.connection = self._connect()
        try:
            with self.errors():
                self._check_or_create(mode)
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
        """Turn what SQLite and the system say into a StoreError with a remedy.

        Raises
        ------
        StoreError
        """
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(_message(self.path, error)) from error
        except UnicodeDecodeError as error:  # a damaged schema: SQLite quotes it in its message
            raise StoreError(f"{self.path}: damaged ({error}); {REPAIR}, or move it away and run again") from error

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """As :meth:`errors`; what a damaged row or name breaks in its reader is a StoreError as well.

        Raises
        ------
        StoreError
        """
        try:
            with self.errors():
                yield
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
            raise StoreError(f"{self.path}: damaged ({type(error).__name__}: {error}); {REPAIR}") from error

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
                self.connection.executemany("INSERT INTO meta VALUES (?, ?)", self._identity.items())
            return
        if execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
            raise StoreError(f"{self.path}: not a store of this program; give another path with --store")
        version = execute("PRAGMA user_version").fetchone()[0]
        if version == 1:
            version = self._migrated(mode)
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"{self.path}: store schema {version}, this program reads schema {SCHEMA_VERSION}; "
                "use the program that wrote it, or give another path with --store"
            )
        meta = dict(self.connection.execute("SELECT key, value FROM meta"))  # a migrated store has another connection
        for key, wanted in self._identity.items():
            if meta.get(key) != wanted:
                raise OtherConfigurationError(
                    f"{self.path}: a store of another configuration ({key} {meta.get(key)}, not {wanted}); "
                    "give another path with --store"
                )

    def _migrated(self, mode: str) -> int:
        """Bring a store of schema 1 up to date; a reader does so on a copy in memory and leaves the file alone."""
        if mode == "read":
            copy = sqlite3.connect(":memory:", isolation_level=None)
            self.connection.backup(copy)
            self.connection.close()
            self.connection = copy
        with self.transaction():
            for statement in _MIGRATION.split(";")[:-1]:
                self.connection.execute(statement)
            self.connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self.migrated = True
        return SCHEMA_VERSION

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

    def __enter__(self) -> Self:
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

    def integrity(self) -> str:
        """``"ok"``, or what SQLite finds damaged."""
        with self.errors():
            return str(self.connection.execute("PRAGMA quick_check(1)").fetchone()[0])
