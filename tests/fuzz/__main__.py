"""``python -m tests.fuzz``: every fuzzer with many draws; inputs by entry point and outcome, and what failed.

The draws come in rounds.  Each file of fuzzers runs once a round, in a process of its own whose draws hang on the seed
and on the round alone; what is done is not done again, so that the same command goes on where it was stopped.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SEED = 20_261_931
# How many times the draws of a test run in one round, which makes about 10,000 inputs.
TIMES = {
    "test_border": 6,
    "test_verdict_json": 6,
    "test_stages": 3,
    "test_fit": 3,
    "test_command_line": 2,
    "test_program": 2,
    "test_files": 4,
}
# A file that takes longer hangs: processor seconds of one input have a bound of their own.
LONGEST, SLOWEST = 1_200.0, 20.0


def scratch():
    """A folder in memory where there is one: the fuzzers write and rename thousands of small files."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)


def fuzz(name, number, given, seconds):
    """Run one file in one round and keep its counts; False where the time did not suffice."""
    target = given.folder / f"{name}-{given.seed}-{number}.json"
    words = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", f"tests/fuzz/{name}.py"]
    with scratch() as folder:
        counts = Path(folder) / "counts.json"
        environment = {
            **os.environ,
            "FUZZ": str(max(1, round(given.share * TIMES[name]))),
            "FUZZ_COUNTS": str(counts),
            "HYPOTHESIS_PROFILE": "explore",
            "PYTHONPATH": str(ROOT),
        }
        words += [f"--hypothesis-seed={given.seed + number}", f"--basetemp={folder}/tmp"]
        try:
            done = subprocess.run(
                words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=min(seconds, LONGEST)
            )
        except subprocess.TimeoutExpired:
            if seconds > LONGEST:
                target.write_text(json.dumps({"inputs": [], "slowest": 0.0, "failed": [f"{name} hangs"], "status": 1}))
            return seconds > LONGEST
        told = json.loads(counts.read_text())
    told["failed"] = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    told["status"] = done.returncode
    if done.returncode:
        target.with_suffix(".txt").write_text(done.stdout + done.stderr)
    target.write_text(json.dumps(told))
    return True


def table(folder):
    """Markdown, one entry point a line, and the failures; with their number."""
    inputs, failed, slowest = defaultdict(lambda: defaultdict(int)), [], 0.0
    for path in sorted(folder.glob("test_*.json")):
        told = json.loads(path.read_text())
        failed += told["failed"] or ([f"{path.stem}: status {told['status']}"] if told["status"] else [])
        failed += [f"{path.stem}: an input took {told['slowest']:.0f} s"] if told["slowest"] > SLOWEST else []
        slowest = max(slowest, told["slowest"])
        for entry, outcome, count in told["inputs"]:
            inputs[entry][outcome] += count
    lines = ["| entry point | inputs | refused with a remedy | answered |", "|---|---|---|---|"]
    inputs["all"] = {outcome: sum(own[outcome] for own in inputs.values()) for outcome in ("refused", "answered")}
    for entry, own in inputs.items():
        refused, answered = own["refused"], own["answered"]
        lines.append(f"| {entry} | {refused + answered:,} | {refused:,} | {answered:,} |")
    told = [f"slowest input: {slowest:.1f} s of processor time", f"failures: {len(failed)}"]
    return "\n".join([*lines, "", *told, *failed]), len(failed)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time; go on later")
    parser.add_argument("--share", type=float, default=1.0, help="of the draws of a round; 1 makes about 10,000 inputs")
    parser.add_argument("--rounds", type=int, default=11, help="11 rounds make more than 100,000 inputs")
    parser.add_argument("--seed", type=int, default=SEED, help="of the first round; one more for each further")
    parser.add_argument("--folder", type=Path, default=Path("results/fuzz"))
    given = parser.parse_args()
    given.folder = given.folder.resolve()
    given.folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + given.seconds
    for number, name in ((number, name) for number in range(given.rounds) for name in TIMES):
        if not (given.folder / f"{name}-{given.seed}-{number}.json").exists():
            left = end - time.monotonic()
            if left < 1.0 or not fuzz(name, number, given, left):
                break
    text, failures = table(given.folder)
    sys.stdout.write(text + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
