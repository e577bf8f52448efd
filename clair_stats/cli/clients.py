"""What is said about every client: rows for a table, for JSON and for CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from rich.table import Table
from rich.text import Text

from clair_stats.clair import CLAIR
from clair_stats.cli.client_table import client_table, p_text
from clair_stats.estimates import ClientEstimates
from clair_stats.records import FloatArray
from clair_stats.report.margins import finite, most_suspicious_first
from clair_stats.report.reasons import explain_clients

__all__ = ["ClientRow", "as_csv", "as_json", "as_table", "client_rows", "quarantined_rows", "turned"]

ClientVerdict = Literal["benign", "flagged", "undecided", "quarantined"]
_COLUMNS = ("name", "verdict", "score", "threshold", "p_value", "reason")


@dataclass(frozen=True)
class ClientRow:
    """One client."""

    name: str
    verdict: ClientVerdict
    score: float  # scale of the estimates
    threshold: float
    p_value: float  # NaN where no test is possible
    reason: str


def turned(model: CLAIR, array: FloatArray) -> FloatArray:
    """The orientation in which the subspace is a column space."""
    return array if model.shared == "columns" else np.swapaxes(array, -1, -2)


def client_rows(estimates: ClientEstimates, model: CLAIR) -> list[ClientRow]:
    """Every client, the largest score relative to its threshold first.

    Parameters
    ----------
    estimates : ClientEstimates
        What the model was fitted to.
    model : CLAIR
        Fitted.

    Returns
    -------
    list of ClientRow
    """
    detection = model.detection_
    reasons = explain_clients(
        turned(model, estimates.dense()),
        detection,
        basis=model.basis_,
        common=turned(model, model.common_),
        names=estimates.names,
    )
    rows = []
    for k in most_suspicious_first(detection.scores, detection.threshold):
        verdict: ClientVerdict = "benign" if detection.collaborative_set[k] else "flagged"
        rows.append(
            ClientRow(
                name=estimates.names[k],
                verdict=verdict if model.majority_ else "undecided",
                score=float(detection.scores[k]),
                threshold=float(detection.threshold[k]),
                p_value=float(detection.p_values[k]),
                reason=reasons[k],
            )
        )
    return rows


def quarantined_rows(aside: Mapping[str, str]) -> list[ClientRow]:
    """Clients that were set aside, with the reason.

    Parameters
    ----------
    aside : mapping client name → reason

    Returns
    -------
    list of ClientRow
    """
    return [ClientRow(name, "quarantined", np.nan, np.nan, np.nan, reason) for name, reason in aside.items()]


def as_table(rows: Sequence[ClientRow], width: int) -> Table:
    """A table for ``width`` columns; names stay whole, and the reason goes when there is no room for it.

    Parameters
    ----------
    rows : sequence of ClientRow
    width : int
        Characters.

    Returns
    -------
    rich.table.Table
    """
    shown = {
        "benign": Text("benign"),
        "flagged": Text("CONTAMINATED", style="bold red"),
        "undecided": Text("undecided", style="yellow"),
        "quarantined": Text("quarantined", style="red"),
    }
    lines = []
    for row in rows:
        numbers = (_number(row.score), _number(row.threshold), p_text(row.p_value))
        lines.append((row.name, numbers, shown[row.verdict], row.reason))
    return client_table(("score", "threshold", "p-value"), lines, width)


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.4g}"


def as_json(rows: Sequence[ClientRow], model: CLAIR) -> str:
    """The verdict and every client as JSON; numbers that are not finite are null."""
    if not model.majority_:
        verdict = "no majority"
    else:
        verdict = "somebody flagged" if any(row.verdict == "flagged" for row in rows) else "nobody flagged"
    document: dict[str, Any] = {
        "verdict": verdict,
        "level": model.level,
        "rank": model.rank_,
        "clients": [
            {column: _plain(getattr(row, column)) for column in _COLUMNS if column != "threshold"}
            | {"threshold": finite(row.threshold), "modules": {}}
            for row in rows
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)


def _plain(value: float | str) -> float | str | None:
    return value if isinstance(value, str) else finite(value)


def as_csv(rows: Sequence[ClientRow]) -> str:
    """One line per client; names that a spreadsheet would take for a formula are quoted with an apostrophe."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in rows:
        name = f"'{row.name}" if row.name[:1] in ("=", "+", "-", "@", "\t", "\r") else row.name
        writer.writerow([name, row.verdict, repr(row.score), repr(row.threshold), repr(row.p_value), row.reason])
    return stream.getvalue()
