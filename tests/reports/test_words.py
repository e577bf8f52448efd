"""Names of the program do not reach a reader of the report: one label map, applied to every table and axis."""

import inspect
import re

import pytest
from matplotlib.text import Text

import reports.sections
from reports.document import build
from reports.labels import labels, settings
from reports.latex import latex
from reports.reading import read_inputs
from reports.tables import Column, Group, Table, to_html, to_latex
from reports.words import WORDS, count_of, measure_words, spelt, worded
from simulations.design import factors
from simulations.studies import studies
from tests.reports.test_build import results  # noqa: F401 - the fixture of a small results folder

# A letter and its index, as in a_b of the small study, are a symbol.
RAW = re.compile(r"\w{2,}_\w+|n_\w+")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("P(exact_set) of refined_mse", "P(exact set) of refined MSE"),
        ("n_clients = 20, n_min and d_k", "clients = 20, n_min and d_k"),
        ("`exact_set`, ``n_rows`` and $x_{ab_cd}$", "`exact_set`, ``n_rows`` and $x_{ab_cd}$"),
        (
            "results/real_clients.sqlite, not_a.call, of_three(x)",
            "results/real_clients.sqlite, not_a.call, of_three(x)",
        ),
        ("coordinate_median, factor_average", "entrywise median, average of factors"),
    ],
)
def test_names_in_a_text_are_words(text, words):
    assert spelt(text) == words


def test_a_number_stands_before_what_it_counts():
    rows = [{"method": "x", "method.rounds": n, "method.aggregation": "factor_average"} for n in (1, 3)]
    assert labels(rows, "method") == ["1 round", "3 rounds"]
    assert settings([{"regime": "g", "regime.n_clients": n} for n in (20, 30)]) == ["20 clients", "30 clients"]
    assert count_of("n_rows", True) is count_of("noise_scale", 1.0) is None


def test_every_name_in_every_study_has_words():
    """Of methods, regimes, their fields and their measures; and what their classes say can be set in LaTeX."""
    found, kinds = set(), set()
    for study in studies().values():
        kinds |= {type(part) for cell in study.cells for part in (cell.regime, cell.method)}
        found |= {measure_words(measure.label) for measure in study.measures}
        for cell in study.cells:
            for field, value in factors(cell).items():
                found |= {worded(field.split(".", 1)[-1]), worded(value) if isinstance(value, str) else ""}
    assert not [name for name in found if RAW.search(name)]
    assert not [kind for kind in kinds if "[U+" in latex((inspect.getdoc(kind) or "").split("\n\n")[0])]
    assert len(set(WORDS.values())) >= len(WORDS) - 1  # local fits are called so in two studies


@pytest.fixture
def texts(monkeypatch):
    """What is written in the figures, by the name of the file."""
    found = {}
    kept = reports.sections.save

    def save(figure, stem):
        found[stem.name] = [text.get_text() for text in figure.findobj(Text)]
        return kept(figure, stem)

    monkeypatch.setattr(reports.sections, "save", save)
    return found


def test_no_raw_name_reaches_a_cell_or_an_axis(results, tmp_path, texts):  # noqa: F811
    build(read_inputs(results), tmp_path, pdf=False)
    page = re.sub(r"<code>.*?</code>", "", (tmp_path / "index.html").read_text(), flags=re.DOTALL)
    cells = re.findall(r"<(?:td|th|figcaption)\b[^>]*>(.*?)</(?:td|th|figcaption)>", page, flags=re.DOTALL)
    assert len(cells) > 20
    assert not [cell for cell in cells if RAW.search(re.sub(r"<[^>]*>", "", cell))]
    assert "mean refined MSE" in texts["study-coins"]
    assert not [text for own in texts.values() for text in own if RAW.search(text)]
    fragments = [path.read_text() for path in (tmp_path / "tables").glob("*.tex")]
    lines = [line for text in fragments for line in text.splitlines() if not line.startswith("%")]
    assert not [line for line in lines if RAW.search(re.sub(r"\\(texttt|label)\{.*?\}", "", line.replace(r"\_", "_")))]


def test_a_raw_name_is_put_in_words_wherever_a_table_has_it():
    table = Table("t", "own_loss", (Column("sin_theta"),), (Group("n_rows 3", (("own_loss",),)),), notes=("own_loss",))
    for text in (to_html(table), to_latex(table).replace(r"\_", "_")):
        assert not RAW.search(text)
        assert text.count("own loss") == 3


def test_a_long_heading_is_folded_and_makes_no_column_wider():
    """It ran off the page, and its width went to the last column."""
    heading = ", ".join(f"field {i}" for i in range(12))
    table = Table("t", "", (Column("a"),), (Group(heading, (("1",),)), Group("short", (("1",),))))
    text = to_latex(table)
    assert text.count(r"\makebox[0pt][l]{\parbox[t]{\linewidth}") == 2
    assert r"\setlength{\LTleft}{0pt}" in text
    assert "parbox" not in to_latex(Table("t", "", (Column("a"),), (Group("short", (("1",),)),)))
