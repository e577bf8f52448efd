"""Formulas written in Unicode, as in ``‖X_k − M‖_F² ≤ σ_k²``, translated to TeX.

The pages of ``docs/`` write mathematics as plain Unicode text, which can be read in any editor.  The site renders it
with MathJax, which needs TeX.  :func:`to_tex` translates one formula; :mod:`formulas_in_prose` finds the formulas.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["FUNCTIONS", "PRODUCTS", "WORDS", "split_accents", "to_tex"]

_words = str.split
# Names that stand upright in a formula and take an argument.
FUNCTIONS = frozenset(
    _words(
        "min max log exp tr rank dim col row span diag sin cos tan sup inf arg det sign Var Cov Bin Poisson median "
        "mean cut prox SVT vec sd div polar risk cost gain"
    )
)
# Two or three letters that are a product of variables (p times q), not a word.
PRODUCTS = frozenset(_words("pq qK pK rq rp sq dv pqK qKn Ks Kr Kp Kq nd hr mr μr sr np nq kn dt ds vI"))
# Words of two letters that are no product.
WORDS = frozenset(_words("of is on at or if to by in as it so no we be an up for"))
_NATIVE = frozenset(_words("min max log exp dim sin cos tan sup inf arg det"))
_ROMAN_SUBSCRIPTS = r"op|max|min|eff|tot|obs"
_SUBSCRIPT = re.compile(
    # One letter, so that P_UE_k is the product P_U E_k; two only where both are indices.
    rf"(?P<roman>{_ROMAN_SUBSCRIPTS})(?![a-z])|(?P<index>[ijklm]{{2}}(?![a-z_])|[A-Za-z]|[0-9]+|[+−-][0-9]*)"
    r"(?![\u0300-\u036f])"
)
_ACCENTS = {"\u0302": "hat", "\u0304": "bar", "\u0303": "tilde", "\u0307": "dot", "\u030a": "mathring"}
_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱᶜᵐ", "0123456789+-=()nicm", strict=True)) | {"ᵀ": r"\top ", "♯": r"\sharp "}
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₖₙₘₚᵢⱼₐ", "0123456789+-=()knmpija", strict=True))
_SYMBOLS = {
    "‖": r"\Vert ", "⟨": r"\langle ", "⟩": r"\rangle ", "·": r"\cdot ", "×": r"\times ", "−": "-", "…": r"\dots ",
    "½": r"\tfrac12 ", "¼": r"\tfrac14 ", "¾": r"\tfrac34 ", "⅓": r"\tfrac13 ", "⅔": r"\tfrac23 ", "|": r"\vert ",
    "~": r"\sim ", "%": r"\% ", "#": r"\# ", "&": r"\& ", "$": r"\$ ", "Π": r"\Pi ", "∑": r"\sum ", "⊥": r"\perp ",
    "⟂": r"\perp ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "∈": r"\in ", "⊗": r"\otimes ", "⊕": r"\oplus ",
    "→": r"\to ", "⇒": r"\Rightarrow ", "∞": r"\infty ", "∎": r"\blacksquare ", "⊂": r"\subset ", "≈": r"\approx ",
    "°": r"^{\circ}", "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "•": r"\bullet ",
    "\\": r"\backslash ",
}  # fmt: skip
_CLOSING = {"(": ")", "[": "]", "{": "}", "|": "|", "‖": "‖", "⌊": "⌋", "⌈": "⌉"}


def split_accents(text: str) -> str:
    """Letters with an accent as letter and combining mark; signs such as ≠ stay whole."""
    parts = (unicodedata.normalize("NFD", char) if char.isalpha() else char for char in text)
    return "".join(parts)


class _Reader:
    """A recursive reader of one formula: atoms, each followed by its scripts in any order."""

    def __init__(self, text: str) -> None:
        self.text = split_accents(text)
        self.at = 0

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def sequence(self, end: str = "") -> str:
        """Everything up to the character ``end``, which is consumed, or to the end of the text."""
        parts: list[str] = []
        while self.at < len(self.text):
            if end and self.peek() == end:
                self.at += 1
                break
            parts.append(self.scripted())
        return "".join(parts)

    def scripted(self) -> str:
        base = self.atom()
        below: list[str] = []
        above: list[str] = []
        while self.at < len(self.text) and self.script(below, above):
            pass
        under = f"_{{{''.join(below)}}}" if below else ""
        over = f"^{{{''.join(above)}}}" if above else ""
        return (base or "{}" if under or over else base) + under + over

    def script(self, below: list[str], above: list[str]) -> bool:
        char = self.peek()
        if char in _SUPERSCRIPTS:
            self.at += 1
            above.append(_SUPERSCRIPTS[char])
        elif char in _SUBSCRIPTS:
            self.at += 1
            below.append(_SUBSCRIPTS[char])
        elif char == "'":
            self.at += 1
            above.append(r"\prime ")
        elif char == "*" and self.at > 0:
            self.at += 1
            above.append("*")
        elif char in "_^" and self.at + 1 < len(self.text) and not self.text[self.at + 1].isspace():
            self.at += 1
            (below if char == "_" else above).append(self.argument())
        else:
            return False
        return True

    def argument(self) -> str:
        """What follows ``_`` or ``^``: a group, a parenthesis after ``^``, a run of letters or digits, one symbol."""
        char = self.peek()
        if char == "{":
            self.at += 1
            return self.sequence("}")
        if char == "(":
            self.at += 1
            return f"({self.sequence(')')})"
        if char == "*":
            self.at += 1
            return "*"
        run = _SUBSCRIPT.match(self.text, self.at)
        if run:
            self.at = run.end()
            return rf"\mathrm{{{run['roman']}}}" if run["roman"] else run["index"].replace("−", "-")
        return self.atom()

    def atom(self) -> str:
        char = self.peek()
        if char == "√":
            self.at += 1
            return rf"\sqrt{{{self.radicand()}}}"
        if char == "{":
            self.at += 1
            return rf"\{{{self.sequence('}')}\}}"
        if char == "(" and self.closes():
            self.at += 1
            return f"({self.sequence(')')})"
        word = re.match(r"[A-Za-z]{2,}", self.text[self.at :])
        if word and self.text[self.at + word.end() : self.at + word.end() + 1] not in _ACCENTS:
            self.at += word.end()
            return self.word(word.group())
        self.at += 1
        if self.peek() in _ACCENTS:
            accent = _ACCENTS[self.peek()]
            self.at += 1
            return rf"\{accent}{{{char}}}"
        if unicodedata.combining(char):
            return ""
        if char.isspace():
            return " "
        return _SYMBOLS.get(char, char)

    def closes(self) -> bool:
        """Whether the parenthesis that opens here is closed before the text ends."""
        depth = 0
        for char in self.text[self.at :]:
            depth += (char == "(") - (char == ")")
            if depth == 0:
                return True
        return False

    def word(self, letters: str) -> str:
        if letters in _NATIVE:
            return rf"\{letters} "
        if letters in FUNCTIONS:
            return rf"\operatorname{{{letters}}}"
        product = letters in PRODUCTS or (len(letters) <= 3 and letters[1:].isupper())
        if product or (len(letters) == 2 and letters not in WORDS):
            # The last letter alone may carry the scripts: pq² is p·q².
            self.at -= 1
            return letters[:-1] + self.atom_of_letter()
        return rf"\text{{ {letters} }}"

    def atom_of_letter(self) -> str:
        char = self.peek()
        self.at += 1
        return char

    def radicand(self) -> str:
        char = self.peek()
        if char == "(":
            self.at += 1
            return self.sequence(")")
        if char in "|‖":
            self.at += 1
            inner = self.sequence(char)
            bar = _SYMBOLS[char]
            return f"{bar}{inner}{bar}" + self.trailing_scripts()
        head = self.scripted()
        if self.peek() in _CLOSING and self.peek() not in "|‖":
            opening = self.peek()
            self.at += 1
            return f"{head}{opening}{self.sequence(_CLOSING[opening])}{_CLOSING[opening]}"
        return head

    def trailing_scripts(self) -> str:
        below: list[str] = []
        above: list[str] = []
        while self.at < len(self.text) and self.script(below, above):
            pass
        return (f"_{{{''.join(below)}}}" if below else "") + (f"^{{{''.join(above)}}}" if above else "")


def to_tex(formula: str) -> str:
    """Translate one formula.

    Parameters
    ----------
    formula : str
        Unicode text, for instance ``"√(1 − ŝ²) d_k"``.

    Returns
    -------
    str
        TeX, without dollar signs; it contains no ``|``, so that it can stand in a Markdown table.
    """
    return re.sub(r" {2,}", " ", _Reader(formula).sequence()).strip()
