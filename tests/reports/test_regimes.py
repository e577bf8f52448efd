"""Verdicts on the regimes reach the report; without them it says how to get them."""

import pytest

import reports.reading
from reports.document import build
from reports.inputs import RegimeInput
from reports.reading import read_inputs
from reports.renderers.regimes import regime_summary_table, regime_table
from simulations.studies import regime_designs
from theory_checks.judge.verdict import Verdict
from theory_checks.judge.verdict_file import write_verdicts
from theory_checks.registry import families
from theory_checks.rules.evidence import Evidence

DESIGNS = regime_designs()
VERDICT_FILE = "verdicts.json"


def verdicts(name="regime_glm"):
    """One verdict per claim × setting and per control: controls violated, levels inconclusive, the rest supported."""
    asked = [(claim, setting, "") for claim in families()[name] for setting in claim.settings]
    asked.sort(key=lambda item: item[1].position)
    asked += [(claim, claim.sabotaged_setting(), claim.sabotage.name) for claim in families()[name]]
    for number, (claim, setting, sabotage) in enumerate(asked):
        status = "violated" if sabotage else "inconclusive" if "level" in claim.identifier else "supported"
        extra = {"separated": 3.0, "not_converged": 0.0} if setting.label == "n = 60" else {}
        yield Verdict(
            claim=claim.identifier,
            theorem=claim.theorem,
            title=claim.title,
            status=status,
            effort="quick",
            sabotage=sabotage,
            evidence=Evidence(
                8, number / 100, 0.0123, number / 100 - 0.02, number / 100 + 0.02, 0.5, True, "", extra=extra
            ),
            adjusted_p_value=1.0,
            rule="",
            smallest_violation="",
            regime=name,
            section=setting.section,
            setting=setting.label,
            is_departure=setting.is_departure and not sabotage,
            claimed=claim.rule.claimed,
        )


@pytest.fixture
def results(tmp_path, monkeypatch):
    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.setattr(reports.reading, "studies", lambda: {"regime_glm": DESIGNS["regime_glm"].study()})
    write_verdicts(folder / VERDICT_FILE, list(verdicts()))
    return folder


def test_every_question_is_a_row_under_its_variant_and_setting():
    given = list(verdicts())
    table = regime_table(RegimeInput(DESIGNS["regime_glm"].study("quick"), tuple(given), ("study glm",)))
    assert table.provenance == ("study glm",)
    rows = {(group.heading, row[0], row[3]): row for group in table.groups for row in group.rows}
    assert len(rows) == sum(len(group.rows) for group in table.groups) == len(given)
    for verdict in given:
        title = verdict.title + (f" [{verdict.sabotage}]" if verdict.sabotage else "")
        row = rows[f"{verdict.section} · {verdict.setting}", title, f"{verdict.evidence.estimate:.3f}(12)"]
        assert row[1] == verdict.claimed != ""
        assert row[5] == ("control rejected" if verdict.sabotage else verdict.status)
    assert "Clients whose data are separated, refitted with a stated penalty: logistic, n = 60: 3." in table.notes
    assert not [note for note in table.notes if "did not converge" in note]


def test_summary_crosses_claims_and_regimes_with_one_word_per_variant():
    table = regime_summary_table([*verdicts("regime_glm"), *verdicts("regime_neural")])
    assert [column.heading for column in table.columns] == ["claim", "glm", "neural"]
    rows = {row[0]: row[1:] for row in table.groups[0].rows}
    counts = [len(DESIGNS[name].variants) for name in ("regime_glm", "regime_neural")]
    assert rows["level 0.05 without contamination"] == tuple(" / ".join(["open"] * count) for count in counts)
    assert rows["95 % intervals of the fit cover"] == tuple(" / ".join(["yes"] * count) for count in counts)
    assert rows["controls caught"] == tuple(" / ".join(["15 of 15"] + ["0 of 0"] * (count - 1)) for count in counts)
    assert table.notes[0] == "glm: logistic / poisson / multinomial."


def test_report_shows_both_tables_and_names_the_regimes_that_are_not_there(results, tmp_path):
    output = tmp_path / "out"
    built = build(read_inputs(results), output, pdf=False)
    for name in ("regimes", "regime-glm"):
        assert (output / "tables" / f"{name}.tex").is_file()
        assert f"\\input{{tables/{name}.tex}}" in (output / "report.tex").read_text()
        assert f'<table id="{name}" ' in (output / "index.html").read_text()
    assert "regime trace: left out; run `python -m theory_checks run --regime regime_trace`" in built.messages
    assert not [message for message in built.messages if "regime glm" in message]


def test_report_without_verdicts_on_regimes_says_how_to_get_them(results):
    (results / VERDICT_FILE).unlink()
    inputs = read_inputs(results)
    assert inputs.regimes == ()
    assert sum("python -m theory_checks run --regime regime_" in line for line in inputs.missing) == len(DESIGNS)


def test_verdicts_on_unknown_regimes_are_named(results):
    text = (results / VERDICT_FILE).read_text().replace('"regime_glm"', '"regime_old"', 1)
    (results / VERDICT_FILE).write_text(text)
    with pytest.raises(ValueError, match=rf"{VERDICT_FILE}: regime 'regime_old' is not known here.*theory_checks run"):
        read_inputs(results)
