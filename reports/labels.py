"""Short names for regimes and methods: only what tells them apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from simulations.methods.robust_aggregators import RobustBaseline

__all__ = ["by_setting", "labels", "method_names", "settings"]


def _missing(value: object) -> bool:
    return isinstance(value, float) and pd.isna(value)


def _absent(value: object) -> bool:
    return value is None or value is False or _missing(value)


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
    """One label per row, from its regime: its factors, and what else departs from the other regimes.

    A field is a factor when two of its values occur in two regimes or more, or when no value occurs twice.
    """
    listed = list(rows)
    fields = [key for key in (listed[0] if listed else ()) if key.startswith(f"{prefix}.")]
    regimes = list(dict.fromkeys((str(row[prefix]), *(str(row[field]) for field in fields)) for row in listed))
    several = len({regime[0] for regime in regimes}) > 1
    counts = [Counter(regime[j + 1] for regime in regimes) for j in range(len(fields))]
    found = []
    for row in listed:
        parts = [str(row[prefix])] if several else []
        for field, count in zip(fields, counts, strict=True):
            value = row[field]
            usual, times = count.most_common(1)[0]
            factor = times == 1 or sum(number >= 2 for number in count.values()) >= 2
            if len(count) > 1 and (factor or str(value) != usual) and value is not None and not _missing(value):
                parts.append(f"{_words(field)} {_plain(value)}")
        found.append(", ".join(parts) or "otherwise as stated")
    return found


def by_setting(summary: pd.DataFrame) -> pd.DataFrame:
    """The summary with the columns ``setting`` and ``label``."""
    records = summary.to_dict("records")
    return summary.assign(setting=settings(records), label=labels(records, "method"))


def method_names(summary: pd.DataFrame) -> pd.Series:
    """Per line the method's name, for a robust baseline the name of the rule that it runs."""
    baseline = summary["method"] == RobustBaseline.name
    if not baseline.any():
        return summary["method"].astype(str)
    return summary["method"].where(~baseline, summary["method.method"]).astype(str)
