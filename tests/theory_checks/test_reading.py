"""What a reader sees of a run: the sentence first, one line per claim, words that cannot be taken for a failure."""

import dataclasses
import re

import pytest
from typer.testing import CliRunner

from theory_checks.cli import app
from theory_checks.commands.printing import progress_line, verdict_sentence
from theory_checks.judge.progress import Judged, Steps
from theory_checks.judge.verdict import Verdict
from theory_checks.rules.evidence import Evidence

EVIDENCE = Evidence(12, 0.25, 0.1, 0.0, 0.5, 1.0, True, "loss_geometry: median 9.91")
VERDICT = Verdict("a-claim", 3, "Title", "supported", "quick", "", EVIDENCE, 1.0, "rule", "violations of 0.2")
SABOTAGE = dataclasses.replace(VERDICT, sabotage="broken", status="violated")


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    common = ["--jobs", "1", "--backend", "sequential", "--stores", str(folder / "stores")]
    done = CliRunner().invoke(app, ["run", "refinement-identity", "--output", str(folder / "verdicts.json"), *common])
    explained = CliRunner().invoke(app, ["explain", "refinement-identity", "--stores", str(folder / "stores")])
    assert done.exit_code == explained.exit_code == 0, done.output
    return done.output, explained.output


def test_every_claim_is_a_numbered_line_with_its_verdict_and_its_seconds(output):
    lines = output[0].splitlines()
    assert re.fullmatch(r"\[1/2\] refinement-identity: supported, \d+ s", lines[0])
    assert re.fullmatch(r"\[2/2\] refinement-identity, sabotage [a-z-]+: rejected ✓, \d+ s", lines[1])


def test_the_sentence_comes_before_the_table_and_claims_that_were_not_run_are_counted(output):
    lines = output[0].splitlines()
    assert lines[2] == "1 of 1 claims supported; 1 of 1 sabotages rejected (quick effort)."
    rows = [line for line in lines if line.strip().startswith("refinement-identity ")]
    assert len(rows) == 1
    assert re.search(r" supported +rejected ✓", rows[0])
    assert re.search(r"^\d+ of \d+ claims not run", lines[-1])
    assert "violated" not in "".join(lines[:-3])


def test_numbers_of_the_rule_are_told_by_explain_alone(output):
    measured = re.search(r"^measured +(\S.*)$", output[1], re.M)
    assert measured
    assert "not run yet" not in output[1]
    assert measured[1] not in output[0]


def test_sentence_counts_what_is_not_as_it_should_be():
    bad = dataclasses.replace(VERDICT, status="violated")
    open_ = dataclasses.replace(VERDICT, status="inconclusive")
    alive = dataclasses.replace(SABOTAGE, status="supported")
    assert verdict_sentence([VERDICT, bad, open_, SABOTAGE, alive]) == (
        "1 of 3 claims supported, 1 violated, 1 inconclusive; 1 of 2 sabotages rejected (quick effort)."
    )


def test_a_sabotage_that_passes_is_not_called_rejected():
    line = progress_line(Judged(7, 38, "a-claim", "", "broken", "supported", 4.2))
    assert line == "[7/38] a-claim, sabotage broken: NOT rejected, 4 s"


def test_steps_tell_the_status_at_the_strictest_level_of_the_family():
    told = []
    steps = Steps(2, 10, 0.05, told.append)
    steps("a-claim", "", "", dataclasses.replace(EVIDENCE, p_value=0.004))
    steps("a-claim", "", "", dataclasses.replace(EVIDENCE, p_value=0.006))
    assert [(step.number, step.status) for step in told] == [(1, "violated"), (2, "supported")]
