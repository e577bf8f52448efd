"""Files are written completely or not at all; an output that cannot be written is refused before any work."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["check_output", "write_arrays", "written_whole"]


def check_output(path: Path, suffixes: tuple[str, ...], *, inputs: Iterable[Path] = ()) -> None:
    """Refuse an output that cannot be written, before any work is done.

    Parameters
    ----------
    path : Path
    suffixes : tuple of str
        Permitted suffixes in lower case, with their dot.
    inputs : iterable of Path, optional
        What was read; it is never overwritten.

    Raises
    ------
    ValueError
        Wrong suffix, missing or read-only folder, a folder in the file's place, or one of the inputs.
    """
    if any(given.exists() and path.exists() and path.samefile(given) for given in inputs):
        raise ValueError(f"{path}: is an input of this command and would be overwritten; give another name")
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{path}: unknown kind of output; end the name in {' or '.join(suffixes)}")
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; give a file name")
    folder = path.parent
    if not folder.is_dir():
        raise ValueError(f"{path}: folder {folder} does not exist; create it first")
    try:
        # A probe, because permission bits alone do not tell (root, read-only mounts, full disks).
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".clair-"):
            pass
    except OSError as error:
        raise ValueError(f"{path}: folder {folder} is not writable ({error.strerror}); choose another") from error


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; renamed into place at the end, removed when anything goes wrong.

    No half-written file can be mistaken for a result, and an old result survives a failed write.

    Parameters
    ----------
    path : Path
        Where the file is to stand; its folder must exist.

    Yields
    ------
    Path
        A temporary file in the same folder, with the same suffix.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    try:
        yield Path(name)
        # mkstemp makes private files; a result has the permissions any new file of the user would have.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write an .npz whole or not at all.

    Parameters
    ----------
    path : Path
        An .npz file.
    arrays : mapping of str to array_like
        Arrays by name.
    """
    with written_whole(path) as beside, beside.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
