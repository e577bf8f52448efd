"""Client estimates in .csv files: one matrix per client in a folder, or one long table."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from clair_stats.estimates import ClientEstimates
from clair_stats.readers.npz import Build

__all__ = ["read_folder", "read_long_table"]

_LONG = ("client", "row", "column", "value")


def read_folder(folder: Path, build: Build = ClientEstimates, aside: dict[str, str] | None = None) -> ClientEstimates:
    """One client per .csv file in alphabetical order; the file's name is the client's.

    A first line or a first column that is not numeric holds labels; matrices are then aligned by them.

    Parameters
    ----------
    folder : path
    build : callable
        Makes the record of a mapping client → matrix.
    aside : dict of str to str, optional
        Where files go that cannot be read, with the reason; one of them is an error without it.

    Returns
    -------
    ClientEstimates

    Raises
    ------
    ValueError
        No .csv files, cells that are no numbers, or clients whose labels or shapes differ.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".csv" and path.is_file())
    if not files:
        raise ValueError(f"{folder}: no .csv file in this folder; give one per client, or an .npz file")
    matrices = {}
    for path in files:
        try:
            matrices[path.stem] = _matrix(path)
        except ValueError as error:
            if aside is None:
                raise ValueError(f"{folder}: {error}") from error
            aside[path.stem] = str(error)
    try:
        return build(values=matrices)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{folder}: {error}") from error


def _matrix(path: Path) -> pd.DataFrame | np.ndarray:
    """The numbers of one file, with labels where it has them."""
    try:
        cells = pd.read_csv(path, header=None, dtype=str, skipinitialspace=True, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path.name}: not a readable .csv file ({' '.join(str(error).split())}); save it in UTF-8"
        ) from error
    has_header = not _numeric(cells.iloc[0, 1:] if cells.shape[1] > 1 else cells.iloc[0])
    body = cells.iloc[1:] if has_header else cells
    has_index = body.shape[1] > 1 and body.shape[0] > 0 and not _numeric(body.iloc[:, 0])
    numbers = body.iloc[:, 1:] if has_index else body
    matrix = _numbers(numbers, path.name)
    if not (has_header or has_index):
        return matrix
    columns = cells.iloc[0, int(has_index) :] if has_header else pd.Series(range(numbers.shape[1]))
    index = body.iloc[:, 0] if has_index else pd.Series(range(len(numbers)))
    return pd.DataFrame(matrix, index=pd.Index(index), columns=pd.Index(columns))


def _numeric(cells: pd.Series[str]) -> bool:
    return bool(pd.to_numeric(cells, errors="coerce").notna().all() or (cells.str.lower() == "nan").any())


def _numbers(cells: pd.DataFrame, name: str) -> np.ndarray:
    numbers: np.ndarray = cells.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.isnan(numbers) & ~cells.apply(lambda column: column.str.lower() == "nan").to_numpy()
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(f"{name}: {cells.iloc[row, column]!r} in line {row + 1} of the numbers is no number; mend it")
    return numbers


def read_long_table(
    source: Path | IO[bytes], name: str, build: Build = ClientEstimates, aside: dict[str, str] | None = None
) -> ClientEstimates:
    """One line per entry: columns client, row, column, value; every client needs every entry.

    Parameters
    ----------
    source : path or binary stream
    name : str
        With which messages begin.
    build, aside
        As for :func:`read_folder`.

    Returns
    -------
    ClientEstimates
        Clients, rows and columns in the order of their first appearance.

    Raises
    ------
    ValueError
        Other columns, an entry that is missing, given twice or no number; the client is named.
    """
    try:
        table = pd.read_csv(source, dtype=str, skipinitialspace=True, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{name}: not a readable .csv file ({' '.join(str(error).split())}); save it in UTF-8"
        ) from error
    table.columns = [str(column).strip().lower() for column in table.columns]
    if sorted(table.columns) != sorted(_LONG):
        raise ValueError(
            f"{name}: columns {', '.join(table.columns)}; a long table has client, row, column, value (for one file "
            "per client give the folder)"
        )
    table["value"] = _numbers(table[["value"]], name)[:, 0]
    rows, columns = (list(dict.fromkeys(table[axis])) for axis in ("row", "column"))
    frames = {}
    for client, part in table.groupby("client", sort=False):
        try:
            frames[str(client)] = _pivoted(part, str(client), rows, columns, name)
        except ValueError as error:
            if aside is None:
                raise
            aside[str(client)] = str(error).removeprefix(f"{name}: {client} ")
    try:
        return build(values=frames)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: {error}") from error


def _pivoted(part: pd.DataFrame, client: str, rows: list[str], columns: list[str], name: str) -> pd.DataFrame:
    twice = part.duplicated(["row", "column"])
    if twice.any():
        entry = part[twice].iloc[0]
        raise ValueError(f"{name}: {client} has row {entry['row']}, column {entry['column']} twice; keep one")
    if len(part) < len(rows) * len(columns):
        there = set(zip(part["row"], part["column"], strict=True))
        row, column = next((r, c) for r in rows for c in columns if (r, c) not in there)
        raise ValueError(f"{name}: {client} has no row {row}, column {column}; every client needs every entry")
    return part.pivot(index="row", columns="column", values="value").reindex(index=rows, columns=columns)
