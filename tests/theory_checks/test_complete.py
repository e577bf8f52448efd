"""An interrupted run leaves its rows and no verdict."""

import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

import theory_checks.judge.complete
from simulations.engine.executor import RunReport
from theory_checks.cli import app
from theory_checks.judge.complete import UnfinishedError, run_to_the_end


@pytest.fixture
def interrupted(monkeypatch):
    def run(study, store, **options):
        return RunReport("a study", Path(store), 10, 4, 0, 6, 0.1, interrupted=signal.SIGINT)

    monkeypatch.setattr(theory_checks.judge.complete, "run_study", run)


def test_an_unfinished_run_is_an_error_that_counts_the_rows(interrupted):
    with pytest.raises(UnfinishedError, match=r"a study: 6 rows are missing.*same command goes on") as caught:
        run_to_the_end(None, "store")
    assert caught.value.report.exit_status == 130


@pytest.mark.parametrize(
    "command",
    [
        ["run", "refinement-identity", "--output", "verdicts.json"],
        ["region", "--instances", "10"],
        ["agreement", "--instances", "10"],
        ["maps"],
        ["null", "--repetitions", "1", "--only-chance"],
    ],
)
def test_no_command_judges_some_of_its_rows(interrupted, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 130, done.output
    assert "6 rows are missing" in done.output
    assert not list(tmp_path.rglob("*.json"))
    assert not list(tmp_path.rglob("*.pdf"))
