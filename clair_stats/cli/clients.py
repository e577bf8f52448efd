"""What is said about every client: rows for a table, for JSON and for CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from clair_stats.clair import CLAIR
from clair_stats.estimates import ClientEstimates
from clair_stats.records import FloatArray
from clair_stats.report.printable import printable
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
    for k in _most_suspicious_first(detection.scores, detection.threshold):
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


def _most_suspicious_first(scores: FloatArray, thresholds: FloatArray) -> Sequence[int]:
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.where(thresholds > 0, scores / thresholds, np.where(scores > 0, np.inf, 0.0))
    return [int(k) for k in np.argsort(-excess, kind="stable")]


def as_table(rows: Sequence[ClientRow], width: int) -> Table:
    """A table for ``width`` columns; names stay whole, and the reason goes when there is no room for it."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("client", overflow="fold", min_width=min(max(len(printable(r.name)) for r in rows), width // 2))
    for heading in ("score", "threshold", "p-value"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("why", overflow="fold")
    shown = {
        "benign": Text("benign"),
        "flagged": Text("CONTAMINATED", style="bold red"),
        "undecided": Text("undecided", style="yellow"),
        "quarantined": Text("quarantined", style="red"),
    }
    for row in rows:
        table.add_row(
            Text(printable(row.name)),
            "–" if np.isnan(row.score) else f"{row.score:.4g}",
            "–" if np.isnan(row.threshold) else f"{row.threshold:.4g}",
            _p_text(row.p_value),
            shown[row.verdict],
            Text(printable(row.reason, longest=400)),
        )
    return table


def _p_text(p_value: float) -> str:
    """A p-value that underflowed is small, not zero."""
    if np.isnan(p_value):
        return "–"
    return f"{p_value:.2g}" if p_value > 0 else "<1e-300"


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
            {column: _finite(getattr(row, column)) for column in _COLUMNS if column != "threshold"}
            | {"threshold": _finite(row.threshold), "modules": {}}
            for row in rows
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)


def _finite(value: float | str) -> float | str | None:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def as_csv(rows: Sequence[ClientRow]) -> str:
    """One line per client; names that a spreadsheet would take for a formula are quoted with an apostrophe."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in rows:
        name = f"'{row.name}" if row.name[:1] in ("=", "+", "-", "@", "\t", "\r") else row.name
        writer.writerow([name, row.verdict, repr(row.score), repr(row.threshold), repr(row.p_value), row.reason])
    return stream.getvalue()
