import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from simulations.engine.executor import RunReport, run_study
from simulations.storage.store import load_rows
from theory_checks.judge.verdict import decide, read_verdicts, write_verdicts
from theory_checks.regimes.questions import CLAIM_TITLES, CONTROLS, DESIGNS, questions
from theory_checks.regimes.verdicts import VERDICT_FILE, app, assess_regime, merged, regime_summary, regime_tables
from theory_checks.rules.means import MeanRule


def rows(values, column="coverage"):
    return pd.DataFrame({column: values})


@pytest.mark.parametrize(
    ("low", "high", "center", "within", "rejected"),
    [
        (0.93, 0.97, 0.95, True, False),
        (0.93, 0.97, 0.80, False, True),
        (0.93, 0.97, 0.97, False, False),  # on the edge neither side can be shown
        (0.0, None, 0.5, True, False),
        (0.0, None, -0.5, False, True),
        (None, 1.25, 1.0, True, False),
        (None, 1.25, 3.0, False, True),
    ],
)
def test_mean_rule_supports_inside_rejects_outside_and_leaves_the_edge_open(low, high, center, within, rejected):
    noise = np.random.default_rng(0).standard_normal(100)
    noise = 0.02 * (noise - noise.mean())
    evidence = MeanRule("coverage", low, high, spread=0.02).assess(rows(center + noise))
    assert evidence.within is within
    assert (evidence.p_value < 1e-6) is rejected
    assert evidence.estimate == pytest.approx(center)
    assert evidence.low < center < evidence.high


def test_mean_rule_keeps_its_level_at_the_edge():
    generator = np.random.default_rng(1)
    rule = MeanRule("coverage", 0.0, 1.0, spread=1.0)
    rejections = np.mean([rule.assess(rows(generator.standard_normal(20))).p_value <= 0.05 for _ in range(2000)])
    supports = np.mean([rule.assess(rows(0.2 * generator.standard_normal(20))).within for _ in range(2000)])
    assert rejections < 0.025 + 0.012  # two-sided p-value, one side possible
    assert supports == pytest.approx(0.05, abs=0.02)


def test_undefined_values_are_counted_and_too_few_decide_nothing():
    rule = MeanRule("gain", 0.0, None, spread=1.0)
    evidence = rule.assess(rows([1.0, np.nan, 1.1, 0.9, np.nan], "gain"))
    assert evidence.extra["undefined"] == 2
    assert evidence.n == 3
    few = rule.assess(rows([np.nan, -9.0], "gain"))
    assert not few.within
    assert few.p_value == 1.0
    assert rule.assess(rows([1.0], "other")).n == 0


def test_mean_rule_needs_an_end_in_order():
    with pytest.raises(ValueError, match="end"):
        MeanRule("coverage", None, None, spread=1.0)
    with pytest.raises(ValueError, match="below"):
        MeanRule("coverage", 2.0, 1.0, spread=1.0)


@pytest.mark.parametrize("name", DESIGNS)
def test_every_question_asks_cells_that_the_study_runs_and_controls_exist(name):
    cells = {cell.hash for cell in DESIGNS[name].study("quick").cells}
    asked = questions(DESIGNS[name])
    assert {hash_ for question in asked for hash_ in question.section.hashes(question.method)} <= cells
    assert {question.claim for question in asked} <= set(CLAIM_TITLES)
    identifiers = [question.identifier for question in asked]
    assert len(set(identifiers)) == len(identifiers)
    assert all(identifier.count("/") == 3 for identifier in identifiers)
    assert sum(question.control for question in asked) == sum(study == name for study, _, _ in CONTROLS) > 0


def artificial(name, *, slope, coverage):
    """Rows as a study would give them, with the error falling at a chosen rate."""
    generator = np.random.default_rng(2)
    lines = []
    for cell in DESIGNS[name].study("quick").cells:
        n = cell.regime.sample_size
        for replication in range(20):
            jitter = 1.0 + 0.01 * generator.standard_normal()
            lines.append(
                {
                    "cell": cell.hash,
                    "replication": replication,
                    "status": "ok",
                    "regime.sample_size": n,
                    "regime.contamination_scale": cell.regime.contamination_scale,
                    "local_rmse": jitter * n**slope,
                    "sin_theta": jitter * n**slope,
                    "coverage": coverage + 0.001 * generator.standard_normal(),
                    "shared_bias": jitter,
                    "exact_set": 1.0,
                    "false_alarm": 0.0,
                    "n_benign": cell.regime.n_clients,
                    "off_subspace": jitter / cell.regime.n_clients,
                    "gain_ratio": jitter,
                    "promised_gain_realised": 0.5 * jitter,
                }
            )
    return pd.DataFrame(lines)


def test_rows_that_follow_theory_are_supported_and_others_violated(tmp_path):
    good = assess_regime("regime_linear", artificial("regime_linear", slope=-0.5, coverage=0.95), "quick")
    bad = assess_regime("regime_linear", artificial("regime_linear", slope=-0.3, coverage=0.80), "quick")
    for verdicts, expected in ((good, "supported"), (bad, "violated")):
        asked = [v for v in verdicts if v.claim.endswith(("estimate-rate", "coverage"))]
        assert {verdict.status for verdict in asked} == {expected}
    write_verdicts(tmp_path / "verdicts.json", bad)
    again = read_verdicts(tmp_path / "verdicts.json")
    summary = regime_summary(again)
    assert set(summary["variant"]) == set(DESIGNS["regime_linear"].variants)
    assert (summary[CLAIM_TITLES["estimate-rate"]] == "violated").all()
    assert (summary[CLAIM_TITLES["level"]] == "inconclusive").sum() + (
        summary[CLAIM_TITLES["level"]] == "supported"
    ).sum() == len(summary)
    # "ridge 60" is caught by its coverage, "H 0.2" is not: these rows find every set.
    assert summary.set_index("variant").loc["ols, normal", "controls caught"] == "1 of 2"
    table = regime_tables(again)["regime_linear"]
    assert len(table) == len(bad)
    assert table.loc[table["expected"] == "violated", "setting"].tolist() == ["H 0.2", "ridge 60"]
    assert decide([v.evidence for v in bad])[0][0] == "violated"


@pytest.mark.slow
def test_a_real_run_of_one_cell_reaches_the_table(tmp_path):
    from simulations.design import Study

    design = DESIGNS["regime_linear"]
    asked = next(q for q in questions(design) if q.section.label == "ridge 60" and q.claim == "coverage")
    cells = tuple(c for c in asked.section.cells if c.method == asked.method)
    study = Study(name="part", title="part", cells=cells, replications=20, root_seed=design.root_seed)
    run_study(study, tmp_path / "part.sqlite", n_jobs=1, backend="sequential")
    verdicts = assess_regime("regime_linear", load_rows(tmp_path / "part.sqlite", study), "quick")
    found = next(v for v in verdicts if v.claim == asked.identifier)
    assert found.status == "violated"
    assert found.as_expected


def test_regimes_judged_alone_leave_the_others_in_the_file():
    linear = assess_regime("regime_linear", artificial("regime_linear", slope=-0.5, coverage=0.95), "quick")
    neural = assess_regime("regime_neural", artificial("regime_neural", slope=-0.5, coverage=0.95), "quick")
    again = assess_regime("regime_linear", artificial("regime_linear", slope=-0.3, coverage=0.80), "quick")
    assert merged(neural, linear) == [*linear, *neural]
    assert merged([*linear, *neural], again) == [*again, *neural]


def test_command_refuses_before_any_work(tmp_path):
    runner = CliRunner()
    missing = runner.invoke(app, ["--only-read", "--folder", str(tmp_path)])
    assert missing.exit_code == 2
    assert "without --only-read" in missing.output
    (tmp_path / VERDICT_FILE).write_text("[{}]")
    broken = runner.invoke(app, ["regime_linear", "--folder", str(tmp_path)])
    assert broken.exit_code == 2
    assert VERDICT_FILE in broken.output.replace("\n", "")
    assert not list(tmp_path.glob("*.sqlite"))
    unknown = runner.invoke(app, ["regime_liner", "--folder", str(tmp_path)])
    assert unknown.exit_code == 2
    assert "regime_linear" in unknown.output


def test_an_interrupted_run_is_not_judged(tmp_path, monkeypatch):
    ended = RunReport("part", tmp_path, expected=8, written=1, failed=0, missing=7, seconds=1.0, interrupted=2)
    monkeypatch.setattr("theory_checks.judge.complete.run_study", lambda *_, **__: ended)
    done = CliRunner().invoke(app, ["regime_linear", "--folder", str(tmp_path)])
    assert done.exit_code == 130
    assert "7 rows are missing" in done.output
    assert not (tmp_path / VERDICT_FILE).exists()


def test_a_departure_without_contamination_is_asked_about_its_level_only():
    asked = {q.claim for q in questions(DESIGNS["regime_linear"]) if q.section.label == "n = 25, no contamination"}
    assert asked == {"level", "level-whitened", "level-own-covariance", "level-oracle", "level-covariance"}
