"""Tensors of a safetensors file, read one at a time without PyTorch, and written so that they are what was meant.

The library checks the file; offsets and numbers are read here, because its NumPy reader knows no bfloat16 and maps the
whole file into memory (2.1 GB resident for a file of 2 GiB, 50 MB when seeking).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from clair_stats.adapters.refusal import AdapterRefused, size_of_regular_file
from clair_stats.records import FloatArray

__all__ = ["ArrayTensor", "StoredTensor", "Tensor", "read_header", "write_tensors"]

# The format allows headers of 100 MB; an adapter of 1,000 modules needs 0.2 MB, and a longer one costs seconds.
LARGEST_HEADER = 1 << 24
# Numbers that are looked at together when a whole file is checked: 32 MB as float64.
_PART = 1 << 22
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class Tensor(Protocol):
    """A tensor of a client, in a file or in memory."""

    @property
    def name(self) -> str:
        """As the client calls it."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        ...

    def read(self) -> FloatArray:
        """The numbers as float64, all finite; :class:`AdapterRefused` otherwise.

        Returns
        -------
        ndarray
        """
        ...

    def largest(self) -> float:
        """The largest magnitude of a number; all are looked at, and refused as by :meth:`read`.

        Returns
        -------
        float
        """
        ...


def _finite(numbers: FloatArray, name: str) -> FloatArray:
    bad = int(np.count_nonzero(~np.isfinite(numbers)))
    if bad:
        raise AdapterRefused(f"tensor {name} has {bad} entries that are NaN or infinite; train this client again")
    return numbers


def _largest(numbers: FloatArray) -> float:
    return float(max(numbers.max(), -numbers.min()))


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file; see :class:`Tensor`."""

    path: Path
    name: str
    dtype: str  # "F64", "F32", "F16" or "BF16"
    shape: tuple[int, ...]
    start: int  # bytes from the beginning of the file

    def read(self) -> FloatArray:
        """See :class:`Tensor`.

        Returns
        -------
        ndarray
        """
        return self._part(0, int(np.prod(self.shape))).reshape(self.shape)

    def largest(self) -> float:
        """See :class:`Tensor`; a part at a time.

        Returns
        -------
        float
        """
        total, found = int(np.prod(self.shape)), 0.0
        for first in range(0, total, _PART):
            found = max(found, _largest(self._part(first, min(_PART, total - first))))
        return found

    def _part(self, first: int, count: int) -> FloatArray:
        """``count`` numbers from number ``first`` on."""
        dtype = np.dtype(_FLOATS[self.dtype])
        raw = np.fromfile(self.path, dtype=dtype, count=count, offset=self.start + first * dtype.itemsize)
        if raw.size != count:
            raise AdapterRefused(f"tensor {self.name}: the file became shorter while it was read; copy it again")
        if self.dtype == "BF16":  # bfloat16 is the upper half of a float32
            raw = (raw.astype(np.uint32) << 16).view(np.float32)
        with np.errstate(invalid="ignore"):  # a signalling NaN, refused in the next line
            numbers = raw.astype(np.float64)
        return _finite(numbers, self.name)


@dataclass(frozen=True, eq=False)
class ArrayTensor:
    """A tensor in memory, as a server receives it; see :class:`Tensor`."""

    name: str
    array: NDArray[Any]

    def __post_init__(self) -> None:
        if self.array.dtype.kind != "f":
            raise AdapterRefused(
                f"tensor {self.name} holds {self.array.dtype}; send float32 or float16 (bfloat16 widened to float32)"
            )
        if not self.array.ndim or 0 in self.array.shape:
            raise AdapterRefused(f"tensor {self.name} has shape {self.array.shape} and no entries; leave it out")

    @property
    def shape(self) -> tuple[int, ...]:
        """See :class:`Tensor`."""
        return self.array.shape

    def read(self) -> FloatArray:
        """See :class:`Tensor`.

        Returns
        -------
        ndarray
        """
        return _finite(np.asarray(self.array, dtype=np.float64), self.name)

    def largest(self) -> float:
        """See :class:`Tensor`.

        Returns
        -------
        float
        """
        return _largest(self.read())


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
    size_of_regular_file(path, "save the adapter with safe_serialization=True")
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
        raise AdapterRefused(f"tensor {name} holds {dtype}; save the adapter in float32, float16 or bfloat16")
    if not shape or 0 in shape:
        raise AdapterRefused(f"tensor {name} has shape {tuple(shape)} and no entries; leave it out")
    return StoredTensor(path, name, dtype, tuple(int(n) for n in shape), data + int(offsets[0]))


def write_tensors(path: Path, tensors: Mapping[str, FloatArray]) -> None:
    """Write float32 tensors one after the other and read them back.

    The library's writer holds the whole file in memory, and its pinned version writes wrong bytes for arrays that are
    not contiguous, without a word.  Here one tensor is held at a time, and the file is checked by the library's reader
    and compared with what was meant.

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
    entries, end = {}, 0
    for name, tensor in tensors.items():
        size = 4 * int(np.prod(tensor.shape))
        entries[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [end, end + size]}
        end += size
    header = json.dumps({"__metadata__": {"format": "pt"}, **entries}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    with path.open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        for name, tensor in tensors.items():
            single = _single(tensor)
            if not np.isfinite(single).all():
                raise ValueError(f"tensor {name} is not finite in float32; nothing was written")
            stream.write(single.data)
    for name, stored in read_header(path).items():
        if not np.array_equal(stored.read(), _single(tensors[name])):
            raise ValueError(f"tensor {name} was not written as it was meant; check the disk and write again")


def _single(tensor: FloatArray) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(tensor, dtype="<f4")
