"""Prose in British spelling, in lines of at most 120 characters."""

import ast
import io
import re
import subprocess
import tokenize
from functools import cache
from pathlib import Path

import pytest

from tests.import_graph import nodes

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 120

# American forms; the endings -ize and -yze are looked for in every word that is not an exception.
AMERICAN = re.compile(
    r"\b(?:behaviors?|colors?|colored|favors?|favorable|neighbors?|neighborhoods?|centers?|centered|centering|gray|grey-scale"
    r"|catalogs?|modeled|modeling|labeled|labeling|canceled|traveled|fulfill|artifacts?|judgment|analog|defense)\b"
    r"|\b[a-z]*[a-z]{2}(?:i[z](?:e|ed|es|er|ers|ing|ation|ations)|y[z](?:e|ed|es|ing))\b",
    re.IGNORECASE,
)
SIZES = re.compile(r"(?:[a-z]*size[ds]?|[a-z]*sizing|prize[ds]?|seize[ds]?)", re.IGNORECASE)
# Where another program or a public name decides the spelling: code between backticks, keywords, attributes.
CODE = re.compile(
    r"^ *>>>[^\n]*|^ *\.\.\. [^\n]*|^ *[\w, ]+ : |```.*?```|`[^`\n]*`|:\w+:`[^`]*`"
    r"|\b(?:np|scipy|stats|cp|pd|plt|ax|axis|axes|figure|mpl|unicodedata|doctest|pytest|json|tokenize|table)(?:\.\w+)+"
    r"|\b\w+=|\b\w*_\w*\b|#[0-9a-f]{6}",
    re.DOTALL | re.MULTILINE,
)
WORD_BORDER = re.compile(r"(?<=[a-z])(?=[A-Z])|_")
# These pages are written by programs.
WRITTEN_BY_PROGRAMS = {
    "docs/claims.md",
    "docs/gallery/copying.md",
    "docs/gallery/verse.md",
    "docs/gallery/vision.md",
    "docs/performance.md",
    "docs/refinement_gains.md",
}


def tracked(*suffixes):
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return [name for name in listed if name.endswith(suffixes) and (ROOT / name).exists()]


def american_words(text):
    """Words in American spelling outside code."""
    found = (match.group() for match in AMERICAN.finditer(CODE.sub(" ", text)))
    return [word for word in found if not SIZES.fullmatch(word)]


def suspicious(source):
    """Whether an American form stands anywhere in a file, its names split into words; most files need no parsing.

    Comments, docstrings and names are parts of the file, so that nothing is passed over.
    """
    return any(not SIZES.fullmatch(word) for word in AMERICAN.findall(WORD_BORDER.sub(" ", source)))


@cache
def suspects():
    """Name and text of the Python files in which an American form stands."""
    sources = {name: (ROOT / name).read_text(encoding="utf-8") for name in tracked(".py")}
    return {name: source for name, source in sources.items() if suspicious(source)}


def prose_of(source):
    """Comments and docstrings of a Python file."""
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [ast.get_docstring(node) or "" for node in nodes(source) if isinstance(node, holders)]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return "\n".join([*docstrings, *(token.string for token in tokens if token.type == tokenize.COMMENT)])


def long_lines(text):
    """Numbers of the lines of prose over the limit; code blocks and tables of numbers are none."""
    found = []
    code = False
    for number, line in enumerate(text.split("\n"), start=1):
        if line.lstrip().startswith(("```", "~~~")):
            code = not code
        if len(line) > LONGEST and not code and not _numeric(line):
            found.append(number)
    return found


def _numeric(line):
    """A row of a table in which most cells hold a number."""
    cells = [cell for cell in line.strip().strip("|").split("|") if cell.strip()]
    return line.lstrip().startswith("|") and sum(bool(re.search(r"\d", cell)) for cell in cells) > len(cells) / 2


@pytest.mark.parametrize("name", tracked(".md", ".rst"))
def test_pages_are_spelt_in_british_english(name):
    assert american_words((ROOT / name).read_text(encoding="utf-8")) == []


def test_comments_and_docstrings_are_spelt_in_british_english():
    found = {name: american_words(prose_of(source)) for name, source in suspects().items()}
    assert {name: words for name, words in found.items() if words and name != "tests/docs/test_prose.py"} == {}


@pytest.mark.parametrize("name", [name for name in tracked(".md") if name not in WRITTEN_BY_PROGRAMS])
def test_lines_of_pages_are_short(name):
    assert long_lines((ROOT / name).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The center of a neighborhood.", ["center", "neighborhood"]),
        ("Normalized and analyzed sizes, a prize.", ["Normalized", "analyzed"]),
        ('`color` is matplotlib\'s, `behavior="x"` too; plt.colorbar and color=red as well.', []),
        ("The centre is normalised; resized, oversized, seized.", []),
    ],
)
def test_the_word_list_sees_what_it_should(text, words):
    assert american_words(text) == words


def test_a_long_line_is_seen_and_a_row_of_numbers_is_not():
    row = "| " + " | ".join(["0.123456789"] * 12) + " |"
    assert long_lines("short\n" + "x" * 121 + "\n" + row + "\n```\n" + "y" * 130 + "\n```") == [2]


def test_prose_of_a_file_is_its_comments_and_docstrings():
    source = '"""Head."""\nx = "color"  # a remark\n\n\ndef f():\n    """Inner."""\n'
    assert prose_of(source) == "Head.\nInner.\n# a remark"


# Public names that tests and users outside the repository call.
KEPT_NAMES = {("clair_stats/records.py", "center"), ("clair_stats/theory/gain.py", "center")}


def american_names(source):
    """Names that a Python file defines (functions, classes, arguments, variables) in American spelling."""
    names = set()
    for node in nodes(source):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    words = {name: WORD_BORDER.sub(" ", name) for name in names}
    return sorted(name for name, text in words.items() if any(not SIZES.fullmatch(w) for w in AMERICAN.findall(text)))


def test_names_are_spelt_in_british_english():
    found = {name: american_names(source) for name, source in suspects().items()}
    wrong = {(name, word) for name, words in found.items() for word in words}
    assert wrong - KEPT_NAMES == set()
    assert wrong >= KEPT_NAMES


def test_an_american_name_is_seen():
    source = "def center_rows(color):\n    normalized_size = 1\n\n\nclass GrayScale:\n    tiny_size = 2\n"
    assert american_names(source) == ["GrayScale", "center_rows", "color", "normalized_size"]


@pytest.mark.parametrize(
    "source", ["def center_rows():\n    pass\n", "class GrayScale:\n    pass\n", "x = 1  # a color\n"]
)
def test_no_file_with_an_american_form_is_passed_over(source):
    assert suspicious(source)
    assert not suspicious("centre_rows = resized_columns = GreyScale  # a colour\n")
