"""The table of widths: means and standard errors by shape and size of the differences."""

import numpy as np
import pandas as pd
from typer.testing import CliRunner

from simulations.cli import app
from simulations.commands.widths import widths_table
from simulations.studies.interval_widths import STUDY


def test_a_line_has_the_means_and_errors_of_its_settings():
    rng = np.random.default_rng(2)
    rows = pd.DataFrame({"shape": "12, 1", "differences": np.repeat([0.0, 0.25], 20), "exact_set": 1.0})
    for name in ("length", "length_together", "coverage"):
        rows[name] = 0.5 + 0.1 * rng.standard_normal(40)
    rows["together"] = (np.arange(40) % 20 < 19).astype(float)
    rows.loc[3, "exact_set"] = 0.0
    text = widths_table(rows)
    first, second = rows["length"][:20], rows["length"][20:]
    shown = " | ".join(f"{x.mean():.3f} ({x.std() / 20**0.5:.3f})".replace("0.", ".") for x in (first, second))
    assert f"| 12, 1 | length | {shown} |" in text
    assert "| none | 0.25 σ |" in text
    assert "40 rows, 0 undefined; all together held in 0.95 to 0.95" in text
    assert "no verdict, in 1 runs" in text


def test_the_command_knows_every_cell(monkeypatch, tmp_path):
    names = ("coverage", "together", "length", "length_together", "exact_set")
    stored = pd.DataFrame([{"cell": cell.hash, **dict.fromkeys(names, 1.0)} for cell in STUDY.cells for _ in range(3)])
    monkeypatch.setattr("simulations.commands.widths.load_rows", lambda *_: stored)
    found = CliRunner().invoke(app, ["widths", "--store", str(tmp_path / "s.sqlite")])
    assert found.exit_code == 0, found.output
    assert "| 40, 6 | coverage |" in found.output
    assert "| none | 0.25 σ | 0.5 σ | 1 σ |" in found.output
    assert f"{3 * len(STUDY.cells)} rows" in found.output
