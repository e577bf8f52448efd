"""Client estimates in .npz files: read with every refusal explained, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from clair_stats.estimates import ClientEstimates

__all__ = ["check_output", "read_estimates", "write_arrays", "written_whole"]

_OPTIONAL = ("client_names", "noise_scales", "sample_sizes")


def read_estimates(path: Path) -> ClientEstimates:
    """Read array ``estimates`` (K, p, q) and the optional ``client_names``, ``noise_scales``, ``sample_sizes``.

    Raises
    ------
    ValueError
        The file is missing, truncated, not an .npz, lacks the array, or its content is refused by
        :class:`~clair_stats.estimates.ClientEstimates`; the message begins with the file's name.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file; give an .npz file with an array 'estimates' (K × p × q)")
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise ValueError(f"{path}: a single array; save it with np.savez(file, estimates=array)")
        with loaded as archive:
            if "estimates" not in archive.files:
                found = ", ".join(archive.files) or "nothing"
                raise ValueError(
                    f"{path}: holds {found} but no array 'estimates'; save it with np.savez(file, estimates=array)"
                )
            arrays = {name: archive[name] for name in ("estimates", *_OPTIONAL) if name in archive.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise ValueError(f"{path}: not a readable .npz file ({error}); it may be truncated, copy it again") from error
    except ValueError as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path}: not a readable .npz file ({error}); save plain arrays with np.savez") from error
    names = arrays.get("client_names")
    try:
        return ClientEstimates(
            values=arrays["estimates"],
            client_names=None if names is None else tuple(str(name) for name in np.atleast_1d(names)),
            noise_scales=arrays.get("noise_scales"),
            sample_sizes=arrays.get("sample_sizes"),
        )
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


def check_output(path: Path, suffixes: tuple[str, ...]) -> None:
    """Refuse an output that cannot be written, before any work is done.

    Raises
    ------
    ValueError
        Wrong suffix, missing or read-only folder, or a folder in the file's place.
    """
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
    """Write an .npz whole or not at all."""
    with written_whole(path) as beside, beside.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
