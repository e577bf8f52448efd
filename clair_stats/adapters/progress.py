"""What is told while adapters are read, compared and written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, TypeAlias, TypeVar

__all__ = ["Counted", "Progress", "silent"]

T = TypeVar("T")


class _Progress(Protocol):
    def __call__(self, what: str, done: int, total: int, /) -> None:
        """What is being done, how much of it is done, and of how much; a total of 0 where that is not known."""


Progress: TypeAlias = _Progress


def silent(what: str, done: int, total: int, /) -> None:
    """Tell nobody.

    Parameters
    ----------
    what : str
    done, total : int
    """


def _itself(items: Mapping[str, T]) -> Mapping[str, T]:
    return items


class Counted(Mapping[str, T]):
    """A mapping that tells how many of its items were asked for.

    Parameters
    ----------
    items : mapping
    what : str
        What asking for all items is called.
    progress : callable
    """

    def __init__(self, items: Mapping[str, T], what: str, progress: Progress) -> None:
        self._items, self._what, self._progress = items, what, progress
        self._done = 0

    def __getitem__(self, name: str) -> T:
        self._done += 1
        self._progress(self._what, min(self._done, len(self._items)), len(self._items))
        return self._items[name]

    def __reduce__(self) -> tuple[object, ...]:
        """In another process nobody is told: the plain mapping is sent."""
        return _itself, (self._items,)

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)
