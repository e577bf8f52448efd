"""``python -m tests.hardening.before OUTPUT.csv``: the study ``adversaries`` with CLAIR as it was first attacked.

Instances are those of the study, drawn by the code at hand from the same streams; the package ``clair_stats`` of the
commit that was attacked is taken out of the repository and fits them in a process that sees no other.  It knew one
block only: several modules are judged one by one, each at a quarter of the level, and a client is flagged that any of
them flags.  The table has the columns that ``python -m tests.hardening.curves`` reads.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from simulations.design import content_hash
from simulations.measures.metrics import detection_metrics, estimation_metrics
from simulations.streams import Streams
from simulations.studies.adversaries import HARM, STUDY

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "85b6884"  # the state that the first attack was made on
LEVEL = 0.05
# Runs under the old package: files of one estimate (K, p, q) each, with scales where they are known.
FIT = """
import sys, warnings
import numpy as np
from clair_stats import CLAIR, ClientEstimates
warnings.simplefilter("ignore")
CLAIR._decompose = lambda *given: None  # the solution of the program is shown only, and takes most of the time
for path in sys.argv[2:]:
    with np.load(path) as file:
        record = ClientEstimates(**file)
    model = CLAIR(level=float(sys.argv[1])).fit(record)
    flagged = ~model.collaborative_set_ & model.majority_
    np.savez(path, refined=model.refined_, flagged=flagged, majority=model.majority_)
"""


def package(folder, commit):
    """The package of a commit alone."""
    archive = subprocess.run(["git", "archive", commit, "clair_stats"], cwd=ROOT, capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as content:
        content.extractall(folder, filter="data")


def fitted(folder, records, level):
    """Refined estimates, flagged clients and whether there is a majority, for every record."""
    paths = []
    for number, record in enumerate(records):
        paths.append(folder / f"{number}.npz")
        given = {} if record.noise_scales is None else {"noise_scales": record.noise_scales}
        np.savez(paths[-1], values=record.dense(), **given)
    words = [sys.executable, "-c", FIT, str(level), *map(str, paths)]
    subprocess.run(words, env={**os.environ, "PYTHONPATH": str(folder)}, cwd=folder, check=True, timeout=1_200)
    found = []
    for path in paths:
        with np.load(path) as file:
            found.append((file["refined"], file["flagged"], bool(file["majority"])))
    return found


def modules_of(instance):
    """The instance's records and targets, one module or several."""
    if hasattr(instance, "modules"):
        return list(instance.modules.values()), [instance.targets[name] for name in instance.modules]
    return [instance.estimates], [instance.targets]


def judged(instance, found):
    """Metrics of one replication, named as in the study."""
    flagged = np.any([own[1] for own in found], axis=0)
    majority = float(all(own[2] for own in found))
    told = detection_metrics(instance.collaborative_set, ~flagged) | {"majority": majority}
    if not hasattr(instance, "modules"):
        return told | estimation_metrics(instance, found[0][0])
    benign, errors = instance.collaborative_set, {"refined_mse": 0.0, "local_mse": 0.0}
    for (refined, *_), record, target in zip(found, *modules_of(instance), strict=True):
        errors["refined_mse"] += float(np.sum((refined[benign] - target[benign]) ** 2))
        errors["local_mse"] += float(np.sum((record.dense()[benign] - target[benign]) ** 2))
    return told | errors


def measures(rows):
    """Value and Monte Carlo standard error of each measure of one cell."""
    rows, n = pd.DataFrame(rows), len(rows)
    ratio = rows["refined_mse"].sum() / rows["local_mse"].sum()
    yield (
        HARM.label,
        ratio,
        (rows["refined_mse"] - ratio * rows["local_mse"]).std() / np.sqrt(n) / rows["local_mse"].mean(),
    )
    for name, column in (("mean recall", "recall"), ("P(majority)", "majority"), ("P(false_alarm)", "false_alarm")):
        yield name, rows[column].mean(), rows[column].std() / np.sqrt(n)


def run(path, commit, counts, seconds):
    """All cells that the file does not hold, until the time is over; one line a cell and measure."""
    known = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["regime", "regime.plan", "regime.share"])
    done = set(zip(known["regime"], known["regime.plan"], known["regime.share"], strict=True))
    regimes = {content_hash(cell.regime): cell.regime for cell in STUDY.cells}
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        package(folder, commit)
        for regime_hash, regime in regimes.items():
            replications = counts["one block" if regime.name == "adversaries" else "modules"]
            if not replications or (regime.name, regime.plan, regime.share) in done or time.monotonic() > end:
                continue
            streams = [Streams(STUDY.root_seed, regime_hash, number) for number in range(replications)]
            instances = [regime.generate(stream) for stream in streams]
            records = [record for instance in instances for record in modules_of(instance)[0]]
            each = len(records) // replications
            found = fitted(Path(folder), records, LEVEL / each)
            rows = [judged(own, found[each * i : each * (i + 1)]) for i, own in enumerate(instances)]
            head = {"regime": regime.name, "regime.plan": regime.plan, "regime.share": regime.share}
            lines = [
                {**head, "method": f"CLAIR at {commit}", "measure": name, "value": value, "mcse": error}
                for name, value, error in measures(rows)
            ]
            pd.DataFrame(lines).to_csv(path, mode="a", header=not path.exists(), index=False)
            sys.stdout.write(f"{json.dumps(head)}\n")
            sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.hardening.before", description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--commit", default=COMMIT)
    parser.add_argument("--replications", type=int, default=STUDY.replications)
    parser.add_argument(
        "--modules", type=int, default=4, help="replications over modules, which take ten times as long; 0: none"
    )
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time; go on later")
    given = parser.parse_args()
    counts = {"one block": given.replications, "modules": given.modules}
    run(given.output, given.commit, counts, given.seconds)


if __name__ == "__main__":
    main()
