"""Formulas of the pages become TeX, prose and code stay as they are."""

import re
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
sys.path.insert(0, str(DOCS / "_ext"))

from mathematics_in_pages import mathematics_in_docstring, mathematics_in_page  # noqa: E402 - the folder is no package
from unicode_to_tex import to_tex  # noqa: E402

PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts and "auto_examples" not in path.parts)


@pytest.mark.parametrize(
    ("formula", "tex"),
    [
        ("‖X_k − M‖_F² ≤ σ_k²", r"\Vert X_{k} - M\Vert _{F}^{2} \le σ_{k}^{2}"),
        ("√(1 − ŝ²) d_k", r"\sqrt{1 - \hat{s}^{2}} d_{k}"),
        ("Θ*_k = U*A_kᵀ", r"Θ_{k}^{*} = U^{*}A_{k}^{\top }"),
        ("V'_kᵀ", r"V_{k}^{\prime \top }"),
        ("P_ÛE_k", r"P_{\hat{U}}E_{k}"),
        ("P_UE_k", r"P_{U}E_{k}"),
        ("(G_k)_il", r"(G_{k})_{il}"),
        ("√(|O|(1 + ρ))", r"\sqrt{\vert O\vert (1 + ρ)}"),
        ("S_k^(m)", r"S_{k}^{(m)}"),
        ("max_{k∈C} b_k", r"\max _{k\in C} b_{k}"),
    ],
)
def test_formulas(formula, tex):
    assert to_tex(formula) == tex


@pytest.mark.parametrize(
    ("source", "page"),
    [
        ("client k of K is a client", "client $k$ of $K$ is a client"),
        ("`X_k = 1` and [a link](x_k.md)", "`X_k = 1` and [a link](x_k.md)"),
        ("program (E), see (i) and section 2", "program (E), see (i) and section 2"),
        ("**Theorem 1 (E).** Let r = 2.", "**Theorem 1 (E).** Let $r = 2$."),
        ("*Leverage.* With U* and M* given,", "*Leverage.* With $U^{*}$ and $M^{*}$ given,"),
        ("# Title with X_k", "# Title with X_k"),
        ("OMP_NUM_THREADS=1 and max_iterations", "OMP_NUM_THREADS=1 and max_iterations"),
        ("F ∈ ℝ^{p×q} is a point", r"$F \in ℝ^{p\times q}$ is a point"),
        ("Šidák's rule at α_K", "Šidák's rule at $α_{K}$"),
    ],
)
def test_formulas_in_prose(source, page):
    assert mathematics_in_page(source) == page


def test_a_table_cell_keeps_its_bars():
    assert mathematics_in_page(r"| γ = \|O\|/K | `a` |") == r"| $γ = \vert O\vert /K$ | `a` |"


def test_an_indented_formula_is_displayed_and_an_indented_command_is_not():
    shown = mathematics_in_page("\n    Q = λ H     (2.1)\n")
    assert "\\begin{aligned}\n& Q = λ H\\qquad\\text{(2.1)}\n" in shown
    command = "\n    python -m simulations run STUDY --jobs 2\n"
    assert mathematics_in_page(command) == command


def test_docstrings_get_roles_and_keep_their_examples():
    lines = ["At most |C| of K, see refined_.", "**n** : int", "", ">>> x_k = 1", "σ_k"]
    assert mathematics_in_docstring(lines) == [
        r"At most \ :math:`\vert C\vert`\  of \ :math:`K`\ , see ``refined_``.",
        "**n** : int",
        "",
        ">>> x_k = 1",
        "σ_k",
    ]


def _formulas(page):
    text = re.sub(r"```.*?```|`[^`]*`", "", page, flags=re.S)
    return re.findall(r"\$\$(.*?)\$\$", text, re.S) + re.findall(r"(?<!\$)\$([^$]+)\$(?!\$)", text)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_every_formula_of_every_page_is_balanced_tex(path):
    for formula in _formulas(mathematics_in_page(path.read_text(encoding="utf-8"))):
        assert formula.count("{") - formula.count(r"\{") == formula.count("}") - formula.count(r"\}"), formula
        assert not re.search(r"[\u0300-\u036f]|\^\{[^{}]*\}\^|_\{[^{}]*\}_", formula), formula


def test_the_theory_is_rendered():
    """A rewrite that found nothing would leave norms and square roots in the prose."""
    page = mathematics_in_page((DOCS / "theory.md").read_text(encoding="utf-8"))
    assert len(_formulas(page)) > 150
    rest = re.sub(r"\$[^$]*\$", "", re.sub(r"\$\$.*?\$\$|`[^`]*`", "", page, flags=re.S))
    assert len(re.findall("[‖√∈ᵀ]", rest)) <= 12
