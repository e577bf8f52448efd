"""Shards: separate stores of one study, written by jobs that share no disk, merged into one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from simulations.design import Study
from simulations.storage.database import REPAIR
from simulations.storage.store import Store, StoreError

__all__ = ["merge"]

# Tables that rows point to, with the columns that mean the same in every store.
_NAMED = (
    ("cells", "hash, regime_hash, regime, method"),
    ("signatures", "names"),
    ("provenance", "hash, version, record"),
)


def merge(
    target: str | os.PathLike[str],
    study: Study,
    shards: Sequence[str | os.PathLike[str]],
    *,
    accept_mixed: bool = False,
) -> int:
    """Bring the rows of several stores of one study into ``target``; returns the number of new rows.

    Each shard is merged in one transaction, and merging again changes nothing.  A row that two stores have must be the
    same in both; then the first is kept.

    Parameters
    ----------
    target, study, shards
    accept_mixed : bool
        Whether a cell may get rows of several versions (:mod:`simulations.storage.provenance`).

    Raises
    ------
    StoreError
        A shard that is missing, of another study, seed or schema, that contradicts the target, or whose rows another
        version made.
    """
    if not shards:
        raise ValueError("merge: give at least one shard")
    for shard in shards:
        if Path(shard).resolve() == Path(target).resolve():
            raise ValueError(f"{shard}: the target is also a shard; give another --store")
        with Store(shard, study) as opened:
            damage = opened.integrity()
            if damage != "ok":
                raise StoreError(f"{shard}: damaged ({damage}); {REPAIR}")
            if opened.migrated:
                raise StoreError(
                    f"{shard}: written by an earlier program; run the study on it once, which brings it up to date"
                )
    with Store(target, study, mode="append") as store:
        return sum(_absorb(store, shard, accept_mixed=accept_mixed) for shard in shards)


def _absorb(store: Store, shard: str | os.PathLike[str], *, accept_mixed: bool) -> int:
    """Take over the rows of another store of the same study; returns how many were new."""
    with store.errors():
        store.connection.execute("ATTACH ? AS shard", (os.fspath(shard),))
        try:
            with store.transaction():
                new = _absorb_attached(store, Path(shard))
                if not accept_mixed:
                    _refuse_mixture(store, Path(shard))
                return new
        finally:
            store.connection.execute("DETACH shard")


def _absorb_attached(store: Store, shard: Path) -> int:
    execute = store.connection.execute
    for table, columns in _NAMED:
        execute(f"INSERT OR IGNORE INTO main.{table} ({columns}) SELECT {columns} FROM shard.{table}")
    execute("DROP TABLE IF EXISTS temp.incoming")
    # The shard's rows with the numbers that cells and signatures have here.
    execute(
        "CREATE TEMP TABLE incoming AS SELECT c.id AS cell, r.replication, r.status, s.id AS signature, r.metrics,"
        " r.error, r.seconds, p.id AS provenance, r.checksum FROM shard.rows r"
        " JOIN shard.cells sc ON sc.id = r.cell JOIN main.cells c ON c.hash = sc.hash"
        " LEFT JOIN shard.signatures ss ON ss.id = r.signature LEFT JOIN main.signatures s ON s.names = ss.names"
        " LEFT JOIN shard.provenance sp ON sp.id = r.provenance LEFT JOIN main.provenance p ON p.hash = sp.hash"
    )
    clash = execute(
        "SELECT c.hash, i.replication FROM incoming i JOIN main.rows r USING (cell, replication)"
        " JOIN main.cells c ON c.id = i.cell WHERE r.status IS NOT i.status OR r.signature IS NOT i.signature"
        " OR r.metrics IS NOT i.metrics LIMIT 1"
    ).fetchone()
    if clash is not None:
        raise StoreError(
            f"{shard}: replication {clash[1]} of cell {clash[0][:12]} differs from the one in {store.path}; "
            "they come from different code or machines, keep the stores apart or remove one"
        )
    new = execute("INSERT OR IGNORE INTO main.rows SELECT * FROM incoming").rowcount
    execute("DROP TABLE temp.incoming")
    return int(new)


def _refuse_mixture(store: Store, shard: Path) -> None:
    for cell in store.study.cells:
        versions = store.versions(cell)
        if len(versions) > 1:
            counts = ", ".join(str(count) for count in versions.values())
            raise StoreError(
                f"{shard}: with it the cell {cell.hash[:12]} would hold rows of {len(versions)} versions of sources, "
                f"packages or machine ({counts} rows); keep the stores apart, or add --accept-mixed"
            )
