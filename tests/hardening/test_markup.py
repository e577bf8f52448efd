"""Text of others in pages and documents: neither LaTeX nor HTML runs what a name or a title holds."""

import ast
import re
import subprocess
import warnings
from pathlib import Path
from shutil import which

import numpy as np
import pytest

from clair_stats import CLAIR, ClientEstimates
from reports.latex import is_formula, latex
from reports.webtext import markdown_to_html, web

ROOT = Path(__file__).resolve().parents[2]
INJECTIONS = [
    r"$\input{/etc/passwd}$",
    r"$\write18{touch owned}$",
    r"$\immediate\openout\x$",
    r"$\text{\input{x}}$",
    r"$^^5cinput{x}$",
    r"$\def\x{y}$",
    r"$a}\input{b$",
    r"$\frac{$",
    r"$x % rest of the line$",
    "$\\catcode`\\@=11$",
    "$a\n\n b$",
    r"$\begin{x}$",
    r"a $\$ b",
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_what_is_no_formula_is_escaped(text):
    shown = latex(text)
    assert "$" not in shown.replace(r"\$", "")
    # Every command that is left is an escape of ours.
    commands = set(re.findall(r"\\([A-Za-z]+)", shown))
    assert commands <= {"textbackslash", "textasciicircum", "textasciitilde", "allowbreak", "ensuremath", "texttt"}
    assert "<math" not in web(text)


@pytest.mark.parametrize(
    "text", [r"$\text{<img src=x onerror=alert(1)>}$", "$<script>$", "<script>", "`<b>`", "$a&lt;b$"]
)
def test_no_element_of_others_enters_a_page(text):
    for page in (web(text), markdown_to_html(text)):
        assert not re.search(r"<(img|script|b)\b", page)


def formulas_of_the_house():
    for package in ("theory_checks", "simulations"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield from re.findall(r"\$([^$\n]+)\$", node.value)


def test_the_houses_own_formulas_are_formulas():
    found = [formula for formula in formulas_of_the_house() if "{" not in formula or "\\" in formula]
    assert len(found) > 80
    assert [formula for formula in found if not is_formula(formula)] == []


@pytest.mark.slow
@pytest.mark.skipif(which("pdflatex") is None, reason="needs pdflatex")
def test_a_document_of_injections_compiles_and_runs_nothing(tmp_path):
    body = "\n\n".join(latex(text) for text in INJECTIONS)
    (tmp_path / "x.tex").write_text(
        "\\documentclass{article}\\usepackage{amsmath,amssymb}\\begin{document}\n" + body + "\n\\end{document}\n"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-shell-escape", "x.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert not (tmp_path / "owned").exists()


def test_the_summary_over_modules_prints_names_without_escapes():
    """Copies, clients that point away, modules and those set aside are named there."""
    blocks = np.random.default_rng(0).standard_normal((12, 6, 5))
    blocks[9], blocks[3], blocks[11, 0, 0] = blocks[1], 30.0 * blocks[3], np.nan
    names = [*(f"c{k}" for k in range(9)), "\x1b[31mcopy", "c10", "\x1b[31maside"]
    modules = {f"\x1b[31m{name}": ClientEstimates(blocks[:11], client_names=names[:11]) for name in "ab"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = CLAIR().fit(modules).summary()
        aside = CLAIR(missing="drop").fit(dict(zip(names, blocks, strict=True))).summary()
    assert "copy (as c1)" in told
    assert "aside" in aside
    assert "\x1b" not in told + aside
