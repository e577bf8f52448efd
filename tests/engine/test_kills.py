"""Processes that are killed: no row is lost, doubled or changed, and no process is left behind."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from simulations.design import Study
from simulations.engine.executor import run_study
from simulations.storage.store import Store
from simulations.toml_design import read_toml
from tests.engine.conftest import ROOT, environment
from tests.engine.toys import PACE

Digest = Callable[[Path, Study], str]


@pytest.fixture(autouse=True)
def _no_pauses_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toys pause in the processes that are killed; what is computed here for comparison need not wait.

    It runs in this process: workers that an earlier test has started keep the environment of that time.
    """
    monkeypatch.setenv(PACE, "0")


def start(design: Path, store: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "simulations", "run", str(design), "--store", str(store), *options]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**environment(), PACE: "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def count(store: Path) -> int:
    """Committed rows, 0 when there is no table yet."""
    if not store.exists():
        return 0
    connection = sqlite3.connect(store, timeout=30)
    try:
        return int(connection.execute("SELECT COUNT(*) FROM rows").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "gave up waiting"
        time.sleep(0.02)


def children(process: subprocess.Popen[str]) -> Iterator[psutil.Process]:
    try:
        yield from psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return


def expected_digest(study: Study, folder: Path, digest: Digest) -> str:
    run_study(study, folder / "expected.sqlite", backend="sequential")
    return digest(folder / "expected.sqlite", study)


def killed_run(design: Path, store: Path, kills: int, choose: random.Random) -> list[int]:
    """Kill -9 the run at arbitrary moments, from the first import to long after the first commit.

    Returns the committed rows after every kill.  The moments are uniform on twice the time that the first run took to
    its first commit, so that half of the kills fall into starting and half into writing, however busy the machine is.
    """
    process, began = start(design, store), time.monotonic()
    wait_until(lambda: count(store) > 0)
    longest = 2.0 * (time.monotonic() - began)
    counts: list[int] = []
    while len(counts) < kills:
        descendants = list(children(process))
        assert process.poll() is None, "the study ended before the kills did; give it more replications"
        process.kill()
        process.communicate(timeout=60)
        counts.append(count(store))
        # The workers follow their parent by themselves.
        _, alive = psutil.wait_procs(descendants, timeout=60)
        assert not alive, alive
        if len(counts) < kills:
            process = start(design, store)
            time.sleep(choose.uniform(0.0, longest))
    return counts


def test_a_killed_run_ends_though_a_worker_dies(toy: Callable[..., Path], tmp_path: Path, digest: Digest) -> None:
    design, store = toy(replications=80, seconds=0.01), tmp_path / "s.sqlite"
    study = read_toml(design)
    expected = expected_digest(study, tmp_path, digest)
    process = _writing(design, store)  # so that the kill certainly falls into the writing
    descendants = list(children(process))
    process.kill()
    process.communicate(timeout=30)
    _, alive = psutil.wait_procs(descendants, timeout=20)
    assert not alive
    assert 0 < count(store) < 480
    process = _writing(design, store)
    victim = next(p for p in children(process) if "popen_loky_posix" in " ".join(p.cmdline()))
    victim.kill()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "a worker died, its work was done again" in errors
    assert digest(store, study) == expected
    with Store(store, study) as opened:
        assert opened.integrity() == "ok"
        assert all(s.ok == 80 for s in opened.status())


def _writing(design: Path, store: Path, *options: str) -> subprocess.Popen[str]:
    """A run that has committed rows of its own."""
    before = count(store)
    process = start(design, store, *options)
    wait_until(lambda: count(store) > before)
    return process


@pytest.mark.slow
def test_fifty_kills_at_arbitrary_moments(toy: Callable[..., Path], tmp_path: Path, digest: Digest) -> None:
    design, store = toy(replications=8_000, seconds=0.01), tmp_path / "s.sqlite"
    study = read_toml(design)
    counts = killed_run(design, store, 50, random.Random(20260521))
    assert counts == sorted(counts)  # no committed row was ever lost
    assert len(set(counts)) > 10  # many kills fell into the writing
    report = run_study(study, store, n_jobs=2)
    assert (report.written, report.missing, report.failed) == (48_000 - counts[-1], 0, 0)
    run_study(study, tmp_path / "fresh.sqlite", n_jobs=2, shuffle_seed=1)
    assert digest(store, study) == digest(tmp_path / "fresh.sqlite", study)


def test_signals_finish_what_is_running(toy: Callable[..., Path], tmp_path: Path, digest: Digest) -> None:
    """Ctrl-C, and SIGTERM on the run that goes on after it."""
    design, store = toy(replications=200, seconds=0.01), tmp_path / "s.sqlite"
    study = read_toml(design)
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        before = count(store)
        process = _writing(design, store, "--jobs", "1")
        os.killpg(process.pid, number)  # as a terminal does: the whole group, workers too
        out, errors = process.communicate(timeout=60)
        assert process.returncode == status, errors
        assert "the same command goes on from here" in errors
        assert f"store {store}" in out
        written = count(store)
        assert before < written < 1200
        assert not Path(f"{store}-wal").exists()  # closed in order: one file to copy
    report = run_study(study, store, backend="sequential")
    assert report.written == 1200 - written
    assert digest(store, study) == expected_digest(study, tmp_path, digest)
