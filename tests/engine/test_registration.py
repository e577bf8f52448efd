"""Confirmatory studies: no run without an entry, no seed of one's own choice, no try that is forgotten."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

import simulations.registration as registration
from simulations.cli import app
from simulations.registration import (
    CONFIRMATORY,
    conclude,
    level_at,
    read_registry,
    refuse_unregistered,
    register,
    tries,
)
from simulations.streams import effort_seed
from tests.engine.toys import small

STUDY = replace(small(replications=3), confirmatory="small")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "registry.jsonl"


def test_a_confirmatory_study_is_refused_until_it_is_registered_and_again_when_it_changes(path, monkeypatch):
    with pytest.raises(ValueError, match=r"small is confirmatory and it is not registered.*simulations register small"):
        refuse_unregistered(STUDY, path=path)
    entry = register(STUDY, rules="held when the bound is above 0.9", path=path)
    (study,) = tries(STUDY, path=path)
    assert study.root_seed == entry.root_seed >= CONFIRMATORY
    assert refuse_unregistered(study, path=path) == [f"try 1, {entry.time}: registered, decides at level 0.025"]
    with pytest.raises(ValueError, match="not registered with this design"):
        refuse_unregistered(STUDY, path=path)  # its seed of development
    with pytest.raises(ValueError, match=r"not registered with this design.*try 1"):
        refuse_unregistered(replace(study, replications=4), path=path)
    monkeypatch.setattr(registration, "source_digest", lambda *parts: "f" * 64)
    with pytest.raises(ValueError, match="its sources have changed"):
        refuse_unregistered(study, path=path)


def test_every_try_is_told_and_alpha_is_shared(path):
    first = register(STUDY, rules="a", path=path)
    conclude(STUDY, "not held: 0.71", path=path)
    second = register(STUDY, rules="b", path=path)
    assert (first.attempt, second.attempt) == (1, 2)
    both = tries(STUDY, path=path)
    assert [study.name for study in both] == ["small", "small-try2"]
    assert len({study.root_seed for study in both}) == 2
    told = refuse_unregistered(both[1], path=path)
    assert len(told) == 3
    assert "not held: 0.71" in told[1]
    assert sum(level_at(k) for k in range(1, 60)) == pytest.approx(0.05)
    assert tries(replace(STUDY, replications=9), path=path) == []


def test_a_line_that_is_changed_or_taken_out_is_found(path):
    for rules in ("a", "b", "c"):
        register(STUDY, rules=rules, path=path)
    lines = path.read_text().splitlines()
    assert len(read_registry(path)) == 3
    changed = json.loads(lines[1]) | {"time": "2020-01-01T00:00:00+00:00"}
    for broken in (
        [lines[0], lines[2]],
        [lines[0], json.dumps(changed, sort_keys=True, separators=(",", ":")), lines[2]],
        ["{}", *lines],
        [lines[0], lines[1].replace(",", ", ", 1), lines[2]],
    ):
        path.write_text("\n".join(broken) + "\n")
        with pytest.raises(ValueError, match=r"line \d: (does not follow|no entry)"):
            read_registry(path)


def test_the_command_refuses_registers_runs_and_records(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    registry = tmp_path / "registry.jsonl"
    for function in (tries, refuse_unregistered, registration.register, conclude):
        monkeypatch.setitem(function.__kwdefaults__, "path", registry)
    monkeypatch.setattr("simulations.commands.shared.find_study", lambda name: (tries(STUDY) or [STUDY])[-1])

    def call(*arguments):
        return CliRunner().invoke(app, list(arguments))

    refused = call("run", "small", "--backend", "sequential")
    assert isinstance(refused.exception, ValueError)
    assert "simulations register small" in str(refused.exception)
    assert not list(tmp_path.rglob("*.sqlite"))
    assert isinstance(call("register", "small").exception, ValueError)
    entered = call("register", "small", "--rules", "held above 0.9")
    assert "try 1 of small" in entered.output
    done = call("run", "small", "--backend", "sequential")
    assert done.exit_code == 0, done.output
    assert "decides at level 0.025" in done.output
    assert call("register", "small", "--outcome", "held: 0.97").exit_code == 0
    assert [entry.outcome for entry in read_registry(registry)] == ["", "held: 0.97"]


def test_seeds_of_development_never_meet_those_of_the_registry():
    assert all(effort_seed(seed, "standard") < CONFIRMATORY for seed in range(100))
    assert small().root_seed < CONFIRMATORY


def test_exploratory_studies_are_not_asked_and_do_not_register(path):
    assert refuse_unregistered(small(), path=path) == []
    with pytest.raises(ValueError, match="exploratory"):
        register(small(), path=path)
    with pytest.raises(ValueError, match="register it and run it first"):
        conclude(STUDY, "held", path=path)


def test_the_registry_of_the_repository_is_whole():
    assert all(entry.study for entry in read_registry())
