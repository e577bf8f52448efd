"""The small Markdown of ADEMP pages to LaTeX."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markdown_it.token import Token

from reports.latex import escaped, latex

__all__ = ["markdown_to_latex"]


def markdown_to_latex(text: str, *, top: int = 0) -> str:
    """Headings, paragraphs, bold, code and tables of an ADEMP page; headings start ``top`` levels below a section."""
    tokens = MarkdownIt("commonmark", {"html": False}).enable("table").parse(text)
    commands = ("section*", "subsection*", "subsubsection*", "paragraph", "subparagraph")
    out: list[str] = []
    row: list[str] = []
    header = False
    position = 0
    while position < len(tokens):
        token = tokens[position]
        if token.type == "heading_open":
            level = min(int(token.tag[1]) - 1 + top, len(commands) - 1)
            out.append(f"\\{commands[level]}{{{_inline(tokens[position + 1])}}}\n")
            position += 2
        elif token.type == "paragraph_open":
            out.append(_inline(tokens[position + 1]) + "\n")
            position += 2
        elif token.type == "table_open":
            columns = _table_width(tokens, position)
            width = f"{0.94 / columns:.3f}\\linewidth"
            size = "scriptsize" if columns > 6 else "footnotesize"
            specification = f">{{\\raggedright\\arraybackslash}}p{{{width}}}" * columns
            out.append(
                f"{{\\{size}\\setlength{{\\tabcolsep}}{{2pt}}\n\\begin{{longtable*}}{{@{{}}{specification}@{{}}}}\n\\toprule"
            )
        elif token.type == "thead_open":
            header = True
        elif token.type in ("th_open", "td_open"):
            row.append("\\hspace{0pt}" + _inline(tokens[position + 1]))  # a first word may then be hyphenated
            position += 2
        elif token.type == "tr_close":
            out.append(" & ".join(row) + r" \\" + (r"\midrule\endhead" if header else ""))
            row, header = [], False
        elif token.type == "table_close":
            out.append("\\bottomrule\n\\end{longtable*}}\n")
        position += 1
    return "\n".join(out)


def _table_width(tokens: list[Token], start: int) -> int:
    width = 0
    for token in tokens[start:]:
        if token.type == "tr_close":
            break
        width += token.type in ("th_open", "td_open")
    return width


def _inline(token: Token) -> str:
    pieces: list[str] = []
    for child in token.children or ():
        if child.type in ("text", "softbreak"):
            pieces.append(latex(child.content) if child.type == "text" else " ")
        elif child.type == "code_inline":
            pieces.append(f"\\texttt{{{escaped(child.content, in_math=False)}}}")
        elif child.type in ("strong_open", "em_open"):
            pieces.append("\\textbf{" if child.type == "strong_open" else "\\emph{")
        elif child.type in ("strong_close", "em_close"):
            pieces.append("}")
    return "".join(pieces)
