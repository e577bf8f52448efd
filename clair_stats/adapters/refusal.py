"""Why an adapter cannot be used; one client's refusal is a quarantine, never the end of the others."""

from __future__ import annotations

import stat
from pathlib import Path

__all__ = ["AdapterRefused", "size_of_regular_file"]


class AdapterRefused(ValueError):
    """One adapter is damaged, of a kind that cannot be averaged, or foreign; the message says what to do instead."""


def size_of_regular_file(path: Path, remedy: str) -> int:
    """Size in bytes of a file that a stranger sent; links lead elsewhere, pipes and devices never end.

    Parameters
    ----------
    path : path
    remedy : str
        What to do where there is no such file.

    Returns
    -------
    int

    Raises
    ------
    AdapterRefused
        No regular file of this name.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        raise AdapterRefused(f"{path.name} is missing; {remedy}") from None
    if stat.S_ISLNK(found.st_mode):
        raise AdapterRefused(f"{path.name} is a symbolic link; copy the file that it leads to into the folder")
    if not stat.S_ISREG(found.st_mode):
        raise AdapterRefused(f"{path.name} is no regular file; {remedy}")
    return found.st_size
