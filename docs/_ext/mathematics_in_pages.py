"""Hand the Unicode formulas of Markdown pages and docstrings to Sphinx as TeX.

Formulas inside the text are found by :mod:`formulas_in_prose`; indented blocks with signs of a formula become displayed
equations.  Code, links and headings are left alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from formulas_in_prose import STRONG, few_capitals, role, with_formulas
from unicode_to_tex import FUNCTIONS, PRODUCTS, split_accents, to_tex

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["mathematics_in_docstring", "mathematics_in_page", "setup"]

_CODE_IN_DISPLAY = re.compile(
    r"\b(?:python|import|def|class|print|clair_stats|pip)\b|[a-z]{3,}_[a-z]{2,}|\.(?:py|npz|sqlite)\b"
)


def _row(line: str) -> str:
    cells = re.split(r"(?<!\\)\|", line)
    rewritten = (with_formulas(cell.replace(r"\|", "|")).replace("|", r"\|") for cell in cells)
    return "|".join(rewritten)


def _display(lines: list[str]) -> str:
    """An indented block as aligned equations; a number in parentheses at the right end becomes the equation's tag."""
    rows = []
    for line in lines:
        body, tag = line.strip(), ""
        numbered = re.search(r"\s{2,}\((\d+\.\d+)\)$", body)
        if numbered:
            body, tag = body[: numbered.start()], rf"\qquad\text{{({numbered.group(1)})}}"
        columns = [_display_column(column) for column in re.split(r"\s{2,}", body)]
        rows.append(r" \quad ".join(columns) + tag)
    return "\n$$\n\\begin{aligned}\n" + " \\\\\n".join("& " + row for row in rows) + "\n\\end{aligned}\n$$\n"


def _display_column(column: str) -> str:
    """Words of prose between formulas stand upright."""
    runs: list[tuple[bool, list[str]]] = []
    for word in split_accents(column).split():
        letters = re.fullmatch(r"[A-Za-z]{2,}[A-Za-z.,:-]*", word) and word.strip(".,:") not in FUNCTIONS | PRODUCTS
        plain = word.strip(",") in {"s.t.", "i.e.", "i.i.d."} or (
            bool(letters) and not few_capitals(word) and not STRONG.search(word)
        )
        if not runs or runs[-1][0] != plain:
            runs.append((plain, []))
        runs[-1][1].append(word)
    return "".join(rf"\text{{ {' '.join(run)} }}" if plain else to_tex(" ".join(run)) for plain, run in runs)


def _end_of_fence(lines: list[str], start: int) -> int:
    fence = lines[start].strip()[:3]
    for i in range(start + 1, len(lines)):
        if lines[i].strip().startswith(fence):
            return i + 1
    return len(lines)


def _end_of_indented(lines: list[str], start: int) -> int:
    end = start
    while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
        end += 1
    while not lines[end - 1].strip():
        end -= 1
    return end


def _indented(block: list[str]) -> str:
    text = "\n".join(block)
    if not STRONG.search(split_accents(text)) or _CODE_IN_DISPLAY.search(text):
        return text
    return _display([row for row in block if row.strip()])


def mathematics_in_page(markdown: str) -> str:
    """Rewrite a page.

    Parameters
    ----------
    markdown : str
        Source with mathematics in Unicode.

    Returns
    -------
    str
        The same page with its formulas as TeX between dollar signs; code and headings are unchanged.
    """
    out: list[str] = []
    paragraph: list[str] = []
    lines = markdown.split("\n")

    def flush() -> None:
        if paragraph:
            out.append(with_formulas("\n".join(paragraph)))
            paragraph.clear()

    i = 0
    while i < len(lines):
        line = lines[i]
        if re.match(r"\s*(```|~~~)", line):
            flush()
            end = _end_of_fence(lines, i)
            out += lines[i:end]
            i = end
            continue
        if line.startswith("    ") and line.strip() and not paragraph:
            end = _end_of_indented(lines, i)
            out.append(_indented(lines[i:end]))
            i = end
            continue
        if not line.strip() or line.startswith("#") or re.match(r"\s*\([\w-]+\)=\s*$", line):
            flush()
            out.append(line)
        elif line.lstrip().startswith("|"):
            flush()
            out.append(line if re.fullmatch(r"[\s|:-]+", line) else _row(line))
        else:
            if re.match(r"\s*(?:[-*]|\d+\.)\s", line):
                flush()
            paragraph.append(line)
        i += 1
    flush()
    return "\n".join(out)


def mathematics_in_docstring(lines: list[str]) -> list[str]:
    """Rewrite the lines of a docstring in reStructuredText.

    Parameters
    ----------
    lines : list of str
        Lines with mathematics in Unicode; examples (``>>>``) and literal blocks are left alone.

    Returns
    -------
    list of str
        As many lines, with formulas as ``:math:`` roles; other vertical bars and trailing underscores are escaped.
    """
    out: list[str] = []
    example = False
    for line in lines:
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if example or not line.strip() or line.lstrip().startswith((".. ", ":param", ":returns", ":rtype", "====")):
            out.append(line)
            continue
        # The name of a parameter, which numpydoc has put between stars, is no formula.
        kept = re.match(r"\s*(?:\*\*[^*]+\*\*)?", line)
        head = kept.group() if kept else ""
        out.append(head + _escaped(with_formulas(line[len(head) :], role)))
    return out


def _escaped(line: str) -> str:
    """Bars and trailing underscores outside code and roles would be substitutions and references."""
    pieces = re.split(r"(:[\w:]+:`[^`]*`|`+[^`]+`+_*|^\*\*[\w, *]+\*\*)", line)
    for i in range(0, len(pieces), 2):
        pieces[i] = re.sub(r"(?<!\\)\|", r"\|", pieces[i])
        pieces[i] = re.sub(r"(?<![\w:.])([A-Za-z]\w*_)(?!\w)", r"``\1``", pieces[i])
    return "".join(pieces)


def _rewrite_docstring(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    del app, what, name, obj, options
    lines[:] = mathematics_in_docstring(lines)


def _rewrite(app: Sphinx, docname: str, source: list[str]) -> None:
    if str(app.env.doc2path(docname)).endswith(".md"):
        source[0] = mathematics_in_page(source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", _rewrite)
    # After numpydoc, which has made the sections of the docstring into reStructuredText.
    app.connect("autodoc-process-docstring", _rewrite_docstring, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
