"""``make verify`` as its reader sees it: step n of 6 with minutes, what failed, and what goes on."""

import re
from pathlib import Path

import pytest

from reports.verify import StudyTime, run_steps, study_minutes, verify_steps
from tests.import_graph import modules

STUDIES = (StudyTime("linear_regression", 1.5), StudyTime("digits", 4.0, 10), StudyTime("copying", 4.0))
STEPS = verify_steps("quick", 2, STUDIES)


def run(statuses):
    """Lines and exit status of a run whose steps end with these statuses; the arguments that were called."""
    told, called = [], []

    def call(arguments):
        called.append(arguments)
        return statuses.get(len(called), 0)

    return told, run_steps(STEPS, 2, told.append, call), called


def test_every_step_is_numbered_and_has_its_minutes():
    told, status, called = run({})
    assert status == 0
    assert len(called) == len(STEPS) == 6
    for number, line in enumerate(told[:-1], start=1):
        assert re.fullmatch(rf"step {number} of 6: [^,]+, about \d+ minutes?", line)
    assert told[-1].startswith("verified in 0:00 (theorems and their sabotages 0:00; ")


def test_every_step_is_a_command_of_the_repository():
    for step in STEPS:
        assert f"{step.arguments[0]}.__main__" in modules()
    makefile = (Path(__file__).resolve().parents[2] / "Makefile").read_text(encoding="utf-8")
    assert "python -m reports verify --effort $(EFFORT) --jobs $(JOBS) $(STUDIES:%=--study %)" in makefile
    told = re.search(r"^STUDIES \?= (.*)$", makefile, re.M)[1].split()
    names = [study_minutes(text).name for text in told]
    assert {f"simulations.studies.{name}" for name in names} <= set(modules(("simulations",)))
    assert len(names) == 3
    with pytest.raises(ValueError, match="give NAME=MINUTES"):
        study_minutes("digits")


def test_only_quick_effort_leaves_replications_to_a_later_run():
    assert study_minutes("digits=2/10") == StudyTime("digits", 2.0, 10)
    assert study_minutes("copying=3.5") == StudyTime("copying", 3.5)
    assert STEPS[3].arguments[-2:] == ("--replications", "10")
    full = verify_steps("standard", 2, STUDIES)
    assert [step.arguments for step in full[2:5]] == [
        ("simulations", "run", study.name, "--jobs", "2") for study in STUDIES
    ]
    assert STEPS[2].arguments == full[2].arguments


@pytest.mark.parametrize("ended", [1, 3])
def test_a_claim_that_fails_is_reported_by_the_steps_after_it_and_by_the_status(ended):
    told, status, called = run({1: ended})
    assert (status, len(called)) == (ended, 6)
    assert told[-1].startswith("verified in")


@pytest.mark.parametrize(("step", "ended"), [(1, 130), (1, 2), (2, 1), (4, 143)])
def test_an_interruption_or_a_broken_step_ends_the_run(step, ended):
    told, status, called = run({step: ended})
    assert (status, len(called)) == (ended, step)
    assert told[-1] == f"stopped in step {step} of 6; the same command goes on from here"
