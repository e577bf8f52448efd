"""The command line as a user meets it, in processes of its own; exports and shards."""

from __future__ import annotations

import csv
import os
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from simulations.ademp import ademp_page
from simulations.engine.executor import run_study
from simulations.engine.planning import find_regime, plan, replay
from simulations.storage.export import export
from simulations.storage.provenance import header_lines
from simulations.storage.shards import merge
from simulations.storage.store import Store, StoreError, load_rows
from simulations.toml_design import read_toml
from tests.engine.toys import small

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_the_whole_path(simulations: Run, in_process: Run, toy: Callable[..., Path], tmp_path: Path) -> None:
    design, store = toy(replications=10), tmp_path / "s.sqlite"
    options = ("--store", store)
    early = in_process("check", design, *options)
    assert early.returncode == 2
    assert "no such store" in early.stderr
    planned = in_process("plan", design, *options)
    assert planned.returncode == 0, planned.stderr
    assert "toy: 6 cells × 10 replications" in planned.stdout
    assert not store.exists()
    assert simulations("run", design, *options, "--replications", 4).returncode == 0
    halfway = in_process("check", design, *options)
    assert halfway.returncode == 3
    assert "24 ok, 0 failed, 36 missing" in halfway.stdout
    done = in_process("run", design, *options, "--backend", "sequential")
    assert done.returncode == 0, done.stderr
    assert "36 rows written" in done.stdout
    summary = in_process("summarise", design, *options, "--output", tmp_path / "summary.csv")
    assert summary.returncode == 0, summary.stderr
    assert "estimate − sample_mean" in summary.stdout
    assert len(pd.read_csv(tmp_path / "summary.csv")) == 6 + 4
    regime = planned.stdout.splitlines()[0].split("regime ")[1]
    replayed = in_process("replay", regime, 3, "--study", design, *options)
    assert replayed.returncode == 0, replayed.stderr
    assert replayed.stdout.count("as stored") == 3
    written = in_process("export", design, tmp_path / "rows.csv", *options)
    assert "60 rows" in written.stdout


def test_one_line_errors(in_process: Run, toy: Callable[..., Path], tmp_path: Path) -> None:
    design = toy()
    for arguments, word in (
        (("run", "no_such_study"), "unknown study 'no_such_study'"),
        (("run", design, "--method", "sample_man", "--store", tmp_path / "a.sqlite"), "did you mean 'sample_mean'?"),
        (("run", design, "--store", "/proc/nowhere/a.sqlite"), "give a writable path with --store"),
        (("run", design, "--backend", "lokki", "--store", tmp_path / "a.sqlite"), "backend 'lokki'"),
        (("run", design, "--shard", "9", "--store", tmp_path / "a.sqlite"), "--shard '9'"),
        (("replay", "00", "1", "--study", design), "no regime whose hash starts with '00'"),
    ):
        done = in_process(*arguments)
        assert done.returncode == 2, arguments
        assert word in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert done.stdout == ""
    assert not (tmp_path / "a.sqlite").exists()


def test_sequential_command(in_process: Run, toy: Callable[..., Path], tmp_path: Path) -> None:
    options = ("sequential", toy(), "--budget", 90, "--first", 40, "--store", tmp_path / "s.sqlite", "--jobs", 1)
    done = in_process(*options, "--until", "bias estimate=0.09")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Looks at 40, 60, 90 replications per cell")
    assert done.stdout.count("repeated interval") == 6
    assert "toy: precise enough at" in done.stdout
    missed = in_process(*options, "--until", "bias estimate=0.0001")
    assert missed.returncode == 3
    assert missed.stdout.count("target not reached") == 6
    wrong = in_process(*options, "--until", "bias estimat=0.1")
    assert wrong.returncode == 2
    assert "did you mean 'bias estimate'?" in wrong.stderr


def test_csv_and_parquet_hold_the_rows_exactly(tmp_path: Path) -> None:
    study = small(replications=30)
    run_study(study, tmp_path / "a.sqlite", backend="sequential")
    rows = load_rows(tmp_path / "a.sqlite", study)
    assert export(tmp_path / "a.sqlite", study, tmp_path / "a.csv") == 120
    assert export(tmp_path / "a.sqlite", study, tmp_path / "a.parquet") == 120
    parquet = pd.read_parquet(tmp_path / "a.parquet")
    assert list(parquet.columns) == list(rows.columns)
    for name in ("estimate", "coin", "se"):
        assert parquet[name].to_numpy().tobytes() == rows[name].to_numpy().tobytes()
    with (tmp_path / "a.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [float(line["estimate"]) for line in lines] == rows["estimate"].tolist()
    assert [line["coin"] for line in lines if line["method"] == "sample_mean"] == [""] * 60
    first = (tmp_path / "a.parquet").read_bytes()
    export(tmp_path / "a.sqlite", study, tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == first
    assert "seconds" in pd.read_csv(_exported(tmp_path, study, seconds=True)).columns
    with pytest.raises(ValueError, match=r"ending in \.csv or \.parquet"):
        export(tmp_path / "a.sqlite", study, tmp_path / "a.xls")
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def _exported(folder: Path, study, *, seconds: bool) -> Path:  # type: ignore[no-untyped-def]
    export(folder / "a.sqlite", study, folder / "timed.csv", seconds=seconds)
    return folder / "timed.csv"


def test_shards_merge_to_the_same_bytes(tmp_path: Path, digest: Callable[..., str]) -> None:
    study = small(replications=31)
    run_study(study, tmp_path / "whole.sqlite", backend="sequential")
    paths = [tmp_path / f"part{i}.sqlite" for i in (1, 2, 3)]
    for i, path in enumerate(paths, start=1):
        report = run_study(study, path, backend="sequential", shard=(i, 3))
        assert (report.missing, report.expected) == (0, 4 * len(range(i - 1, 31, 3)))
    assert merge(tmp_path / "merged.sqlite", study, paths[:2]) == 4 * 21
    assert merge(tmp_path / "merged.sqlite", study, paths) == 4 * 10
    assert merge(tmp_path / "merged.sqlite", study, paths) == 0
    assert digest(tmp_path / "merged.sqlite", study) == digest(tmp_path / "whole.sqlite", study)


def test_contradicting_and_foreign_shards_are_refused_whole(tmp_path: Path) -> None:
    study = small(replications=5)
    run_study(study, tmp_path / "a.sqlite", backend="sequential", replications=2)
    run_study(study, tmp_path / "b.sqlite", backend="sequential")
    connection = sqlite3.connect(tmp_path / "b.sqlite")
    # As if other code had made it: a whole row without a checksum; a damaged one is refused before it is compared.
    connection.execute(
        "UPDATE rows SET metrics = zeroblob(length(metrics)), checksum = NULL WHERE cell = 1 AND replication = 1"
    )
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match=r"replication 1 of cell .* differs"):
        merge(tmp_path / "a.sqlite", study, [tmp_path / "b.sqlite"])
    with Store(tmp_path / "a.sqlite", study) as store:
        assert sum(s.ok for s in store.status()) == 8  # nothing of the shard was taken
    run_study(small(root_seed=1), tmp_path / "c.sqlite", backend="sequential")
    with pytest.raises(StoreError, match="root_seed 1, not 7"):
        merge(tmp_path / "a.sqlite", study, [tmp_path / "c.sqlite"])
    with pytest.raises(ValueError, match="also a shard"):
        merge(tmp_path / "a.sqlite", study, [tmp_path / "a.sqlite"])


def test_plan_and_replay_in_process(toy: Callable[..., Path], tmp_path: Path) -> None:
    study = read_toml(toy(replications=5, seconds=0.02))
    lines = list(plan(study, tmp_path / "none.sqlite"))
    assert [line.source for line in lines] == ["probe"] * 6
    assert all(0.02 <= line.seconds_each < 1.0 for line in lines if line.cell.method.name == "trimmed_mean")
    assert [line.source for line in plan(study, tmp_path / "none.sqlite", probe_seconds=0.0)] == ["unknown"] * 6
    run_study(study, tmp_path / "a.sqlite", backend="sequential")
    assert [(line.source, line.to_run) for line in plan(study, tmp_path / "a.sqlite")] == [("store", 0)] * 6
    _, cells = find_regime({"toy": study}, study.cells[0].regime_hash[:8])
    assert [r.same for r in replay(study, cells, 4, tmp_path / "a.sqlite")] == [True] * 3
    connection = sqlite3.connect(tmp_path / "a.sqlite")
    connection.execute(
        "UPDATE rows SET metrics = zeroblob(length(metrics)), checksum = NULL WHERE cell = 2 AND replication = 4"
    )
    connection.commit()
    connection.close()
    assert [r.same for r in replay(study, cells, 4, tmp_path / "a.sqlite")] == [True, False, True]
    assert [r.same for r in replay(study, cells, 4)] == [None] * 3
    with pytest.raises(ValueError, match="not unique"):
        find_regime({"toy": study}, "")


def test_header_lines_hold_no_time_and_survive_a_resume(tmp_path: Path) -> None:
    study = small(replications=6)
    run_study(study, tmp_path / "a.sqlite", backend="sequential", replications=2)
    run_study(study, tmp_path / "a.sqlite", n_jobs=2)
    run_study(study, tmp_path / "b.sqlite", backend="sequential")
    lines = header_lines(study, tmp_path / "a.sqlite")
    assert lines == header_lines(study, tmp_path / "b.sqlite")
    assert len(lines) == 2
    assert "root seed 7" in lines[0]
    assert study.config_hash[:16] in lines[0]
    assert "numpy" in lines[1]
    assert os.sep + "work" not in "".join(lines)


def test_ademp_page_says_what_is_run(toy: Callable[..., Path]) -> None:
    page = ademp_page(read_toml(toy(replications=400)))
    for words in (
        "## Aims",
        "To see the engine work.",
        "**normal.** A sample of n normal numbers.",
        "Fixed: n = 6.",
        "Varied: trim = ",
        "3 methods, every one on every regime",
        "bias estimate",
        "6 cells × 400 replications",
        "1.1 percentage points",  # √(0.95·0.05/400)
    ):
        assert words in page
