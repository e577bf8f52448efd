"""Tensors of a safetensors file, read one at a time without PyTorch, and written so that they are what was meant.

The library checks the file; offsets and numbers are read here, because its NumPy reader knows no bfloat16 and maps the
whole file into memory (2.1 GB resident for a file of 2 GiB, 50 MB when seeking).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from clair_stats.adapters.refusal import AdapterRefused
from clair_stats.records import FloatArray

__all__ = ["StoredTensor", "is_zero", "read_header", "read_tensor", "write_tensors"]

# The format allows headers of 100 MB; an adapter of 1,000 modules needs 0.2 MB, and a longer one costs seconds.
LARGEST_HEADER = 1 << 24
# Numbers that are looked at together when a whole file is checked: 32 MB as float64.
_PART = 1 << 22
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True)
class StoredTensor:
    """Where one tensor lies."""

    path: Path
    name: str
    dtype: str  # "F64", "F32", "F16" or "BF16"
    shape: tuple[int, ...]
    start: int  # bytes from the beginning of the file


def read_header(path: Path) -> dict[str, StoredTensor]:
    """All tensors of a file, checked; no numbers are read.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict
        Tensor name → where it lies.

    Raises
    ------
    AdapterRefused
        Not a safetensors file, truncated, a header that is too long or names a tensor twice, an empty tensor, or a
        type of number that is no float.
    """
    if not path.is_file():
        raise AdapterRefused(f"{path.name} is missing; save the adapter with safe_serialization=True")
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > LARGEST_HEADER:
            raise AdapterRefused(f"{path.name}: its header claims {length} bytes; save the adapter again")
        text = stream.read(length)
    try:
        with safe_open(path, framework="np"):  # truncated, overlapping or holed data, overflow, broken JSON
            pass
        entries = json.loads(text, object_pairs_hook=_distinct)
    except (SafetensorError, ValueError, OSError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise AdapterRefused(
            f"{path.name} is not a whole safetensors file ({reason}); copy or save it again"
        ) from error
    entries.pop("__metadata__", None)
    return {name: _stored(path, name, entry, 8 + length) for name, entry in entries.items()}


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in the header")
    return found


def _stored(path: Path, name: str, entry: Mapping[str, object], data: int) -> StoredTensor:
    dtype, shape, offsets = str(entry["dtype"]), entry["shape"], entry["data_offsets"]
    assert isinstance(shape, list)
    assert isinstance(offsets, list)  # the library has checked both
    if dtype not in _FLOATS:
        raise AdapterRefused(f"tensor {name} holds {dtype}; adapters in float32, float16 or bfloat16 can be averaged")
    if not shape or 0 in shape:
        raise AdapterRefused(f"tensor {name} has shape {tuple(shape)}; it holds nothing to average")
    return StoredTensor(path, name, dtype, tuple(int(n) for n in shape), data + int(offsets[0]))


def _read(stored: StoredTensor, first: int, count: int) -> FloatArray:
    """``count`` numbers from number ``first`` on, as float64."""
    dtype = np.dtype(_FLOATS[stored.dtype])
    raw = np.fromfile(stored.path, dtype=dtype, count=count, offset=stored.start + first * dtype.itemsize)
    if raw.size != count:
        raise AdapterRefused(f"tensor {stored.name}: the file became shorter while it was read; copy it again")
    if stored.dtype == "BF16":  # bfloat16 is the upper half of a float32
        raw = (raw.astype(np.uint32) << 16).view(np.float32)
    numbers = raw.astype(np.float64)
    bad = int(np.count_nonzero(~np.isfinite(numbers)))
    if bad:
        raise AdapterRefused(
            f"tensor {stored.name} has {bad} entries that are NaN or infinite; train this client again"
        )
    return numbers


def read_tensor(stored: StoredTensor) -> FloatArray:
    """The numbers of one tensor as float64, all finite.

    Raises
    ------
    AdapterRefused
        When a number is NaN or infinite, or the file has changed since its header was read.
    """
    return _read(stored, 0, int(np.prod(stored.shape))).reshape(stored.shape)


def is_zero(stored: StoredTensor) -> bool:
    """Whether every number is zero; all are read, a part at a time, and refused as by :func:`read_tensor`."""
    total, zero = int(np.prod(stored.shape)), True
    for first in range(0, total, _PART):
        zero &= not np.any(_read(stored, first, min(_PART, total - first)))
    return zero


def write_tensors(path: Path, tensors: Mapping[str, FloatArray]) -> None:
    """Write float32 tensors and read them back.

    The pinned safetensors writes wrong bytes for arrays that are not contiguous, without a word; every array is made
    contiguous, and the file is compared with what was meant.

    Parameters
    ----------
    path : path
        Overwritten.
    tensors : mapping name → array

    Raises
    ------
    ValueError
        An array overflows float32, or the file does not hold what was written.
    """
    with np.errstate(over="ignore"):
        plain = {name: np.array(tensor, dtype=np.float32, order="C") for name, tensor in tensors.items()}
    for name, tensor in plain.items():
        if not np.isfinite(tensor).all():
            raise ValueError(f"tensor {name} is not finite in float32; nothing was written")
    save_file(plain, path, metadata={"format": "pt"})
    for name, stored in read_header(path).items():
        if not np.array_equal(read_tensor(stored), plain[name]):
            raise ValueError(f"tensor {name} was not written as it was meant; check the disk and write again")
