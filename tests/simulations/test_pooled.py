"""Pooling over settings: settings are the units, differences are paired, shortfalls are named."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from simulations.cli import app
from simulations.commands.pooled import pooled_table, shortfalls


def _rows():
    rng = np.random.default_rng(0)
    lines = []
    for design in range(12):
        for replication in range(4):
            oracle = float(rng.random() < 0.8)
            for method, value in (("oracle", oracle), ("own", 0.0 if design == 3 else oracle)):
                lines.append(
                    {
                        "group": "even" if design % 2 == 0 else "odd",
                        "method": method,
                        "design": str(design),
                        "replication": replication,
                        "exact_set": value,
                    }
                )
    return pd.DataFrame(lines)


def test_means_errors_and_paired_differences_over_settings():
    rows = _rows()
    table = pooled_table(rows, "exact_set", "oracle")
    means = rows[rows["group"] == "odd"].groupby(["method", "design"])["exact_set"].mean().unstack("method")
    error = means["own"].std(ddof=1) / np.sqrt(6)
    assert table.loc[("odd", "own"), "exact_set"] == f"{means['own'].mean():.3f} ± {error:.3f}"
    lost = means["own"] - means["oracle"]
    assert table.loc[("odd", "own"), "minus oracle"] == f"{lost.mean():+.3f} ± {lost.std(ddof=1) / np.sqrt(6):.3f}"
    assert table.loc[("even", "own"), "minus oracle"] == "+0.000 ± 0.000"
    assert table.loc[("even", "own"), "settings"] == "6"


def test_settings_that_fall_short_are_named():
    rows = _rows()
    lost = rows[(rows["design"] == "3") & (rows["method"] == "oracle")]["exact_set"].mean()
    assert shortfalls(rows, "exact_set", "oracle") == [("own", "3", pytest.approx(-lost))]


def test_what_is_undefined_is_counted():
    rows = _rows()
    rows.loc[rows["design"] == "0", "exact_set"] = float("nan")
    table = pooled_table(rows, "exact_set", None)
    assert table.loc[("even", "own"), "undefined"] == "4"
    assert table.loc[("even", "own"), "settings"] == "5"


def test_the_command_prints_a_table(tmp_path):
    study, store = "robustness_quick", str(tmp_path / "s.sqlite")
    runner = CliRunner()
    run = ["run", study, "--store", store, "--replications", "1", "--method", "Test on the true set", "--jobs", "1"]
    assert runner.invoke(app, [*run, "--backend", "sequential"]).exit_code == 0
    found = runner.invoke(app, ["pooled", study, "--store", store, "--by", "contamination"])
    assert found.exit_code == 0, found.output
    assert "Test on the true set" in found.output
