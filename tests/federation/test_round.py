import json

import numpy as np
import pytest

from clair_stats.federation import Adapter, ClientEvidence, Reply, aggregate_round
from clair_stats.federation.folder import RoundFolder
from clair_stats.federation.influence import influence_of
from clair_stats.federation.weights import bounded_shares, capped_weights
from tests.adapters.folders import MODULES, PREFIX, config
from tests.federation.clients import RANK, Federation, product, stranger, weak_stranger


def replies_of(federation, start=None, **bad):
    return [
        Reply(f"c{k}", federation.adapter(start, **({"change": bad[f"c{k}"]} if f"c{k}" in bad else {})), 100.0)
        for k in range(federation.n_clients)
    ]


def test_the_bad_client_is_named_and_has_no_part():
    replies = replies_of(Federation(), c5=stranger)
    found = aggregate_round(replies)
    assert found.excluded == {"c5"}
    kept = [reply for reply in replies if reply.name != "c5"]
    for module in MODULES:
        mean = np.mean([product(reply.adapter, module) for reply in kept], axis=0)
        np.testing.assert_allclose(product(found.aggregate, module), mean, atol=1e-5)


def test_what_was_sent_to_all_does_not_hide_what_they_add():
    federation = Federation()
    start = aggregate_round(replies_of(federation), rank=RANK).aggregate
    large = Adapter({k: 30.0 * t if "lora_B" in k else t for k, t in start.tensors.items()}, start.config)
    replies = replies_of(federation, large, c5=stranger)
    assert "c5" in aggregate_round(replies, previous=large).excluded
    assert not aggregate_round(replies, previous=large).excluded - {"c5"}


def test_one_client_cannot_own_the_average():
    weights = capped_weights([10, 20, 30, 1e9, np.nan, -5])
    assert weights.sum() == pytest.approx(1.0)
    assert weights[3] == pytest.approx(3 * weights[4])
    assert weights.max() <= 3 / (3 + 5 / 2)
    with pytest.raises(ValueError, match="cap"):
        capped_weights([1.0], cap=0.5)


def spoilt(kind, reply):
    tensors, fields = dict(reply.adapter.tensors), dict(reply.adapter.config)
    first = next(iter(tensors))
    if kind == "NaN":
        tensors[first] = np.full_like(tensors[first], np.nan)
    elif kind == "keys":
        tensors = {name.replace("q_proj", "k_proj"): t for name, t in tensors.items()}
    elif kind == "names":
        tensors = {name.removeprefix(PREFIX): t for name, t in tensors.items()}
    elif kind == "void":
        tensors[first] = tensors[first].astype("V4")
    elif kind == "shape":
        tensors[first] = tensors[first][:, 1:]
    elif kind == "empty":
        tensors = {}
    else:
        fields["r"] = -1
    return Reply(reply.name, Adapter(tensors, fields), 1e9)


def test_nothing_a_client_sends_ends_the_round():
    kinds = {"c9": "NaN", "c10": "keys", "c11": "names", "c12": "void", "c13": "shape", "c14": "empty", "c15": "config"}
    replies = replies_of(Federation(n_clients=23), c5=stranger)
    replies = [spoilt(kinds[reply.name], reply) if reply.name in kinds else reply for reply in replies]
    found = aggregate_round(replies)
    rows = {row.name: row for row in found.report.rows}
    assert {name for name, row in rows.items() if row.verdict == "quarantined"} == set(kinds)
    assert all(rows[name].reason for name in kinds)
    assert found.excluded == {"c5"}
    assert found.aggregate is not None


def test_refined_adapters_lie_between_own_and_mean():
    federation = Federation(noise=0.5)
    replies = replies_of(federation)
    found = aggregate_round(replies, refined=True)
    assert set(found.refined) == {reply.name for reply in replies} - found.excluded
    for name, own in [(r.name, r.adapter) for r in replies[:3]]:
        for module, span in federation.spans.items():
            off = np.eye(len(span)) - span @ span.T
            assert np.linalg.norm(off @ product(found.refined[name], module)) < np.linalg.norm(
                off @ product(own, module)
            )


def test_mixed_ranks_are_averaged_exactly():
    federation = Federation()
    replies = [Reply(f"c{k}", federation.adapter(rank=(4, 6, 8)[k % 3])) for k in range(16)]
    found = aggregate_round(replies)
    kept = [reply for reply in replies if reply.name not in found.excluded]
    for module in MODULES:
        mean = np.mean([product(reply.adapter, module) for reply in kept], axis=0)
        np.testing.assert_allclose(product(found.aggregate, module), mean, atol=1e-5)


def test_two_clients_of_one_name_and_a_foreign_start_are_refused():
    replies = replies_of(Federation())
    with pytest.raises(ValueError, match="one name"):
        aggregate_round([replies[0], replies[0]])
    with pytest.raises(ValueError, match="previous"):
        aggregate_round(replies, previous=Adapter({}, config()))


def test_clients_may_start_from_adapters_of_their_own():
    federation = Federation()
    own = {f"c{k}": federation.adapter(change=lambda block, _: 5.0 * stranger(block, "own")) for k in range(16)}
    replies = [Reply(name, federation.adapter(start)) for name, start in own.items()]
    assert not aggregate_round(replies, previous=own, rank=RANK).excluded
    replies[5] = Reply("c5", federation.adapter(own["c5"], change=stranger))
    assert aggregate_round(replies, previous=own, rank=RANK).excluded == {"c5"}
    del own["c7"]
    with pytest.raises(ValueError, match="previous: nothing for c7"):
        aggregate_round(replies, previous=own)


def test_a_client_that_did_not_answer_stands_in_the_report():
    found = aggregate_round(replies_of(Federation()), absent={"c99": "no answer"})
    row = next(row for row in found.report.rows if row.name == "c99")
    assert (row.verdict, row.reason) == ("quarantined", "no answer")


def test_evidence_is_saved_whole_and_read_back(tmp_path):
    evidence = ClientEvidence().after({"a": 1.0, "b": np.nan}).after({"a": 100.0, "b": -1.0})
    assert evidence.sums == {"a": 9.0, "b": -1.0}
    evidence.save(tmp_path / "e.json")
    assert ClientEvidence.load(tmp_path / "e.json") == evidence
    assert ClientEvidence.load(tmp_path / "none.json") == ClientEvidence()
    (tmp_path / "e.json").write_text('{"format": 1, "rounds": 1, "sums": {"a": 1.0}, "counts": {}}')
    with pytest.raises(ValueError, match="move it away"):
        ClientEvidence.load(tmp_path / "e.json")


def rounds_of(bad_shift, n_rounds, seed, persistent=0.0, n_clients=16):
    """ClientEvidence after scores that are normal, with a persistent honest difference, and one client shifted."""
    rng = np.random.default_rng(seed)
    own = persistent * rng.normal(size=n_clients)
    evidence, flagged = ClientEvidence(), set()
    for _ in range(n_rounds):
        scores = rng.normal(size=n_clients) + own
        scores[0] += bad_shift
        evidence = evidence.after({f"c{k}": float(s) for k, s in enumerate(scores)})
        flagged |= evidence.flagged(0.05)
    return flagged


def test_a_client_that_hides_in_single_rounds_shows_over_ten():
    assert sum("c0" in rounds_of(3.0, 10, seed) for seed in range(20)) >= 18


@pytest.mark.parametrize("persistent", [0.0, 1.0])
def test_honest_clients_keep_the_level_over_rounds(persistent):
    alarms = sum(bool(rounds_of(0.0, 10, 500 + seed, persistent)) for seed in range(120))
    assert alarms <= 14  # 0.05 × 120 plus 3.4 binomial standard deviations


def test_evidence_excludes_a_client_from_the_average():
    federation = Federation()
    evidence = ClientEvidence(
        9,
        {f"c{k}": (40.0 if k == 3 else 0.1 * (k % 5)) for k in range(16)},
        dict.fromkeys((f"c{k}" for k in range(16)), 9),
    )
    found = aggregate_round(replies_of(federation), evidence=evidence)
    assert "c3" in found.excluded
    assert "over 10 rounds" in next(row.reason for row in found.report.rows if row.name == "c3")


def test_no_step_reaches_further_than_twice_the_median_one():
    weights, sizes = np.full(5, 0.2), np.array([1.0, 1.2, 0.8, 1.9, 50.0])
    shares = bounded_shares(weights, sizes)
    np.testing.assert_array_equal(shares[:4], 1.0)
    assert shares[4] * sizes[4] == pytest.approx(2.0 * 1.2)
    np.testing.assert_array_equal(bounded_shares(weights, np.zeros(5)), 1.0)


def test_a_step_inside_the_subspace_cannot_undo_the_others():
    """Times −5 is heterogeneity by definition where the errors are small; the average then keeps the others' step."""
    federation = Federation(noise=0.02)
    start = aggregate_round(replies_of(federation), rank=RANK).aggregate
    steady = {m: np.ones((2, q)) for m, (_, q) in MODULES.items()}

    def reply(k):
        change = lambda block, m: (-5.0 if k == 5 else 1.0) * (federation.spans[m] @ steady[m] + 0.01 * block)  # noqa: E731
        return Reply(f"c{k}", federation.adapter(start, change=change), 1e9 if k == 5 else 100.0)

    replies = [reply(k) for k in range(16)]
    found = aggregate_round(replies, previous=start)
    for module, span in federation.spans.items():
        moved = span.T @ (product(found.aggregate, module) - product(start, module))
        alone = np.mean(
            [span.T @ (product(r.adapter, module) - product(start, module)) for r in replies if r.name != "c5"], axis=0
        )
        cosine = np.sum(moved * alone) / np.linalg.norm(moved) / np.linalg.norm(alone)
        assert cosine > 0.95
        assert np.linalg.norm(moved) > 0.5 * np.linalg.norm(alone)
    row = next(row for row in found.report.rows if row.name == "c5")
    assert row.verdict == "flagged" or "enters the average" in row.reason


def test_who_states_a_billion_examples_is_named_and_not_called_contaminated(tmp_path):
    federation = Federation()
    replies = [Reply(f"c{k}", federation.adapter(), 1e9 if k == 5 else 100.0) for k in range(16)]
    found = aggregate_round(replies)
    rows = {row.name: row for row in found.report.rows}
    assert rows["c5"].verdict == "capped"
    assert "states 1e+09 examples, 1e+07 times the median: counts for 3" in rows["c5"].reason
    assert "enters the average" in rows["c5"].reason
    assert rows["c5"].influence == pytest.approx(2.0)
    assert {row.verdict for name, row in rows.items() if name != "c5"} == {"benign"}
    assert "influence capped: c5" in found.report.explanation
    assert not found.excluded
    RoundFolder(tmp_path).write(1, found)
    assert '<td class="capped">capped</td>' in (tmp_path / "round-1" / "report.html").read_text()


def test_who_is_bounded_is_named_and_nobody_else():
    found = influence_of([100, 190, 310, 100, 100, np.nan, -1], np.array([1, 1, 0.5, 1, 2.5, 1, 1]), cap=3.0)
    assert [told.split(" ", 1)[0] for told in found.reasons] == ["", "", "states", "", "its", "", ""]
    np.testing.assert_allclose(found.moved, [1, 1.9, 1.5, 1, 2, 1, 1])


def test_a_stranger_that_hides_in_every_round_is_found_over_eight_and_restarts_lose_nothing(tmp_path):
    federation, found = Federation(seed=6), []
    for number in range(1, 9):
        replies = []
        for k in range(16):
            change = {"change": weak_stranger} if k == 3 else {}
            replies.append(Reply(f"c{k:02d}", federation.adapter(key=(k, number), **change)))
        # The server is started anew before every round, and knows what its folder holds.
        result = aggregate_round(replies, evidence=RoundFolder(tmp_path).evidence())
        RoundFolder(tmp_path).write(number, result)
        found.append(result)
    assert [result.evidence.rounds for result in found] == list(range(1, 9))
    hidden = [row for result in found for row in result.report.rows if row.name == "c03"]
    assert all("rounds together" in row.reason for row in hidden if row.verdict == "flagged")  # by no round alone
    assert hidden[0].verdict == "benign"
    assert "rounds together" in hidden[-1].reason
    assert all(result.excluded <= {"c03"} for result in found)
    assert json.loads((tmp_path / "round-8" / "report.json").read_text())["verdict"] == "somebody flagged"
