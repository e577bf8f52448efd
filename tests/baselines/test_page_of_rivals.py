"""The table of docs/rivals.md that names a test and a study for every method: complete, and true."""

import re
from pathlib import Path

import pytest

from simulations.studies import find_study

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "clair_stats" / "baselines"
# Steps that several methods share, and their records.
SHARED = {"fit.py", "splitting.py", "aggregation/aggregated.py", "detectors/suspicion.py"}
TEXT = (ROOT / "docs" / "rivals.md").read_text(encoding="utf-8")
SECTION = TEXT.split("## Every method: file, test, study")[1].split("\n## ")[0]
ROWS = re.findall(r"^\| `([\w/]+\.py)` \| `(\w+\.py)` \| (.+) \| `(\w+)` \|$", SECTION, flags=re.MULTILINE)


def test_every_file_stands_in_the_table_once():
    files = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.py") if path.name != "__init__.py"}
    assert sorted(row[0] for row in ROWS) == sorted(files - SHARED)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_the_test_that_is_named_is_there_and_speaks_of_the_method(row):
    file, test, _, study = row
    text = (ROOT / "tests" / "baselines" / test).read_text(encoding="utf-8")
    stem = Path(file).stem
    # Some tests go through all methods of a registry, by name.
    assert stem in text or "BASELINES" in text or "AGGREGATIONS" in text
    assert find_study(study).cells
