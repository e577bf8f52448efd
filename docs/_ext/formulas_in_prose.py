"""Find formulas written in Unicode in a paragraph of Markdown or of a docstring.

A word is part of a formula when it holds a sign that prose does not have (a Greek letter, a norm, a subscript), when it
is a single letter that names a quantity, or when it is an operator or a number between two such words.  Code and links
are left alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from unicode_to_tex import FUNCTIONS, PRODUCTS, WORDS, split_accents, to_tex

__all__ = ["STRONG", "dollars", "few_capitals", "role", "with_formulas"]

_words = str.split
_GREEK = "αβγδεζηθικλμνξοπρςστυφχψωℓΓΔΘΛΞΠΣΦΨΩ"
_SIGNS = "‖√∈∉⊂⊃⊗⊕∂∇⟨⟩⟂⊥≻⪰⪯≺∪∩⁻ᵀᶜ²³⁴¹₀₁₂₃₊♯𝔇𝒪ℝ½⌊⌋∞°"
_OPERATORS = frozenset(_words("= ≠ < > ≤ ≥ ≈ ~ + − · × / ∈ ∉ ⊂ ⊃ ∪ ∩ ⊗ ⊕ → ← ↦ ∝ ≻ ⪰ ⪯ ≺ ≪ ≫ ⇒ ⇔ ⟂ ⊥ … …, | : , ∘ :="))
# Letters that name a quantity when they stand alone; "a", "A" and "I" are words.
_LETTERS = frozenset("pqrnhksdvmijtfxyzcegKMULSQXCOEYZVHDPWTNFGBRJ")
_NAMES_FIRST = "|".join(sorted(FUNCTIONS, key=len, reverse=True))
STRONG = re.compile(
    rf"[{_GREEK}{_SIGNS}]|(?<![A-Za-z])[A-Z]?[A-Za-z][\u0302\u0304\u0303](?![a-z])|"
    rf"(?<![A-Za-z])(?:[A-Z]{{1,3}}|[a-z]|{_NAMES_FIRST})['*\u0302\u0304\u0303]*[_^][\w{{*(]|"
    r"(?<![A-Za-z])[A-Za-z]['*](?![A-Za-z*])|\d_[A-Z]"
)
_NUMBER = re.compile(r"[−+-]?\d+(?:[.,]\d+)*%?|(?=.*\d)[\d.,(){}\[\]/+−*^=·<>½⅓⅔]+")
# Not formulas: the names of the programs and the numbers of an enumeration.
_NAMES = re.compile(r"\((?:[EBN]\*?|i|v|x|[a-h])(?:\)[,.;:)]*|,)")
# Words or letters: which, the neighbours tell.
_AMBIGUOUS = frozenset({"a", "A", "I", "b"})
_FUNCTION_WORDS = frozenset(_words("min max log exp tr sup inf arg det dim div cos sin"))
_PROTECTED = re.compile(
    r"`+[^`]*`+|\$\$.*?\$\$|\$[^$\s][^$]*\$|!?\[[^\]]*\]\([^)]*\)|\{[\w-]+\}`[^`]*`|<[a-zA-Z/][^>]*>|https?://\S+", re.S
)
_PLACE = "\ue000"
_LEADING = '([“"'
_TRAILING = '.,;:)]”"?!'


# A name of the code, as n_clients, refined_ or OMP_NUM_THREADS.
_IDENTIFIER = re.compile(r"[A-Za-z]{2,}_[a-z]{2,}|[A-Z]{2,}_[A-Z]{2,}|[A-Za-z]_[a-z]{3,}|[a-z]{2,}_$")
# The differential or the multiple of a quantity: dU, 2K, 1.5d.
_MULTIPLE = re.compile(r"[a-z][A-Z]|\d+(?:\.\d+)?(?:[pqrnKdshvN]|dv|pq|rq|sq)")
_COMPOUND = re.compile(r"[A-Za-z0-9_()\[\]{}|/+−=<>,.^'*·×!-]+")
# Words with a hyphen, abbreviations, initials and numbers of an enumeration are none, whatever they hold.
_NO_COMPOUND = re.compile(r"[A-Za-z]-|\d-|\.[A-Za-z]|^\(?[a-z]\)$")


def _is_formula(word: str) -> bool:
    """Whether a word without its outer punctuation can only be part of a formula."""
    if not word or _PLACE in word or word.strip(_LEADING + _TRAILING) in _AMBIGUOUS:
        return False
    if _IDENTIFIER.search(word):
        return False
    strong = bool(STRONG.search(word))
    for run in re.finditer(r"[A-Za-z\u0300-\u036f]{2,}", word):
        letters = re.sub(r"[\u0300-\u036f]", "", run.group())
        subscript = run.start() > 0 and word[run.start() - 1] in "_{^"
        known = letters in FUNCTIONS or letters in PRODUCTS or few_capitals(letters)
        if not (subscript or len(letters) < 2 or known or (strong and len(letters) == 2 and letters not in WORDS)):
            return False
    if strong:
        return True
    if (
        word in _LETTERS
        or word in PRODUCTS
        or re.fullmatch(r"[a-z][A-Z]|\d+(?:\.\d+)?(?:[pqrnKdshvN]|dv|pq|rq|sq)", word)
    ):
        return True
    if re.match(rf"(?:{'|'.join(FUNCTIONS)})\(", word) and re.search(r"\d", word):
        return True
    if not _COMPOUND.fullmatch(word) or _NO_COMPOUND.search(word):
        return False
    return bool(re.search(r"[(){}|/+−=<>^·×]", word) and re.search(r"(?<![A-Za-z])[A-Za-z](?![A-Za-z-])", word))


def few_capitals(letters: str) -> bool:
    """Products of matrices, as AU or ULV, and a letter before its matrix, as dU."""
    return len(letters) <= 3 and letters[1:].isupper() and letters not in {"OLS", "SVD", "USA", "MAD", "GLM", "CLT"}


def _depth(word: str) -> int:
    return sum(word.count(c) for c in "([{⌊⟨") - sum(word.count(c) for c in ")]}⌋⟩")


def _trim(span: str) -> tuple[str, str, str]:
    """Split a run of words into what precedes the formula, the formula with balanced brackets, what follows."""
    before = after = ""
    while True:
        last = span[-1:]
        if last and (last in '.,;:?!”"…∎' or (last in ")]" and _depth(span) < 0)):
            after, span = span[-1] + after, span[:-1].rstrip()
        elif span and span[0] in _LEADING and _depth(span) > 0:
            before, span = before + span[0], span[1:].lstrip()
        elif last in (")", "]") and span[0] in "([" and _outer_pair(span) and " " in span and "," not in span:
            before, span, after = before + span[0], span[1:-1], span[-1] + after
        else:
            return before, span, after


def _outer_pair(span: str) -> bool:
    """Whether the first and the last bracket belong together, so that they are punctuation of the sentence."""
    depth = 0
    for i, char in enumerate(span):
        depth += (char in "([") - (char in ")]")
        if depth == 0:
            return i == len(span) - 1
    return False


def role(tex: str) -> str:
    """TeX as a role of reStructuredText; the escaped blanks let it stand beside any character."""
    return f"\\ :math:`{tex}`\\ "


def dollars(tex: str) -> str:
    """TeX as inline mathematics of MyST."""
    return f"${tex}$"


def _marked(span: str, mark: Callable[[str], str]) -> str:
    before, formula, after = _trim(span)
    if not formula or _depth(formula) != 0 or formula.count("‖") % 2 or _NUMBER.fullmatch(formula):
        return span
    return before + mark(to_tex(formula)) + after


def _kind(word: str) -> str:
    """F formula, N number, O operator, U function name, W word of the prose."""
    core = word.strip(_LEADING + _TRAILING)
    if word in _OPERATORS:
        return "O"
    if _NAMES.fullmatch(word):
        return "W"
    if _NUMBER.fullmatch(core):
        return "N"
    if core in _FUNCTION_WORDS:
        return "U"
    return "F" if _is_formula(core) or _is_formula(word) else "W"


def _spans(words: list[str]) -> list[tuple[int, int]]:
    """Runs of words [start, end) that make one formula each."""
    kinds = [_kind(word) for word in words]
    for i, word in enumerate(words):
        near = {*words[i + 1 : i + 2], *words[max(i - 1, 0) : i]} & (_OPERATORS - {"|", ":", ",", "→"})
        if near and word.strip(_LEADING + _TRAILING) in _AMBIGUOUS:
            kinds[i] = "F"
    spans: list[tuple[int, int]] = []
    i = 0
    while i < len(words):
        if kinds[i] not in "FNU":
            i += 1
            continue
        end, depth, norms = i, 0, 0
        while end < len(words):
            norms += words[end].count("‖")
            depth += _depth(words[end])
            end += 1
            inside = depth + norms % 2
            closed = inside <= 0 and words[end - 1][-1:] in ".,;:?!"
            if closed or end == len(words) or not _goes_on(words, kinds, end, inside):
                break
        while end > i and kinds[end - 1] in "OU":
            end -= 1
        if "F" in kinds[i:end]:
            spans.append((i, end))
            i = end
        else:
            i += 1
    return spans


def _goes_on(words: list[str], kinds: list[str], at: int, depth: int) -> bool:
    """Whether the word at ``at`` continues the formula that ends before it."""
    here, before = kinds[at], kinds[at - 1]
    if here == "W":
        return False
    if here == "U" and at + 1 < len(words) and kinds[at + 1] == "F":
        return True
    if here == "O":
        following = kinds[at + 1] if at + 1 < len(words) else "W"
        return following in "FNU" or depth > 0
    if depth > 0 or before in "OU":
        return True
    strong = STRONG.search(words[at]) and STRONG.search(words[at - 1])
    return bool(strong) and words[at][0] not in "(["


def with_formulas(text: str, mark: Callable[[str], str] = dollars) -> str:
    """A paragraph or a table cell, with its formulas between dollar signs."""
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match.group())
        return f"{_PLACE}{len(kept) - 1}{_PLACE}"

    text = split_accents(_PROTECTED.sub(keep, text))
    pieces = re.split(r"(\s+)", text)
    words, gaps = pieces[0::2], [*pieces[1::2], ""]
    marks = _emphasis(words)
    bare = [word[len(a) : len(word) - len(b)] for word, (a, b) in zip(words, marks, strict=True)]
    out: list[str] = []
    at = 0
    for start, end in [*_broken_at_marks(_spans(bare), marks), (len(words), len(words))]:
        out += [marks[i][0] + bare[i] + marks[i][1] + gaps[i] for i in range(at, start)]
        if start < end:
            joined = " ".join(word for word in bare[start:end] if word)
            out.append(marks[start][0] + _marked(joined, mark) + marks[end - 1][1] + gaps[end - 1])
        at = end
    text = unicodedata.normalize("NFC", "".join(out))
    return re.sub(f"{_PLACE}(\\d+){_PLACE}", lambda match: kept[int(match.group(1))], text)


def _emphasis(words: list[str]) -> list[tuple[str, str]]:
    """Asterisks of Markdown's emphasis before and after each word; an asterisk of a formula, as in U*, is not one."""
    marks: list[tuple[str, str]] = []
    opened = ""
    for word in words:
        before = after = ""
        start = re.match(r"\(?(\*{1,2})(?=[^\s*])", word)
        if not opened and start and not word.startswith("("):
            before = opened = start.group(1)
        rest = word[len(before) :]
        end = re.search(r"(\*{1,2})[.,;:)]*$", rest)
        if opened and end and end.group(1) == opened and rest != end.group():
            after, opened = rest[end.start() :], ""
        marks.append((before, after))
    return marks


def _broken_at_marks(spans: list[tuple[int, int]], marks: list[tuple[str, str]]) -> list[tuple[int, int]]:
    """No formula reaches across the beginning or the end of an emphasis."""
    broken: list[tuple[int, int]] = []
    for start, end in spans:
        at = start
        for i in range(start, end):
            if i > at and marks[i][0]:
                broken.append((at, i))
                at = i
            if marks[i][1]:
                broken.append((at, i + 1))
                at = i + 1
        if at < end:
            broken.append((at, end))
    return broken
