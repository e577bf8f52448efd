"""Every row knows what made it; rows of two versions do not mix in silence."""

import importlib
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import simulations.storage.provenance as provenance
from simulations.cli import app
from simulations.design import Study, crossed
from simulations.engine.audit import audited, chosen_rows
from simulations.engine.executor import run_study
from simulations.methods.clients_and_oracles import Clair, Local
from simulations.regimes.gaussian import GaussianRegime
from simulations.storage import sources
from simulations.storage.provenance import header_lines
from simulations.storage.shards import merge
from simulations.storage.sources import modules_behind, source_digest
from simulations.storage.store import Store, StoreError, load_rows
from tests.engine.toys import Normal, SampleMean, TrimmedMean, small

ONE = {"backend": "sequential", "n_jobs": 1}


@pytest.fixture
def other_sources(monkeypatch):
    """From now on every row would be made by other sources."""

    def change() -> None:
        monkeypatch.setattr(provenance, "source_digest", lambda *parts: "f" * 64)

    return change


def test_sources_are_what_regime_and_method_import_and_nothing_that_only_shows():
    behind = modules_behind(GaussianRegime(), Clair())
    assert {"clair_stats.clair", "clair_stats.linalg", "simulations.regimes.gaussian"} <= behind
    assert "simulations.measures.metrics" in behind
    assert not [name for name in behind if name.startswith(("reports", "theory_checks", "clair_stats.report"))]
    assert "clair_stats.clair" not in modules_behind(Normal(), SampleMean())
    assert source_digest(Normal(), SampleMean()) == source_digest(Normal(2.0), TrimmedMean())
    assert source_digest(GaussianRegime(), Clair()) == source_digest(GaussianRegime(rank=2), Local())
    assert source_digest(GaussianRegime(), Clair()) != source_digest(Normal(), SampleMean())


def test_code_counts_and_words_do_not(tmp_path, monkeypatch):
    file = tmp_path / "own_regime.py"
    text = '''
"""Words."""
from dataclasses import dataclass
from clair_stats.linalg import block_norms

@dataclass(frozen=True)
class Own:
    """More words."""
    def generate(self, streams):
        return 1  # a comment
'''
    monkeypatch.syspath_prepend(str(tmp_path))

    def digest(changed: str) -> str:
        file.write_text(changed)
        for cached in (sources._tree, sources._code_digest, sources._closure, sources._digest):
            cached.cache_clear()
        sys.modules.pop("own_regime", None)
        importlib.invalidate_caches()
        return source_digest(importlib.import_module("own_regime").Own())

    first = digest(text)
    assert digest(text.replace("Words.", "Other words.").replace("# a comment", "")) == first
    assert digest(text.replace("return 1", "return 2")) != first
    assert digest(text.replace("clair_stats.linalg import block_norms", "clair_stats.theory import leverage")) != first


def test_other_sources_do_not_add_rows_to_a_store_unless_told_to(tmp_path, other_sources):
    study, path = small(replications=5), tmp_path / "a.sqlite"
    run_study(study, path, **ONE)
    assert len(header_lines(study, path)) == 2
    other_sources()
    more = replace(study, replications=8)
    with pytest.raises(StoreError, match=r"20 rows were made by other sources.*the 12 missing ones.*--accept-mixed"):
        run_study(more, path, **ONE)
    assert len(load_rows(path, study)) == 20
    done = run_study(study, path, **ONE)
    assert (done.written, done.foreign) == (0, 20)
    mixed = run_study(more, path, accept_mixed=True, **ONE)
    assert (mixed.written, mixed.foreign) == (12, 20)
    assert [line.rsplit("; ", 1)[1] for line in header_lines(more, path)[1:]] == ["32 rows"]
    with Store(path, more) as store:
        assert [rows for _, rows in store.provenance()] == [20, 12]
        assert all(sorted(store.versions(cell).values()) == [3, 5] for cell in more.cells)


def test_a_run_that_adds_no_row_adds_no_provenance(tmp_path, monkeypatch):
    study, path = small(replications=3), tmp_path / "a.sqlite"
    run_study(study, path, **ONE)
    before = header_lines(study, path)
    monkeypatch.setattr(provenance, "environment", lambda: {**provenance_environment, "commit": "0" * 40})
    provenance_environment = {"commit": "", "dirty": False, "python": "9", "machine": "m", "packages": {}, "blas": []}
    run_study(study, path, **ONE)
    assert header_lines(study, path) == before


def test_shards_of_two_versions_do_not_merge_in_silence(tmp_path, other_sources):
    study = small(replications=6)
    run_study(study, tmp_path / "1.sqlite", shard=(1, 2), **ONE)
    other_sources()
    run_study(study, tmp_path / "2.sqlite", shard=(2, 2), **ONE)
    shards = [tmp_path / "1.sqlite", tmp_path / "2.sqlite"]
    with pytest.raises(StoreError, match=r"rows of 2 versions.*--accept-mixed"):
        merge(tmp_path / "all.sqlite", study, shards)
    assert merge(tmp_path / "all.sqlite", study, shards, accept_mixed=True) == 12
    with Store(tmp_path / "all.sqlite", study) as store:
        assert [rows for _, rows in store.provenance()] == [12, 12]
        assert store.integrity() == "ok"


def test_a_flipped_bit_is_found_by_the_checksum_of_its_row(tmp_path):
    study, path = small(replications=3), tmp_path / "a.sqlite"
    run_study(study, path, **ONE)
    connection = sqlite3.connect(path)
    (blob,) = connection.execute("SELECT metrics FROM rows WHERE replication = 1 LIMIT 1").fetchone()
    flipped = bytes([blob[0] ^ 1]) + blob[1:]
    connection.execute("UPDATE rows SET metrics = ? WHERE metrics = ?", (flipped, blob))
    connection.commit()
    connection.close()
    with Store(path, study) as store:
        assert "row 1 of cell" in store.integrity()


def test_some_rows_are_computed_again_and_a_changed_one_is_found(tmp_path):
    study, path = small(replications=30), tmp_path / "a.sqlite"
    run_study(study, path, **ONE)
    with Store(path, study) as store:
        assert len(chosen_rows(store, 0.01, 0)) == 2  # 1.2, rounded up
        assert chosen_rows(store, 0.2, 0) != chosen_rows(store, 0.2, 1)
        assert all(result.same for result in audited(store, 0.2, 3))
        with pytest.raises(ValueError, match="share is 2"):
            chosen_rows(store, 2, 0)
    connection = sqlite3.connect(path)
    # As if another code had made them: whole rows, with checksums that agree.
    connection.execute("UPDATE rows SET metrics = zeroblob(length(metrics)), checksum = NULL")
    connection.commit()
    connection.close()
    with Store(path, study) as store:
        assert not any(result.same for result in audited(store, 0.05, 3))


def test_check_computes_rows_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("simulations.commands.shared.find_study", lambda name: small(replications=10))
    run_study(small(replications=10), tmp_path / "results" / "small.sqlite", **ONE)
    done = CliRunner().invoke(app, ["check", "small", "--again", "0.5", "--seed", "4"])
    assert done.exit_code == 0, done.output
    assert "20 rows computed again (--seed 4), 0 of them differ" in done.output


def old_schema(path: Path) -> None:
    """Turn a store into one of schema 1, as earlier programs wrote it."""
    connection = sqlite3.connect(path)
    connection.executescript(
        """
        CREATE TABLE former (hash TEXT PRIMARY KEY, record TEXT NOT NULL);
        INSERT INTO former SELECT hash, record FROM provenance;
        ALTER TABLE rows DROP COLUMN checksum;
        CREATE TABLE bare (cell INTEGER NOT NULL REFERENCES cells (id), replication INTEGER NOT NULL,
            status TEXT NOT NULL CHECK (status IN ('ok', 'failed')), signature INTEGER REFERENCES signatures (id),
            metrics BLOB, error TEXT, seconds REAL NOT NULL, PRIMARY KEY (cell, replication)) WITHOUT ROWID;
        INSERT INTO bare SELECT cell, replication, status, signature, metrics, error, seconds FROM rows;
        DROP TABLE rows;
        DROP TABLE provenance;
        ALTER TABLE bare RENAME TO rows;
        ALTER TABLE former RENAME TO provenance;
        PRAGMA user_version = 1;
        """
    )
    connection.close()


def test_a_store_of_an_earlier_program_is_read_as_it_is_and_brought_up_to_date_by_a_run(tmp_path):
    study, path = small(replications=4), tmp_path / "a.sqlite"
    run_study(study, path, **ONE)
    rows, lines = load_rows(path, study), header_lines(study, path)
    old_schema(path)
    before = path.read_bytes()
    assert load_rows(path, study).equals(rows)
    assert header_lines(study, path) == lines
    assert path.read_bytes() == before
    with pytest.raises(StoreError, match="written by an earlier program"):
        merge(tmp_path / "b.sqlite", study, [path])
    with pytest.raises(StoreError, match="16 rows were made by other sources"):
        run_study(replace(study, replications=5), path, **ONE)
    assert run_study(replace(study, replications=5), path, accept_mixed=True, **ONE).written == 4
    assert load_rows(path, study).equals(rows)


def test_a_study_of_several_sources_is_no_mixture(tmp_path):
    cells = (
        *crossed(Normal(), SampleMean()),
        *crossed(GaussianRegime(n_clients=5, n_rows=4, n_columns=2, rank=1), Local()),
    )
    study = Study("several", "two sources", cells, 2, 1)
    run_study(study, tmp_path / "a.sqlite", **ONE)
    assert len(header_lines(study, tmp_path / "a.sqlite")) == 2
    assert run_study(replace(study, replications=3), tmp_path / "a.sqlite", **ONE).foreign == 0
