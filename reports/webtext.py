"""Text to HTML: escaping, formulas as MathML, symbols such as Θ*_k with their indices, code and ADEMP pages."""

from __future__ import annotations

import html
import itertools
import re

from latex2mathml.converter import convert
from markdown_it import MarkdownIt

from reports.latex import PERCENT, is_formula

__all__ = ["markdown_to_html", "web"]

# X_k, Θ*_k, U*: one letter with a star, an index of one letter or number, or both (as in reports.latex).
_SYMBOL = re.compile(r"(?<![^\Wᵀ])(?<!\\)([A-Za-zΑ-Ωα-ω][\u0302\u0303\u0304]?)(\*?)(?:_([A-Za-z0-9]))?(?![\w*_])")

_STOP = re.compile(r"(<math(?:(?!<math).)*?</math>[.,;:)]+)", re.DOTALL)
_FORMULA = re.compile(r"\$([^$]+)\$")
# Bars of absolute values and norms as the converter writes them.
_BARS = re.compile(r"<mo[^>]*>(&#x0007C;|&#x02016;)</mo>")


def _symbol(match: re.Match[str]) -> str:
    letter, star, index = match.groups()
    if not star and not index:
        return match[0]
    return f"<i>{letter}</i>{'<sup>*</sup>' if star else ''}{f'<sub>{index}</sub>' if index else ''}"


def _plain(text: str) -> str:
    """Text outside ``$…$``: code between backquotes, symbols with indices, the rest escaped."""
    parts = PERCENT.sub("\u00a0%", text).split("`")
    if len(parts) % 2 == 0:
        return _SYMBOL.sub(_symbol, html.escape("`".join(parts), quote=False))
    shown = (html.escape(part, quote=False) for part in parts)
    return "".join(f"<code>{part}</code>" if i % 2 else _SYMBOL.sub(_symbol, part) for i, part in enumerate(shown))


def _formula(source: str) -> str:
    """MathML; bars open and close by turns, since as relations they would stand with space on both sides."""
    forms = {bar: itertools.cycle(("prefix", "postfix")) for bar in ("&#x0007C;", "&#x02016;")}

    def delimiter(match: re.Match[str]) -> str:
        return f'<mo form="{next(forms[match[1]])}" fence="true" stretchy="false">{match[1]}</mo>'

    # The converter copies the content of \text unescaped.
    safe = source.replace("&", "").replace("<", r"\lt ").replace(">", r"\gt ")
    return _BARS.sub(delimiter, convert(safe))


def web(text: str) -> str:
    r"""Plain text with optional ``$…$`` formulas (LaTeX) and backquoted code to HTML, formulas as MathML.

    A text with an odd number of dollar signs has no formulas, and neither has one in which a formula is none.
    """
    parts = text.split("$")
    if len(parts) % 2 == 0 or not all(map(is_formula, parts[1::2])):
        return _plain(text)
    shown = "".join(_formula(part) if i % 2 else _plain(part) for i, part in enumerate(parts))
    # A formula is not broken, so that a stop after it stood alone on the next line of a narrow screen.
    return _STOP.sub(r'<span class="together">\1</span>', shown)


def markdown_to_html(text: str, *, top: int = 0) -> str:
    """An ADEMP page; headings start ``top`` levels lower, tables scroll in a frame of their own."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    # Formulas are put aside: their stars, bars and underscores are no Markdown.
    formulas = [source for source in _FORMULA.findall(text) if is_formula(source)]
    tokens = parser.parse(_FORMULA.sub(lambda found: "\ufffc" if is_formula(found[1]) else found[0], text))
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + top, 6)}"
    page = str(parser.renderer.render(tokens, parser.options, {}))
    for formula in formulas:
        page = page.replace("\ufffc", _formula(formula), 1)
    page = page.replace("<th>", '<th scope="col">')
    box = '<div class="scroll" tabindex="0" role="region" aria-label="Table">'
    return page.replace("<table>", f"{box}<table>").replace("</table>", "</table></div>")
