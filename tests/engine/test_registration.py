"""Confirmatory studies: no run without an entry, no seed of one's own choice, no try that is forgotten."""

import json
import subprocess
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import simulations.confirmation as confirmation
from simulations.cli import app
from simulations.confirmation import decide, judged, plan_of, refuse_unregistered, tries
from simulations.criterion import CriterionResult
from simulations.engine.executor import run_study
from simulations.measures.criteria import NonInferior, ShareAtLeast
from simulations.registration import conclude, enter_earlier, level_at, read_registry, register, registered, told
from simulations.storage.store import Store
from simulations.streams import CONFIRMATORY, effort_seed
from tests.engine.toys import small

# Normal means: the interval at mean 1 seldom covers 0, so no share is near 1; the criterion is only registered here.
CRITERIA = (ShareAtLeast("covered", "sample_mean", 0.01),)
STUDY = replace(small(replications=3), confirmatory="small", criteria=CRITERIA)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "registry.jsonl"


def test_a_confirmatory_study_is_refused_until_it_is_registered_and_again_when_it_changes(path, monkeypatch):
    with pytest.raises(ValueError, match=r"small is confirmatory and not registered.*simulations register small"):
        refuse_unregistered(STUDY, path=path)
    entry = register(plan_of(STUDY), path=path)
    (study,) = tries(STUDY, path=path)
    assert study.root_seed == entry.root_seed >= CONFIRMATORY
    assert refuse_unregistered(study, path=path) == [
        f"try 1, {entry.time}, decides at level 0.025: no outcome yet",
    ]
    with pytest.raises(ValueError, match=f"has root seed {entry.root_seed}, not 7"):
        refuse_unregistered(STUDY, path=path)  # its seed of development
    with pytest.raises(ValueError, match=r"changed since it was registered \(design\).*try 1"):
        refuse_unregistered(replace(study, replications=4), path=path)
    with pytest.raises(ValueError, match=r"changed since it was registered \(rules, sources\)"):
        refuse_unregistered(replace(study, criteria=(easier := Easier(), *CRITERIA)), path=path)
    with pytest.raises(ValueError, match=r"changed since it was registered \(rules\)"):
        refuse_unregistered(replace(study, criteria=(ShareAtLeast("covered", "sample_mean", 0.001),)), path=path)
    assert easier.statement
    monkeypatch.setattr(confirmation, "source_digest", lambda *parts: "f" * 64)
    with pytest.raises(ValueError, match=r"changed since it was registered \(sources\)"):
        refuse_unregistered(study, path=path)


@dataclass(frozen=True)
class Easier:
    """Holds whatever the rows are; its module is this one, so that the sources change with it."""

    statement: str = "anything"

    def test(self, rows):
        return CriterionResult(1.0, 0.0, len(rows), 0, 0.02)


def test_every_try_is_told_and_alpha_is_shared(path):
    enter_earlier(plan_of(STUDY), "not held: 0.6", path=path)
    first = register(plan_of(STUDY), path=path)
    with pytest.raises(ValueError, match="has no outcome yet; run it"):
        register(plan_of(STUDY), path=path)  # a second seed for the same try
    conclude(first, "not held: 0.71", path=path)
    with pytest.raises(ValueError, match=r"on record: not held: 0\.71"):
        conclude(first, "held: 0.99", path=path)
    second = register(plan_of(STUDY), path=path)
    assert (first.attempt, second.attempt, second.level) == (2, 3, 0.05 / 8)
    both = tries(STUDY, path=path)
    assert [study.name for study in both] == ["small-try2", "small-try3"]
    assert len({study.root_seed for study in both}) == 2
    lines = refuse_unregistered(both[1], path=path)
    assert len(lines) == 3
    assert "before the registry: not held: 0.6" in lines[0]
    assert "not held: 0.71" in lines[1]
    assert lines == told("small", read_registry(path))
    with pytest.raises(ValueError, match="has root seed"):
        refuse_unregistered(both[0], path=path)  # the seed of a try that is over
    assert sum(level_at(k) for k in range(1, 60)) == pytest.approx(0.05)
    assert tries(replace(STUDY, replications=9), path=path) == []
    with pytest.raises(ValueError, match="before the first try"):
        enter_earlier(plan_of(STUDY), "a run that comes to mind now", path=path)


def test_the_level_of_the_try_decides(path, tmp_path):
    """The same rows and the same p-value, 0.02, are enough at try 1 (0.025) and not at try 2 (0.0125)."""
    study = replace(STUDY, criteria=(Easier(),))
    outcomes = []
    for attempt in (1, 2):
        register(plan_of(study), path=path)
        store = tmp_path / f"{attempt}.sqlite"
        run_study(tries(study, path=path)[-1], store, backend="sequential", n_jobs=1)
        outcomes.append(decide(tries(study, path=path)[-1], store, path=path))
        again = decide(tries(study, path=path)[-1], store, path=path)
        assert again == [f"small, try {attempt}: {outcomes[-1][1]}"]
    assert [lines[1].split(":")[0] for lines in outcomes] == ["shown", "not shown"]
    assert [entry.kind for entry in read_registry(path)] == ["try", "outcome", "try", "outcome"]


def test_nothing_is_decided_on_some_rows_or_on_rows_of_other_sources(path, tmp_path, monkeypatch):
    register(plan_of(STUDY), path=path)
    (study,) = tries(STUDY, path=path)
    store = tmp_path / "rows.sqlite"
    run_study(replace(study, replications=2), store, backend="sequential", n_jobs=1)
    with pytest.raises(ValueError, match="rows are missing"):
        decide(study, store, path=path)
    with Store(store, study, mode="append") as opened:
        opened.connection.execute("UPDATE provenance SET record = replace(record, 'sources', 'elsewhere')")
        opened.connection.commit()
    run_study(study, store, backend="sequential", n_jobs=1, accept_mixed=True)
    with pytest.raises(ValueError, match="8 rows were made by other sources"):
        decide(study, store, path=path)
    assert [entry.kind for entry in read_registry(path)] == ["try"]


def frame(own, other, lost=0):
    """20 settings × 5 replications of two methods; the first ``lost`` rows of the first method failed."""
    n = len(own)
    one = pd.DataFrame({"design": np.repeat(np.arange(n // 5), 5), "replication": np.tile(np.arange(5), n // 5)})
    parts = [one.assign(method=name, hit=values, status="ok") for name, values in (("a", own), ("b", other))]
    rows = pd.concat(parts, ignore_index=True)
    rows.loc[: lost - 1, ["hit", "status"]] = [np.nan, "failed"]
    return rows


def test_criteria_against_a_plain_computation_and_lost_rows_count_against_them():
    rng = np.random.default_rng(0)
    own, other = (rng.random(100) < 0.9).astype(float), (rng.random(100) < 0.8).astype(float)
    found = NonInferior("hit", "a", "b", 0.05).test(frame(own, other))
    differences = (own - other).reshape(20, 5).mean(axis=1)
    from scipy.stats import binom, ttest_1samp

    assert found.estimate == pytest.approx(differences.mean())
    assert found.p_value == pytest.approx(ttest_1samp(differences, -0.05, alternative="greater").pvalue)
    worse = NonInferior("hit", "a", "b", 0.05).test(frame(own, other, lost=10))
    assert worse.lost == 10
    assert worse.estimate == pytest.approx(found.estimate - own[:10].mean() * 10 / 100)
    share = ShareAtLeast("hit", "a", 0.8).test(frame(own, other))
    assert share.p_value == pytest.approx(binom.sf(own.sum() - 1, 100, 0.8))
    fewer = ShareAtLeast("hit", "a", 0.8).test(frame(own, other, lost=10))
    assert fewer.estimate == pytest.approx(own[10:].sum() / 100)
    with pytest.raises(ValueError, match="no rows of method 'c'"):
        ShareAtLeast("hit", "c", 0.8).test(frame(own, other))


def test_holm_over_the_criteria(tmp_path):
    """Two criteria with p = 0.02 at level 0.025: neither is shown; one alone is."""
    two = replace(STUDY, criteria=(Easier(), Easier("anything else")))
    run_study(two, tmp_path / "rows.sqlite", backend="sequential", n_jobs=1)
    assert [item.shown for item in judged(two, tmp_path / "rows.sqlite", 0.025)] == [False, False]
    assert [item.shown for item in judged(two, tmp_path / "rows.sqlite", 0.05)] == [True, True]
    one = replace(STUDY, criteria=(Easier(),))
    assert [item.shown for item in judged(one, tmp_path / "rows.sqlite", 0.025)] == [True]


def test_an_entry_that_is_not_committed_is_refused(path):
    def git(*arguments):
        mail = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        subprocess.run(["git", "-C", str(path.parent), *mail, *arguments], check=True, capture_output=True)

    git("init")
    entry = register(plan_of(STUDY), path=path)
    with pytest.raises(ValueError, match=r"commit registry\.jsonl before it runs"):
        registered(plan_of(STUDY), path=path)
    git("add", path.name)
    git("commit", "-m", "registered")
    assert registered(plan_of(STUDY), path=path) == entry


def test_a_line_that_is_changed_or_taken_out_is_found(path):
    for number in range(3):
        register(plan_of(replace(STUDY, replications=3 + number)), path=path)
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


def redirect(monkeypatch, path):
    """Let the commands use another registry."""
    from simulations import registration

    functions = (tries, refuse_unregistered, confirmation.decide, register, conclude, registered, enter_earlier)
    for function in functions:
        monkeypatch.setitem(function.__kwdefaults__, "path", path)
    monkeypatch.setattr(registration.read_registry, "__defaults__", (path,))


def test_the_commands_refuse_register_run_decide_and_list(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    registry = tmp_path / "registry.jsonl"
    redirect(monkeypatch, registry)
    monkeypatch.setattr("simulations.commands.shared.find_study", lambda name: (tries(STUDY) or [STUDY])[-1])

    def call(*arguments):
        return CliRunner().invoke(app, list(arguments))

    refused = call("run", "small", "--backend", "sequential")
    assert isinstance(refused.exception, ValueError)
    assert "simulations register small" in str(refused.exception)
    assert not list(tmp_path.rglob("*.sqlite"))
    entered = call("register", "small")
    assert "small, try 1" in entered.output
    assert "covered of sample_mean has probability above 0.01" in entered.output
    assert "rows are missing" in str(call("decide", "small").exception) or not list(tmp_path.rglob("*.sqlite"))
    for arguments in (("--replications", "2"), ("--method", "sample_mean")):
        changed = call("run", "small", "--backend", "sequential", *arguments)
        assert "changed since it was registered (design)" in str(changed.exception)
    assert "use `run`" in str(call("sequential", "small", "--until", "covered=0.1", "--budget", "50").exception)
    assert "cannot decide" in str(call("run", "small", "--accept-mixed").exception)
    done = call("run", "small", "--backend", "sequential")
    assert done.exit_code == 0, done.output
    assert "decides at level 0.025" in done.output
    assert "simulations decide small" in done.output
    decided = call("decide", "small")
    assert decided.exit_code == 0, decided.output
    assert "level 0.025" in decided.output
    assert [entry.kind for entry in read_registry(registry)] == ["try", "outcome"]
    assert "try 1" in call("registry").output


def test_seeds_of_development_never_meet_those_of_the_registry():
    assert all(effort_seed(seed, "standard") < CONFIRMATORY for seed in range(100))
    assert all(effort_seed(CONFIRMATORY + seed, "standard") >= CONFIRMATORY for seed in range(100))
    assert small().root_seed < CONFIRMATORY


def test_exploratory_studies_are_not_asked_do_not_register_and_have_no_seed_of_the_registry(path):
    assert refuse_unregistered(small(), path=path) == []
    with pytest.raises(ValueError, match="exploratory"):
        register(plan_of(small()), path=path)
    with pytest.raises(ValueError, match="belong to the registry"):
        refuse_unregistered(small(root_seed=CONFIRMATORY + 1), path=path)
    with pytest.raises(ValueError, match="give both or neither"):
        replace(small(), confirmatory="small")
    with pytest.raises(ValueError, match="not registered"):
        decide(STUDY, path.with_suffix(".sqlite"), path=path)


def test_the_registry_of_the_repository_is_whole():
    assert all(entry.name for entry in read_registry())
