"""``python -m tests.hardening.kills``: runs killed with −9 and started again; what came out.

Three kinds: a study on loky, the same on a dask cluster, and ``clair adapters``.  Every second kill waits for the first
row, or the first file, and falls into the writing; the others come at any moment.  Nothing that was committed may be
lost, and what the second start leaves must have the bytes of a run that nobody disturbed.  Lines are appended to a
file, and what is there is not done again.
"""

import argparse
import contextlib
import hashlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import psutil
from distributed import LocalCluster

from simulations.engine.executor import run_study
from simulations.storage.export import export
from simulations.storage.store import Store
from simulations.toml_design import read_toml
from tests.adapters.folders import federation
from tests.adapters.test_jobs import files
from tests.engine.conftest import ROOT, TOY_TOML, environment
from tests.engine.test_kills import count
from tests.engine.toys import PACE
from tests.hardening.resumed import appended, kept

SEED = 20_261_951
KINDS = {"loky": 20, "dask": 15, "adapters": 15}
ADAPTERS = "from clair_stats.cli import main; main()"
SHAPES = {f"layers.{i}.q_proj": (96, 64) for i in range(12)}


class Bench:
    """A folder with a design, adapters, a dask cluster, and what undisturbed runs leave."""

    def __init__(self, root, scheduler):
        self.root, self.scheduler = root, scheduler
        self.design = root / "toy.toml"
        self.design.write_text(TOY_TOML.format(replications=150, seconds=0.01))
        self.study = read_toml(self.design)
        federation(root / "in", n_clients=12, shapes=SHAPES)
        run_study(self.study, root / "whole.sqlite", backend="sequential")
        self.expected = {"sqlite": self.digest(root / "whole.sqlite")}
        self.seconds, self.writes = {}, {}  # how long a run takes, and how long it writes
        for kind in KINDS:
            began, target = time.monotonic(), root / f"first-{kind}"
            process = self.start(kind, target)
            self.wait_for_writing(kind, target, process)
            wrote = time.monotonic()
            process.communicate()
            self.seconds[kind], self.writes[kind] = time.monotonic() - began, time.monotonic() - wrote
        self.expected["adapters"] = files(root / "first-adapters")

    def start(self, kind, target, pace="1"):
        """The command of a kind; its output goes to ``target``."""
        if kind == "adapters":
            words = ["-c", ADAPTERS, "adapters", self.root / "in", "--output", target, "--rank", "4", "--jobs", "2"]
        else:
            words = ["-m", "simulations", "run", self.design, "--store", target, "--jobs", "2"]
            words += ["--backend", "dask", "--scheduler", self.scheduler] if kind == "dask" else []
        return subprocess.Popen(
            [sys.executable, *map(str, words)],
            cwd=ROOT,
            env={**environment(), "PYTHONPATH": str(ROOT), PACE: pace},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def writing(self, kind, target):
        """Whether a row is committed; whether a first file of adapters is there and the folder not yet in its place."""
        if kind == "adapters":
            return not target.exists() and any(self.root.glob(f".{target.name}-*/**/*"))
        return count(target) > 0

    def wait_for_writing(self, kind, target, process):
        while process.poll() is None and not self.writing(kind, target):
            time.sleep(0.005)

    def digest(self, store):
        export(store, self.study, self.root / "rows.csv")
        return hashlib.sha256((self.root / "rows.csv").read_bytes()).hexdigest()

    def wrong(self, kind, target):
        """What is not as an undisturbed run leaves it."""
        if kind == "adapters":
            return [] if files(target) == self.expected["adapters"] else ["other bytes"]
        with Store(target, self.study) as store:
            found = [] if store.integrity() == "ok" else ["integrity"]
        return found + ([] if self.digest(target) == self.expected["sqlite"] else ["other bytes"])

    def kept(self, kind, target):
        """Rows that are committed, or whether the output is there."""
        return int(target.exists()) if kind == "adapters" else count(target)


def killed(bench, kind, number):
    """One run: started, killed, started again."""
    share = random.Random(f"{SEED} {kind} {number}").uniform(0.0, 1.1)
    target = bench.root / f"{kind}-{number}{'' if kind == 'adapters' else '.sqlite'}"
    process, failures = bench.start(kind, target), []
    began = time.monotonic()
    if number % 2:
        bench.wait_for_writing(kind, target, process)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=share * (bench.writes if number % 2 else bench.seconds)[kind])
    moment, writing = time.monotonic() - began, bench.writing(kind, target)
    ended = process.poll() is not None
    children = [] if ended else psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    if psutil.wait_procs(children, timeout=60)[1]:
        failures.append("a process is left behind")
    before = bench.kept(kind, target)
    if kind == "adapters" and target.exists():
        failures += bench.wrong(kind, target)  # it is whole, or not there
    else:
        again = bench.start(kind, target, pace="0")
        told = again.communicate(timeout=300)[1]
        if again.returncode not in (0, 3):
            failures.append(f"status {again.returncode}: {told.decode()[-300:]}")
        if bench.kept(kind, target) < before:
            failures.append("rows are lost")
        failures += bench.wrong(kind, target)
    shutil.rmtree(target, ignore_errors=True)
    told = {"moment": moment, "writing": writing and not ended, "ended": ended, "kept": before, "failures": failures}
    return {"kind": kind, "number": number, **told}


def run(path, seconds):
    """All runs that the file does not hold, until the time is over."""
    rows = kept(path)
    known = {(row["kind"], row["number"]) for row in rows}
    jobs = [(kind, number) for number in range(max(KINDS.values())) for kind, most in KINDS.items() if number < most]
    todo = [job for job in jobs if job not in known]
    if not todo:
        return rows
    end = time.monotonic() + seconds
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50)
    with tempfile.TemporaryDirectory() as folder, cluster:
        one = partial(killed, Bench(Path(folder), cluster.scheduler_address))
        return rows + appended(path, todo, one, end - time.monotonic())


def table(rows):
    """Markdown, one kind a line."""
    lines = ["| kind | killed | before the writing | in the writing | after the end | failures |"]
    lines.append("|---" * 6 + "|")
    for kind in (*KINDS, "all"):
        own = [row for row in rows if kind in (row["kind"], "all")]
        writing, late = sum(row["writing"] for row in own), sum(row["ended"] for row in own)
        failures = sum(bool(row["failures"]) for row in own)
        counts = (len(own), len(own) - writing - late, writing, late, failures)
        lines.append(f"| {kind} | " + " | ".join(map(str, counts)) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.hardening.kills", description=__doc__)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time; go on later")
    parser.add_argument("--output", type=Path, default=Path("results/kills.jsonl"))
    given = parser.parse_args()
    rows = run(given.output, given.seconds)
    told = [f"{row['kind']} {row['number']}: {row['failures']}" for row in rows if row.get("failures")]
    sys.stdout.write("\n".join([table(rows), *told]) + "\n")
    return 1 if told else 0


if __name__ == "__main__":
    raise SystemExit(main())
