import dataclasses
import math

import pytest

from theory_checks.judge.verdict import Verdict
from theory_checks.judge.verdict_file import read_verdicts, write_verdicts
from theory_checks.rules.evidence import Evidence

EVIDENCE = Evidence(12, 0.25, 0.1, 0.0, 0.5, 1.0, True, "3 of 12", failed=1, extra={"ratio": 2.5, "loss": math.inf})
VERDICT = Verdict("a-claim", 3, "Title", "supported", "quick", "", EVIDENCE, 1.0, "rule", "violations of 0.2")


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "deep" / "verdicts.json"
    other = dataclasses.replace(VERDICT, sabotage="broken", status="violated")
    write_verdicts(path, [VERDICT, other])
    assert read_verdicts(path) == [VERDICT, other]
    assert [p.name for p in path.parent.iterdir()] == ["verdicts.json"]


def test_equal_verdicts_give_equal_bytes(tmp_path):
    noisy = dataclasses.replace(VERDICT, adjusted_p_value=1.0 - 1e-15)
    for name, verdict in (("a", VERDICT), ("b", noisy)):
        write_verdicts(tmp_path / name, [verdict])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_claim_should_be_supported_and_a_sabotage_violated():
    assert VERDICT.as_expected
    assert not dataclasses.replace(VERDICT, sabotage="broken").as_expected
    assert dataclasses.replace(VERDICT, sabotage="broken", status="violated").as_expected


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"evidence": {}}]', "\xff", "[" * 100_000])
def test_other_files_are_refused_by_name(tmp_path, text):
    path = tmp_path / "verdicts.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="not a verdict file"):
        read_verdicts(path)


def test_a_status_that_is_none_is_refused(tmp_path):
    path = tmp_path / "verdicts.json"
    write_verdicts(path, [dataclasses.replace(VERDICT, status="<script>alert(1)</script>")])
    with pytest.raises(ValueError, match=r"not a verdict file.*status"):
        read_verdicts(path)
