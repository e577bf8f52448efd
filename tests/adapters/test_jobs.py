"""Modules several at a time, here or on the workers of a dask cluster: the same bytes are written."""

import numpy as np
import pytest
from typer.testing import CliRunner

from clair_stats.adapters import aggregate_adapters
from clair_stats.cli.app import app
from clair_stats.parallel import each
from tests.adapters.folders import federation

BAD = (2, 7)


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def one_at_a_time(tmp_path_factory):
    root = tmp_path_factory.mktemp("jobs")
    shapes = {f"layers.{i}.q_proj": (24, 16) for i in range(17)}  # more than the sixteen that are searched
    folders = federation(root / "in", n_clients=12, bad=BAD, shapes=shapes)
    told = []
    aggregate_adapters(folders, output=root / "one", rank=3, progress=lambda *what: told.append(what))
    return root, files(root / "one"), told


def test_progress_counts_every_stage(one_at_a_time):
    _, written, told = one_at_a_time
    last = {what: (done, total) for what, done, total in told}
    assert last["comparing modules"] == (17, 17)
    assert last["refining modules"] == (17, 17)  # the mean comes with them
    assert last["reading adapters"] == (11, 12)
    assert len(written) == 2 * 13 + 2


def test_any_number_of_jobs_writes_the_same_bytes(one_at_a_time):
    root, expected, _ = one_at_a_time
    words = ["adapters", str(root / "in"), "--output", str(root / "jobs"), "--rank", "3", "--jobs", "5"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 3, done.output
    assert files(root / "jobs") == expected


def test_processes_of_this_machine_write_the_same_bytes(one_at_a_time, monkeypatch):
    root, expected, _ = one_at_a_time
    monkeypatch.setattr("clair_stats.adapters.results._SECONDS_FOR_PROCESSES", 0.0)
    told = []
    folders = sorted((root / "in").iterdir())
    aggregate_adapters(folders, output=root / "processes", rank=3, n_jobs=2, progress=lambda *what: told.append(what))
    assert files(root / "processes") == expected
    assert [done for what, done, _ in told if what == "refining modules"] == list(range(1, 18))


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["threads", "processes"])
def test_workers_of_a_dask_cluster_write_the_same_bytes(one_at_a_time, processes):
    """Over TCP with pickled tasks either way; workers of their own import everything, which takes seconds."""
    distributed = pytest.importorskip("distributed")
    root, expected, _ = one_at_a_time
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=processes, protocol="tcp", dashboard_address=":0"
    ) as cluster:
        words = ["adapters", str(root / "in"), "--output", str(root / "dask"), "--rank", "3"]
        done = CliRunner().invoke(app, [*words, "--scheduler", cluster.scheduler_address])
        assert done.exit_code == 3, done.output
    assert files(root / "dask") == expected


def test_a_scheduler_that_is_not_there_is_named(one_at_a_time, monkeypatch):
    root, _, _ = one_at_a_time
    monkeypatch.setattr("clair_stats.cli.adapters._CONNECT_SECONDS", 1)
    words = ["adapters", str(root / "in"), "--output", str(root / "none"), "--scheduler", "tcp://127.0.0.1:1"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "does not answer" in done.stderr
    assert not (root / "none").exists()


def test_results_keep_the_order_of_the_items():
    for jobs in (1, None, 3):
        assert each(np.sqrt, range(50), n_jobs=jobs) == [np.sqrt(k) for k in range(50)]


@pytest.mark.parametrize("jobs", [0, 1.5, True, "two"])
def test_a_bad_number_of_jobs_is_refused(jobs):
    from clair_stats import CLAIR

    with pytest.raises(ValueError, match=r"^n_jobs: .*give"):
        CLAIR(n_jobs=jobs).fit(np.random.default_rng(0).standard_normal((6, 4, 3)))
