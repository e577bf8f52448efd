"""The whole command on a small study and a small verdict file."""

import dataclasses
import hashlib
import io
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import reports.reading
from reports.claims import claim_table, verdict_table
from reports.cli import _grouped, _print_verdicts, main
from reports.document import build
from reports.inputs import StudyInput
from reports.pdf import LATEX_HINT
from reports.reading import read_inputs
from reports.renderers.dots import study_picture
from reports.renderers.plain import study_table
from reports.renderers.ranks import rank_table, ranked_panels
from reports.tables import Column, Group, Table, to_html, to_latex
from reports.wording import size_of
from simulations.design import Study, crossed, factors
from simulations.engine.executor import run_study
from simulations.measures.summaries import Mean, PairedDifference
from simulations.storage.store import StoreError
from simulations.studies import studies
from theory_checks.judge.verdict import Verdict
from theory_checks.judge.verdict_file import write_verdicts
from theory_checks.registry import all_claims
from theory_checks.rules.evidence import Evidence


@dataclass(frozen=True)
class Coin:
    name: ClassVar[str] = "coin"
    shift: float = 0.0

    def generate(self, streams):
        return streams.generator("data").standard_normal(50) + self.shift


@dataclass(frozen=True)
class Location:
    name: ClassVar[str] = "location"
    trim: float = 0.0

    def evaluate(self, instance, generator):
        kept = np.sort(instance)[int(self.trim * 50) : 50 - int(self.trim * 50)]
        return {"refined_mse": float(kept.mean() ** 2) * 1e-3, "accuracy": float(kept.std())}


@dataclass(frozen=True)
class Median:
    name: ClassVar[str] = "median"

    def evaluate(self, instance, generator):
        return {"refined_mse": float(np.median(instance) ** 2) * 1e-3}


STUDY = Study(
    name="coins",
    title="Location of 50 % of a_b",
    cells=crossed([Coin(), Coin(0.5)], [Location(), Location(0.2), Median()]),
    replications=8,
    root_seed=1,
    aims="Which λ?",
    measures=(Mean("refined_mse"), PairedDifference("refined_mse", reference="median"), Mean("accuracy")),
)


def verdicts():
    claim = next(iter(all_claims().values()))
    for sabotage, status in (("", "supported"), (claim.sabotage.name, "violated")):
        yield Verdict(
            claim=claim.identifier,
            theorem=claim.theorem,
            title=claim.title,
            status=status,
            effort="quick",
            sabotage=sabotage,
            evidence=Evidence(120, 0.01, 0.009, 0.0, 0.03, 0.5, True, "1 of 120", skipped=3, failed=0),
            adjusted_p_value=0.0004 if sabotage else 1.0,
            rule="P ≤ 5 %",
            smallest_violation="0.02",
        )


def small_results(folder, monkeypatch):
    folder.mkdir()
    run_study(STUDY, folder / "coins.sqlite", n_jobs=1, backend="sequential")
    write_verdicts(folder / "verdicts.json", list(verdicts()))
    monkeypatch.setattr(reports.reading, "studies", lambda: {"coins": STUDY})
    return folder


@pytest.fixture
def results(tmp_path, monkeypatch):
    return small_results(tmp_path / "results", monkeypatch)


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_second_build_has_the_same_bytes_and_leaves_no_scraps(built_once, results, tmp_path):
    before = digests(built_once)
    shutil.copytree(built_once, tmp_path / "two")  # built over what is there, in another folder
    build(read_inputs(results), tmp_path / "two", pdf=False)
    assert digests(tmp_path / "two") == before
    expected = {"report.tex", "index.html", "ademp-coins.md", "tables/verdicts.tex", "tables/study-coins.tex"}
    assert expected <= set(before)
    assert {"figures/study-coins.pdf", "figures/study-coins.png"} <= set(before)
    assert not [name for name in before if name.split("/")[-1].startswith(".")]


def test_tables_of_what_is_gone_are_removed(built_once, results, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(built_once, output)
    (results / "verdicts.json").unlink()
    built = build(read_inputs(results), output, pdf=False)
    assert not (output / "tables" / "verdicts.tex").exists()
    assert (output / "tables" / "study-coins.tex").exists()
    assert "python -m theory_checks run" in built.messages[0]
    assert "theory\\_\\allowbreak{}checks run" in (output / "report.tex").read_text()


def test_study_table_has_one_group_per_setting_and_every_number_of_the_summary(results):
    (item,) = read_inputs(results).studies
    table = study_table(item)
    assert [group.heading for group in table.groups] == ["shift 0", "shift 0.5"]
    assert [row[0] for row in table.groups[0].rows] == ["location", "location (trim 0.2)", "median"]
    # All means are below 1e-2, so the column is given in a power of ten.
    assert any("/ 10⁻" in column.heading for column in table.columns)
    line = item.summary[(item.summary["measure"] == "mean accuracy") & (item.summary["regime.shift"] == 0.5)].iloc[0]
    assert (
        table.groups[1].rows[0][3].split("(")[0]
        == f"{line['value']:.{len(table.groups[1].rows[0][3].split('(')[0]) - 2}f}"
    )
    assert table.groups[1].rows[2][3] == "--"
    assert table.provenance[0].startswith("study coins, 6 cells x 8 replications")


def test_ranks_order_methods_by_the_better_side(results):
    (item,) = read_inputs(results).studies
    table = rank_table(item, ranked_panels(item))
    shown = {row[0]: row[1] for row in table.groups[0].rows}
    summary = item.summary[item.summary["measure"] == "mean refined_mse"]
    for trim, label in ((0.0, "location"), (0.2, "location (trim 0.2)")):
        ranks = []
        for shift in (0.0, 0.5):
            part = summary[summary["regime.shift"] == shift]
            own = part[(part["method"] == "location") & (part["method.trim"] == trim)]["value"].iloc[0]
            ranks.append(1 + int((part["value"] < own).sum()))
        assert shown[label].startswith(f"{np.mean(ranks):.1f}")
        assert shown[label].split("; ")[1].endswith("/2")


def test_verdicts_stand_beside_their_sabotages(results):
    inputs = read_inputs(results)
    (row,) = verdict_table(inputs.claims).groups[0].rows
    assert row[2:] == ("120", "0.0100(90)", "supported", "rejected")
    table = claim_table(inputs.claims[0])
    assert [line[-1] for line in table.groups[0].rows] == ["supported", "rejected"]
    assert [line[4] for line in table.groups[0].rows] == ["1.000", "<0.001"]
    assert table.notes[0] == "1 of 120"
    assert "set aside: 3 outside the assumptions" in table.caption


def test_latex_and_html_escape_what_they_must():
    table = Table(
        name="t",
        caption="50 % <b>",
        columns=(Column("a_b", is_number=False), Column("value")),
        groups=(Group("x & y", (("pq_r", "0.948(72)"), ("r", "--"))),),
        provenance=("study t",),
    )
    text = to_latex(table)
    assert text.splitlines()[1] == "% study t"
    assert r"\begin{longtable}{@{}lS[table-format=1.3(2)]@{}}" in text
    assert r"pq\_\allowbreak{}r & 0.948(72) \\" in text
    assert r"r & {--} \\" in text
    assert r"\multicolumn{2}{@{}l}{\textit{x \& y}} \\*" in text
    page = to_html(table)
    assert "50\u00a0% &lt;b&gt;" in page
    assert '<td class="n">0.948(72)</td>' in page


def test_row_of_wrong_length_is_refused():
    with pytest.raises(ValueError, match="table t: a row of 1 cells for 2 columns"):
        Table("t", "", (Column("a"), Column("b")), (Group("", (("1",),)),))


def test_corrupt_store_and_verdicts_are_named(results):
    (results / "coins.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match=r"coins\.sqlite"):
        read_inputs(results)
    (results / "coins.sqlite").unlink()
    (results / "verdicts.json").write_text('[{"claim": 1}]')
    with pytest.raises(ValueError, match=r"verdicts\.json: not a verdict file"):
        read_inputs(results)


def test_without_latexmk_a_plain_line_tells_how_to_get_it(results, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    built = build(read_inputs(results), tmp_path / "out")
    assert LATEX_HINT in built.messages
    assert not (tmp_path / "out" / "report.pdf").exists()


def refused(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["reports", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code, capsys.readouterr().err


def test_command_refuses_in_one_line_with_status_2(tmp_path, monkeypatch, capsys):
    code, text = refused(monkeypatch, capsys, "build", "--results", str(tmp_path / "nowhere"))
    assert code == 2
    assert text.count("\n") == 1
    assert "make verify" in text
    code, text = refused(monkeypatch, capsys, "build", "--results", str(tmp_path))
    assert code == 2
    assert "no verdicts and no studies" in text
    assert refused(monkeypatch, capsys, "build", "--nonsense")[0] == 2


def test_command_writes_and_tells(results, tmp_path, monkeypatch, capsys):
    output = tmp_path / "out"
    arguments = ["reports", "build", "--results", str(results), "--output", str(output), "--no-pdf"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    told = capsys.readouterr().out
    assert told.startswith("The one claim that was run is supported; 1 of 1 sabotages rejected")
    assert "rejected" in told
    assert str(output) in told
    assert (output / "index.html").is_file()


def test_what_was_not_run_is_one_line_per_command():
    messages = [
        "study a: left out; run `python -m simulations run a`",
        "another message",
        "study b_c: left out; run `python -m simulations run b_c`",
        "regime glm: left out; run `python -m theory_checks run --regime regime_glm`",
    ]
    assert _grouped(messages) == [
        "another message",
        "2 studies left out, each computed by `python -m simulations run NAME`: a, b_c",
        "1 regimes left out, each computed by `python -m theory_checks run --regime NAME`: regime_glm",
    ]


@pytest.mark.parametrize(("status", "shown"), [("supported", False), ("inconclusive", True)])
def test_only_what_is_not_as_it_should_be_is_a_table(results, status, shown):
    inputs = read_inputs(results)
    (item,) = inputs.claims
    changed = dataclasses.replace(item, verdict=dataclasses.replace(item.verdict, status=status))
    console = Console(width=160, file=io.StringIO())
    _print_verdicts(dataclasses.replace(inputs, claims=(changed,)), console)
    assert (item.verdict.title in console.file.getvalue()) == shown
    assert (status in console.file.getvalue()) == shown


def test_one_study_is_written_alone(results, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reports.reading, "find_study", {"coins": STUDY}.__getitem__)
    output = tmp_path / "paper"
    monkeypatch.setattr(sys, "argv", ["reports", "study", "coins", "--results", str(results), "--output", str(output)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    told = capsys.readouterr().out.split()
    assert {str(output / "tables" / "study-coins.tex"), str(output / "figures" / "study-coins.pdf")} <= set(told)
    assert all(name.startswith(str(output)) for name in told)
    assert (output / "tables" / "study-coins.tex").read_text().startswith("% study-coins; needs the packages")
    (results / "coins.sqlite").unlink()
    code, text = refused(monkeypatch, capsys, "study", "coins", "--results", str(results))
    assert code == 2
    assert "no rows of study coins; run `python -m simulations run coins`" in text


def test_verdicts_on_claims_that_are_gone_are_told_and_left_out(results, monkeypatch):
    known = all_claims()
    gone = next(iter(known))
    monkeypatch.setattr(reports.reading, "all_claims", lambda: {k: v for k, v in known.items() if k != gone})
    inputs = read_inputs(results)
    assert inputs.claims == ()
    assert f"claim {gone}: its verdict is left out, no such claim is registered" in inputs.missing


def test_rows_of_another_seed_are_told_and_left_out(results, monkeypatch):
    monkeypatch.setattr(reports.reading, "studies", lambda: {"coins": dataclasses.replace(STUDY, root_seed=2)})
    inputs = read_inputs(results)
    assert inputs.studies == ()
    (line,) = [line for line in inputs.missing if line.startswith("study coins")]
    assert "another design or root seed" in line
    assert "coins.sqlite" in line


def test_a_shorter_run_is_told_as_such_and_not_as_rows_that_are_missing(results, monkeypatch):
    """``make verify`` runs half of the replications of some studies: that is its plan, and nothing was lost."""
    longer = dataclasses.replace(STUDY, replications=2 * STUDY.replications)
    monkeypatch.setattr(reports.reading, "studies", lambda: {"coins": longer})
    inputs = read_inputs(results)
    (item,) = inputs.studies
    number = f"{STUDY.replications} of the study's {longer.replications} replications"
    assert f"n = {number} of each of" in size_of(item)
    assert "not there" not in size_of(item)
    (line,) = [line for line in inputs.missing if line.startswith("study coins")]
    assert f"{STUDY.replications} of its {longer.replications} replications; all by" in line


def test_a_study_half_run_shows_the_measures_that_have_rows(results, monkeypatch):
    """Before the medians are run the difference to them has no rows; once all are there, a wrong metric is an error."""
    longer = dataclasses.replace(STUDY, cells=(*STUDY.cells, *crossed(Coin(2.0), Location())))
    wrong = dataclasses.replace(longer, measures=(*STUDY.measures, Mean("later")))
    monkeypatch.setattr(reports.reading, "studies", lambda: {"coins": wrong})
    inputs = read_inputs(results)
    (item,) = inputs.studies
    assert item.missing == STUDY.replications
    assert "mean later" not in set(item.summary["measure"])
    complete = dataclasses.replace(STUDY, measures=(Mean("later"),))
    monkeypatch.setattr(reports.reading, "studies", lambda: {"coins": complete})
    with pytest.raises(ValueError, match="no metric 'later'"):
        read_inputs(results)


@pytest.mark.parametrize("study_name", ["copying", "digits", "robustness_shapes"])
def test_nothing_of_a_figure_is_cut_off_and_no_colour_stands_for_two(study_name):
    """Many methods and settings: all that is drawn lies on the page, and what one legend names differs in colour."""
    study = studies()[study_name]
    summary = pd.DataFrame(
        [
            {**factors(cell), "measure": "mean x", "value": float(i), "low": i - 1.0, "high": i + 1.0, "n": 5}
            for i, cell in enumerate(study.cells)
        ]
    )
    picture = study_picture(StudyInput(study, summary, (), 0, 0))
    if study_name == "robustness_shapes":
        assert picture is None  # 150 settings: no figure a page holds
        return
    figure = picture.figure
    figure.draw_without_rendering()  # the layout is found on drawing
    width, height = figure.get_size_inches()
    drawn = figure.get_tightbbox()  # of everything that is drawn, in inches
    assert 0 <= drawn.x0 < drawn.x1 <= width
    assert 0 <= drawn.y0 < drawn.y1 <= height
    colours = [container[0].get_color() for axis in figure.axes for container in axis.containers]
    assert len(set(colours)) == len(colours)


def test_unwritable_output_is_one_line(results, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    code, text = refused(
        monkeypatch, capsys, "build", "--results", str(results), "--output", str(tmp_path / "file" / "out")
    )
    assert code == 2
    assert text.startswith("error: ")
    assert text.count("\n") == 1


def test_help_as_a_module():
    done = subprocess.run([sys.executable, "-m", "reports", "--help"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert "build" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("latexmk") is None, reason="latexmk is not installed")
def test_pdf_compiles_to_the_same_bytes(results, tmp_path):
    for name in ("one", "two"):
        build(read_inputs(results), tmp_path / name)
    first = (tmp_path / "one" / "report.pdf").read_bytes()
    assert first.startswith(b"%PDF")
    assert first == (tmp_path / "two" / "report.pdf").read_bytes()
