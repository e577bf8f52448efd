"""Gains of refinement: paired differences, Holm's procedure, a planted loss is named, the command writes the page."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel
from typer.testing import CliRunner

from clair_stats.laws import holm
from simulations.cli import app
from simulations.commands.gains import compared, page
from simulations.streams import Streams
from simulations.studies.refinement_gains import GROUPS, STUDY


def _rows(loss):
    rng = np.random.default_rng(0)
    lines = []
    for setting in range(6):
        for replication in range(10):
            own = float(np.exp(rng.normal()))
            away = loss if setting == 4 else -0.5
            lines.append(
                {
                    "group": "even" if setting % 2 == 0 else "odd",
                    "told": "scales",
                    "cell": str(setting),
                    "setting": f"setting {setting}",
                    "replication": replication,
                    "own_refined_mse": own,
                    "refined_mse": own * np.exp(away + 0.1 * rng.normal()),
                    "average_refined_mse": own * 0.5,
                }
            )
    return pd.DataFrame(lines)


def test_differences_are_paired_and_tested_on_the_log_scale():
    rows = _rows(0.1)
    found = compared(rows, "refined_mse", -1.0).set_index("setting")
    for name, part in rows.groupby("setting"):
        refined, own = np.log(part["refined_mse"]), np.log(part["own_refined_mse"])
        assert found.loc[name, "gain"] == pytest.approx(np.mean(own - refined))
        assert found.loc[name, "p_worse"] == pytest.approx(ttest_rel(refined, own, alternative="greater").pvalue)
        assert found.loc[name, "p_better"] == pytest.approx(ttest_rel(refined, own, alternative="less").pvalue)
        assert found.loc[name, "average"] == pytest.approx(np.log(2.0))


def test_a_loss_is_named_and_a_gain_is_not():
    text = page(_rows(0.3))
    assert "* even, scales: 1.3" in text
    assert ", worse): `setting 4`" in text
    assert text.count("`setting ") == 1
    assert "| odd | scales | 3 | 0 | 0 | 3 | 0.6" in text
    assert "No setting is on the losing side." in page(_rows(-0.2))


def test_what_is_equal_is_neither_worse_nor_better():
    rows = _rows(0.0).assign(refined_mse=lambda frame: frame["own_refined_mse"])
    found = compared(rows, "refined_mse", -1.0)
    assert (found["gain"] == 0).all()
    assert (holm(found["p_worse"]) > 0.05).all()
    assert (holm(found["p_better"]) > 0.05).all()


def test_every_setting_of_the_studies_is_there_once():
    designs = [cell.regime_hash for cell in STUDY.cells]
    assert all(designs.count(design) == 2 for design in set(designs))
    assert len(designs) == 2 * sum(len(regimes) for regimes in GROUPS.values())


@pytest.mark.parametrize("told", ["scales", "covariances"])
def test_own_estimates_are_the_local_fits(told):
    cell = next(cell for cell in STUDY.cells if cell.method.told == told)
    streams = Streams(1, cell.regime_hash, 0)
    instance = cell.regime.generate(streams)
    found = cell.method.evaluate(instance, streams.generator("method"))
    benign = instance.collaborative_set
    own = np.mean((instance.estimates.dense() - instance.targets)[benign] ** 2)
    assert found["own_refined_mse"] == pytest.approx(own)
    assert found["local_mse"] == pytest.approx(own)
    assert found["refined_mse"] < own
    assert found["average_refined_mse"] != found["refined_mse"]


def test_the_command_writes_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr("simulations.commands.gains.load_rows", lambda *_: _stored())
    output = tmp_path / "page.md"
    found = CliRunner().invoke(app, ["gains", "--store", str(tmp_path / "s.sqlite"), "--output", str(output)])
    assert found.exit_code == 0, found.output
    assert "# Refined against own estimates" in output.read_text(encoding="utf-8")
    assert "## Accuracy" in output.read_text(encoding="utf-8")


def _stored():
    """Rows as the store has them, of two settings of the digits."""
    rng = np.random.default_rng(3)
    digits = [cell for cell in STUDY.cells if cell.regime.name == "digits"][:4]
    lines = []
    for cell in digits:
        for replication in range(3):
            own, line = float(np.exp(rng.normal())), {"cell": cell.hash, "replication": replication}
            for prefix, factor in (("", 0.8), ("own_", 1.0), ("average_", 0.9)):
                line |= {f"{prefix}refined_mse": factor * own, f"{prefix}accuracy": 0.8 + 0.05 * (prefix == "")}
            lines.append(line | {"refined_mse": 0.8 * own * np.exp(0.01 * rng.normal())})
    return pd.DataFrame(lines)
