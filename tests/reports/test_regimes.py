"""Verdicts on the regimes reach the report; without them it says how to get them."""

import pytest

import reports.inputs
from reports.document import build
from reports.inputs import read_inputs
from reports.regimes import regime_summary_table, regime_table
from theory_checks.judge.verdict import Verdict, write_verdicts
from theory_checks.regimes.questions import DESIGNS, questions
from theory_checks.regimes.verdicts import VERDICT_FILE
from theory_checks.rules.evidence import Evidence


def verdicts(name="regime_glm"):
    """One verdict per question: controls violated, levels inconclusive, the rest supported."""
    for number, question in enumerate(questions(DESIGNS[name])):
        status = "violated" if question.control else "inconclusive" if "level" in question.claim else "supported"
        extra = {"separated": 3.0, "not_converged": 0.0} if question.section.label == "n = 60" else {}
        yield Verdict(
            claim=question.identifier,
            theorem=question.theorem,
            title="",
            status=status,
            effort="quick",
            sabotage="control" if question.control else "",
            evidence=Evidence(
                8, number / 100, 0.0123, number / 100 - 0.02, number / 100 + 0.02, 0.5, True, "", extra=extra
            ),
            adjusted_p_value=1.0,
            rule="",
            smallest_violation="",
        )


@pytest.fixture
def results(tmp_path, monkeypatch):
    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.setattr(reports.inputs, "studies", lambda: {"regime_glm": DESIGNS["regime_glm"].study()})
    write_verdicts(folder / VERDICT_FILE, list(verdicts()))
    return folder


def test_every_question_is_a_row_under_its_variant_and_setting():
    given = list(verdicts())
    table = regime_table("regime_glm", given, title="GLM")
    rows = [(group.heading, row) for group in table.groups for row in group.rows]
    assert len(rows) == len(given)
    for (heading, row), verdict, question in zip(rows, given, questions(DESIGNS["regime_glm"]), strict=True):
        assert heading == f"{question.section.variant} · {question.section.label}"
        assert row[1] == question.claimed != ""
        assert row[3] == f"{verdict.evidence.estimate:.3f}(12)"
        assert row[5] == ("violated (control)" if question.control else verdict.status)
    assert "Clients whose data are separated, refitted with a stated penalty: logistic, n = 60: 3." in table.notes
    assert not [note for note in table.notes if "did not converge" in note]


def test_summary_crosses_claims_and_regimes_with_one_word_per_variant():
    table = regime_summary_table([*verdicts("regime_glm"), *verdicts("regime_neural")])
    assert [column.heading for column in table.columns] == ["claim", "glm", "neural"]
    rows = {row[0]: row[1:] for row in table.groups[0].rows}
    counts = [len(DESIGNS[name].variants) for name in ("regime_glm", "regime_neural")]
    assert rows["level 0.05 without contamination"] == tuple(" / ".join(["open"] * count) for count in counts)
    assert rows["95 % intervals of the fit cover"] == tuple(" / ".join(["yes"] * count) for count in counts)
    assert rows["controls caught"] == tuple(" / ".join(["2 of 2"] + ["0 of 0"] * (count - 1)) for count in counts)
    assert table.notes[0] == "glm: logistic / poisson / multinomial."


def test_report_shows_both_tables_and_names_the_regimes_that_are_not_there(results, tmp_path):
    output = tmp_path / "out"
    built = build(read_inputs(results), output, pdf=False)
    for name in ("regimes", "regime-glm"):
        assert (output / "tables" / f"{name}.tex").is_file()
        assert f"\\input{{tables/{name}.tex}}" in (output / "report.tex").read_text()
        assert f'<table id="{name}">' in (output / "index.html").read_text()
    assert "regime trace: left out; run `python -m theory_checks.regimes.verdicts regime_trace`" in built.messages
    assert not [message for message in built.messages if "regime glm" in message]


def test_report_without_verdicts_on_regimes_says_how_to_get_them(results):
    (results / VERDICT_FILE).unlink()
    inputs = read_inputs(results)
    assert inputs.regimes == ()
    assert sum("python -m theory_checks.regimes.verdicts regime_" in line for line in inputs.missing) == len(DESIGNS)


def test_verdicts_on_unknown_regimes_are_named(results):
    text = (results / VERDICT_FILE).read_text().replace("regime_glm/", "regime_old/", 1)
    (results / VERDICT_FILE).write_text(text)
    with pytest.raises(ValueError, match=rf"{VERDICT_FILE}: 'regime_old/.*theory_checks\.regimes"):
        read_inputs(results)
