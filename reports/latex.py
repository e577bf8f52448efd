"""Text to LaTeX: escaping, the project's Greek and mathematical characters, and the small Markdown of ADEMP pages."""

from __future__ import annotations

import re
import unicodedata

from markdown_it import MarkdownIt
from markdown_it.token import Token

from reports.characters import COMBINING, ESCAPES, GREEK, SYMBOLS, TEXT, UPRIGHT

__all__ = ["escaped", "is_formula", "latex", "markdown_to_latex"]


def _greek(character: str) -> str | None:
    name = unicodedata.name(character, "")
    match = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", name)
    if not match or match[2] in ("FINAL", "OMICRON"):
        return None
    word = {"LAMDA": "LAMBDA"}.get(match[2], match[2]).lower()
    if word not in GREEK:
        return None
    if match[1] == "SMALL":
        return rf"\{word}"
    return rf"\{word.capitalize()}" if word in UPRIGHT else word[0].upper()


def _character(character: str, *, in_math: bool) -> str:
    if character.isascii():
        return character if in_math else ESCAPES.get(character, character)
    if character in TEXT:
        return TEXT[character]
    command = SYMBOLS.get(character) or _greek(character)
    if command is None and unicodedata.category(character).startswith("L"):
        return character  # accented letters: the input encoding knows them
    if command is None:
        return f"[U+{ord(character):04X}]"
    return f"\\ensuremath{{{command}}}"


def escaped(text: str, *, in_math: bool) -> str:
    """Text without formulas to LaTeX; ``in_math`` leaves commands as they are."""
    # Letters and their accents apart (Ĉ is C and a circumflex), except the accents that ordinary words carry.
    pieces: list[str] = []
    characters = list(text)
    for i, character in enumerate(characters):
        if character in COMBINING:
            continue
        if i + 1 < len(characters) and characters[i + 1] in COMBINING:
            accent = COMBINING[characters[i + 1]]
            pieces.append(f"\\ensuremath{{{accent}{{{_character(character, in_math=True)}}}}}")
            continue
        parts = unicodedata.normalize("NFD", character)
        if len(parts) == 2 and parts[1] in COMBINING:
            pieces.append(f"\\ensuremath{{{COMBINING[parts[1]]}{{{_character(parts[0], in_math=True)}}}}}")
            continue
        pieces.append(_character(character, in_math=in_math))
    return "".join(pieces)


_BREAK = re.compile(r"((?<=\w)\.|\\_)(?=[A-Za-z])")

# A letter and its number stay on one line.
_EQUATION = re.compile(r"\b([A-Za-z]) = (?=\d)")
PERCENT = re.compile(r"(?<=\d) %")
_TRAILING = re.compile(r"(?<=[a-z]) (\d+(?:\.\d+)?)$")
# X_k, Θ*_k, U*: one letter with a star, an index of one letter, or both.
_SYMBOL = re.compile(r"(?<![^\Wᵀ])(?<!\\)([A-Za-zΑ-Ωα-ω][\u0302\u0303\u0304]?)(\*?)(?:_([A-Za-z0-9]))?(?![\w*_])")


def _formulas(text: str) -> str:
    """Plain text with the symbols in it set as formulas."""

    def formula(match: re.Match[str]) -> str:
        letter, star, index = match.groups()
        if not star and not index:
            return match[0]
        return f"\0{letter}{'^{*}' if star else ''}{f'_{{{index}}}' if index else ''}\0"

    parts = _SYMBOL.sub(formula, text).split("\0")
    return "".join(
        f"${escaped(part, in_math=True)}$" if i % 2 else escaped(part, in_math=False) for i, part in enumerate(parts)
    )


def _code(text: str) -> str:
    """A name in code, whose line may end after each dot of a path and each underscore."""
    return "\\texttt{" + _BREAK.sub(r"\1\\allowbreak{}", escaped(text, in_math=False)) + "}"


def _plain(text: str) -> str:
    """Text outside ``$…$``: code between backquotes, symbols as formulas, the rest escaped."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return _formulas(text)
    return "".join(_code(part) if i % 2 else _formulas(part) for i, part in enumerate(parts))


# Commands that only set a sign, an accent, a fraction or a space.  Any other could read or write files or run programs.
_COMMANDS = frozenset(
    (
        *GREEK, *(name.capitalize() for name in GREEK), *("varepsilon", "vartheta", "varphi", "varrho", "ell"),
        *(command for sign in SYMBOLS.values() for command in re.findall(r"\\([A-Za-z]+)", sign)),
        *(accent.lstrip("\\") for accent in COMBINING.values()),
        *("widehat", "widetilde", "overline", "underline", "sqrt", "frac", "dfrac", "binom", "left", "right"),
        *("lVert", "rVert", "lvert", "rvert", "langle", "rangle", "lfloor", "rfloor", "lceil", "rceil"),
        *("max", "min", "sup", "inf", "log", "exp", "sin", "cos", "det", "dim", "ker", "Pr", "lim", "prod", "int"),
        *("mid", "sim", "equiv", "ll", "gg", "leq", "geq", "ne", "subseteq", "notin", "setminus", "emptyset"),
        *("ldots", "cdots", "dots", "circ", "sharp", "partial", "nabla", "forall", "exists", "quad", "qquad"),
        *("bigl", "bigr", "Bigl", "Bigr", "lt", "gt"),
        *("mathrm", "mathbf", "mathsf", "mathcal", "mathbb", "operatorname", "text"),
    )
)  # fmt: skip
# Escaped braces, bars and per cent signs, and spaces.
_ONE_CHARACTER = frozenset("{}|,;:! %")
_COMMAND = re.compile(r"\\([A-Za-z]+|.|$)", re.DOTALL)


def is_formula(text: str) -> bool:
    """Whether what stands between two dollar signs is mathematics and nothing else.

    Commands are among the known ones, braces match, and there is no comment, parameter, alignment or character code
    (``^^5c`` is a backslash to TeX).
    """
    rest = _COMMAND.sub("", text)
    if "^^" in text or any(character in rest for character in "%#&~\n\r\0"):
        return False
    if any(name not in _COMMANDS if name.isalpha() else name not in _ONE_CHARACTER for name in _COMMAND.findall(text)):
        return False
    depth = 0
    for character in rest:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


def _together(part: str) -> str:
    """Spaces at which no line is broken."""
    return PERCENT.sub("\u00a0%", _TRAILING.sub("\u00a0\\1", _EQUATION.sub("\\1\u00a0=\u00a0", part)))


def latex(text: str) -> str:
    r"""Plain text with optional ``$…$`` formulas and backquoted code to LaTeX.

    Outside formulas everything is escaped; inside, commands stay and only non-ASCII characters are translated.  A text
    with an odd number of dollar signs has no formulas, and neither has one in which a formula is none.
    """
    parts = text.split("$")
    parts[::2] = [_together(part) for part in parts[::2]]
    if len(parts) % 2 == 0 or not all(map(is_formula, parts[1::2])):
        return escaped("$".join(parts), in_math=False)
    return "".join(f"${escaped(part, in_math=True)}$" if i % 2 else _plain(part) for i, part in enumerate(parts))


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
            size, gap = ("tiny", 2) if columns > 12 else ("scriptsize", 3) if columns > 6 else ("footnotesize", 2)
            # What is left of the line by the gaps between the columns.
            width = f"\\dimexpr(\\linewidth-{2 * gap * (columns - 1)}pt)/{columns}\\relax"
            specification = f">{{\\raggedright\\arraybackslash}}p{{{width}}}" * columns
            out.append(
                f"{{\\{size}\\setlength{{\\tabcolsep}}{{{gap}pt}}\n\\begin{{longtable*}}{{@{{}}{specification}@{{}}}}\n\\toprule"
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
            pieces.append(_code(child.content))
        elif child.type in ("strong_open", "em_open"):
            pieces.append("\\textbf{" if child.type == "strong_open" else "\\emph{")
        elif child.type in ("strong_close", "em_close"):
            pieces.append("}")
    return "".join(pieces)
