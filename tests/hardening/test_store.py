"""A damaged store says which row is damaged, exports no wrong number, and gives its whole rows back."""

import contextlib
import sqlite3
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from simulations.cli import app
from simulations.engine.executor import run_study
from simulations.storage.repair import repair
from simulations.storage.store import Store, StoreError, load_rows
from tests.engine.toys import small

N = 60
FLIPS = 25


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A store of four cells and a failed row, its bytes, and its rows.

    The rows are those of a run, written again with times that do not depend on the machine, so that a flipped bit
    of these bytes is the same one in every run of the tests.
    """
    folder = tmp_path_factory.mktemp("store")
    study = small(replications=N)
    run_study(study, folder / "run.sqlite", backend="sequential", n_jobs=1)
    path = folder / "s.sqlite"
    with Store(folder / "run.sqlite", study) as run, Store(path, study, mode="append") as store:
        rows = [run.row(cell, i) for cell in study.cells for i in range(N)]
        written = [replace(row, seconds=2.0**-12 * (1 + i)) for i, row in enumerate(rows)]
        written[7] = replace(written[7], metrics=None, error="Traceback: ValueError")
        store.append(written)
    return study, path.read_bytes(), load_rows(path, study, seconds=True)


def same_or_refused(study, path, rows):
    """True where every row reads back as written, False where damage is found; another number fails."""
    try:
        found = load_rows(path, study, seconds=True)
    except StoreError:
        return False
    # A row whose key is damaged is missing, and would be computed again; no row holds another number.
    keys = ["cell", "replication"]
    if len(found):  # without a row no metric has a column
        expected = rows.set_index(keys).loc[pd.MultiIndex.from_frame(found[keys])].reset_index()
        for table in (found, expected):
            table["error"] = table["error"].fillna("")  # None or NaN, by how many rows there are
        pd.testing.assert_frame_equal(found, expected[list(found)], check_dtype=False)
    return len(found) == len(rows)


def test_every_flipped_byte_of_a_row_is_found(whole, tmp_path):
    """Bits flipped inside the packed numbers themselves, where SQLite sees nothing."""
    study, data, rows = whole
    rng = np.random.default_rng(25)
    for i in range(FLIPS):
        row = rows.iloc[int(rng.integers(len(rows)))]
        connection_path = tmp_path / f"{i}.sqlite"
        connection_path.write_bytes(data)
        connection = sqlite3.connect(connection_path)
        blob, cell = connection.execute(
            "SELECT metrics, cell FROM rows WHERE replication = ? AND status = 'ok' LIMIT 1", (int(row["replication"]),)
        ).fetchone()
        place, bit = int(rng.integers(len(blob))), 1 << int(rng.integers(8))
        flipped = bytearray(blob)
        flipped[place] ^= bit
        connection.execute(
            "UPDATE rows SET metrics = ? WHERE replication = ? AND cell = ?",
            (bytes(flipped), int(row["replication"]), cell),
        )
        connection.commit()
        connection.close()
        with pytest.raises(StoreError, match=rf"replication {row['replication']} of cell .* checksum; .*repair"):
            load_rows(connection_path, study)


@pytest.mark.parametrize("count", [50, pytest.param(1_000, marks=pytest.mark.slow)])
def test_no_byte_of_the_file_changes_a_number_in_silence(whole, tmp_path, count):
    study, data, rows = whole
    rng = np.random.default_rng(150)
    path = tmp_path / "s.sqlite"
    found = 0
    for _ in range(count):
        damaged = bytearray(data)
        damaged[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        found += not same_or_refused(study, path, rows)
    assert found > count / 8  # the rest hit free space, or what no export reads


def test_a_flipped_type_is_found(whole, tmp_path):
    """SQLite keeps a type beside each value: one bit turns an empty error into 0, and text into bytes."""
    study, data, _ = whole
    for change in ("error = 0", "error = X'00'", "error = CAST(error AS BLOB)", "status = CAST(status AS BLOB)"):
        for status in ("ok", "failed"):
            if (change, status) == ("error = CAST(error AS BLOB)", "ok"):
                continue  # NULL stays NULL
            path = tmp_path / "s.sqlite"
            path.write_bytes(data)
            connection = sqlite3.connect(path)
            connection.execute("PRAGMA ignore_check_constraints = ON")
            changed = connection.execute(f"UPDATE rows SET {change} WHERE replication = 7 AND status = '{status}'")
            assert changed.rowcount > 0
            connection.commit()
            connection.close()
            with pytest.raises(StoreError, match=r"replication 7 of cell .* checksum"):
                load_rows(path, study)


@pytest.mark.parametrize("kind", ["cut", "zeroed page"])
def test_lost_pages_are_store_errors(whole, tmp_path, kind):
    study, data, rows = whole
    rng = np.random.default_rng(60)
    path = tmp_path / "s.sqlite"
    found = 0
    for _ in range(25):
        place = int(rng.integers(len(data) // 4096)) * 4096
        path.write_bytes(data[:place] if kind == "cut" else data[:place] + bytes(4096) + data[place + 4096 :])
        found += not same_or_refused(study, path, rows)
        with contextlib.suppress(StoreError), Store(path, study) as store:
            store.integrity()  # says what is damaged, or that it cannot read: never another exception
    assert found > 15  # the rest hit the pages of tables that an export does not read


def test_names_and_times_are_under_the_checksum(whole, tmp_path):
    study, data, _ = whole
    for change in (
        "UPDATE signatures SET names = replace(names, 'e', 'f')",
        "UPDATE rows SET seconds = seconds + 1 WHERE replication = 7",
        "UPDATE rows SET status = 'failed' WHERE replication = 7",
        "UPDATE rows SET metrics = substr(metrics, 1, 4) WHERE replication = 7",
    ):
        path = tmp_path / "s.sqlite"
        path.write_bytes(data)
        connection = sqlite3.connect(path)
        connection.execute(change)
        connection.commit()
        connection.close()
        with Store(path, study) as store:
            assert store.integrity() != "ok", change
        with pytest.raises(StoreError, match=r"damaged|checksum"):
            load_rows(path, study)


def test_repair_saves_every_whole_row(whole, tmp_path, monkeypatch):
    study, data, rows = whole
    path, target = tmp_path / "s.sqlite", tmp_path / "new.sqlite"
    path.write_bytes(data)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE rows SET metrics = zeroblob(length(metrics)) WHERE replication IN (3, 40)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    done = repair(path, study, target)
    assert path.read_bytes() == before
    cells = len(study.cells)
    assert done.saved == cells * (N - 2)
    assert sorted(done.lost) == sorted((cell.hash, k) for cell in study.cells for k in (3, 40))
    saved = load_rows(target, study, seconds=True)
    kept = rows[~rows["replication"].isin([3, 40])].reset_index(drop=True)
    pd.testing.assert_frame_equal(saved, kept)
    with Store(target, study) as store, Store(path, study) as source:
        assert store.integrity() == "ok"
        assert [text for text, _ in store.provenance()] == [text for text, _ in source.provenance()]
    with pytest.raises(StoreError, match="exists already"):
        repair(path, study, target)
    monkeypatch.setattr("simulations.commands.shared.find_study", lambda name: study)
    shown = CliRunner().invoke(app, ["repair", "small", str(tmp_path / "third.sqlite"), "--store", str(path)])
    assert shown.exit_code == 3, shown.output
    assert f"{cells * (N - 2)} rows saved" in shown.output


def test_rows_of_an_earlier_program_are_still_whole(whole, tmp_path):
    """Checksums of cell, number and content alone, as they were."""
    from simulations.storage.rows import checksum

    study, data, rows = whole
    path = tmp_path / "s.sqlite"
    path.write_bytes(data)
    connection = sqlite3.connect(path)
    for cell, key, number, blob in connection.execute(
        "SELECT cell, hash, replication, metrics FROM rows JOIN cells ON cells.id = rows.cell WHERE status = 'ok'"
    ).fetchall():
        crc = checksum(key, number, blob)
        connection.execute("UPDATE rows SET checksum = ? WHERE cell = ? AND replication = ?", (crc, cell, number))
    connection.commit()
    connection.close()
    pd.testing.assert_frame_equal(load_rows(path, study, seconds=True), rows)
