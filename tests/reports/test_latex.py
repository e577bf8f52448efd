import pytest

from reports.latex import latex, markdown_to_latex


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50 % of ab_c & d#e", r"50~\% of ab\_\allowbreak{}c \& d\#e"),
        ("rank $r$ and $\\lambda$", r"rank $r$ and $\lambda$"),
        ("$λ ≤ 1$", r"$\ensuremath{\lambda} \ensuremath{\le} 1$"),
        ("λ√K", r"\ensuremath{\lambda}\ensuremath{\surd}K"),
        ("Ĉ = C", r"\ensuremath{\hat{C}} = C"),
        ("Θ̃_k", r"$\ensuremath{\tilde{\ensuremath{\Theta}}}_{k}$"),
        ("X_k and U*", r"$X_{k}$ and $U^{*}$"),
        ("exact_set", r"exact\_\allowbreak{}set"),
        ("run `make_it all`", r"run \texttt{make\_\allowbreak{}it all}"),
        ("5 $ and no formula_", r"5 \$ and no formula\_\allowbreak{}"),
        ("a\\b{c}", r"a\textbackslash{}b\{c\}"),
        ("Ångström", "Ångström"),
        ("☃", "[U+2603]"),
    ],
)
def test_text_becomes_latex(text, expected):
    assert latex(text) == expected


def test_markdown_headings_tables_and_code():
    page = "## Aims\n\nWhat **holds** for `x_1`?\n\n| a | b |\n| --- | --- |\n| 1 | λ |\n| 2 | 50 % |\n"
    text = markdown_to_latex(page)
    assert r"\subsection*{Aims}" in text
    assert r"What \textbf{holds} for \texttt{x\_\allowbreak{}1}?" in text
    assert r"\hspace{0pt}a & \hspace{0pt}b \\\midrule\endhead" in text
    assert r"\hspace{0pt}1 & \hspace{0pt}\ensuremath{\lambda} \\" in text
    assert r"\hspace{0pt}2 & \hspace{0pt}50~\% \\" in text
    assert text.count(r"\begin{longtable*}") == text.count(r"\end{longtable*}") == 1  # no number of their own
