"""Sections of the report: each writes its tables and figures and says what the templates show of it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from clair_stats.files import written_whole
from reports.claim_figures import claim_figure
from reports.claims import claim_table
from reports.figures import save, stems
from reports.inputs import ClaimInput, RegimeInput, StudyInput
from reports.markdown import markdown_to_latex
from reports.renderers.regimes import regime_table
from reports.renderers.registry import render
from reports.tables import Table, to_html, to_latex
from simulations.ademp import ademp_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Section", "Writer"]


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


@dataclass
class Writer:
    """Writes below one folder and remembers every file."""

    folder: Path
    files: list[Path] = field(default_factory=list)

    def text(self, name: str, text: str) -> None:
        """Write a text file, beside its place and then renamed."""
        path = self.folder / name
        with written_whole(path) as beside:
            beside.write_text(text, encoding="utf-8")
        self.files.append(path)

    def table(self, table: Table) -> None:
        """Write the LaTeX fragment of a table."""
        self.text(f"tables/{table.name}.tex", to_latex(table))

    def figure(self, name: str, figure: Figure | None) -> tuple[str, ...]:
        """Write a figure as PDF and PNG; its stem, or nothing where there is no figure."""
        if figure is None:
            return ()
        (stem,) = stems([name])
        self.files += save(figure, self.folder / "figures" / stem)
        return (stem,)

    def claim(self, item: ClaimInput) -> Section:
        """Evidence of a claim and its sabotage."""
        table = claim_table(item)
        figures = self.figure(f"claim-{item.verdict.claim}", claim_figure(item))
        self.table(table)
        return Section(table.name, item.verdict.title, (table.name,), (to_html(table),), figures, item)

    def regime(self, item: RegimeInput) -> Section:
        """Every question on one regime."""
        table = regime_table(item)
        self.table(table)
        return Section(table.name, item.study.title, (table.name,), (to_html(table),), (), item)

    def study(self, item: StudyInput) -> Section:
        """What the study's renderer makes of it, and its design."""
        rendered = render(item)
        figures = self.figure(f"study-{item.study.name}", rendered.figure)
        page = ademp_page(item.study)
        for table in rendered.tables:
            self.table(table)
        self.text(f"ademp-{item.study.name}.md", page)
        # The page repeats the title, which the section already carries.
        text = page.split("\n", 1)[1]
        if not rendered.whole_design:
            text = f"{item.study.aims}\n\n{item.study.notes}\n\nThe design in full: `ademp-{item.study.name}.md`.\n"
        tables = rendered.tables
        return Section(
            name=tables[0].name,
            title=item.study.title,
            tables=tuple(table.name for table in tables),
            html=tuple(to_html(table) for table in tables),
            figures=figures,
            source=item,
            body=markdown_to_latex(text, top=1),
        )

    def maps(self, paths: Sequence[Path]) -> tuple[str, ...]:
        """Copy the maps' figures; their stems."""
        found = []
        for path in paths:
            (stem,) = stems([f"map-{path.stem}"])
            for suffix in (".pdf", ".png"):
                source = path.with_suffix(suffix)
                if source.is_file():
                    target = self.folder / "figures" / f"{stem}{suffix}"
                    shutil.copyfile(source, target)
                    self.files.append(target)
            found.append(stem)
        return tuple(found)
