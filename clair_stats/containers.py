"""Conversion of mappings, data frames and tensors to arrays.

Nothing is imported for it: a data frame is recognised by its labels, a tensor by ``detach``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["plain_blocks"]

AnyArray: TypeAlias = NDArray[Any]
Labels: TypeAlias = tuple[tuple[str, ...], tuple[str, ...]]
# Labels that a message shows before it says how many more there are.
_SHOWN = 4


def plain_blocks(values: object) -> tuple[AnyArray | list[AnyArray], tuple[str, ...] | None]:
    """Blocks as numpy arrays, and the clients' names where the container has them.

    Parameters
    ----------
    values : mapping name → matrix, sequence of matrices, or array of shape (K, p, q)
        A matrix is anything that numpy reads, a data frame or series (aligned by the labels of the first client), or
        a tensor (detached from its graph, bfloat16 widened).

    Returns
    -------
    blocks : array or list of arrays
    names : tuple of str, or None

    Raises
    ------
    TypeError, ValueError
        Labels that differ between clients, masked entries, a container without clients; the client is named.
    """
    if isinstance(values, np.ndarray) and not np.ma.isMaskedArray(values):
        return values, None
    _refuse_sparse(values, "values")
    if isinstance(values, Mapping):
        if not all(isinstance(name, str) for name in values):
            raise TypeError("client estimates: the keys of a mapping are the clients' names; give str")
        return _blocks(list(values.values()), tuple(values)), tuple(values)
    if _is_tensor(values) or np.ma.isMaskedArray(values) or _is_frame(values):
        if _is_frame(values):
            raise TypeError("client estimates: one data frame; give a mapping client name → data frame")
        return _plain(values, "values"), None
    if isinstance(values, Sequence) and not isinstance(values, str | bytes):
        return _blocks(values, tuple(f"client {k}" for k in range(len(values)))), None
    return values, None  # type: ignore[return-value]


def _blocks(matrices: Sequence[object], names: tuple[str, ...]) -> list[AnyArray]:
    first: tuple[str, Labels] | None = None
    blocks = []
    for name, matrix in zip(names, matrices, strict=True):
        if _is_frame(matrix):
            labels = _labels(matrix, name)
            first = first or (name, labels)
            blocks.append(_aligned(matrix, name, labels, first))
        else:
            blocks.append(_plain(matrix, name))
    return blocks


def _is_tensor(matrix: object) -> bool:
    return hasattr(matrix, "detach") and hasattr(matrix, "cpu")


def _is_frame(matrix: object) -> bool:
    return hasattr(matrix, "to_numpy") and hasattr(matrix, "index")


def _refuse_sparse(matrix: object, name: str) -> None:
    """numpy would wrap a sparse matrix into an array with one Python object in it."""
    if hasattr(matrix, "toarray") and hasattr(matrix, "nnz"):
        raise TypeError(f"{name}: sparse input is not supported; give a dense array (toarray())")


def _plain(matrix: Any, name: str) -> AnyArray:  # noqa: ANN401 - whatever numpy reads
    _refuse_sparse(matrix, name)
    if _is_tensor(matrix):
        return np.asarray(matrix.detach().cpu().double().numpy())
    if np.ma.isMaskedArray(matrix):
        if np.ma.getmaskarray(matrix).any():
            raise ValueError(f"{name}: a masked array with masked entries; fill them or leave this client out")
        return np.asarray(matrix.data)
    try:
        return np.asarray(matrix)
    except (TypeError, ValueError) as error:  # numpy's own message names neither the client nor the field
        raise ValueError(f"{name}: not one array of numbers ({error}); give a rectangular numeric matrix") from error


def _labels(frame: Any, name: str) -> Labels:  # noqa: ANN401 - a data frame or series of any library
    rows = tuple(str(label) for label in frame.index)
    columns = tuple(str(label) for label in frame.columns) if hasattr(frame, "columns") else ("",)
    for kind, labels in (("rows", rows), ("columns", columns)):
        if len(set(labels)) < len(labels):
            twice = next(label for label in labels if labels.count(label) > 1)
            raise ValueError(f"{name}: two {kind} are called {twice!r}; give distinct labels")
    return rows, columns


def _aligned(frame: Any, name: str, labels: Labels, first: tuple[str, Labels]) -> AnyArray:  # noqa: ANN401
    """The frame's numbers in the order of the first client's labels."""
    reference, expected = first
    values = np.asarray(frame.to_numpy())
    matrix = values.reshape(len(labels[0]), len(labels[1]))
    for axis, kind in enumerate(("rows", "columns")):
        missing = [label for label in expected[axis] if label not in set(labels[axis])]
        extra = [label for label in labels[axis] if label not in set(expected[axis])]
        if missing or extra:
            raise ValueError(
                f"{name}: its {kind} are not those of {reference} (missing: {_some(missing)}; not there: "
                f"{_some(extra)}); give all clients the same {kind}"
            )
        position = {label: k for k, label in enumerate(labels[axis])}
        matrix = np.take(matrix, [position[label] for label in expected[axis]], axis=axis)
    return matrix


def _some(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return (", ".join(labels[:_SHOWN]) or "none") + more
