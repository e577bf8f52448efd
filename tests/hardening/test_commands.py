"""Every command: its help is shown, and its end after a signal is timed by ``python -m tests.hardening.signals``."""

import pytest
import typer
from typer.testing import CliRunner

import reports.cli
import simulations.cli
import theory_checks.cli
from clair_stats.cli.app import app
from tests.hardening.signals import COMMANDS, wrong

APPS = {
    "clair": app,
    "simulations": simulations.cli.app,
    "theory_checks": theory_checks.cli.app,
    "reports": reports.cli.app,
}
NAMES = {
    program: [command.name or command.callback.__name__.replace("_", "-") for command in found.registered_commands]
    for program, found in APPS.items()
}


@pytest.mark.parametrize(("program", "command"), [(program, name) for program in NAMES for name in NAMES[program]])
def test_help_is_shown(program, command):
    done = CliRunner().invoke(APPS[program], [command, "--help"])
    assert done.exit_code == 0, done.exception
    assert "--help" in typer.unstyle(done.output)


def test_every_command_is_timed():
    timed = {(program, command) for program, command, _ in COMMANDS if program != "benchmarks"}
    assert timed == {(program, name) for program in NAMES for name in NAMES[program]}


def test_what_is_wrong_is_told():
    row = {"traceback": False, "ended": False, "seconds": 4.9, "left": 0}
    assert wrong(row) == []
    assert wrong({**row, "seconds": 5.1, "left": 1, "traceback": True}) == ["a traceback", "5.1 s", "1 processes left"]
    assert wrong({"traceback": False, "ended": True}) == []
    assert wrong({**row, "traceback": True, "after": 0.1}) == []
