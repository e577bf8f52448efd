"""``summarise --latex --plot``: a table that compiles alone, and a figure that shows every value."""

import re
import shutil
import subprocess

import pandas as pd
import pytest
from typer.testing import CliRunner

from simulations.cli import app
from simulations.commands.fragments import latex_fragment, summary_figure
from simulations.commands.shared import varied_factors
from simulations.design import Study, crossed, grid, levels
from simulations.engine.executor import run_study
from simulations.measures.summaries import Mean
from simulations.measures.summarise import summarise
from simulations.toml_design import read_toml
from tests.engine.conftest import TOY_TOML
from tests.engine.toys import Normal, SampleMean, TrimmedMean

STUDY = Study(
    name="small_study",
    title="100 % & a_b",
    cells=crossed(grid(Normal, mean=levels(0.0, 1.0), n=6), [SampleMean(), TrimmedMean()]),
    replications=30,
    root_seed=5,
    measures=(Mean("estimate"), Mean("truth")),
)


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    store = tmp_path_factory.mktemp("store") / "s.sqlite"
    run_study(STUDY, store, backend="sequential")
    return summarise(store, STUDY)


def test_every_value_stands_in_the_table_with_its_error(summary):
    text = latex_fragment(summary, STUDY, varied_factors(STUDY))
    rows = [line for line in text.splitlines() if line.startswith("normal")]
    assert len(rows) == 4
    first = summary[(summary["method"] == "sample_mean") & (summary["measure"] == "mean estimate")].iloc[0]
    shown, error = re.search(r"sample\\_mean & (\S+) \((\S+)\)", rows[0]).groups()
    assert float(shown) == pytest.approx(first["value"], abs=float(error) / 10)
    assert float(error) == pytest.approx(first["mcse"], rel=0.5)
    assert r"100 \% \& a\_b. Monte Carlo standard errors in brackets; n = 30 replications, 0 failed." in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX")
def test_the_table_compiles_alone(summary, tmp_path):
    table = latex_fragment(summary, STUDY, varied_factors(STUDY))
    head = r"\documentclass{article}\usepackage{booktabs,longtable}\begin{document}"
    (tmp_path / "a.tex").write_text(f"{head}\n{table}\n\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-1500:]


def test_the_figure_has_one_panel_per_measure_and_every_value(summary):
    figure = summary_figure(summary, varied_factors(STUDY))
    panels = {panel.get_xlabel(): panel for panel in figure.axes}
    assert list(panels) == ["mean estimate", "mean truth"]
    for measure, panel in panels.items():
        drawn = sorted(float(x) for container in panel.containers for x in container.lines[0].get_xdata())
        assert drawn == pytest.approx(sorted(summary.loc[summary["measure"] == measure, "value"]))


def test_the_command_writes_both_and_refuses_other_suffixes(tmp_path):
    design, store = tmp_path / "toy.toml", tmp_path / "toy.sqlite"
    design.write_text(TOY_TOML.format(replications=5, seconds=0.0))
    run_study(read_toml(design), store, backend="sequential")
    words = ["summarise", str(design), "--store", str(store)]
    files = [tmp_path / name for name in ("a.csv", "a.tex", "a.pdf")]
    options = zip(("--output", "--latex", "--plot"), map(str, files), strict=True)
    done = CliRunner().invoke(app, [*words, *(word for pair in options for word in pair)])
    assert done.exit_code == 0, done.output
    assert files[2].read_bytes().startswith(b"%PDF")
    assert "longtable" in files[1].read_text()
    assert len(pd.read_csv(files[0])) == 10
    refused = CliRunner().invoke(app, [*words, "--plot", str(tmp_path / "a.jpg")])
    assert "give a name ending in .pdf or .png or .svg" in str(refused.exception)
