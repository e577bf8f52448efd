"""Short names for regimes and methods: only what tells them apart, in plain words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from reports.words import count_of, worded
from simulations.design import Study, factor_columns, factors
from simulations.methods.robust_aggregators import RobustBaseline

__all__ = ["by_setting", "labels", "method_names", "rows_by_setting", "settings"]

Row = Mapping[Any, Any]


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and pd.isna(value))


def _absent(value: object) -> bool:
    return value is False or _missing(value) or value == 0


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else worded(value) if isinstance(value, str) else str(value)


def _named(field: str, value: object) -> str:
    """A field with its value."""
    if isinstance(value, bool):
        return f"{worded(field)}: {'yes' if value else 'no'}"
    return count_of(field, value) or f"{worded(field)} {_plain(value)}"


def _part(field: str, value: object) -> str:
    """One field in words: the name alone when it is switched on, the value alone when it is a word."""
    name = field.split(".", 1)[1]
    if value is True:
        return worded(name)
    return _plain(value) if isinstance(value, str) else _named(name, value)


def labels(rows: Iterable[Row], prefix: str) -> list[str]:
    """One label per row from the columns ``prefix`` (the name) and ``prefix.<field>``.

    A method's label is its name with the fields that differ among methods of that name; fields that are off (None,
    False, 0) are not named.  Where all rows have one name and fields tell them apart, the name is left out.
    """
    listed = list(rows)
    fields = [key for key in (listed[0] if listed else ()) if key.startswith(f"{prefix}.")]
    families: dict[str, list[Row]] = {}
    for row in listed:
        families.setdefault(row[prefix], []).append(row)
    varied = {
        name: [field for field in fields if len({str(row.get(field)) for row in family}) > 1]
        for name, family in families.items()
    }
    found = []
    for row in listed:
        parts = [_part(field, row[field]) for field in varied[row[prefix]] if not _absent(row[field])]
        if parts and len(families) == 1:
            found.append(", ".join(parts))
        else:
            found.append(f"{row[prefix]} ({', '.join(parts)})" if parts else str(row[prefix]))
    return found


def _told(count: Counter[str], value: object) -> bool:
    """Whether a setting is named by this value: always for a factor, else where it departs from the usual.

    A field is a factor when two of its values occur in two regimes or more, or when no value occurs twice.
    """
    usual, times = count.most_common(1)[0]
    factor = times == 1 or sum(number >= 2 for number in count.values()) >= 2
    return len(count) > 1 and (factor or str(value) != usual) and not _missing(value)


def settings(rows: Iterable[Row], prefix: str = "regime") -> list[str]:
    """One label per row, from its regime: its factors, and what else departs from others of its kind."""
    listed = list(rows)
    fields = [key for key in (listed[0] if listed else ()) if key.startswith(f"{prefix}.")]
    regimes = list(dict.fromkeys((str(row[prefix]), *(str(row[field]) for field in fields)) for row in listed))
    # What a factor is, is a matter of one kind: its name tells it from the others already.
    kinds = {kind: [regime for regime in regimes if regime[0] == kind] for kind in dict.fromkeys(r[0] for r in regimes)}
    counts = {
        kind: {field: Counter(regime[j + 1] for regime in own) for j, field in enumerate(fields)}
        for kind, own in kinds.items()
    }
    found = []
    for row in listed:
        parts = [worded(str(row[prefix]))] if len(kinds) > 1 else []
        for field, count in counts[str(row[prefix])].items():
            if _told(count, row[field]):
                parts.append(_named(field.split(".", 1)[1], row[field]))
        found.append(", ".join(parts) or "the one setting of the study")
    return found


def by_setting(summary: pd.DataFrame) -> pd.DataFrame:
    """The summary with the columns ``setting`` and ``label``."""
    columns = [name for name in summary.columns if name.split(".")[0] in ("regime", "method")]
    # Named once per cell: a study has many more lines than cells.
    place = summary.groupby(columns, dropna=False, sort=False).ngroup().to_numpy()
    records = summary[columns].drop_duplicates().to_dict("records")
    names = np.array([settings(records), labels(records, "method")], dtype=object)
    return summary.assign(setting=names[0][place], label=names[1][place])


def rows_by_setting(study: Study, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows (:func:`simulations.storage.store.load_rows`) with the columns ``setting`` and ``label``, as above."""
    present = set(rows["cell"])
    cells = [cell for cell in study.cells if cell.hash in present]
    fields = factor_columns(study.cells)
    records = [{field: factors(cell).get(field) for field in fields} for cell in cells]
    names = zip(cells, settings(records), labels(records, "method"), strict=True)
    table = {cell.hash: (setting, label) for cell, setting, label in names}
    return rows.assign(
        setting=[table[cell][0] for cell in rows["cell"]], label=[table[cell][1] for cell in rows["cell"]]
    )


def method_names(summary: pd.DataFrame) -> pd.Series:
    """Per row the method's name, for a robust baseline the name of the rule that it runs."""
    baseline = summary["method"] == RobustBaseline.name
    if not baseline.any():
        return summary["method"].astype(str)
    return summary["method"].where(~baseline, summary["method.method"]).astype(str)
