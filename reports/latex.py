"""Text to LaTeX: escaping, the project's Greek and mathematical characters, and the small Markdown of ADEMP pages."""

from __future__ import annotations

import re
import unicodedata

from markdown_it import MarkdownIt
from markdown_it.token import Token

__all__ = ["latex", "markdown_to_latex"]

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_\allowbreak{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
    "|": r"\ensuremath{|}",
}

_GREEK = frozenset(
    [
        "alpha",
        "beta",
        "gamma",
        "delta",
        "epsilon",
        "zeta",
        "eta",
        "theta",
        "iota",
        "kappa",
        "lambda",
        "mu",
        "nu",
        "xi",
        "pi",
        "rho",
        "sigma",
        "tau",
        "upsilon",
        "phi",
        "chi",
        "psi",
        "omega",
    ]
)

_SYMBOLS = {
    "≤": r"\le",
    "≥": r"\ge",
    "≠": r"\neq",
    "≈": r"\approx",
    "∝": r"\propto",
    "±": r"\pm",
    "×": r"\times",
    "·": r"\cdot",
    "−": "-",
    "∞": r"\infty",
    "∑": r"\sum",
    "√": r"\surd",
    "∈": r"\in",
    "⊂": r"\subset",
    "⊥": r"\perp",
    "⊗": r"\otimes",
    "→": r"\to",
    "←": r"\leftarrow",
    "‖": r"\Vert{}",
    "∪": r"\cup",
    "∩": r"\cap",
    "½": r"\tfrac12",
    "ᵀ": r"^{\top}",
    "ᶜ": r"^{c}",
    "²": "^{2}",
    "³": "^{3}",
    "¹": "^{1}",
    "⁰": "^{0}",
    "⁴": "^{4}",
    "⁵": "^{5}",
    "⁶": "^{6}",
    "⁷": "^{7}",
    "⁸": "^{8}",
    "⁹": "^{9}",
    "⁻": "^{-}",
    "₁": "_{1}",
    "₂": "_{2}",
    "₊": "_{+}",
    "ₖ": "_{k}",
    "′": "'",
    "∗": "*",
    "★": r"\star",
    "✓": r"\checkmark",
}
_TEXT = {"–": "--", "—": "---", "“": "``", "”": "''", "‘": "`", "’": "'", "…": r"\dots{}", "\u00a0": "~", "§": r"\S{}"}
_COMBINING = {"\u0302": r"\hat", "\u0303": r"\tilde", "\u0304": r"\bar", "\u0305": r"\bar", "\u0307": r"\dot"}


def _greek(character: str) -> str | None:
    name = unicodedata.name(character, "")
    match = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", name)
    if not match or match[2] in ("FINAL", "OMICRON"):
        return None
    word = {"LAMDA": "LAMBDA"}.get(match[2], match[2]).lower()
    if word not in _GREEK:
        return None
    if match[1] == "SMALL":
        return rf"\{word}"
    upright = {"gamma", "delta", "theta", "lambda", "xi", "pi", "sigma", "upsilon", "phi", "psi", "omega"}
    return rf"\{word.capitalize()}" if word in upright else word[0].upper()


def _character(character: str, *, in_math: bool) -> str:
    if character.isascii():
        return character if in_math else _ESCAPES.get(character, character)
    if character in _TEXT:
        return _TEXT[character]
    command = _SYMBOLS.get(character) or _greek(character)
    if command is None and unicodedata.category(character).startswith("L"):
        return character  # accented letters: the input encoding knows them
    if command is None:
        return f"[U+{ord(character):04X}]"
    return f"\\ensuremath{{{command}}}"


def _convert(text: str, *, in_math: bool) -> str:
    # Letters and their accents apart (Ĉ is C and a circumflex), except the accents that ordinary words carry.
    pieces: list[str] = []
    characters = list(text)
    for i, character in enumerate(characters):
        if character in _COMBINING:
            continue
        if i + 1 < len(characters) and characters[i + 1] in _COMBINING:
            accent = _COMBINING[characters[i + 1]]
            pieces.append(f"\\ensuremath{{{accent}{{{_character(character, in_math=True)}}}}}")
            continue
        parts = unicodedata.normalize("NFD", character)
        if len(parts) == 2 and parts[1] in _COMBINING:
            pieces.append(f"\\ensuremath{{{_COMBINING[parts[1]]}{{{_character(parts[0], in_math=True)}}}}}")
            continue
        pieces.append(_character(character, in_math=in_math))
    return "".join(pieces)


# X_k, Θ*_k, U*: one letter with a star, an index of one letter, or both.
_SYMBOL = re.compile(r"(?<![\w\\])([A-Za-zΑ-Ωα-ω][\u0302\u0303\u0304]?)(\*?)(?:_([A-Za-z0-9]))?(?![\w*_])")


def _formulas(text: str) -> str:
    """Plain text with the symbols in it set as formulas."""

    def formula(match: re.Match[str]) -> str:
        letter, star, index = match.groups()
        if not star and not index:
            return match[0]
        return f"\0{letter}{'^{*}' if star else ''}{f'_{{{index}}}' if index else ''}\0"

    parts = _SYMBOL.sub(formula, text).split("\0")
    return "".join(
        f"${_convert(part, in_math=True)}$" if i % 2 else _convert(part, in_math=False) for i, part in enumerate(parts)
    )


def _plain(text: str) -> str:
    """Text outside ``$…$``: code between backquotes, symbols as formulas, the rest escaped."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return _formulas(text)
    return "".join(
        f"\\texttt{{{_convert(part, in_math=False)}}}" if i % 2 else _formulas(part) for i, part in enumerate(parts)
    )


def latex(text: str) -> str:
    r"""Plain text with optional ``$…$`` formulas and backquoted code to LaTeX.

    Outside formulas everything is escaped; inside, commands stay and only non-ASCII characters are translated.  A text
    with an odd number of dollar signs has no formulas.
    """
    parts = text.split("$")
    if len(parts) % 2 == 0:
        return _convert(text, in_math=False)
    return "".join(f"${_convert(part, in_math=True)}$" if i % 2 else _plain(part) for i, part in enumerate(parts))


def markdown_to_latex(text: str, *, top: int = 0) -> str:
    """Headings, paragraphs, bold, code and tables of an ADEMP page; headings start ``top`` levels below a section."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
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
                f"{{\\{size}\\setlength{{\\tabcolsep}}{{2pt}}\n\\begin{{longtable}}{{@{{}}{specification}@{{}}}}\n\\toprule"
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
            out.append("\\bottomrule\n\\end{longtable}}\n")
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
            pieces.append(f"\\texttt{{{_convert(child.content, in_math=False)}}}")
        elif child.type in ("strong_open", "em_open"):
            pieces.append("\\textbf{" if child.type == "strong_open" else "\\emph{")
        elif child.type in ("strong_close", "em_close"):
            pieces.append("}")
    return "".join(pieces)
