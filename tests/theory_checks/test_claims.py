import dataclasses
import importlib
import pkgutil

import numpy as np
import pandas as pd
import pytest

from simulations.design import content_hash
from simulations.streams import Streams
from theory_checks import claims as claims_package
from theory_checks.claim import EFFORTS, Claim, Sabotage
from theory_checks.instances.recovery import KINDS, AdversarialRegime
from theory_checks.judge.run import assess_rows, exit_status, run_claims
from theory_checks.registry import all_claims, families, find_claims

CLAIMS = list(all_claims().values())


def test_every_file_registers_and_every_theorem_has_a_claim():
    assert {claim.theorem for claim in CLAIMS} >= {1, 2, 3, 4, 5}
    files = [info.name for info in pkgutil.iter_modules(claims_package.__path__)]
    registered = 0
    for name in files:
        module = importlib.import_module(f"theory_checks.claims.{name}")
        registered += len(getattr(module, "CLAIMS", None) or [module.CLAIM])
    assert registered == sum(len(family) for family in families().values())


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.identifier)
def test_a_claim_is_complete_and_its_sabotage_differs(claim):
    for text in (claim.statement, claim.source, claim.statistic, claim.title, claim.sabotage.description):
        assert len(text) > 10
    assert [claim.replications[effort] for effort in EFFORTS] == sorted(claim.replications.values())
    own, broken = claim.study("quick"), claim.study("quick", sabotaged=True)
    if claim.sabotage.cells is None:
        assert broken.config_hash == own.config_hash
        assert claim.active_rule(sabotaged=True) != claim.rule
    else:
        assert not {cell.hash for cell in broken.cells} & {cell.hash for cell in own.cells}
        assert broken.name != own.name
    n = claim.replications["quick"] * len(claim.cells)
    assert claim.rule.describe(n)
    assert claim.rule.smallest_violation(claim.replications["quick"], 0.003)


def test_a_claim_without_sabotage_does_not_register():
    fields = {f.name: getattr(CLAIMS[0], f.name) for f in dataclasses.fields(Claim)}
    with pytest.raises(TypeError, match="does not register"):
        Claim(**{**fields, "sabotage": None})
    with pytest.raises(ValueError, match="changes nothing"):
        Sabotage(name="nothing", description="the same again")
    with pytest.raises(ValueError, match="quick, standard, full"):
        Claim(**{**fields, "replications": {"quick": 3}})
    with pytest.raises(ValueError, match="unknown"):
        find_claims(["no-such-claim"])


def _always():
    return next(claim for claim in CLAIMS if claim.identifier == "exact-recovery-plain")


def test_rows_are_set_aside_counted_and_never_dropped_in_silence():
    claim = _always()
    base = {"status": "ok", "theorem": 1.0, "away_from_border": 1.0, "violation": 0.0, "relative_gap": 1e-9}
    reported = dict.fromkeys(("off_subspace", "wrong_blocks", "eta", "kappa"), 0.0)
    lines = [{**base, **reported} for _ in range(100)]
    lines[0]["status"] = "failed"
    lines[1]["theorem"] = 0.0
    lines[2]["relative_gap"] = 1e-3
    lines[3]["relative_gap"] = 1e-3
    found = assess_rows(claim, pd.DataFrame(lines))
    assert (found.n, found.failed, found.skipped, found.unsolved) == (96, 1, 1, 2)
    lines[1]["violation"] = lines[2]["violation"] = 1.0
    assert assess_rows(claim, pd.DataFrame(lines)).p_value == 1.0
    lines[5]["violation"] = 1.0
    assert assess_rows(claim, pd.DataFrame(lines)).p_value == 0.0
    nothing = assess_rows(claim, pd.DataFrame([{**base, **reported, "status": "failed"}]))
    assert (nothing.within, nothing.failed) == (False, 1)


@pytest.mark.parametrize("common", [False, True])
def test_adversarial_instances_cover_all_kinds_and_keep_their_promise(common):
    regime = AdversarialRegime(common_component=common)
    kinds = set()
    for replication in range(40):
        instance = regime.generate(Streams(1, content_hash(regime), replication))
        kinds.add(instance.extras["kind"])
        off = instance.effective_contamination
        assert np.all(off[instance.collaborative_set] < 1e-12)
        assert np.all(off[~instance.collaborative_set] > 1e-6)
    assert kinds == set(KINDS)


FAST = ("refinement-identity", "exact-recovery-plain")


def test_claims_end_to_end_with_sabotage_and_resumption(tmp_path):
    chosen = [
        dataclasses.replace(claim, replications={"quick": 60, "standard": 61, "full": 62}, cells=claim.cells[:1])
        for claim in find_claims(list(FAST))
    ]
    first = run_claims(chosen, "quick", tmp_path, backend="sequential", n_jobs=1)
    assert [(v.claim, bool(v.sabotage), v.status) for v in first] == [
        (FAST[0], False, "supported"),
        (FAST[1], False, "supported"),
        (FAST[0], True, "violated"),
        (FAST[1], True, "violated"),
    ]
    assert exit_status(first) == 0
    again = run_claims(chosen, "quick", tmp_path, backend="sequential", n_jobs=1)
    assert again == first
    broken = [dataclasses.replace(v, status="supported") if v.sabotage else v for v in first]
    assert exit_status(broken) == 1
    assert exit_status([dataclasses.replace(first[0], status="violated")]) == 1
    assert exit_status([dataclasses.replace(first[0], status="inconclusive")]) == 3
