"""``python -m tests.fuzz``: every fuzzer with many draws; inputs by entry point and outcome, and what failed.

Each file of fuzzers runs in a process of its own, as long as the time lasts; what is done is not done again, so that
the same command goes on.  Draws are those of the default profile, ``HYPOTHESIS_PROFILE=explore`` takes others.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# How many times the draws of a test run: the quicker a file, the more.
TIMES = {
    "test_border": 60,
    "test_verdict_json": 100,
    "test_stages": 20,
    "test_fit": 3,
    "test_command_line": 2,
    "test_program": 2,
    "test_files": 45,
}


def fuzz(name, folder, seconds, share):
    """Run one file and keep its counts; False where the time did not suffice."""
    counts = folder / f"{name}.counts"
    environment = {
        **os.environ,
        "FUZZ": str(max(1, round(share * TIMES[name]))),
        "FUZZ_COUNTS": str(counts),
        "PYTHONPATH": str(ROOT),
    }
    words = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", f"tests/fuzz/{name}.py"]
    try:
        done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    told = {"inputs": json.loads(counts.read_text()), "failed": failed, "status": done.returncode}
    (folder / f"{name}.json").write_text(json.dumps(told))
    return True


def table(folder):
    """Markdown, one entry point a line, and the failures; with their number."""
    inputs, failed = defaultdict(lambda: defaultdict(int)), []
    for path in sorted(folder.glob("*.json")):
        told = json.loads(path.read_text())
        failed += told["failed"] or ([f"{path.stem}: status {told['status']}"] if told["status"] else [])
        for entry, outcome, count in told["inputs"]:
            inputs[entry][outcome] += count
    lines = ["| entry point | inputs | refused with a remedy | answered |", "|---|---|---|---|"]
    inputs["all"] = {outcome: sum(own[outcome] for own in inputs.values()) for outcome in ("refused", "answered")}
    for entry, own in inputs.items():
        refused, answered = own["refused"], own["answered"]
        lines.append(f"| {entry} | {refused + answered:,} | {refused:,} | {answered:,} |")
    return "\n".join([*lines, "", f"failures: {len(failed)}", *failed]), len(failed)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time; go on later")
    parser.add_argument("--share", type=float, default=1.0, help="of the draws; 1 makes about 100,000 inputs")
    parser.add_argument("--folder", type=Path, default=Path("results/fuzz"))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + given.seconds
    for name in TIMES:
        if not (given.folder / f"{name}.json").exists():
            left = end - time.monotonic()
            if left < 1.0 or not fuzz(name, given.folder.resolve(), min(left, 1e6), given.share):
                break
    text, failures = table(given.folder)
    sys.stdout.write(text + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
