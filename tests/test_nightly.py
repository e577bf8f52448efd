"""The nightly run names commands and options that exist, and covers every exploratory study."""

import importlib
import json
import re
import subprocess
import sys

import pytest
import typer.main
from typer.testing import CliRunner

from simulations.cli import app as simulations_app
from simulations.presentation import RegimeSweeps
from simulations.studies import studies
from tests.fuzz.__main__ import SEED, TIMES
from tests.fuzz.__main__ import main as fuzz_main
from tests.import_graph import ROOT

SCRIPT = (ROOT / ".ci" / "nightly").read_text(encoding="utf-8")
STEPS = re.findall(r"\$python -m (theory_checks|simulations|reports) (\S+)([^\n)]*)", SCRIPT)


def test_the_script_is_sound_shell_and_the_makefile_calls_it():
    assert subprocess.run(["bash", "-n", str(ROOT / ".ci" / "nightly")], check=False).returncode == 0
    assert re.search(r"^nightly:.*\n\t.*bash \.ci/nightly", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert len(STEPS) >= 9


def test_the_optional_script_for_frameworks_runs_every_test_that_is_skipped_without_them():
    script = ROOT / ".ci" / "frameworks"
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    assert re.search(r"^frameworks:.*\n\tbash \.ci/frameworks", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    needing = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("test_*.py")
        if re.search(r'importorskip\(\s*"(peft|flwr|nvflare)"', path.read_text(encoding="utf-8"))
    }
    assert set(re.findall(r"tests/\S+\.py", script.read_text(encoding="utf-8"))) == needing


@pytest.mark.parametrize(("package", "command", "rest"), STEPS, ids=lambda part: part.split()[0] if part else "plain")
def test_every_command_and_option_exists(package, command, rest):
    group = typer.main.get_command(importlib.import_module(f"{package}.cli").app)
    assert command in group.commands
    known = {name for parameter in group.commands[command].params for name in parameter.opts}
    assert set(re.findall(r"(?<=\s)--[a-z-]+", rest)) <= known


def test_names_lists_every_exploratory_study_once():
    told = CliRunner().invoke(simulations_app, ["names", "--exploratory"]).output.split()
    expected = [
        name
        for name, study in studies().items()
        if not study.confirmatory and not isinstance(study.presentation, RegimeSweeps)
    ]
    assert told == expected
    # Once registered a study has the number of its try in its name.
    assert not any(name.startswith("heldout_confirmation") for name in told)
    everything = CliRunner().invoke(simulations_app, ["names"]).output.split()
    assert any(name.startswith("heldout_confirmation") for name in everything)
    assert all(f" {name}" in SCRIPT for name in studies() if name.startswith("regime_"))


@pytest.mark.parametrize(("failed", "status", "exit_status"), [([], 0, 0), (["FAILED tests/fuzz/x"], 1, 1), ([], 2, 1)])
def test_counted_fuzzing_fails_where_a_fuzzer_does(tmp_path, monkeypatch, capsys, failed, status, exit_status):
    told = {"inputs": [["CLAIR().fit", "answered", 3]], "slowest": 1.0, "failed": failed, "status": status}
    for name in TIMES:
        (tmp_path / f"{name}-{SEED}-0.json").write_text(
            json.dumps(told if name == "test_fit" else {**told, "inputs": []})
        )
    monkeypatch.setattr(sys, "argv", ["fuzz", "--rounds", "1", "--folder", str(tmp_path)])
    assert fuzz_main() == exit_status
    assert "| CLAIR().fit | 3 | 0 | 3 |" in capsys.readouterr().out
