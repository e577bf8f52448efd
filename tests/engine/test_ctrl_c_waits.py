"""Ctrl-C waits while workers start, which never hear it, and while a study is imported."""

import importlib
import os
import signal
import subprocess
import sys
from multiprocessing import resource_tracker
from pathlib import Path

import pytest
from joblib.externals.loky.backend import resource_tracker as loky_tracker

from clair_stats.parallel import unheard
from simulations import studies

ROOT = Path(__file__).resolve().parents[2]
TELL = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))"


def started():
    return subprocess.run([sys.executable, "-S", "-c", TELL], capture_output=True, text=True, check=True).stdout.strip()


def test_a_process_that_starts_meanwhile_does_not_hear_the_signal():
    """The trackers of shared resources let the signal through when they start: they are started before."""
    with unheard():
        for tracker in (resource_tracker, loky_tracker):
            tracker.ensure_running()
        assert started() == "True"
    assert started() == "False"


IN_PROCESSES = """
import signal

from clair_stats.parallel import each


def blocked(_):
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


if __name__ == "__main__":
    print(blocked(None), each(blocked, range(2), n_jobs=2, processes=True), blocked(None))
"""


def test_processes_for_several_items_do_not_hear_the_signal(tmp_path):
    """In a process of its own: joblib has one pool of workers a process, and other tests may have started one."""
    script = tmp_path / "script.py"
    script.write_text(IN_PROCESSES)
    told = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert told.stdout.strip() == "False [True, True] False"


@pytest.fixture
def heard():
    """Filled when the signal is heard."""
    found = []
    before = signal.signal(signal.SIGINT, lambda *_: found.append(True))
    yield found
    signal.signal(signal.SIGINT, before)


def test_a_signal_meanwhile_is_not_lost(heard):
    with unheard():
        signal.raise_signal(signal.SIGINT)
        assert not heard
    assert heard


def test_a_study_is_imported_before_the_signal_is_heard(heard, monkeypatch):
    """Once in about seventy moments a compiled module that met it aborted ``simulations list``."""
    kept, meanwhile = importlib.import_module, []

    def interrupted(name):
        signal.raise_signal(signal.SIGINT)
        meanwhile.append(bool(heard))
        return kept(name)

    monkeypatch.setattr(importlib, "import_module", interrupted)
    assert studies._load("few_rows").name == "few_rows"
    assert meanwhile  # how many depends on what was imported before
    assert (any(meanwhile), bool(heard)) == (False, True)
