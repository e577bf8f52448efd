"""Rows: one as it goes into a store; as they come out, counted per cell and decoded into arrays many at a time."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulations.design import Cell

__all__ = ["Block", "CellStatus", "Chunk", "Origin", "Row", "agrees", "checksum", "decoded"]


@dataclass(frozen=True, slots=True)
class Row:
    """One replication of one cell, as it goes into the store."""

    cell: str
    replication: int
    metrics: dict[str, float] | None  # None: failed
    error: str | None  # traceback when failed
    seconds: float  # own time of the method plus its share of drawing the instance; not part of the results


@dataclass(frozen=True)
class Origin:
    """What made a row; see :mod:`simulations.storage.provenance`."""

    hash: str  # of the record
    version: str  # of code, packages and machine: rows of two versions need not agree
    record: str  # JSON


def checksum(cell: str, replication: int, content: bytes, names: str = "", seconds: float | None = None) -> int:
    """CRC-32 of a row: the cell it belongs to, its number, its metrics or its error, their names and its time.

    Without ``seconds`` as earlier programs had it: cell, number and content alone.

    Parameters
    ----------
    cell : str
        Hash.
    replication : int
    content : bytes
        Metrics or error, as stored.
    names : str
        Metric names.
    seconds : float, optional
        Time that the row took.
    """
    crc = zlib.crc32(content, zlib.crc32(f"{cell} {replication} ".encode()))
    return crc if seconds is None else zlib.crc32(struct.pack("<d", seconds), zlib.crc32(names.encode(), crc))


def agrees(
    cell: str, replication: int, content: str | bytes | None, names: str | None, seconds: float, crc: int
) -> bool:
    """Whether a row is as it was written, by this program or by an earlier one.

    A damaged row passes with probability 2⁻³¹.

    Parameters
    ----------
    cell : str
        Hash.
    replication : int
    content : str, bytes or None
        Metrics or error, as stored.
    names : str or None
        Metric names.
    seconds : float
        Time that the row took.
    crc : int
        The checksum stored with it.
    """
    raw = content.encode() if isinstance(content, str) else content or b""
    return crc in (
        checksum(cell, replication, raw, names or "", seconds),
        checksum(cell, replication, raw),
    )


@dataclass(frozen=True)
class CellStatus:
    """How far one cell is."""

    cell: Cell
    ok: int
    failed: int
    missing: int
    seconds: float  # total time of the rows there


@dataclass(frozen=True, eq=False)
class Chunk:
    """Consecutive successful rows of one cell with the same metric names."""

    replications: NDArray[np.int64]  # (n,)
    names: tuple[str, ...]  # m metric names, sorted
    values: NDArray[np.float64]  # (n, m)


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive rows of one cell, failed ones too."""

    replications: NDArray[np.int64]  # (n,)
    status: list[str]
    errors: list[str | None]
    seconds: NDArray[np.float64]  # (n,)
    chunks: list[Chunk]  # the successful ones

    @classmethod
    def empty(cls) -> Block:
        """No rows."""
        return cls(np.zeros(0, dtype=np.int64), [], [], np.zeros(0), [])


def decoded(rows: Sequence[tuple[Any, ...]], names: dict[int, tuple[str, ...]]) -> Iterator[Chunk]:
    """Decode (replication, signature, metrics, ...) tuples, one chunk per run of equal signatures."""
    start = 0
    for stop in range(1, len(rows) + 1):
        if stop == len(rows) or rows[stop][1] != rows[start][1]:
            run, metric_names = rows[start:stop], names[rows[start][1]]
            replications = np.fromiter((row[0] for row in run), dtype=np.int64, count=len(run))
            values = np.frombuffer(b"".join([row[2] for row in run]), dtype="<f8")
            yield Chunk(replications, metric_names, values.reshape(len(run), len(metric_names)))
            start = stop
