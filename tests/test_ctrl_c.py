"""Ctrl-C at moments spread over the life of a command, its imports included: no traceback, and a status of its own."""

import signal
import subprocess
import time

import numpy as np
import pytest

from tests.hardening.signals import MAIN, STARTED, start

# A command that computes for seconds where it can, and one that ends soon: what is imported differs.
WORDS = {
    "clair": ("inspect", "big.npz"),
    "simulations": ("list", ""),
    "theory_checks": ("run", "breakdown-identical --output v.json"),
    "reports": ("build", "--results . --output report"),
    "benchmarks": ("fit_svd", ""),
}
HELP = dict.fromkeys(MAIN, ("--help", ""))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("ctrl_c")
    np.savez(path / "big.npz", estimates=np.random.default_rng(0).standard_normal((400, 40, 30)))
    return path


def interrupted(folder, program, words, after):
    """Status and what is told, of a command that gets Ctrl-C some seconds after its start."""
    process = start(folder, program, *words)
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    try:
        told = process.communicate(timeout=30)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, told


def check(folder, program, words, after):
    status, told = interrupted(folder, program, words, after)
    assert "Traceback" not in told, told
    assert status in (0, 130) or (status == 1 and after > 2.0), (status, told)


@pytest.mark.parametrize("program", ["clair", "benchmarks"])
def test_no_traceback_while_it_imports(folder, program):
    check(folder, program, WORDS[program], 2.0 * STARTED)


@pytest.mark.slow
@pytest.mark.parametrize("words", [WORDS, HELP], ids=["works", "help"])
@pytest.mark.parametrize("program", MAIN)
def test_no_traceback_at_any_moment(folder, program, words):
    for after in np.linspace(STARTED, 3.0, 23):
        check(folder, program, words[program], float(after))
