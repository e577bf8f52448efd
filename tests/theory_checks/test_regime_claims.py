"""Claims on regimes are claims: registered, judged, merged and explained like the others, each with its control."""

import dataclasses
from functools import cache

import numpy as np
import pandas as pd
import pytest

from simulations.engine.executor import run_study
from simulations.storage.store import load_rows
from simulations.studies import regime_designs
from theory_checks.claims.regimes import _claim
from theory_checks.judge.merge import merged, not_run
from theory_checks.judge.regime_tables import regime_summary, regime_tables
from theory_checks.judge.rows import assess_setting
from theory_checks.judge.run import exit_status, judge_rows
from theory_checks.judge.verdict_file import read_verdicts, write_verdicts
from theory_checks.regimes.statements import STATEMENTS
from theory_checks.registry import families, family_size, find_claims

REGIMES = [name for name in families() if name]


def test_every_design_that_sweeps_a_regime_is_a_family():
    assert set(REGIMES) == set(regime_designs())
    for name in REGIMES:
        assert [claim.identifier for claim in families()[name]] == [statement.identifier for statement in STATEMENTS]
        assert family_size(name) == sum(len(claim.settings) for claim in families()[name])


@pytest.mark.parametrize("name", REGIMES)
def test_every_setting_asks_cells_that_the_study_runs(name):
    cells = {cell.hash for cell in regime_designs()[name].study("quick").cells}
    identities = []
    for claim in families()[name]:
        for setting in (*claim.settings, claim.sabotaged_setting()):
            assert {cell.hash for cell in setting.cells} <= cells
        identities += [(claim.identifier, setting.section, setting.label) for setting in claim.settings]
        assert claim.study("quick", sabotaged=True).config_hash == claim.study("quick").config_hash
    assert len(set(identities)) == len(identities)


@pytest.mark.parametrize("name", REGIMES)
def test_a_control_is_no_setting_of_its_claim(name):
    for identifier, label in regime_designs()[name].controls.items():
        (claim,) = find_claims([identifier], name)
        assert claim.sabotage.setting == label
        assert label not in [setting.label for setting in claim.settings]


def test_a_design_without_the_control_that_a_claim_needs_is_refused():
    design = regime_designs()["regime_linear"]
    coverage = next(statement for statement in STATEMENTS if statement.identifier == "coverage")
    for controls in ({}, {"coverage": "no such departure"}):
        with pytest.raises(ValueError, match=r"regime_linear: claim coverage needs a departure as control"):
            _claim(coverage, dataclasses.replace(design, controls=controls))
    with pytest.raises(ValueError, match="no 'oracle test' among its methods; it has local law"):
        next(design.sections()).cells_of("oracle test")


def artificial(name, *, slope, coverage, level=0.0):
    """Rows as a study would give them, with the error falling at a chosen rate; controls are what they are."""
    generator = np.random.default_rng(2)
    controls = {
        cell.hash for claim in find_claims(["coverage", "exact-set"], name) for cell in claim.sabotaged_setting().cells
    }
    lines = []
    for cell in regime_designs()[name].study("quick").cells:
        n = cell.regime.sample_size
        for replication in range(20):
            jitter = 1.0 + 0.01 * generator.standard_normal()
            bad = cell.hash in controls
            lines.append(
                {
                    "cell": cell.hash,
                    "replication": replication,
                    "status": "ok",
                    "regime.sample_size": n,
                    "regime.contamination_scale": cell.regime.contamination_scale,
                    "local_rmse": jitter * n**slope,
                    "sin_theta": jitter * n**slope,
                    "coverage": (0.5 if bad else coverage) + 0.001 * generator.standard_normal(),
                    "shared_bias": jitter,
                    "exact_set": 0.0 if bad else 1.0,
                    "false_alarm": level,
                    "n_benign": cell.regime.n_clients,
                    "off_subspace": jitter / cell.regime.n_clients,
                    "gain_ratio": jitter,
                    "promised": 1.0,
                    "promised_gain_realised": 0.5 * jitter,
                }
            )
    return pd.DataFrame(lines)


@cache
def judged(name, **how):
    rows = artificial(name, **how)
    return judge_rows(families()[name], lambda claim, sabotaged=False: rows, "quick", family=family_size(name))


def test_rows_that_follow_theory_are_supported_and_others_violated(tmp_path):
    good = judged("regime_linear", slope=-0.5, coverage=0.95)
    bad = judged("regime_linear", slope=-0.3, coverage=0.80)
    for verdicts, expected in ((good, "supported"), (bad, "violated")):
        asked = [v for v in verdicts if v.claim in ("estimate-rate", "coverage") and not v.sabotage]
        assert {verdict.status for verdict in asked} == {expected}
        assert all(verdict.as_expected for verdict in verdicts if verdict.sabotage)
    assert exit_status(bad) == 1
    write_verdicts(tmp_path / "verdicts.json", bad)
    again = read_verdicts(tmp_path / "verdicts.json")
    assert [(v.identity, v.status) for v in again] == [(v.identity, v.status) for v in bad]
    summary = regime_summary(again)
    assert set(summary["variant"]) == set(regime_designs()["regime_linear"].variants)
    assert (summary["error of X_k falls like 1/√n"] == "violated").all()
    assert (summary["level 0.05 without contamination"] == "supported").all()
    caught = [int(cell.split(" of ")[0]) for cell in summary["controls caught"]]
    assert sum(caught) == len(STATEMENTS)
    table = regime_tables(again)["regime_linear"]
    assert len(table) == len(bad)
    assert {"H 0.2", "ridge 60"} <= set(table.loc[table["expected"] == "violated", "setting"])
    assert table.loc[table["claim"] == "level 0.05 without contamination", "claimed"].unique().tolist() == ["≤ 0.05"]
    assert table["accepted"].str.len().min() > 0


def test_bent_settings_are_findings_and_the_sweeps_decide_the_exit_status():
    verdicts = judged("regime_linear", slope=-0.5, coverage=0.95)
    bent = [dataclasses.replace(v, status="violated") if v.is_departure else v for v in verdicts]
    assert any(v.is_departure for v in verdicts)
    # Open, because sets that are found everywhere show no rise.
    assert exit_status(bent) == exit_status(verdicts) == 3
    swept = [dataclasses.replace(v, status="violated") if v.section and not v.is_departure else v for v in verdicts]
    assert exit_status(swept) == 1


@pytest.mark.slow
def test_a_real_run_of_one_cell_reaches_the_table(tmp_path):
    from simulations.design import Study

    (claim,) = find_claims(["coverage"], "regime_linear")
    cells = claim.sabotaged_setting().cells
    seed = regime_designs()["regime_linear"].root_seed
    study = Study(name="part", title="part", cells=cells, replications=20, root_seed=seed)
    run_study(study, tmp_path / "part.sqlite", n_jobs=1, backend="sequential")
    rows = load_rows(tmp_path / "part.sqlite", study)
    (found,) = [
        v
        for v in judge_rows([claim], lambda claim, sabotaged=False: rows, "quick", family=115, with_claims=False)
        if v.sabotage
    ]
    assert found.status == "violated"
    assert found.as_expected
    nothing = assess_setting(claim, claim.settings[0], rows)
    assert (nothing.n, nothing.within, nothing.detail) == (0, False, "no replication")


def test_what_is_judged_again_replaces_its_verdict_and_all_others_stay():
    linear = judged("regime_linear", slope=-0.5, coverage=0.95)
    neural = judged("regime_neural", slope=-0.5, coverage=0.95)
    both = merged(neural, linear)
    assert both == [*linear, *neural]
    again = [v for v in judged("regime_linear", slope=-0.3, coverage=0.95) if v.claim == "estimate-rate"]
    found = merged(both, again)
    assert [v.identity for v in found] == [v.identity for v in both]
    changed = {v.claim for v, before in zip(found, both, strict=True) if v.status != before.status}
    assert changed == {"estimate-rate"}
    assert not_run(found, "regime_linear") == []
    assert len(not_run(again, "regime_linear")) == len(STATEMENTS) - 1
    unknown = dataclasses.replace(linear[0], claim="no-longer-there")
    assert merged([unknown], neural) == neural


def test_a_departure_without_contamination_is_asked_about_its_level_only():
    label = "n = 25, no contamination"
    asked = {c.identifier for c in families()["regime_linear"] if label in [s.label for s in c.settings]}
    assert asked == {"level", "level-whitened", "level-own-covariance", "level-oracle", "level-covariance"}
