"""Reading of paths: .npz, one long .csv, a folder with a .csv per client, or standard input."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import Any

from clair_stats.estimates import ClientEstimates
from clair_stats.quarantine import without_unusable
from clair_stats.readers.npz import Build, read_npz
from clair_stats.readers.tables import read_folder, read_long_table

__all__ = ["STANDARD_INPUT", "read_estimates", "read_usable"]

STANDARD_INPUT = "-"
# An .npz is a zip file; nothing else that is read here begins with these bytes.
_ZIP = b"PK"


def read_usable(path: Path | str) -> tuple[ClientEstimates, dict[str, str]]:
    """As :func:`read_estimates`, but clients that cannot be used are left out, each with the reason.

    Parameters
    ----------
    path : path

    Returns
    -------
    ClientEstimates
        Of the other clients.
    dict of str to str
        Client name → why it was left out.

    Raises
    ------
    ValueError
        As :func:`read_estimates`, for what is wrong with the whole file, or no usable client.
    """
    reasons: dict[str, str] = {}

    def build(values: Any, **fields: Any) -> ClientEstimates:  # noqa: ANN401 - as ClientEstimates
        record, found = without_unusable(values, **fields)
        reasons.update(found)
        return record

    return _read(path, build, reasons), reasons


def read_estimates(path: Path | str) -> ClientEstimates:
    """Read client estimates from a file, a folder or standard input.

    Parameters
    ----------
    path : path
        An .npz with an array ``estimates`` (K × p × q) and further fields of
        :class:`~clair_stats.estimates.ClientEstimates`; a .csv with columns client, row, column, value; a folder with
        one .csv per client; "-" for an .npz or such a .csv on standard input.

    Returns
    -------
    ClientEstimates

    Raises
    ------
    ValueError
        Missing, truncated or of another kind, or with content that is refused; the message begins with the name.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from clair_stats import read_estimates
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "clients.npz"
    ...     np.savez(file, estimates=np.ones((3, 4, 2)), client_names=["a", "b", "c"])
    ...     read_estimates(file).names
    ('a', 'b', 'c')
    """
    return _read(path, ClientEstimates, None)


def _read(path: Path | str, build: Build, aside: dict[str, str] | None) -> ClientEstimates:
    """Read and make a record by ``build``; clients that cannot be read at all go to ``aside`` where it is given."""
    if str(path) == STANDARD_INPUT:
        content = sys.stdin.buffer.read()
        if content.startswith(_ZIP):
            return read_npz(BytesIO(content), "standard input", build)
        return read_long_table(BytesIO(content), "standard input", build, aside)
    path = Path(path)
    if path.is_dir():
        return read_folder(path, build, aside)
    if not path.exists():
        raise ValueError(
            f"{path}: no such file; give an .npz file with an array 'estimates' (K × p × q), a .csv file with columns "
            "client, row, column, value, or a folder with one .csv per client"
        )
    if not path.is_file():
        raise ValueError(f"{path}: not a regular file; give a file or a folder")
    with path.open("rb") as stream:
        is_zip = stream.read(len(_ZIP)) == _ZIP
    if path.suffix.lower() == ".csv" and not is_zip:
        return read_long_table(path, str(path), build, aside)
    return read_npz(path, str(path), build)
