"""Reading of paths: .npz, one long .csv, a folder with a .csv per client, or standard input."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

from clair_stats.estimates import ClientEstimates
from clair_stats.readers.npz import read_npz
from clair_stats.readers.tables import read_folder, read_long_table

__all__ = ["STANDARD_INPUT", "read_estimates"]

STANDARD_INPUT = "-"
# An .npz is a zip file; nothing else that is read here begins with these bytes.
_ZIP = b"PK"


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
    if str(path) == STANDARD_INPUT:
        content = sys.stdin.buffer.read()
        reader = read_npz if content.startswith(_ZIP) else read_long_table
        return reader(BytesIO(content), "standard input")
    path = Path(path)
    if path.is_dir():
        return read_folder(path)
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
        return read_long_table(path, str(path))
    return read_npz(path, str(path))
