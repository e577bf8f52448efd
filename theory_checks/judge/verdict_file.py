"""The verdict file: plain JSON without time stamps, so that equal verdicts give equal bytes."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from clair_stats.files import written_whole
from theory_checks.judge.verdict import Status, Verdict
from theory_checks.rules.evidence import Evidence

__all__ = ["read_verdicts", "write_verdicts"]

_NUMBERS = ("estimate", "standard_error", "low", "high", "p_value", "support_p_value")


def _plain(value: object) -> object:
    """JSON without NaN: non-finite numbers as text, floats to 12 digits so that the bytes do not hang on rounding."""
    if isinstance(value, float):
        return float(f"{value:.12g}") if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def write_verdicts(path: str | os.PathLike[str], verdicts: Sequence[Verdict]) -> None:
    """Write the verdict file beside its place and rename it, so that a reader never sees half of it."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps([_plain(asdict(verdict)) for verdict in verdicts], indent=1, ensure_ascii=False, sort_keys=True)
    with written_whole(target) as beside:
        beside.write_text(text + "\n", encoding="utf-8")


def read_verdicts(path: str | os.PathLike[str]) -> list[Verdict]:
    """Read what :func:`write_verdicts` wrote.

    Raises
    ------
    ValueError
        A file that is not a verdict file; the message names it.
    """
    target = Path(path)
    try:
        records = json.loads(target.read_text(encoding="utf-8"))
        if not isinstance(records, list):
            raise TypeError("no list of verdicts")
        verdicts = []
        for record in records:
            numbers = {k: float(v) for k, v in record["evidence"]["extra"].items()}
            evidence = {**record["evidence"], "extra": numbers}
            evidence |= {key: float(evidence[key]) for key in _NUMBERS if key in evidence}
            adjusted = float(record["adjusted_p_value"])
            if record["status"] not in get_args(Status):
                raise KeyError(f"status {record['status']!r}")
            verdicts.append(Verdict(**{**record, "evidence": Evidence(**evidence), "adjusted_p_value": adjusted}))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{target}: not a verdict file ({error}); run `python -m theory_checks run` again") from error
    return verdicts
