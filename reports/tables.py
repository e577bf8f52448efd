"""A table as a record, and its two appearances: a booktabs/siunitx fragment and HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import get_args

import jinja2

from reports.latex import latex
from reports.numbers import UNDEFINED, is_number, table_format
from reports.webtext import web
from reports.words import spelt
from theory_checks.judge.verdict import Status

__all__ = ["Column", "Group", "Table", "environment", "plain_table", "to_html", "to_latex", "to_markdown"]

_WIDEST_HEADING = 10
_LONGEST_HEADING = 60  # of a group, in characters
_TEMPLATES = Path(__file__).resolve().parent / "templates"


@dataclass(frozen=True)
class Column:
    """Heading and kind: numbers are set by siunitx, text wraps at ``width`` (LaTeX length) when given."""

    heading: str
    is_number: bool = True
    width: str = ""


@dataclass(frozen=True)
class Group:
    """Rows under one heading line; an empty heading prints none."""

    heading: str
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Table:
    """Everything a table shows; cells are plain text (``$…$`` is a formula) or numbers written by reports.numbers."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    provenance: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
    size: str = "footnotesize"  # of the LaTeX font

    def __post_init__(self) -> None:
        for group in self.groups:
            for row in group.rows:
                if len(row) != len(self.columns):
                    raise ValueError(f"table {self.name}: a row of {len(row)} cells for {len(self.columns)} columns")


def plain_table(name: str, headings: Sequence[str], rows: Sequence[tuple[str, ...]], caption: str = "") -> Table:
    """A table of text in one group."""
    columns = tuple(Column(heading, is_number=False) for heading in headings)
    return Table(name, caption, columns, (Group("", tuple(rows)),))


@lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    """Jinja with delimiters that LaTeX does not use."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,
    )
    made.filters["latex"] = latex
    made.filters["html"] = html.escape
    made.filters["spelt"] = spelt
    made.filters["web"] = web
    made.filters["cell"] = _web_cell
    made.globals["statuses"] = (*get_args(Status), "rejected")
    return made


def _web_cell(text: str) -> str:
    """A cell of the page: a dash where there is nothing, and minus signs in place of hyphens in numbers."""
    if text == UNDEFINED:
        return "–"
    return web(text).replace("-", "−") if is_number(text) else web(spelt(text))


def _latex_cell(text: str, column: Column) -> str:
    if column.is_number:
        return text if is_number(text) else f"{{{latex(spelt(text))}}}"
    return latex(spelt(text))


def _stacked(heading: str) -> str:
    """A heading on two lines where it would be wider than its numbers."""
    words = heading.split()
    if len(heading) <= _WIDEST_HEADING or len(words) < 2:
        return latex(heading)
    cut = min(range(1, len(words)), key=lambda i: max(len(" ".join(words[:i])), len(" ".join(words[i:]))))
    return f"\\shortstack{{{latex(' '.join(words[:cut]))}\\\\{latex(' '.join(words[cut:]))}}}"


def _specification(table: Table) -> str:
    parts = []
    for j, column in enumerate(table.columns):
        if column.is_number:
            cells = [row[j] for group in table.groups for row in group.rows]
            parts.append(f"S[table-format={table_format(cells)}]")
        elif column.width:
            parts.append(f">{{\\raggedright\\arraybackslash}}p{{{column.width}}}")
        else:
            parts.append("l")
    return "@{}" + "".join(parts) + "@{}"


def _wide(table: Table) -> bool:
    """Whether the heading of some group may be longer than the table is wide."""
    return any(len(group.heading) > _LONGEST_HEADING for group in table.groups)


def _over(heading: str, wide: bool) -> str:
    """A heading over a group of rows; on lines of its own, which make no column wider, where it may be long."""
    text = f"\\textit{{{heading}}}"
    return f"\\makebox[0pt][l]{{\\parbox[t]{{\\linewidth}}{{\\raggedright {text}}}}}" if wide else text


def to_latex(table: Table) -> str:
    """A ``longtable`` fragment with its provenance as comments; needs booktabs, siunitx, longtable and array."""
    rows: list[str] = []
    width, wide = len(table.columns), _wide(table)
    for i, group in enumerate(table.groups):
        if group.heading:
            space = r"\addlinespace[2pt]" if i else ""
            rows.append(
                f"{space}\\multicolumn{{{width}}}{{@{{}}l}}{{{_over(latex(spelt(group.heading)), wide)}}} \\\\*"
            )
        rows += [
            " & ".join(_latex_cell(cell, column) for cell, column in zip(row, table.columns, strict=True)) + r" \\"
            for row in group.rows
        ]
    heads = " & ".join(
        f"{{{_stacked(spelt(column.heading))}}}" if column.is_number else latex(spelt(column.heading))
        for column in table.columns
    )
    return (
        environment()
        .get_template("table.tex.jinja")
        .render(table=table, specification=_specification(table), heads=heads, rows=rows, width=width, wide=wide)
    )


def to_html(table: Table) -> str:
    """An HTML table with the same cells."""
    return environment().get_template("table.html.jinja").render(table=table, width=len(table.columns))


def _markdown_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def to_markdown(table: Table) -> str:
    """A Markdown table with the same cells; headings of groups, caption and notes are left to the page."""
    rows = [_markdown_line(row) for group in table.groups for row in group.rows]
    return "\n".join([_markdown_line([c.heading for c in table.columns]), "|" + "---|" * len(table.columns), *rows])
