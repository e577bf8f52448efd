from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from joblib import Parallel, delayed

from clair_stats.parallel import each
from simulations.design import Cell, Study, crossed, grid, levels
from simulations.engine.executor import run_study
from simulations.engine.workers import BackendError, loky, stop_loky
from simulations.storage.store import load_rows
from tests.engine.toys import RAISED, Normal, SampleMean, TrimmedMean, Trouble, small

Digest = Callable[[Path, Study], str]


def troubled(kind: str, replications: int = 30, above: float = 2.0) -> Study:
    # One replication of the first 30 draws a first number above 2 (asserted below), so exactly one row is in trouble.
    return Study("trouble", "trouble", crossed(Normal(), [SampleMean(), Trouble(kind, above=above)]), replications, 1)


def test_rows_are_the_same_however_they_are_made(tmp_path: Path, digest: Digest) -> None:
    study = small(replications=40)
    reference = run_study(study, tmp_path / "a.sqlite", backend="sequential")
    assert (reference.written, reference.missing, reference.failed, reference.exit_status) == (160, 0, 0, 0)
    expected = digest(tmp_path / "a.sqlite", study)
    run_study(study, tmp_path / "one.sqlite", n_jobs=1)
    run_study(study, tmp_path / "two.sqlite", n_jobs=2, shuffle_seed=5, batch_seconds=0.001)
    # In parts: fewer replications first, one method alone, then the rest.
    part = replace(study, cells=study.cells[1:2])
    run_study(part, tmp_path / "parts.sqlite", backend="sequential", replications=7)
    run_study(study, tmp_path / "parts.sqlite", backend="sequential", replications=13)
    last = run_study(study, tmp_path / "parts.sqlite", n_jobs=2)
    assert last.written == 160 - 4 * 13
    for name in ("one", "two", "parts"):
        assert digest(tmp_path / f"{name}.sqlite", study) == expected, name


def test_joblib_has_its_own_workers_beside_those_of_a_run(tmp_path: Path) -> None:
    """A run had taken the one reusable pool of the process; joblib's took it for its own and failed."""
    run_study(small(replications=4), tmp_path / "a.sqlite", n_jobs=2)
    assert each(math.sqrt, [1.0, 4.0, 9.0], n_jobs=2, processes=True) == [1.0, 2.0, 3.0]
    assert Parallel(n_jobs=2)(delayed(math.sqrt)(x) for x in (1.0, 4.0)) == [1.0, 2.0]
    assert run_study(small(replications=6), tmp_path / "a.sqlite", n_jobs=2).missing == 0


def test_workers_are_kept_for_the_next_run_until_they_are_ended() -> None:
    first = loky(2)
    assert loky(2) is first
    assert first.submit(math.sqrt, 4.0).result() == 2.0  # nothing waits any more; loky may stumble over what does
    stop_loky(first)
    second = loky(2)
    assert second is not first
    assert second.submit(math.sqrt, 4.0).result() == 2.0


def test_the_digest_sees_a_changed_bit(tmp_path: Path, digest: Digest) -> None:
    study = small(replications=3)
    run_study(study, tmp_path / "a.sqlite", backend="sequential")
    before = digest(tmp_path / "a.sqlite", study)
    import sqlite3

    connection = sqlite3.connect(tmp_path / "a.sqlite")
    blob = bytearray(connection.execute("SELECT metrics FROM rows WHERE cell = 1 AND replication = 1").fetchone()[0])
    blob[8] ^= 1  # last bit of the second metric
    connection.execute(
        "UPDATE rows SET metrics = ?, checksum = NULL WHERE cell = 1 AND replication = 1", (bytes(blob),)
    )
    connection.commit()
    connection.close()
    assert digest(tmp_path / "a.sqlite", study) != before


def test_adding_cells_and_replications_changes_no_row(tmp_path: Path) -> None:
    study = small(replications=10)
    run_study(study, tmp_path / "a.sqlite", backend="sequential")
    old = load_rows(tmp_path / "a.sqlite", study)
    more = crossed(grid(Normal, mean=levels(-1.0, 0.0), n=9), TrimmedMean(trim=2))
    wider = replace(study, cells=(*more, *study.cells), replications=15)
    report = run_study(wider, tmp_path / "a.sqlite", backend="sequential")
    assert report.written == 2 * 15 + 4 * 5
    new = load_rows(tmp_path / "a.sqlite", wider)
    kept = new[new["cell"].isin(old["cell"]) & (new["replication"] < 10)].reset_index(drop=True)
    assert kept[old.columns].to_csv(index=False) == old.to_csv(index=False)
    assert len(new) == 6 * 15


def test_all_methods_see_the_same_data_and_methods_have_their_own_stream(tmp_path: Path) -> None:
    study = Study("s", "s", crossed(Normal(), [SampleMean(), TrimmedMean(1), TrimmedMean(2)]), 5, 1)
    run_study(study, tmp_path / "a.sqlite", backend="sequential")
    rows = load_rows(tmp_path / "a.sqlite", study)
    one, two = (rows[rows["method.trim"] == trim]["coin"].to_numpy() for trim in (1, 2))
    assert (one == two).all()  # the stream belongs to the method's name: common random numbers
    assert len(set(one)) == 5
    assert rows[rows["method.trim"] == 2]["estimate"].tolist() == [
        sorted(Normal().generate(_streams(study, r))["sample"])[2] for r in range(5)
    ]


def _streams(study: Study, replication: int):  # type: ignore[no-untyped-def]
    from simulations.streams import Streams

    return Streams(study.root_seed, study.cells[0].regime_hash, replication)


def test_a_raising_replication_is_a_row_and_is_retried_on_request_only(tmp_path: Path) -> None:
    study = troubled("raise")
    report = run_study(study, tmp_path / "a.sqlite", n_jobs=2)
    assert (report.failed, report.missing, report.exit_status) == (1, 0, 1)
    rows = load_rows(tmp_path / "a.sqlite", study)
    failed = rows[rows["status"] == "failed"]
    assert failed["method"].tolist() == ["trouble"]
    assert "ArithmeticError: the sample is too large" in failed["error"].item()
    assert '"tests/engine/toys.py"' in failed["error"].item()  # no machine path
    assert len(rows) == 60
    assert run_study(study, tmp_path / "a.sqlite").written == 0
    again = run_study(study, tmp_path / "a.sqlite", retry_failed=True, backend="sequential")
    assert (again.written, again.failed) == (1, 1)


@pytest.mark.parametrize(
    ("kind", "backend"),
    [
        ("exit", "loky"),
        ("exit", "sequential"),
        ("generator exit", "loky"),
        ("cancelled", "sequential"),
        ("interrupt", "loky"),
        ("surrogate", "sequential"),
        ("surrogate name", "sequential"),
    ],
)
def test_whatever_a_method_raises_is_its_own_failed_row(tmp_path: Path, kind: str, backend: str) -> None:
    study = troubled(kind)
    report = run_study(study, tmp_path / "a.sqlite", n_jobs=1, backend=backend)
    assert (report.failed, report.missing, report.exit_status) == (1, 0, 1)
    rows = load_rows(tmp_path / "a.sqlite", study)
    error = rows[rows["status"] == "failed"]["error"].item()
    name = "ValueError" if kind == "surrogate name" else type(RAISED[kind]).__name__
    assert name in error
    assert len(rows) == 60
    if "surrogate" in kind:
        assert "\\udcff" in error
    assert run_study(study, tmp_path / "a.sqlite", backend="sequential").written == 0


def test_an_undefined_metric_is_no_failure(tmp_path: Path) -> None:
    study = troubled("nan")
    report = run_study(study, tmp_path / "a.sqlite", backend="sequential")
    assert report.failed == 0
    rows = load_rows(tmp_path / "a.sqlite", study)
    assert rows[rows["method"] == "trouble"]["estimate"].isna().sum() == 1


def test_a_method_cannot_change_what_the_next_one_sees(tmp_path: Path) -> None:
    study = Study("s", "s", crossed(Normal(), [Trouble("mutate"), SampleMean()]), 30, 1)
    alone = Study("s", "s", crossed(Normal(), [SampleMean()]), 30, 1)
    run_study(study, tmp_path / "a.sqlite", backend="sequential")
    run_study(alone, tmp_path / "b.sqlite", backend="sequential")
    together = load_rows(tmp_path / "a.sqlite", study)
    assert "read-only" in together[together["status"] == "failed"]["error"].iloc[0]
    mine = together[together["method"] == "sample_mean"]["estimate"].tolist()
    assert mine == load_rows(tmp_path / "b.sqlite", alone)["estimate"].tolist()


@pytest.mark.parametrize(("kind", "backend"), [("hang", "loky"), ("hang_swallowing", "loky"), ("hang", "sequential")])
def test_a_runaway_replication_is_ended(tmp_path: Path, kind: str, backend: str) -> None:
    study = troubled(kind)
    start = time.monotonic()
    report = run_study(study, tmp_path / "a.sqlite", backend=backend, timeout=0.3)
    assert time.monotonic() - start < 20.0
    assert (report.failed, report.missing, report.written) == (1, 0, 60)
    rows = load_rows(tmp_path / "a.sqlite", study)
    assert rows[rows["status"] == "failed"]["error"].item().startswith("ReplicationTimeout: ended after 0.3 s")


def test_a_replication_stuck_in_compiled_code_is_ended_with_its_worker(tmp_path: Path, digest: Digest) -> None:
    study = troubled("hang_compiled")
    report = run_study(study, tmp_path / "a.sqlite", timeout=0.3)
    assert (report.failed, report.missing, report.written) == (1, 0, 60)
    assert report.lost_workers
    rows = load_rows(tmp_path / "a.sqlite", study)
    assert rows[rows["status"] == "failed"]["error"].item().startswith("WorkerDied")


def test_a_killed_worker_costs_the_fatal_row_only(tmp_path: Path) -> None:
    study = troubled("kill", replications=60)
    harmless = troubled("nothing", replications=60)
    report = run_study(study, tmp_path / "a.sqlite", n_jobs=2)
    run_study(harmless, tmp_path / "b.sqlite", backend="sequential")
    rows, expected = (load_rows(tmp_path / f"{n}.sqlite", s) for n, s in (("a", study), ("b", harmless)))
    assert (report.missing, report.failed) == (0, 1)
    assert "SIGKILL" in report.lost_workers[0]
    good = (rows["status"] == "ok").to_numpy()
    assert (~good).sum() == 1
    assert "WorkerDied" in rows["error"][~good].item()
    assert rows["estimate"][good].tolist() == expected["estimate"][good].tolist()


def test_what_workers_cannot_load_is_said(tmp_path: Path) -> None:
    study = Study("s", "s", crossed(Normal(), _unpicklable()), 30, 1)
    with pytest.raises(BackendError, match="cannot load a regime or method"):
        run_study(study, tmp_path / "a.sqlite")
    assert load_rows(tmp_path / "a.sqlite", study).empty


def _unpicklable() -> SampleMean:
    method = TrimmedMean()
    object.__setattr__(method, "handle", (line for line in ()))
    return method  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"n_jobs": 0}, "n_jobs is 0"),
        ({"backend": "lokki"}, "backend 'lokki'"),
        ({"timeout": 0.0}, "timeout is 0.0"),
        ({"shard": (3, 2)}, "shard is 3/2"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "needs backend 'dask'"),
        ({"replications": 0}, "replications is 0"),
    ],
)
def test_bad_arguments_before_any_work(tmp_path: Path, options: dict, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        run_study(small(), tmp_path / "a.sqlite", **options)
    assert not (tmp_path / "a.sqlite").exists()


def test_reserved_metric_names_are_refused(tmp_path: Path) -> None:
    cell = Cell(Normal(), _Reserved())
    report = run_study(Study("s", "s", (cell,), 1, 1), tmp_path / "a.sqlite", backend="sequential")
    assert report.failed == 1


class _Reserved(SampleMean):
    def evaluate(self, instance, generator):  # type: ignore[no-untyped-def]
        return {"status": 1.0}


def test_progress_counts_rows(tmp_path: Path) -> None:
    seen = []
    run_study(small(replications=5), tmp_path / "a.sqlite", backend="sequential", replications=2)
    run_study(small(replications=5), tmp_path / "a.sqlite", backend="sequential", progress=seen.append)
    assert seen[-1].rows_done == seen[-1].rows_total == 20
    assert [p.rows_done for p in seen] == sorted(p.rows_done for p in seen)
    assert seen[0].rows_done > 8
