import json

import pytest
from typer.testing import CliRunner

from theory_checks.cli import app
from theory_checks.registry import all_claims

runner = CliRunner()


def call(*arguments):
    return runner.invoke(app, list(arguments), env={"COLUMNS": "200"})


def test_list_names_every_claim():
    result = call("list")
    assert result.exit_code == 0
    assert all(identifier in result.output for identifier in all_claims())


@pytest.mark.parametrize("identifier", list(all_claims()))
def test_explain_says_everything(identifier):
    result = call("explain", identifier)
    assert result.exit_code == 0
    for word in ("statement", "source", "statistic", "rule", "sabotage", "power", "needed"):
        assert f"\n{word}" in result.output
    assert all_claims()[identifier].sabotage.name in result.output


@pytest.mark.parametrize(
    "arguments",
    [("explain", "no-such-claim"), ("run", "no-such-claim"), ("run", "--effort", "heroic"), ("run", "--sabotage", "x")],
)
def test_wrong_usage_has_status_two(arguments):
    assert call(*arguments).exit_code == 2


def test_run_writes_verdicts_and_a_sabotage_is_violated(tmp_path):
    output, stores = tmp_path / "verdicts.json", tmp_path / "stores"
    common = ("--jobs", "1", "--backend", "sequential", "--stores", str(stores))
    result = call("run", "refinement-identity", "--output", str(output), *common)
    assert result.exit_code == 0, result.output
    assert [entry["status"] for entry in json.loads(output.read_text())] == ["supported", "violated"]
    before = output.read_bytes()
    assert call("run", "refinement-identity", "--output", str(output), *common).exit_code == 0
    assert output.read_bytes() == before
    assert call("run", "--sabotage", "refinement-identity", *common).exit_code == 1
    explained = call("explain", "exact-recovery-plain", "--stores", str(stores))
    assert "not evaluated yet" in explained.output


def test_an_unwritable_folder_is_one_line_and_status_two(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    result = call("run", "refinement-identity", "--backend", "sequential", "--stores", str(blocked / "x"))
    assert result.exit_code == 2
    assert "Traceback" not in result.output
