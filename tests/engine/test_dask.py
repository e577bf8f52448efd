"""A real dask cluster of two processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from simulations.engine.executor import run_study
from simulations.engine.workers import BackendError
from simulations.storage.store import load_rows
from tests.engine.test_executor import troubled
from tests.engine.toys import small


@pytest.fixture(autouse=True)
def distributed():  # type: ignore[no-untyped-def]
    """Imported by these tests alone: at the head of the file every worker's collection would wait for it."""
    return pytest.importorskip("distributed")


@pytest.fixture
def scheduler(distributed):  # type: ignore[no-untyped-def]
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
    ) as cluster:
        yield cluster.scheduler_address


def test_dask_gives_the_same_bytes(tmp_path: Path, digest: Callable[..., str], scheduler: str) -> None:
    study = small(replications=50)
    report = run_study(study, tmp_path / "a.sqlite", backend="dask", scheduler=scheduler, batch_seconds=0.01)
    assert (report.written, report.missing) == (200, 0)
    run_study(study, tmp_path / "b.sqlite", backend="sequential")
    assert digest(tmp_path / "a.sqlite", study) == digest(tmp_path / "b.sqlite", study)
    # A runaway replication is ended there too, though the work is not in the main thread of the worker.
    runaway = troubled("hang")
    report = run_study(runaway, tmp_path / "c.sqlite", backend="dask", scheduler=scheduler, timeout=0.5)
    assert (report.failed, report.missing) == (1, 0)
    rows = load_rows(tmp_path / "c.sqlite", runaway)
    assert rows[rows["status"] == "failed"]["error"].item().startswith("ReplicationTimeout")


@pytest.mark.slow
def test_a_killed_dask_worker_costs_the_fatal_row_only(tmp_path: Path) -> None:
    study = troubled("kill")
    report = run_study(study, tmp_path / "a.sqlite", backend="dask", n_jobs=2)
    assert (report.failed, report.missing) == (1, 0)
    rows = load_rows(tmp_path / "a.sqlite", study)
    assert "WorkerDied" in rows[rows["status"] == "failed"]["error"].item()


def test_a_scheduler_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulations.engine.dask_backend._CONNECT_SECONDS", 1.0)
    with pytest.raises(BackendError, match=r"tcp://127\.0\.0\.1:9: no answer"):
        run_study(small(), tmp_path / "a.sqlite", backend="dask", scheduler="tcp://127.0.0.1:9")
    assert not (tmp_path / "a.sqlite").exists()
