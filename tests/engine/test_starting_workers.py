"""Workers that start do not hear Ctrl-C; what they start with is what this process blocks meanwhile."""

import signal
import subprocess
import sys
from multiprocessing import resource_tracker

from joblib.externals.loky.backend import resource_tracker as loky_tracker

from simulations.engine.workers import unheard

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


def test_a_signal_meanwhile_is_not_lost():
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append(True))
    try:
        with unheard():
            signal.raise_signal(signal.SIGINT)
            assert not heard
        assert heard
    finally:
        signal.signal(signal.SIGINT, before)
