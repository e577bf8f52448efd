"""Sections of the report: each writes its tables and figures and says what the templates show of it."""

from __future__ import annotations

import base64
import difflib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clair_stats.files import written_whole
from reports.claim_figures import claim_picture
from reports.claims import claim_table
from reports.figures import Picture, save, stems
from reports.headline import Finding
from reports.inputs import ClaimInput, RegimeInput, StudyInput
from reports.latex import markdown_to_latex
from reports.map_captions import map_caption
from reports.renderers import breakdown, plain
from reports.renderers.copying import render as copying
from reports.renderers.criteria import render as criteria
from reports.renderers.regimes import regime_table
from reports.renderers.rendered import Rendered
from reports.tables import Table, to_html, to_latex
from reports.webtext import markdown_to_html
from reports.words import spelt
from simulations.ademp import ademp_page
from simulations.presentation import Breakdown, Copying, Criteria, Page, Plain

__all__ = ["RENDERERS", "Section", "Shown", "Writer", "render"]

# One renderer per kind of study; a study names its own by ``Study.presentation``.
RENDERERS: Mapping[str, Callable[[StudyInput], Rendered]] = {
    Plain.kind: plain.render,
    Criteria.kind: criteria.render,
    Breakdown.kind: breakdown.render,
    Copying.kind: copying.render,
    Page.kind: plain.render,
}


def render(item: StudyInput) -> Rendered:
    """Tables and figure of a study, by the renderer that it names.

    Raises
    ------
    ValueError
        No renderer of that kind; the message gives the nearest.
    """
    kind = item.study.presentation.kind
    if kind not in RENDERERS:
        near = difflib.get_close_matches(kind, RENDERERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(RENDERERS)}"
        raise ValueError(f"study {item.study.name}: no renderer for presentation {kind!r}; {hint}")
    return RENDERERS[kind](item)


@dataclass(frozen=True)
class Shown:
    """A figure of the report: the stem of its files in figures/, its caption, and the PNG for the page."""

    stem: str
    caption: str
    png: str  # base64


@dataclass(frozen=True)
class Section:
    """One claim, regime or study, as the templates want it."""

    name: str
    title: str
    tables: tuple[str, ...]  # names of files in tables/, without suffix
    html: tuple[str, ...]
    figures: tuple[Shown, ...]
    source: ClaimInput | RegimeInput | StudyInput
    losses: tuple[Finding, ...] = ()
    gains: tuple[str, ...] = ()
    body: str = ""  # LaTeX of the ADEMP page
    design: str = ""  # HTML of the ADEMP page


@dataclass
class Writer:
    """Writes below one folder and remembers every file."""

    folder: Path
    files: list[Path] = field(default_factory=list)

    def text(self, name: str, text: str) -> None:
        """Write a text file, beside its place and then renamed."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as beside:
            beside.write_text(text, encoding="utf-8")
        self.files.append(path)

    def table(self, table: Table) -> None:
        """Write the LaTeX fragment of a table."""
        self.text(f"tables/{table.name}.tex", to_latex(table))

    def picture(self, name: str, picture: Picture | None) -> tuple[Shown, ...]:
        """Write a figure as PDF and PNG; nothing where there is none."""
        if picture is None:
            return ()
        (stem,) = stems([name])
        (self.folder / "figures").mkdir(parents=True, exist_ok=True)
        self.files += save(picture.figure, self.folder / "figures" / stem)
        return (self._shown(stem, picture.caption),)

    def _shown(self, stem: str, caption: str) -> Shown:
        png = self.folder / "figures" / f"{stem}.png"
        return Shown(stem, caption, base64.b64encode(png.read_bytes()).decode("ascii") if png.is_file() else "")

    def claim(self, item: ClaimInput) -> Section:
        """Evidence of a claim and its sabotage."""
        table = claim_table(item)
        figures = self.picture(f"claim-{item.verdict.claim}", claim_picture(item))
        self.table(table)
        study = item.claim.study(item.verdict.effort)  # type: ignore[arg-type]
        return Section(
            name=table.name,
            title=item.verdict.title,
            tables=(table.name,),
            html=(to_html(table),),
            figures=figures,
            source=item,
            design=markdown_to_html(spelt(ademp_page(study).split("\n", 1)[1]), top=2),
        )

    def regime(self, item: RegimeInput) -> Section:
        """Every claim on one regime."""
        table = regime_table(item)
        self.table(table)
        return Section(table.name, item.study.title, (table.name,), (to_html(table),), (), item)

    def study(self, item: StudyInput) -> Section:
        """What the study's renderer makes of it, and its design."""
        rendered = render(item)
        name = f"study-{stems([item.study.name])[0]}"
        figures = self.picture(name, rendered.picture)
        page = ademp_page(item.study)
        for table in rendered.tables:
            self.table(table)
        self.text(f"ademp-{item.study.name}.md", page)
        # The page repeats the title, which the section already carries.
        whole = text = page.split("\n", 1)[1]
        if not rendered.whole_design:
            text = f"{item.study.aims}\n\n{item.study.notes}\n\nThe design in full: `ademp-{item.study.name}.md`.\n"
        return Section(
            name=name,
            title=item.study.title,
            tables=tuple(table.name for table in rendered.tables),
            html=tuple(to_html(table) for table in rendered.tables),
            figures=figures,
            source=item,
            losses=(Finding(item.study.title, " ".join(rendered.losses), name),) if rendered.losses else (),
            gains=rendered.gains,
            body=markdown_to_latex(spelt(text), top=1),
            design=markdown_to_html(spelt(whole), top=2),
        )

    def maps(self, paths: Sequence[Path]) -> tuple[Shown, ...]:
        """Copy the maps' figures."""
        found = []
        for path in paths:
            (stem,) = stems([f"map-{path.stem}"])
            for suffix in (".pdf", ".png"):
                source = path.with_suffix(suffix)
                if source.is_file():
                    target = self.folder / "figures" / f"{stem}{suffix}"
                    shutil.copyfile(source, target)
                    self.files.append(target)
            found.append(self._shown(stem, map_caption(path)))
        return tuple(found)
