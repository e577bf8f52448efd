from __future__ import annotations

import math
import os
import resource
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simulations.storage.database import SCHEMA_VERSION
from simulations.storage.rows import Row
from simulations.storage.store import Store, StoreError, load_rows
from tests.engine.conftest import ROOT, environment
from tests.engine.toys import small

ODD = {"a": 0.1 + 0.2, "b": math.nan, "c": -0.0, "d": 5e-324, "e": math.inf}


def rows(study, cell=0, first=0, count=3, value=1.0):
    return [Row(study.cells[cell].hash, first + i, {"x": value + i}, None, 0.1) for i in range(count)]


def test_values_come_back_bit_for_bit(tmp_path: Path) -> None:
    study = small()
    with Store(tmp_path / "s.sqlite", study, mode="append") as store:
        store.append([Row(study.cells[0].hash, 3, ODD, None, 0.5), Row(study.cells[0].hash, 4, None, "boom", 0.5)])
        back = store.row(study.cells[0], 3)
        assert back is not None
        assert back.metrics is not None
        assert np.array(list(back.metrics.values())).tobytes() == np.array(list(ODD.values())).tobytes()
        assert list(back.metrics) == list(ODD)
        assert store.row(study.cells[0], 4) == Row(study.cells[0].hash, 4, None, "boom", 0.5)
        assert store.row(study.cells[0], 5) is None
    table = load_rows(tmp_path / "s.sqlite", study)
    assert table["status"].tolist() == ["ok", "failed"]
    assert table["replication"].tolist() == [3, 4]
    assert table["d"].tolist()[0] == 5e-324
    assert math.isnan(table["b"][0])
    assert table["error"].tolist()[1] == "boom"
    assert "seconds" not in table


def test_missing_and_status_count_exactly(tmp_path: Path) -> None:
    study = small(replications=5)
    with Store(tmp_path / "s.sqlite", study, mode="append") as store:
        store.append([*rows(study, 1, first=1, count=2), Row(study.cells[1].hash, 4, None, "no", 0.0)])
        assert store.missing()[study.cells[1].hash].tolist() == [0, 3]
        assert store.missing(retry_failed=True)[study.cells[1].hash].tolist() == [0, 3, 4]
        assert store.missing()[study.cells[0].hash].tolist() == [0, 1, 2, 3, 4]
        assert [(s.ok, s.failed, s.missing) for s in store.status()] == [(0, 0, 5), (2, 1, 2), (0, 0, 5), (0, 0, 5)]
    fewer = replace(study, replications=2)  # rows beyond the asked replications do not count
    with Store(tmp_path / "s.sqlite", fewer) as store:
        assert [(s.ok, s.failed, s.missing) for s in store.status()][1] == (1, 0, 1)


def test_a_good_row_is_never_replaced_and_a_failed_one_is(tmp_path: Path) -> None:
    study = small()
    cell = study.cells[0]
    with Store(tmp_path / "s.sqlite", study, mode="append") as store:
        store.append([Row(cell.hash, 0, {"x": 1.0}, None, 0.1), Row(cell.hash, 1, None, "first", 0.1)])
        store.append([Row(cell.hash, 0, {"x": 2.0}, None, 0.1), Row(cell.hash, 1, {"x": 3.0}, None, 0.1)])
        assert store.row(cell, 0) == Row(cell.hash, 0, {"x": 1.0}, None, 0.1)
        assert store.row(cell, 1) == Row(cell.hash, 1, {"x": 3.0}, None, 0.1)


def test_a_transaction_is_whole_or_nothing(tmp_path: Path) -> None:
    study = small()
    with Store(tmp_path / "s.sqlite", study, mode="append") as store:
        with pytest.raises(KeyError):
            store.append([*rows(study), Row("unknown cell", 0, {"new": 1.0}, None, 0.1)])
        assert store.row(study.cells[0], 0) is None
        store.append([Row(study.cells[0].hash, 0, {"new": 1.0}, None, 0.1)])  # its signature was rolled back as well
        assert [chunk.names for chunk in store.chunks(study.cells[0])] == [("new",)]


def test_chunks_split_where_metrics_change(tmp_path: Path) -> None:
    study = small()
    with Store(tmp_path / "s.sqlite", study, mode="append") as store:
        written = [Row(study.cells[0].hash, i, {"y" if i in (2, 3) else "x": float(i)}, None, 0.1) for i in range(6)]
        store.append(written)
        for size in (1, 2, 4, 100):
            chunks = list(store.chunks(study.cells[0], size=size))
            assert [(n, v) for c in chunks for n, v in zip(c.replications, c.values[:, 0], strict=True)] == [
                (i, float(i)) for i in range(6)
            ]
            assert [c.names for c in chunks for _ in c.replications] == [("x",)] * 2 + [("y",)] * 2 + [("x",)] * 2


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    Store(path, small(), mode="append").close()
    for other, word in ((small(name="other"), "study small, not other"), (small(root_seed=8), "root_seed 7, not 8")):
        for mode in ("read", "append"):
            with pytest.raises(StoreError, match=word):
                Store(path, other, mode=mode)
    Store(path, replace(small(), replications=99, cells=small().cells[:1])).close()


def test_another_schema_a_foreign_file_and_damage_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with pytest.raises(StoreError, match="no such store"):
        Store(path, small())
    assert not path.exists()
    Store(path, small(), mode="append").close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(StoreError, match=f"store schema {SCHEMA_VERSION + 1}, this program reads schema"):
        Store(path, small(), mode="append")
    foreign = tmp_path / "foreign.sqlite"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    with pytest.raises(StoreError, match="not a store of this program"):
        Store(foreign, small(), mode="append")
    text = tmp_path / "text.sqlite"
    text.write_text("no database " * 1000)
    before = text.read_bytes()
    with pytest.raises(StoreError, match="not a database"):
        Store(text, small(), mode="append")
    assert text.read_bytes() == before


def test_a_second_writer_is_refused_while_readers_are_welcome(tmp_path: Path) -> None:
    path, study = tmp_path / "s.sqlite", small()
    with Store(path, study, mode="append") as store:
        store.append(rows(study))
        with pytest.raises(StoreError, match="another run is writing"):
            Store(path, study, mode="append")
        with Store(path, study) as reader:
            assert reader.status()[0].ok == 3
    Store(path, study, mode="append").close()


def test_read_only_folder(tmp_path: Path) -> None:
    """A real user without write permission: nobody, when the tests run as root."""
    path, study = tmp_path / "folder" / "s.sqlite", small()
    with Store(path, study, mode="append") as store:
        store.append(rows(study))
    (tmp_path / "folder" / "s.sqlite.lock").unlink()
    path.chmod(0o444)
    path.parent.chmod(0o555)
    for parent in (tmp_path, *tmp_path.parents):
        if "pytest-" in str(parent):  # pytest's own folders are private; how many there are depends on its workers
            parent.chmod(0o755)
    code = (
        "import os, sys\n"
        "from simulations.storage.store import Store, StoreError\n"
        "from tests.engine.toys import small\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "with Store(sys.argv[1], small()) as store: print(store.status()[0].ok)\n"
        "for target in sys.argv[1:]:\n"
        "    try: Store(target, small(), mode='append')\n"
        "    except StoreError as error: print(error)\n"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(path), str(path.parent / "new.sqlite")],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        path.parent.chmod(0o755)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == "3"  # reading needs no permission to write
    assert len(lines) == 3
    assert all("give a writable path with --store" in line for line in lines[1:])


def test_full_disk_keeps_what_was_committed(tmp_path: Path) -> None:
    """The system refuses to let the file grow; the transaction at hand is lost, the committed rows are not."""
    path, study = tmp_path / "s.sqlite", small(replications=10_000)

    def limit() -> None:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    code = (
        "import sys\n"
        "from simulations.storage.store import Store, StoreError\n"
        "from tests.engine.test_store import rows\n"
        "from tests.engine.toys import small\n"
        "study = small(replications=10_000)\n"
        "with Store(sys.argv[1], study, mode='append') as store:\n"
        "    try:\n"
        "        for batch in range(100):\n"
        "            store.append(rows(study, first=100 * batch, count=100))\n"
        "            print(batch, flush=True)\n"
        "    except StoreError as error:\n"
        "        print('refused:', error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        preexec_fn=limit,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    assert "free some space" in lines[-1], done.stdout + done.stderr
    committed = int(lines[-2]) + 1
    assert 1 <= committed < 100
    with Store(path, study, mode="append") as store:
        assert store.integrity() == "ok"
        assert store.status()[0].ok == 100 * committed
        store.append(rows(study, first=9_000))
        assert store.status()[0].ok == 100 * committed + 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_disk_full_as_sqlite_says_it(tmp_path: Path) -> None:
    study = small(replications=100_000)
    with Store(tmp_path / "s.sqlite", study, mode="append") as store:
        store.append(rows(study))
        store.connection.execute("PRAGMA max_page_count = 20")
        with pytest.raises(StoreError, match=r"full; free some space"):
            store.append(rows(study, first=10, count=50_000))
        assert store.status()[0].ok == 3
