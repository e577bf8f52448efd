import dataclasses
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from clair_stats.theory import incoherence
from simulations.design import content_hash
from simulations.storage.store import StoreError
from simulations.streams import Streams
from theory_checks.judge.family import FamilyError, family_error, repetition_seed
from theory_checks.maps import designs, sample
from theory_checks.maps.bulk import agreement, region
from theory_checks.maps.draw import draw_map
from theory_checks.registry import find_claims

ONE = {"backend": "sequential", "n_jobs": 1}


def test_region_counts_what_it_sees(tmp_path):
    evidence, suspects = region(12, tmp_path, **ONE)
    assert evidence.n == 12
    assert evidence.estimate == 0
    assert len(suspects) == 0
    assert evidence.high == pytest.approx(1 - 0.05 ** (1 / 12))


def test_agreement_sorts_every_instance_once(tmp_path):
    found = agreement(20, tmp_path, **ONE)
    counted = found.certified_recovered + found.certified_failed + found.open_recovered + found.open_failed
    assert counted == found.n
    assert found.n + len(found.ties) + found.unsolved == 20
    assert found.certified_failed == found.refuted_recovered == 0
    assert found.certified_recovered > 0
    assert found.refuted_failed > 0
    assert len(found.disagreements) == found.certified_failed + found.open_recovered


@pytest.mark.parametrize("mu", [1.0, 2.5])
def test_map_instances_have_the_incoherence_they_are_said_to_have(mu):
    regime = designs.MapRegime(incoherence=mu, n_contaminated=5)
    instance = regime.generate(Streams(1, content_hash(regime), 0))
    assert incoherence(instance.coefficients[instance.collaborative_set]) == pytest.approx(mu, rel=1e-9)


def test_a_map_is_nested_sampled_at_the_border_and_drawn(tmp_path, monkeypatch):
    small = designs.MapDesign("penalty_factor", (0.9, 1.5), "penalty")
    monkeypatch.setitem(designs.MAPS, "share-penalty", small)
    monkeypatch.setattr(designs, "COUNTS", (1, 6, 12))
    monkeypatch.setattr(sample, "COUNTS", (1, 6, 12))
    monkeypatch.setitem(designs.STAGES, "quick", (3, 5))
    sampled = sample.sample_map("share-penalty", "quick", tmp_path, **ONE)
    assert sampled.not_nested == 0
    assert sampled.replications.shape == (2, 3)
    assert set(np.unique(sampled.replications)) <= {3.0, 5.0}
    assert sampled.recovered[1, 0] == sampled.replications[1, 0]
    assert sampled.recovered[0].sum() == 0
    assert np.all(sampled.stated <= sampled.theorem)
    assert np.all(sampled.certified <= sampled.recovered)
    low, high = sampled.interval(sampled.recovered)
    assert np.all((low <= sampled.recovered / sampled.replications + 1e-12) & (high <= 1 + 1e-12))
    paths = draw_map(sampled, tmp_path / "figure")
    assert [path.suffix for path in paths] == [".pdf", ".png"]
    first = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in draw_map(sampled, tmp_path / "figure")] == first
    with pytest.raises(ValueError, match="unknown"):
        sample.sample_map("share-colour", "quick", tmp_path)


def test_limits_of_a_map_cover_at_all_stages_together():
    for effort, looks in (("quick", (4, 10)), ("standard", (4, 10, 30, 100))):
        critical = norm.isf(sample.repeated_level(effort) / 2)
        sums = np.random.default_rng(3).standard_normal((40_000, looks[-1])).cumsum(axis=1)
        at_looks = np.abs(sums[:, np.array(looks) - 1]) / np.sqrt(looks)
        covered = np.mean(at_looks.max(axis=1) <= critical)
        assert covered == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 40_000))
        assert np.mean(at_looks.max(axis=1) <= 1.96) < 0.94  # what the usual limits cover


def test_family_error_is_counted_kept_and_continued(tmp_path):
    claims = [
        dataclasses.replace(claim, replications={"quick": 60, "standard": 60, "full": 60}, cells=claim.cells[:1])
        for claim in find_claims(["refinement-identity", "detection-level"])
    ]
    found = family_error(claims, 2, tmp_path, **ONE)
    assert found.repetitions == 2
    assert set(found.per_claim) == {"refinement-identity", "detection-level"}
    record = tmp_path / "family.jsonl"
    assert [json.loads(line)["repetition"] for line in record.read_text().splitlines()] == [0, 1]
    record.write_text(record.read_text() + '{"repetition": 2, "sta')
    again = family_error(claims, 2, tmp_path, **ONE)
    assert again == found
    assert family_error(claims, 3, tmp_path, **ONE).versions == (3,)
    kept = record.read_text()
    family_error(claims, 3, tmp_path, **ONE)
    assert record.read_text() == kept, "the repetition after a torn line is there and not computed again"
    chance = family_error(claims, 1, tmp_path, only_chance=True, **ONE)
    assert set(chance.per_claim) == {"detection-level"}
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_workers_compute_whole_repetitions_and_the_same_ones(tmp_path):
    claims = [
        dataclasses.replace(claim, replications={"quick": 20, "standard": 20, "full": 20}, cells=claim.cells[:1])
        for claim in find_claims(["refinement-identity", "detection-level"])
    ]
    records = []
    for n_jobs in (1, 2):
        family_error(claims, 3, tmp_path / str(n_jobs), n_jobs=n_jobs)
        lines = (tmp_path / str(n_jobs) / "family.jsonl").read_text().splitlines()
        records.append({line["repetition"]: (line["states"], line["version"]) for line in map(json.loads, lines)})
    assert records[0] == records[1]
    assert sorted(records[0]) == [0, 1, 2]


def test_repetitions_of_two_versions_are_not_mixed_silently(tmp_path):
    claims = [
        dataclasses.replace(claim, replications={"quick": 20, "standard": 20, "full": 20}, cells=claim.cells[:1])
        for claim in find_claims(["refinement-identity"])
    ]
    family_error(claims, 1, tmp_path, **ONE)
    record = tmp_path / "family.jsonl"
    line = json.loads(record.read_text())
    record.write_text(json.dumps({**line, "version": "of other sources"}) + "\n")
    assert family_error(claims, 1, tmp_path, **ONE).versions == (1,), "what is complete may be looked at"
    with pytest.raises(StoreError, match="1 repetitions were made by other sources"):
        family_error(claims, 2, tmp_path, **ONE)
    mixed = family_error(claims, 2, tmp_path, **ONE, accept_mixed=True)
    assert mixed.versions == (1, 1)
    assert mixed.lines()[-1] == "made by 2 versions: 1, 1 repetitions each"


def test_false_alarms_are_judged_by_the_exact_test():
    per_claim = {"a": (16, 0)}
    assert FamilyError(200, 15, 0, per_claim).acceptable
    assert FamilyError(200, 15, 0, per_claim).allowed == 15
    assert not FamilyError(200, 16, 0, per_claim).acceptable
    assert "16 of 200" in FamilyError(200, 16, 0, per_claim).lines()[0]
    assert len({repetition_seed(i) for i in range(200)}) == 200


def test_proofs_are_compared_and_contradictions_counted(tmp_path):
    pytest.importorskip("flint")
    from theory_checks.maps.proofs import proofs
    from theory_checks.methods.proofs import STATES

    found = proofs(20, tmp_path, **ONE)
    assert (found.n, found.failed) == (20, 0)
    assert found.table.to_numpy().sum() == 20
    assert found.contradictions == 0
    assert len(found.different) == 20 - np.trace(found.table.to_numpy())
    assert found.duals["proved"] == 20
    assert np.allclose(found.gaps["gap"], found.gaps["proved_gap"], rtol=1e-3, atol=1e-11)
    assert 0 < found.largest_move < 1e-12
    wrong = pd.DataFrame(1, index=STATES, columns=STATES)
    assert replace(found, table=wrong).contradictions == 2
