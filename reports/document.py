"""The generated folder: tables, figures, report.tex, report.pdf where LaTeX is installed, and index.html."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reports.claims import verdict_table
from reports.headline import Finding, headline
from reports.inputs import ClaimInput, Inputs, RegimeInput, StudyInput
from reports.pdf import LATEX_HINT, compile_report
from reports.registered import registered_table
from reports.renderers.regimes import regime_summary_table
from reports.sections import Writer
from reports.tables import Table, environment, to_html

__all__ = ["Built", "build"]


@dataclass(frozen=True)
class Built:
    """What was written and what was not."""

    files: tuple[Path, ...]
    messages: tuple[str, ...] = field(default=())
    verdict: str = ""  # the first sentence of the report


def build(inputs: Inputs, folder: Path, *, progress: Callable[[str], None] | None = None, pdf: bool = True) -> Built:
    """Write everything under ``folder``; files of an earlier build that are no longer made are removed.

    Raises
    ------
    OSError
        The folder cannot be written.
    RuntimeError
        latexmk is there and fails; the message gives its first error.
    """
    for part in ("tables", "figures"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    tell = progress or (lambda _: None)
    writer = Writer(folder)
    content = _content(inputs, writer, tell)
    for name in ("report.tex", "index.html"):
        writer.text(name, environment().get_template(f"{name}.jinja").render(**content))
    messages = list(inputs.missing)
    if pdf and shutil.which("latexmk") is None:
        messages.append(LATEX_HINT)
    elif pdf:
        tell("report.pdf")
        writer.files.append(compile_report(folder))
    _remove_others(folder, writer.files)
    return Built(tuple(writer.files), tuple(messages), content["headline"].verdict)


def _content(inputs: Inputs, writer: Writer, tell: Callable[[str], None]) -> dict[str, Any]:
    """Write tables and figures; what the templates of the document and the page show."""
    verdicts = verdict_table(inputs.claims) if inputs.claims else None
    judged = [verdict for regime in inputs.regimes for verdict in regime.verdicts]
    summary = regime_summary_table(judged) if judged else None
    registered = registered_table(inputs.entries)
    for table in (verdicts, summary, registered):
        if table is not None:
            writer.table(table)
    claims = []
    for claim in inputs.claims:
        tell(claim.verdict.claim)
        claims.append(writer.claim(claim))
    studies = []
    for study in inputs.studies:
        tell(study.study.name)
        studies.append(writer.study(study))
    maps = writer.maps(inputs.maps)
    provenance = _provenance(inputs)
    losses = [loss for study in studies for loss in study.losses]
    gains = [Finding(study.title, " ".join(study.gains), study.name) for study in studies if study.gains]
    return {
        "headline": headline(inputs, losses, provenance, gains),
        "verdicts": verdicts,
        "verdicts_html": _html(verdicts),
        "claims": claims,
        "regimes": [writer.regime(regime) for regime in inputs.regimes],
        "regime_summary": summary,
        "regime_summary_html": _html(summary),
        "studies": studies,
        "maps": maps,
        "registered": registered,
        "registered_html": _html(registered),
        "missing": inputs.missing,
        "provenance": provenance,
    }


def _html(table: Table | None) -> str:
    return "" if table is None else to_html(table)


def _provenance(inputs: Inputs) -> tuple[str, ...]:
    """Lines on the code and the machine, each once; lines on one design stay with its table."""
    items: list[ClaimInput | RegimeInput | StudyInput] = [*inputs.claims, *inputs.regimes, *inputs.studies]
    heads = [item.provenance for item in items]
    return tuple(dict.fromkeys(line for head in heads for line in head if line.startswith("commit ")))


def _remove_others(folder: Path, files: list[Path]) -> None:
    """A table of a study that is gone must not be taken for a new one."""
    kept = set(files)
    for pattern in ("tables/*.tex", "figures/*.pdf", "figures/*.png", "ademp-*.md", "report.pdf"):
        for path in folder.glob(pattern):
            if path not in kept:
                path.unlink()
