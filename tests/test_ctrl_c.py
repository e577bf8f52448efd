"""Ctrl-C at moments spread over the life of a command, its imports included: no traceback, and a status of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid

import numpy as np
import pytest

from tests.adapters.folders import federation
from tests.engine.conftest import ROOT, TOY_TOML, environment
from tests.hardening.signals import MAIN, STARTED, start, taken

# A command that computes for seconds where it can, and one that ends soon: what is imported differs.
WORDS = {
    "clair": ("inspect", "big.npz"),
    "simulations": ("list", ""),
    "theory_checks": ("run", "breakdown-identical --output v.json"),
    "reports": ("build", "--results . --output report"),
    "benchmarks": ("fit_svd", ""),
}
# Done before the signal came (with nothing to report `reports` says so by 2), or interrupted: by the command itself,
# or, when all is said and the interpreter clears up, by the signal, which the shell reports as 130 as well.
ENDS = (0, 2, 130, -signal.SIGINT)
HELP = dict.fromkeys(MAIN, ("--help", ""))
# Commands with threads or workers of their own, and with an output that must be new.
WORKERS = {
    "clair": ("adapters", "in --output {new} --rank 4 --jobs 2"),
    "simulations": ("run", "long.toml --store {new}"),
}
SWEPT = [
    pytest.param(program, words[program], id=f"{program}-{name}")
    for name, words in (("works", WORDS), ("help", HELP), ("workers", WORKERS))
    for program in words
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("ctrl_c")
    np.savez(path / "big.npz", estimates=np.random.default_rng(0).standard_normal((400, 40, 30)))
    return path


@pytest.fixture(scope="module")
def inputs(folder):
    """The folder with what the commands with workers read."""
    federation(folder / "in", n_clients=16, shapes={f"layers.{i}.q_proj": (192, 160) for i in range(48)})
    (folder / "long.toml").write_text(TOY_TOML.format(replications=4_000, seconds=0.02))
    return folder


def interrupted(folder, program, words, after):
    """Status and what is told, of a command that gets Ctrl-C after some processor seconds of it and its workers.

    Seconds of the clock would hit the interpreter's own start on a machine that has other work.
    """
    command, arguments = words
    process = start(folder, program, command, arguments.format(new=f"{uuid.uuid4()}.sqlite"))
    surely = time.monotonic() + 30.0
    while process.poll() is None and taken(process.pid) < after and time.monotonic() < surely:
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    try:
        told = process.communicate(timeout=30)[1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, told


def check(folder, program, words, after):
    status, told = interrupted(folder, program, words, after)
    assert "Traceback" not in told, told
    assert status in ENDS, (status, told)


@pytest.mark.parametrize("program", ["clair", "benchmarks"])
def test_no_traceback_while_it_imports(folder, program):
    check(folder, program, WORDS[program], 2.0 * STARTED)


@pytest.mark.slow
@pytest.mark.parametrize(("program", "words"), SWEPT)
def test_no_traceback_at_any_moment(inputs, program, words):
    for after in np.linspace(STARTED, 3.0, 23):
        check(inputs, program, words, float(after))


SWALLOWED = """
import os, signal, time
from clair_stats.cli.interruption import without_traceback
with without_traceback("here") as begin:
    {ready}
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5.0)
    except KeyboardInterrupt:  # as a compiled module may do while it is imported
        print("went on")
"""


CLEARING_UP = """
import os, signal, threading, time
from clair_stats.cli.interruption import without_traceback
with without_traceback("here") as begin:
    begin()
    threading.Thread(target=time.sleep, args=(5.0,)).start()
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
"""


def test_nothing_is_said_while_the_interpreter_clears_up():
    """The command is done and waits for its threads."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", CLEARING_UP],
        capture_output=True,
        text=True,
        timeout=30,
        env={**environment(), "PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
    assert time.monotonic() - began < 4.0


@pytest.mark.parametrize(("ready", "status", "told"), [("pass", 130, ""), ("begin()", 0, "went on\n")])
def test_what_is_imported_cannot_swallow_it(ready, status, told):
    """Once all is imported the exception is the command's own, which clears up."""
    words = [sys.executable, "-c", SWALLOWED.format(ready=ready)]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=30, env={**environment(), "PYTHONPATH": str(ROOT)}
    )
    assert (done.returncode, done.stdout) == (status, told)
    assert done.stderr == ("here: interrupted; nothing was written\n" if status else "")


@pytest.mark.parametrize(("cause", "status"), [("KeyboardInterrupt()", 130), ("ValueError()", 1)])
def test_an_interrupt_inside_compiled_code_is_one(cause, status):
    """`clair adapters` met it in `numpy.fromfile`: a SystemError, "returned a result with an exception set"."""
    text = "from clair_stats.cli.interruption import without_traceback\nwith without_traceback('here'):\n"
    text += f"    raise SystemError('returned a result with an exception set') from {cause}"
    done = subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        timeout=30,
        env={**environment(), "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == status
    assert ("Traceback" in done.stderr) == (status == 1)
