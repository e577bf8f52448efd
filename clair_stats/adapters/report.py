"""The verdict on a federation of adapters as rows, and the rows as JSON and HTML."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from clair_stats.report.margins import finite
from clair_stats.report.printable import printable

__all__ = ["AdapterReport", "AdapterRow", "write_report"]

# "capped": benign, and bounded in how far it moves the average.
AdapterVerdict = Literal["benign", "capped", "flagged", "quarantined", "undecided"]


@dataclass(frozen=True)
class AdapterRow:
    """One client."""

    name: str
    verdict: AdapterVerdict
    score: float  # standard deviations above the benign clients, over all modules; NaN without a test
    p_value: float  # NaN without a test
    reason: str
    worst_module: str = ""
    modules: Mapping[str, float] = field(default_factory=dict)  # score by module
    energy_lost: float | None = None  # share of the refined adapter's squared norm that the cap on the rank cost
    influence: float | None = None  # how far it moves the average, in units of the median benign client
    alignment: float | None = None  # cosine of its update with the others'
    alignment_p_value: float | None = None  # None with too few clients
    against: bool = False  # whether it is named for its alignment


@dataclass(frozen=True)
class AdapterReport:
    """Everything that was found."""

    verdict: str  # "nobody flagged", "somebody flagged" or "no verdict"
    explanation: str  # one sentence or two
    rows: tuple[AdapterRow, ...]  # quarantined and flagged clients first, then by score
    n_modules: int
    level: float
    base_model: str
    dense: tuple[str, ...]  # tensors averaged whole, by a trimmed mean
    aggregate_energy_lost: float | None = None  # None where no aggregate was written
    alignment_threshold: float | None = None  # clients below it are named; None with too few clients

    def as_json(self) -> str:
        """The report as JSON; numbers that are not finite are null.

        Returns
        -------
        str
        """
        clients = [
            {
                "name": row.name,
                "verdict": row.verdict,
                "score": finite(row.score),
                "p_value": finite(row.p_value),
                "reason": row.reason,
                "worst_module": row.worst_module or None,
                "energy_lost": row.energy_lost,
                "influence": row.influence,
                "alignment": row.alignment,
                "alignment_p_value": row.alignment_p_value,
                "against": row.against,
                "modules": {module: finite(score) for module, score in row.modules.items()},
            }
            for row in self.rows
        ]
        document: dict[str, Any] = {
            "verdict": self.verdict,
            "explanation": self.explanation,
            "level": self.level,
            "base_model": self.base_model,
            "n_modules": self.n_modules,
            "dense": list(self.dense),
            "aggregate_energy_lost": self.aggregate_energy_lost,
            "alignment_threshold": self.alignment_threshold,
            "clients": clients,
        }
        return json.dumps(document, indent=1, ensure_ascii=True, allow_nan=False)


def write_report(report: AdapterReport, folder: Path) -> None:
    """``report.json`` and ``report.html`` in a folder; names of clients are text in both.

    Parameters
    ----------
    report : AdapterReport
    folder : Path
    """
    (folder / "report.json").write_text(report.as_json() + "\n", encoding="utf-8")
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["printable"] = printable
    templates.filters["number"] = _number
    page = templates.get_template("report.html.jinja").render(
        report=report,
        worst=_worst_modules(report.rows),
        cut=any(row.energy_lost for row in report.rows),
        moved=any(row.influence is not None for row in report.rows),
        aligned=any(row.alignment is not None for row in report.rows),
    )
    (folder / "report.html").write_text(page, encoding="utf-8")


def _number(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.3g}"


def _worst_modules(rows: Sequence[AdapterRow]) -> dict[str, list[tuple[str, float]]]:
    """The three modules with the largest scores of every client that is not benign."""
    return {
        row.name: sorted(row.modules.items(), key=lambda item: -item[1])[:3]
        for row in rows
        if row.verdict not in ("benign", "capped") and row.modules
    }
