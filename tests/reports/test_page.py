"""The first page says what came out, and the HTML page stands alone: formulas, anchors, headers, no network."""

import dataclasses
import re
import subprocess
from html.parser import HTMLParser

import pytest

from reports.document import build
from reports.headline import Finding, headline
from reports.inputs import Inputs, RegimeInput
from reports.latex import latex
from reports.numbers import is_number, with_limits
from reports.reading import read_inputs
from reports.tables import Column, Group, Table, to_html, to_latex
from reports.webtext import markdown_to_html, web
from tests.reports.test_build import results  # noqa: F401 - fixture of a small results folder
from theory_checks.judge.verdict import Verdict
from theory_checks.registry import all_claims
from theory_checks.rules.evidence import Evidence

VOID = {"meta", "link", "img", "input", "br", "hr"}


class Reader(HTMLParser):
    """Collects tags, attributes and identifiers; fails where tags are not closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.identifiers = [], [], []

    def handle_starttag(self, tag, attributes):
        own = dict(attributes)
        self.tags.append((tag, own))
        if "id" in own:
            self.identifiers.append(own["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def page(built_once):
    return (built_once / "index.html").read_text()


def test_page_is_well_formed_and_its_anchors_lead_somewhere(page):
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert len(set(reader.identifiers)) == len(reader.identifiers)
    anchors = [own["href"][1:] for tag, own in reader.tags if tag == "a" and own["href"].startswith("#")]
    assert len(anchors) > 5
    assert set(anchors) <= set(reader.identifiers)


def test_page_needs_no_network_and_tells_what_images_show(page):
    reader = Reader()
    reader.feed(page)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page)
    assert not re.search(r"<script|@import|url\(", page)
    images = [own for tag, own in reader.tags if tag == "img"]
    assert images
    assert all(own["src"].startswith("data:image/png;base64,") and len(own["alt"]) > 20 for own in images)
    headers = [own for tag, own in reader.tags if tag == "th"]
    assert headers
    assert all(own.get("scope") in ("col", "row", "rowgroup") for own in headers)
    assert sum(tag == "figcaption" for tag, _ in reader.tags) == sum(tag == "figure" for tag, _ in reader.tags) > 3
    assert "prefers-color-scheme: dark" in page
    assert "width=device-width" in page


def test_figures_and_tables_are_numbered_and_scroll_in_boxes_that_the_keyboard_reaches(page):
    found = Reader()
    found.feed(page)
    images = [k for k, (tag, _) in enumerate(found.tags) if tag in ("img", "table")]
    assert images
    for k in images:
        tag, box = found.tags[k - 1]
        assert (tag, box["class"], box["tabindex"], box["role"]) == ("div", "scroll", "0", "region")
        assert box.get("aria-label") == "Table" or box["aria-labelledby"] in found.identifiers
    for kind in ("figure", "table"):
        assert f'counter-increment: {kind}; content: " " counter({kind}) "."' in page


def test_page_shows_formulas_and_no_latex(page):
    assert "<math" in page
    body = re.sub(r"<math.*?</math>|<style>.*?</style>|base64,[^\"]*", "", page, flags=re.S)
    assert not re.search(r"\\[a-zA-Z]+|\$", body)


def test_every_figure_and_table_of_the_document_has_a_caption(built_once):
    text = (built_once / "report.tex").read_text()
    assert text.count(r"\includegraphics") == text.count(r"\captionof{figure}") > 0
    # A figure of the page's height would push its caption off the page.
    assert text.count(r"height=0.8\textheight,keepaspectratio]") == text.count(r"\includegraphics")
    for path in (built_once / "tables").glob("*.tex"):
        assert re.search(r"\\caption\{.*n(?:~=~|:)", path.read_text()), path.name
    assert text.index(r"\section*{Result}") < text.index(r"\tableofcontents")


def verdict(status, **fields):
    return Verdict(
        claim="c",
        theorem=1,
        title="Title",
        status=status,
        effort="quick",
        sabotage="",
        evidence=Evidence(10, 0.3, 0.01, 0.2, 0.4, 0.5, False, "", failed=2),
        adjusted_p_value=1.0,
        rule="",
        smallest_violation="",
        **fields,
    )


def test_headline_says_what_is_not_supported_and_what_has_no_power(results):  # noqa: F811
    inputs = read_inputs(results)
    (item,) = inputs.claims
    rest = len(all_claims()) - 1
    assert headline(inputs, (), ()).verdict.endswith(f" {rest} of {rest + 1} claims were not run.")
    assert not headline(inputs, (), ()).good
    inputs = dataclasses.replace(inputs, unrun=0)
    head = headline(inputs, (), ("commit 0123456789ab with local changes, Python 3.11, clair-stats 9.8.7, BLAS x",))
    assert head.verdict == "The one claim that was run is supported; 1 of 1 sabotages rejected (quick effort)."
    assert head.good
    assert head.findings == ()
    assert head.code == "CLAIR-stats 9.8.7, commit 0123456789ab with local changes."
    log = subprocess.run(["git", "log", "-1", "--format=%H %cs"], capture_output=True, text=True, check=False)
    known = log.stdout.split()
    if known:  # not in an unpacked archive
        dated = headline(inputs, (), (f"commit {known[0][:12]}, Python 3.11, clair-stats 9.8.7, BLAS x",))
        assert dated.code == f"CLAIR-stats 9.8.7, commit {known[0][:12]} of {known[1]}."
    bad = dataclasses.replace(
        item, verdict=verdict("inconclusive"), sabotage=dataclasses.replace(item.sabotage, status="supported")
    )
    head = headline(dataclasses.replace(inputs, claims=(item, bad)), [Finding("study", "lost", "study-x")], ())
    assert head.verdict.startswith("1 of 2 claims supported, 1 inconclusive, none violated; 1 of 2 sabotages rejected")
    assert not head.good
    texts = [finding.text for finding in head.findings]
    assert texts[0] == "inconclusive: the statistic is 0.300(10) over 10 replications; 2 failed."
    assert "has shown no power" in texts[1]
    assert texts[2] == "lost"
    assert "no provenance" in head.code


def test_headline_counts_violations_on_real_fits_and_controls_that_were_missed(results):  # noqa: F811
    study = read_inputs(results).studies[0].study
    asked = [verdict("violated", regime="r"), verdict("supported", regime="r")]
    control = dataclasses.replace(verdict("inconclusive", regime="r"), sabotage="control")
    regime = RegimeInput(study, (*asked, control), ())
    found = headline(Inputs((), (), (), (regime,)), (), ()).findings
    assert [finding.text for finding in found] == [
        "1 of 2 claims × settings are violated, 0 inconclusive: Title (1).",
        "1 of 1 controls were not caught.",
    ]


def test_text_of_the_page_is_escaped_and_its_symbols_are_set():
    assert web("a < b & `x_k`") == "a &lt; b &amp; <code>x_k</code>"
    assert web("Θ*_k of U*") == "<i>Θ</i><sup>*</sup><sub>k</sub> of <i>U</i><sup>*</sup>"
    assert web("50 $ each") == "50 $ each"
    formula = web(r"if $|O|<|C|$")
    assert formula.count('form="prefix"') == formula.count('form="postfix"') == 2
    assert "\\" not in web(r"$\|\sin\Theta(\hat U,U^*)\|\le c_\sharp\varepsilon/\sigma_r(\hat L)$")
    design = markdown_to_html("# A\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n", top=2)
    assert "<h3>A</h3>" in design
    stated = markdown_to_html(r"$U^*$ and $V^*$, `a`")
    assert stated.count("<math") == 2
    assert "<em>" not in stated
    assert '<th scope="col">a</th>' in design


def test_cells_have_dashes_and_minus_signs():
    table = Table(
        "t", "c", (Column("x", is_number=False), Column("y")), (Group("", (("a-b", "-1.03(2)"), ("--", "--"))),)
    )
    page = to_html(table)
    assert "a-b" in page
    assert "−1.03(2)" in page
    assert page.count("–") == 2
    assert "--" not in page


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        ((1.0, 0.0, 0.8389, 0.9999999999999999), "1 (≥0.84)"),
        ((0.0, 0.0, 0.0, 0.1611), "0 (≤0.16)"),
        ((0.0, 0.0, 0.0, 0.0), "0"),
        ((0.5, 0.1, 0.3, 0.7), "0.50(10)"),
        ((float("nan"), float("nan"), float("nan"), float("nan")), "--"),
    ],
)
def test_a_share_that_never_varied_shows_its_limit(numbers, shown):
    assert with_limits(*numbers) == shown
    table = Table("t", "", (Column("a"),), (Group("", ((shown,),)),))
    row = f"{{{latex(shown)}}}" if not is_number(shown) else shown  # siunitx takes text in braces only
    assert f"\n{row} \\\\\n" in to_latex(table)


def test_page_one_says_what_holds_beside_what_does_not(results, tmp_path, monkeypatch):  # noqa: F811
    """Whatever a renderer calls a gain or a loss stands on the first page, with a link to its section."""
    import reports.sections

    honest = reports.sections.render
    monkeypatch.setattr(
        reports.sections,
        "render",
        lambda item: dataclasses.replace(honest(item), gains=("ahead in 3 of 4.",), losses=("behind in 1 of 4.",)),
    )
    build(read_inputs(results), tmp_path / "out", pdf=False)
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    first = page[page.index('id="result"') : page.index("</section>")]
    assert first.index("What the studies show for CLAIR") < first.index("ahead in 3 of 4.")
    assert first.index("Where it does not hold") < first.index("behind in 1 of 4.")
    assert 'href="#section-study-' in first
    source = (tmp_path / "out" / "report.tex").read_text(encoding="utf-8")
    assert source.index("ahead in 3 of 4.") < source.index("tableofcontents")


def test_a_stop_stays_with_the_formula_before_it():
    """A browser breaks no formula, and put the stop alone on the next line."""
    text = web("if $a < b$, and $c$ then $d$.")
    assert text.count('<span class="together"><math') == 2
    assert text.endswith("</math>.</span>")
    assert "</math>,</span> and <math" in text
