"""Families of claims in the registry: refused unless registered as they are, decided at the level of the try."""

import dataclasses
import json

import pandas as pd
import pytest
from typer.testing import CliRunner

import theory_checks.registry as claim_registry
from simulations.registration import conclude, read_registry, register
from simulations.streams import CONFIRMATORY
from theory_checks.cli import app
from theory_checks.judge.registration import plan_of_family
from theory_checks.judge.verdict import decide, decide_sabotage, supported_together
from theory_checks.registry import find_claims
from theory_checks.rules.decision import AlwaysRule, FrequencyRule
from theory_checks.rules.evidence import Evidence


@pytest.fixture
def family(monkeypatch):
    """A family of one claim that is fast."""
    claims = tuple(find_claims(["refinement-identity"]))
    monkeypatch.setattr(claim_registry, "families", lambda: {"": claims})
    for module in ("judge.registration", "judge.merge", "commands.run"):
        monkeypatch.setattr(f"theory_checks.{module}.families", lambda: {"": claims})
    return claims


@pytest.fixture
def registry(tmp_path, monkeypatch):
    path = tmp_path / "registry.jsonl"
    monkeypatch.setattr("simulations.registration.read_registry.__defaults__", (path,))
    for function in (register, conclude):
        monkeypatch.setitem(function.__kwdefaults__, "path", path)
    monkeypatch.setattr("simulations.registration.registered.__kwdefaults__", {"path": path})
    return path


def test_a_plan_changes_with_replications_rules_and_size(family, monkeypatch):
    (claim,) = family
    plan = plan_of_family("", "quick")
    assert plan_of_family("", "quick") == plan
    assert plan_of_family("", "standard").design != plan.design

    def with_claim(**changes):
        changed = (dataclasses.replace(claim, **changes),)
        monkeypatch.setattr("theory_checks.judge.registration.families", lambda: {"": changed})
        return plan_of_family("", "quick")

    more = with_claim(replications={"quick": 101, "standard": 1001, "full": 10_001})
    assert (more.design == plan.design, more.rules == plan.rules) == (False, True)
    easier = with_claim(rule=AlwaysRule(tolerated=0.2))
    assert (easier.design == plan.design, easier.rules == plan.rules) == (True, False)
    monkeypatch.setattr("theory_checks.judge.registration.module_digest", lambda *names: "0" * 64)
    other = with_claim()
    assert other.sources != plan.sources
    assert (other.design, other.rules) == (plan.design, plan.rules)


def test_the_commands_refuse_register_run_and_conclude(family, registry, tmp_path):
    output = tmp_path / "verdicts.json"

    def call(*arguments):
        return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})

    where = ("--stores", str(tmp_path / "stores"), "--output", str(output), "--backend", "sequential", "--jobs", "1")
    refused = call("run", "--confirmatory", *where)
    assert refused.exit_code == 2
    assert "claims-theorems-quick is confirmatory and not registered" in refused.output
    assert "theory_checks register --effort quick" in refused.output
    assert not (tmp_path / "stores").exists()
    assert call("register", "--effort", "quick").exit_code == 0
    for parts in (["refinement-identity"], ["--root-seed", "3"], ["--accept-mixed"], ["--no-with-sabotages"]):
        assert call("run", *parts, "--confirmatory", *where).exit_code == 2
    assert call("run", "--root-seed", str(CONFIRMATORY), *where).exit_code == 2
    done = call("run", "--confirmatory", *where)
    assert done.exit_code == 0, done.output
    assert "family-wise level 0.025" in done.output
    (entry, came) = read_registry(registry)
    assert (entry.kind, came.kind) == ("try", "outcome")
    assert came.outcome == "1 of 1 supported, 0 violated, 0 open; 1 of 1 sabotages rejected"
    written = json.loads(output.with_name(f"verdicts-{entry.root_seed}.json").read_text())
    assert {(v["registered"], v["level"]) for v in written} == {("claims-theorems-quick, try 1", 0.025)}
    assert call("run", "--confirmatory", *where).exit_code == 0  # the same rows again, no second outcome
    assert len(read_registry(registry)) == 2


def test_the_level_of_the_try_decides_for_and_against():
    """60 replications without violation support at 0.05 and not at 0.025; p = 0.03 rejects at 0.05 and not at 0.025."""
    silent = AlwaysRule().assess(pd.DataFrame({"violation": [0.0] * 60}))
    assert [decide([silent], level=level)[0][0] for level in (0.05, 0.025)] == ["supported", "inconclusive"]
    assert [supported_together([silent], level=level) for level in (0.05, 0.025)] == [[True], [False]]
    more = AlwaysRule().assess(pd.DataFrame({"violation": [0.0] * 72}))
    assert decide([more], level=0.025)[0][0] == "supported"
    rule = FrequencyRule("alarm", target=0.05, direction="at_most", margin=0.03)
    doubtful = rule.assess(pd.DataFrame({"alarm": [1.0] * 10 + [0.0] * 95}))
    assert 0.025 < doubtful.p_value < 0.05
    assert [decide([doubtful], level=level)[0][0] for level in (0.05, 0.025)] == ["violated", "inconclusive"]
    assert [decide_sabotage(doubtful, 1, level=level)[0] for level in (0.05, 0.025)] == ["violated", "inconclusive"]


def test_a_level_that_is_not_strict_asks_for_no_p_value():
    told = Evidence(10, 0.0, 0.0, 0.0, 0.0, 1.0, True, "")
    assert decide([told])[0][0] == "supported"
