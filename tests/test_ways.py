"""The ways through the house get no longer; ``python -m tests.ways`` prints them, and how they are counted."""

import pytest

from tests.ways import ways

# Files that a reader opens.  The eleventh on the first way is step 0, who has a vote (``detection/distinct.py``).
LONGEST = {"estimates → verdict": 11, "one cell → report": 15, "one claim → verdict": 8}
# On each way, what a reader must have met.
MET = {
    "estimates → verdict": {
        f"clair_stats/detection/{name}.py" for name in ("decide", "step_2_candidates", "step_4_test")
    },
    "one cell → report": {"simulations/engine/run.py", "simulations/storage/store.py", "reports/sections.py"},
    "one claim → verdict": {"theory_checks/judge/run.py", "theory_checks/judge/rows.py"},
}


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    return ways(tmp_path_factory.mktemp("ways"))


@pytest.mark.parametrize("name", LONGEST)
def test_a_way_is_no_longer_than_it_was(counted, name):
    assert MET[name] <= counted[name].opened <= counted[name].run
    assert len(counted[name].opened) <= LONGEST[name], sorted(counted[name].opened)
