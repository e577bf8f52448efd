"""The table of intervals after selection: smallest to largest of the settings' means, line by line."""

import numpy as np
import pandas as pd
from typer.testing import CliRunner

from simulations.cli import app
from simulations.commands.intervals import table
from simulations.studies.interval_coverage import STUDY


def _rows():
    """Two settings of one line, 30 replications each; in the second the set is found once."""
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"cell": np.repeat(["a", "b"], 30), "differences": "none", "contamination": "none"})
    rows["coverage"] = np.where(rows["cell"] == "a", 0.95, 0.97)
    rows["coverage_given_set"] = rows["coverage"]
    rows["together"] = (np.arange(60) % 30 < 27).astype(float)
    rows["length"] = 0.5 + 0.001 * rng.standard_normal(60)
    rows["exact_set"] = 1.0
    return rows


def test_a_line_has_the_range_of_its_settings():
    text = table(_rows())
    assert "| none | none | .950–.970 | .950–.970 | .90–.90 | .50–.50 | 1.00–1.00 |" in text
    error = np.std([1.0] * 27 + [0.0] * 3, ddof=1) / np.sqrt(30)
    assert f"0.000 for single intervals and {error:.3f} for all together; 60 rows" in text
    rare = _rows()
    rare.loc[rare["cell"].eq("b") & (rare.index > 30), "coverage_given_set"] = np.nan
    assert "| too few | .950–.970 |" in table(rare)


def test_the_command_knows_every_cell(monkeypatch, tmp_path):
    names = ("coverage", "coverage_given_set", "together", "length", "exact_set")
    stored = pd.DataFrame([{"cell": cell.hash, **dict.fromkeys(names, 1.0)} for cell in STUDY.cells for _ in range(25)])
    monkeypatch.setattr("simulations.commands.intervals.load_rows", lambda *_: stored)
    found = CliRunner().invoke(app, ["intervals", "--store", str(tmp_path / "s.sqlite")])
    assert found.exit_code == 0, found.output
    assert "missed (a quarter)" in found.output
    assert f"{25 * len(STUDY.cells)} rows" in found.output
