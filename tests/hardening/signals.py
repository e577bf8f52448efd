"""``python -m tests.hardening.signals``: how long every command takes to end after SIGINT and after SIGTERM.

Each command gets both signals while it starts, and, if it is not done by then, while it works, which it does once it
has taken more processor time than its imports: SIGINT as a terminal sends it, to the whole group, SIGTERM as ``kill``
does, to the process alone.  It must end within five seconds without a traceback and leave no
process behind.  Lines are appended to a file, and what is there is not done again.
"""

import argparse
import contextlib
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil

from simulations.studies import find_study
from tests.adapters.folders import federation
from tests.conftest import answer_ctrl_c
from tests.engine.conftest import ROOT, TOY_TOML, environment
from tests.engine.toys import PACE
from tests.hardening.resumed import appended, kept

SEED = 20_261_961
LONGEST = 5.0
# Until then the interpreter itself starts, and answers Ctrl-C with a traceback of its own.
STARTED = 0.25
# Uniform: seconds after the start, and processor seconds of the process and its workers; imports take 1 to 3 of them.
MOMENTS = {"starts": (0.1, 1.2), "works": (4.0, 7.0)}
SURELY = 25.0  # seconds after which a command is at work that hardly computes
SIGNALS = (signal.SIGINT, signal.SIGTERM)
MAIN = {
    "clair": ("-c", "import sys; sys.argv[0] = 'clair'; from clair_stats.cli import main; main()"),
    "simulations": ("-m", "simulations"),
    "theory_checks": ("-m", "theory_checks"),
    "reports": ("-m", "reports"),
    "benchmarks": ("-m", "benchmarks"),
}
# Program, command, arguments; all run in a folder of their own.  Some are there twice: what they do differs.
COMMANDS = (
    ("clair", "inspect", "big.npz"),
    ("clair", "refine", "big.npz --output refined.npz"),
    ("clair", "certify", "big.npz"),
    ("clair", "certify", "big.npz --rigorous"),
    ("clair", "adapters", "in --output {new} --rank 4 --jobs 2"),
    ("simulations", "list", ""),
    ("simulations", "names", ""),
    ("simulations", "plan", "long.toml --probe 30"),
    ("simulations", "run", "long.toml --store {new}"),
    ("simulations", "run", "long.toml --store {new} --backend dask"),
    ("simulations", "run", "long.toml --store {new} --backend sequential"),
    ("simulations", "run", "slow.toml --store {new}"),
    ("simulations", "run", "slow.toml --store {new} --backend dask"),
    ("simulations", "run", "slow.toml --store {new} --backend sequential"),
    ("simulations", "sequential", "long.toml --store {new} --until 'bias estimate=0.0001' --budget 100000"),
    ("simulations", "check", "read.toml --store read.sqlite"),
    ("simulations", "replay", "{regime} 1 --study read.toml --store read.sqlite"),
    ("simulations", "summarise", "read.toml --store read.sqlite"),
    ("simulations", "export", "read.toml {new}.csv --store read.sqlite"),
    ("simulations", "merge", "read.toml read.sqlite --store {new}"),
    ("simulations", "repair", "read.toml {new} --store read.sqlite"),
    ("simulations", "ademp", "read.toml"),
    ("simulations", "register", "no-such-study"),  # a real one would be entered
    ("simulations", "decide", "heldout_confirmation"),
    ("simulations", "registry", ""),
    ("simulations", "ablation", ""),
    ("simulations", "gains", ""),
    ("simulations", "widths", ""),
    ("simulations", "intervals", ""),
    ("simulations", "pooled", "read.toml --store read.sqlite --metric estimate"),
    ("simulations", "real", ""),
    ("simulations", "incomplete", ""),
    ("theory_checks", "list", ""),
    ("theory_checks", "explain", "stability-bound"),
    ("theory_checks", "run", "--stores claims --output verdicts.json"),
    ("theory_checks", "run", "--stores claims --output verdicts.json --backend sequential"),
    ("theory_checks", "sabotages", "--stores claims"),
    ("theory_checks", "register", "--effort none"),
    ("theory_checks", "agreement", "--stores claims"),
    ("theory_checks", "proofs", "--stores claims"),
    ("theory_checks", "region", "--stores claims"),
    ("theory_checks", "null", "--stores null"),
    ("theory_checks", "maps", "--stores claims --output maps"),
    ("reports", "build", "--results . --output report"),
    ("reports", "study", "adversaries --results . --output report"),
    ("reports", "gallery", "copying --results . --output gallery"),
    ("reports", "verify", ""),
    ("benchmarks", "fit_svd", ""),
)


def prepare(folder):
    """What the commands read."""
    rng = np.random.default_rng(SEED)
    basis = np.linalg.qr(rng.standard_normal((40, 3)))[0]
    blocks = basis @ rng.standard_normal((4_000, 3, 30)) + 0.2 * rng.standard_normal((4_000, 40, 30))
    blocks[:800] += 0.3 * rng.standard_normal((800, 40, 30))
    np.savez(folder / "big.npz", estimates=blocks)
    federation(folder / "in", n_clients=16, shapes={f"layers.{i}.q_proj": (192, 160) for i in range(48)})
    for name, replications, seconds in (("long", 4_000, 0.02), ("slow", 40, 60.0), ("read", 3_000, 0.0)):
        (folder / f"{name}.toml").write_text(TOY_TOML.format(replications=replications, seconds=seconds))
    start(folder, "simulations", "run", "read.toml --store read.sqlite").communicate()


def start(folder, program, command, words):
    return subprocess.Popen(
        [sys.executable, *MAIN[program], command, *shlex.split(words)],
        cwd=folder,
        env={**environment(), "PYTHONPATH": str(ROOT), PACE: "1", "HOME": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def taken(pid):
    """Processor seconds of a process and of its children."""
    seconds = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                seconds += sum(process.cpu_times()[:2])
    return seconds


def stopped(folder, number, moment, sent):
    """One command, one signal."""
    program, command, words = COMMANDS[number]
    after = random.Random(f"{SEED} {number} {moment} {sent.name}").uniform(*MOMENTS[moment])
    row = {"number": number, "command": f"{program} {command} {words}".strip(), "moment": moment, "signal": sent.name}
    target = tempfile.mktemp(dir=folder, suffix=".sqlite")
    regime = find_study(str(folder / "read.toml")).cells[0].regime_hash if "{regime}" in words else ""
    process = start(folder, program, command, words.format(new=target, regime=regime))
    if moment == "starts":
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=after)
    else:
        surely = time.monotonic() + SURELY
        while process.poll() is None and taken(process.pid) < after and time.monotonic() < surely:
            time.sleep(0.05)
    if process.poll() is not None:
        told = process.communicate()[1]
        return {**row, "ended": True, "status": process.returncode, "traceback": "Traceback" in told}
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    began = time.monotonic()
    if sent is signal.SIGINT:
        os.killpg(process.pid, sent)
    else:
        process.send_signal(sent)
    try:
        told = process.communicate(timeout=60)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        told = process.communicate()[1]
    seconds = time.monotonic() - began
    left = psutil.wait_procs(family, timeout=max(LONGEST - seconds, 0.1))[1]
    for other in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            other.kill()
    row |= {"ended": False, "after": after, "seconds": seconds, "status": process.returncode, "left": len(left)}
    return {**row, "traceback": "Traceback" in told, "told": told[-2000:]}


def run(path, seconds):
    """All that the file does not hold, until the time is over."""
    rows = kept(path)
    known = {(row["number"], row["moment"], row["signal"]) for row in rows}
    jobs = [(n, moment, sent) for moment in MOMENTS for n in range(len(COMMANDS)) for sent in SIGNALS]
    todo = [job for job in jobs if (job[0], job[1], job[2].name) not in known]
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        if todo:
            prepare(Path(folder))
        return rows + appended(path, todo, partial(stopped, Path(folder)), end - time.monotonic())


def wrong(row):
    """What is not as it should be, in words."""
    found = ["a traceback"] if row["traceback"] and row.get("after", 1.0) >= STARTED else []
    if not row["ended"]:
        found += [f"{row['seconds']:.1f} s"] if row["seconds"] > LONGEST else []
        found += [f"{row['left']} processes left"] if row["left"] else []
    return found


def table(rows):
    """Markdown, one program a line."""
    lines = ["| program | commands | signals | reached it | slowest end | failures |", "|---|---|---|---|---|---|"]
    for program in (*MAIN, "all"):
        own = [row for row in rows if program in (row["command"].split()[0], "all")]
        reached = [row["seconds"] for row in own if not row["ended"]]
        failures = sum(bool(wrong(row)) for row in own)
        slowest = f"{max(reached):.1f} s" if reached else "--"
        counts = (len({row["number"] for row in own}), len(own), len(reached), slowest, failures)
        lines.append(f"| {program} | " + " | ".join(map(str, counts)) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.hardening.signals", description=__doc__)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time; go on later")
    parser.add_argument("--output", type=Path, default=Path("results/signals.jsonl"))
    given = parser.parse_args()
    answer_ctrl_c()
    rows = run(given.output, given.seconds)
    told = [f"{row['command']}, {row['signal']} while it {row['moment']}: {wrong(row)}" for row in rows if wrong(row)]
    sys.stdout.write("\n".join([table(rows), *told]) + "\n")
    return 1 if told else 0


if __name__ == "__main__":
    raise SystemExit(main())
