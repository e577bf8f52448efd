"""Client estimates in .npz files, every refusal explained; nothing is allocated before its size is known."""

from __future__ import annotations

import difflib
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np

from clair_stats.estimates import ClientEstimates

__all__ = ["Build", "read_npz"]

Build: TypeAlias = Callable[..., ClientEstimates]

# Bytes that a file may unpack to; 7 MB of zeros, compressed, can ask for 1.5 GB.
LARGEST_CONTENT = 1 << 33
# A compressed member may grow by this factor at most; float arrays shrink by less than 20.
LARGEST_RATIO = 200
_ESTIMATES = "estimates"
_FIELDS = tuple(field.name for field in fields(ClientEstimates) if field.name not in ("values", "factors"))
# What NumPy and zipfile raise on bytes that are not theirs; old .npy headers are read by the tokeniser.
_BROKEN = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, NotImplementedError, KeyError,
    SyntaxError, struct.error, MemoryError, OverflowError, UnicodeDecodeError, TypeError, tokenize.TokenError,
)  # fmt: skip


def read_npz(source: Path | IO[bytes], name: str, build: Build = ClientEstimates) -> ClientEstimates:
    """Read ``estimates`` (K, p, q) and the optional fields of the record; no other array may be there.

    Parameters
    ----------
    source : path or binary stream
    name : str
        With which messages begin.
    build : callable
        Makes the record of the arrays.

    Returns
    -------
    ClientEstimates

    Raises
    ------
    ValueError
        Not a readable .npz, too large, a missing or an unknown array, or content that is refused.
    """
    arrays = _arrays(source, name)
    if _ESTIMATES not in arrays:
        found = ", ".join(key[:40] for key in list(arrays)[:8]) or "nothing"
        raise ValueError(
            f"{name}: holds {found} but no array 'estimates'; save it with np.savez(file, estimates=array)"
        )
    unknown = [key for key in arrays if key not in (_ESTIMATES, *_FIELDS)]
    if unknown:
        close = difflib.get_close_matches(unknown[0], (_ESTIMATES, *_FIELDS), n=1)
        meant = f"did you mean {close[0]!r}? " if close else ""
        raise ValueError(f"{name}: unknown array {unknown[0]!r}; {meant}known are {', '.join((_ESTIMATES, *_FIELDS))}")
    given: dict[str, Any] = {key: value for key, value in arrays.items() if key != _ESTIMATES}
    if "client_names" in given:
        given["client_names"] = tuple(str(client) for client in np.atleast_1d(given["client_names"]))
    try:
        return build(values=arrays[_ESTIMATES], **given)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: {error}") from error


def _arrays(source: Path | IO[bytes], name: str) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(source) as archive:
            _check_size(archive, name)
            return {_key(info): _array(archive, info) for info in archive.infolist()}
    except _Refused as refused:
        raise ValueError(str(refused)) from None
    except _BROKEN as error:
        if isinstance(error, ValueError) and "Object arrays" in str(error):
            what = "an array holds Python objects; save plain numbers, and names as an array of str"
        else:
            what = f"not a readable .npz file ({error}); it may be truncated, or save plain arrays with np.savez"
        raise ValueError(f"{name}: {what}") from error


class _Refused(Exception):
    """A file that is readable but not accepted."""


def _check_size(archive: zipfile.ZipFile, name: str) -> None:
    total = sum(info.file_size for info in archive.infolist())
    if total > LARGEST_CONTENT:
        raise _Refused(f"{name}: unpacks to {total} bytes, more than {LARGEST_CONTENT}; split the clients")
    for info in archive.infolist():
        if info.file_size > LARGEST_RATIO * max(info.compress_size, 1 << 16):
            raise _Refused(
                f"{name}: {info.filename} unpacks to {info.file_size / max(info.compress_size, 1):.0f} times its size, "
                "which estimates do not; save it with np.savez"
            )


def _key(info: zipfile.ZipInfo) -> str:
    return info.filename.removesuffix(".npy")


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """The array of one member, whose header must promise no more than the member holds."""
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read_header is None:
            raise ValueError(f"{info.filename} has .npy version {version}")
        shape, _, dtype = read_header(stream)
        if (
            not dtype.hasobject
            and int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize > info.file_size
        ):
            raise ValueError(f"{info.filename} promises {shape} numbers in {info.file_size} bytes")
    with archive.open(info) as stream:
        return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
