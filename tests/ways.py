"""The files on three ways through the house, counted by running them: ``python -m tests.ways``.

estimates → verdict, one Monte Carlo cell → report, one claim → verdict.  A file is *run* when one of its functions is;
it is *opened* when it also calls other files of the way's own rooms: a file that calls none is read by the docstrings
of its functions.  Vocabulary (records, linear algebra, laws, streams, designs) and rooms behind a door (a convex
program, a method, a regime) are not counted as opened, since the way goes on without what is inside.
"""

import sys
import tempfile
import warnings
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from clair_stats import CLAIR
from reports.reading import _study_input
from reports.sections import Writer
from simulations.engine.executor import run_study
from simulations.measures.summaries import PairedDifference
from simulations.studies import find_study
from theory_checks.judge.run import run_claims
from theory_checks.registry import find_claims

ROOT = f"{Path(__file__).resolve().parent.parent}/"
VOCABULARY = {
    *(f"clair_stats/{name}.py" for name in ("records", "estimates", "linalg", "laws", "containers", "files")),
    *(f"simulations/{name}.py" for name in ("streams", "design", "measure", "presentation")),
}


# The statement itself, the form that all statements have, and what a verdict says.
CLAIM_ENTRIES = tuple(f"theory_checks/{name}.py" for name in ("claims/refinement", "claim", "judge/verdict"))


@dataclass(frozen=True)
class Way:
    """What one way runs and what a reader opens."""

    run: frozenset[str]
    opened: frozenset[str]


def followed(act, rooms, entries=()):
    """Run ``act`` and note which file calls which; ``rooms`` are the prefixes of the way's own files.

    ``entries`` are opened in any case: the claim itself, what a rule is, what a verdict is.
    """
    calls = defaultdict(set)
    ran = set()

    def own(code):
        name = code.co_filename
        return name[len(ROOT) :] if name.startswith(ROOT) and "/.venv/" not in name else None

    def note(frame, event, _):
        file = own(frame.f_code) if event == "call" and frame.f_code.co_name != "<module>" else None
        if file is None or not file.endswith(".py") or file.startswith("tests/"):
            return
        ran.add(file)
        caller = frame.f_back
        while caller is not None and own(caller.f_code) is None:
            caller = caller.f_back
        if caller is not None:
            calls[own(caller.f_code)].add(file)

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    inside = {file for file in ran if file.startswith(rooms) and file not in VOCABULARY}
    opened = {file for file in inside if (calls[file] & inside) - {file} or file in entries}
    return Way(frozenset(ran), frozenset(opened))


def ways(folder):
    """The three ways, by name."""
    rng = np.random.default_rng(7)
    blocks = np.linalg.qr(rng.normal(size=(20, 2)))[0] @ rng.normal(size=(30, 2, 10))
    blocks += 0.1 * rng.normal(size=blocks.shape)
    blocks[:6] += rng.normal(size=(6, 20, 10))
    whole = find_study("linear_regression")
    cell = next(cell for cell in whole.cells if cell.method.name == "CLAIR")
    measures = tuple(measure for measure in whole.measures if not isinstance(measure, PairedDifference))
    study = replace(whole, cells=(cell,), replications=3, measures=measures)
    store = folder / "linear_regression.sqlite"
    # The way is the same for one cell and ten replications, which is soon walked with every call noted.
    (claim,) = find_claims(["refinement-identity"])
    claim = replace(claim, cells=claim.cells[:1], replications={"quick": 10, "standard": 11, "full": 12})

    def report():
        run_study(study, store, backend="sequential")
        Writer(folder / "out").study(_study_input(study, store))

    def verdict():
        run_claims([claim], "quick", folder / "claims", n_jobs=1, backend="sequential")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "estimates → verdict": followed(
                lambda: CLAIR().fit(blocks), ("clair_stats/clair.py", "clair_stats/detection/")
            ),
            "one cell → report": followed(report, ("simulations/engine", "simulations/storage", "reports/")),
            "one claim → verdict": followed(verdict, ("theory_checks/",), CLAIM_ENTRIES),
        }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        for name, way in ways(Path(place)).items():
            sys.stdout.write(f"{name}: {len(way.run)} files run, {len(way.opened)} opened\n")
            sys.stdout.writelines(f"    {file}\n" for file in sorted(way.opened))
