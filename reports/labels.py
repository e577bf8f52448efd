"""Short names for regimes and methods: only what tells them apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

__all__ = ["labels", "settings"]


def _absent(value: object) -> bool:
    return value is None or value is False or (isinstance(value, float) and pd.isna(value))


def _words(field: str) -> str:
    return field.split(".", 1)[1].replace("_", " ")


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def labels(rows: Iterable[Mapping[Any, Any]], prefix: str) -> list[str]:
    """One label per row from the columns ``prefix`` (the name) and ``prefix.<field>``.

    A method's label is its name with the fields that differ among methods of that name; fields that are off (None,
    False, 0) are not named.
    """
    listed = list(rows)
    found = []
    for row in listed:
        family = [other for other in listed if other[prefix] == row[prefix]]
        parts = []
        for field in (key for key in row if key.startswith(f"{prefix}.")):
            value = row[field]
            if _absent(value) or value == 0 or all(other[field] == value for other in family):
                continue
            parts.append(_words(field) if value is True else f"{_words(field)} {_plain(value)}")
        found.append(f"{row[prefix]} ({', '.join(parts)})" if parts else str(row[prefix]))
    return found


def settings(rows: Iterable[Mapping[Any, Any]], prefix: str = "regime") -> list[str]:
    """One label per regime: its factors (two values occur twice or more), and whatever departs from the rest."""
    listed = list(rows)
    fields = [key for key in (listed[0] if listed else ()) if key.startswith(f"{prefix}.")]
    several = len({row[prefix] for row in listed}) > 1
    found = []
    for row in listed:
        parts = [str(row[prefix])] if several else []
        for field in fields:
            counts = Counter(str(other[field]) for other in listed)
            if len(counts) < 2:
                continue
            factor = sum(count >= 2 for count in counts.values()) >= 2
            usual = counts.most_common(1)[0][0]
            value = row[field]
            if not (factor or str(value) != usual) or (_absent(value) and value is not False):
                continue
            parts.append(f"{_words(field)} {_plain(value)}")
        found.append(", ".join(parts) or "as stated")
    return found
