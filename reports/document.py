"""The generated folder: tables, figures, report.tex, report.pdf where LaTeX is installed, and index.html."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from clair_stats.files import written_whole
from reports.breakdown import breakdown_figure, breakdown_tables, is_breakdown
from reports.contents import claim_table, rank_table, study_table, verdict_table
from reports.figures import claim_figure, save, stems, study_figure
from reports.inputs import ClaimInput, Inputs, RegimeInput, StudyInput
from reports.latex import markdown_to_latex
from reports.regimes import regime_summary_table, regime_table
from reports.robustness import is_robustness, robustness_figure, robustness_tables
from reports.tables import Table, environment, to_html, to_latex
from simulations.ademp import ademp_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LATEX_HINT", "Built", "build"]

LATEX_HINT = (
    "report.pdf: left out, latexmk is not installed; on Debian or Ubuntu: "
    "apt-get install --no-install-recommends texlive-latex-recommended texlive-science latexmk lmodern"
)


@dataclass(frozen=True)
class Section:
    """One claim, regime or study, as the templates want it."""

    name: str
    title: str
    tables: tuple[str, ...]  # names of files in tables/, without suffix
    html: tuple[str, ...]
    figures: tuple[str, ...]  # names of files in figures/, without suffix
    source: ClaimInput | RegimeInput | StudyInput
    body: str = ""  # LaTeX of the ADEMP page


@dataclass(frozen=True)
class Built:
    """What was written and what was not."""

    files: tuple[Path, ...]
    messages: tuple[str, ...] = field(default=())


def _write(path: Path, text: str) -> Path:
    with written_whole(path) as beside:
        beside.write_text(text, encoding="utf-8")
    return path


def _claim_section(item: ClaimInput, folder: Path, files: list[Path]) -> Section:
    table = claim_table(item)
    (stem,) = stems([f"claim-{item.verdict.claim}"])
    figure = claim_figure(item)
    figures: tuple[str, ...] = ()
    if figure is not None:
        files += save(figure, folder / "figures" / stem)
        figures = (stem,)
    files.append(_write(folder / "tables" / f"{table.name}.tex", to_latex(table)))
    return Section(table.name, item.verdict.title, (table.name,), (to_html(table),), figures, item)


def _regime_section(item: RegimeInput, folder: Path, files: list[Path]) -> Section:
    name = item.verdicts[0].claim.split("/")[0]
    table = regime_table(name, item.verdicts, title=item.study.title, provenance=item.provenance)
    files.append(_write(folder / "tables" / f"{table.name}.tex", to_latex(table)))
    return Section(table.name, item.study.title, (table.name,), (to_html(table),), (), item)


def _study_contents(item: StudyInput) -> tuple[list[Table], Figure | None]:
    """Tables and figure of a study; the adaptive attack and the comparison with oracles have their own."""
    if is_breakdown(item):
        return breakdown_tables(item), breakdown_figure(item)
    if is_robustness(item):
        return robustness_tables(item), robustness_figure(item)
    ranks = rank_table(item)
    return [study_table(item), *([] if ranks is None else [ranks])], study_figure(item)


def _study_section(item: StudyInput, folder: Path, files: list[Path]) -> Section:
    tables, figure = _study_contents(item)
    (stem,) = stems([f"study-{item.study.name}"])
    figures: tuple[str, ...] = ()
    if figure is not None:
        files += save(figure, folder / "figures" / stem)
        figures = (stem,)
    page = ademp_page(item.study)
    files += [_write(folder / "tables" / f"{table.name}.tex", to_latex(table)) for table in tables]
    files.append(_write(folder / f"ademp-{item.study.name}.md", page))
    # The page repeats the title, which the section already carries.
    text = page.split("\n", 1)[1]
    if is_breakdown(item) or is_robustness(item):  # one line per regime: several pages that say nothing new
        text = f"{item.study.aims}\n\n{item.study.notes}\n\nThe design in full: `ademp-{item.study.name}.md`.\n"
    body = markdown_to_latex(text, top=1)
    html = tuple(to_html(table) for table in tables)
    return Section(tables[0].name, item.study.title, tuple(t.name for t in tables), html, figures, item, body)


def _maps(inputs: Inputs, folder: Path, files: list[Path]) -> tuple[str, ...]:
    found = []
    for path in inputs.maps:
        (stem,) = stems([f"map-{path.stem}"])
        for suffix in (".pdf", ".png"):
            source = path.with_suffix(suffix)
            if source.is_file():
                target = folder / "figures" / f"{stem}{suffix}"
                shutil.copyfile(source, target)
                files.append(target)
        found.append(stem)
    return tuple(found)


def _compile(folder: Path) -> Path:
    """Run latexmk in a scratch folder, so that no auxiliary file stays, and move the PDF into place."""
    with tempfile.TemporaryDirectory(prefix="clair-report-") as scratch:
        environment_ = {**os.environ, "SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "max_print_line": "200"}
        command = ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", f"-outdir={scratch}", "report.tex"]
        done = subprocess.run(
            command, cwd=folder, env=environment_, capture_output=True, text=True, errors="replace", timeout=300
        )
        produced = Path(scratch) / "report.pdf"
        if done.returncode != 0 or not produced.is_file():
            wrong = [line for line in done.stdout.splitlines() if line.startswith(("!", "l."))]
            raise RuntimeError(
                f"{folder / 'report.tex'}: latexmk failed ({'; '.join(wrong[:3]) or 'no message'}); "
                "install texlive-science for siunitx, or look at the run with: latexmk -pdf report.tex"
            )
        target = folder / "report.pdf"
        with written_whole(target) as beside:
            shutil.copyfile(produced, beside)
    return target


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
    files: list[Path] = []
    messages = list(inputs.missing)
    verdicts = None
    if inputs.claims:
        verdicts = verdict_table(inputs.claims)
        files.append(_write(folder / "tables" / "verdicts.tex", to_latex(verdicts)))
    claims = []
    for claim in inputs.claims:
        tell(claim.verdict.claim)
        claims.append(_claim_section(claim, folder, files))
    regimes = [_regime_section(regime, folder, files) for regime in inputs.regimes]
    summary = None
    if regimes:
        summary = regime_summary_table([verdict for regime in inputs.regimes for verdict in regime.verdicts])
        files.append(_write(folder / "tables" / f"{summary.name}.tex", to_latex(summary)))
    found = []
    for study in inputs.studies:
        tell(study.study.name)
        found.append(_study_section(study, folder, files))
    maps = _maps(inputs, folder, files)
    content = {
        "verdicts": verdicts,
        "verdicts_html": "" if verdicts is None else to_html(verdicts),
        "claims": claims,
        "regimes": regimes,
        "regime_summary": summary,
        "regime_summary_html": "" if summary is None else to_html(summary),
        "studies": found,
        "maps": maps,
        "missing": inputs.missing,
        "provenance": _provenance(inputs),
    }
    files += [
        _write(folder / name, environment().get_template(f"{name}.jinja").render(**content))
        for name in ("report.tex", "index.html")
    ]
    if pdf and shutil.which("latexmk") is None:
        messages.append(LATEX_HINT)
    elif pdf:
        tell("report.pdf")
        files.append(_compile(folder))
    _remove_others(folder, files)
    return Built(tuple(files), tuple(messages))


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
