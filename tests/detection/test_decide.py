"""The detector as a whole: rank, set, no verdict, level, invariances, given noise that is too small."""

import numpy as np
import pytest
from scipy import stats

from clair_stats import CLAIR
from clair_stats.detection.decide import decide
from clair_stats.detection.panel import make_panel
from clair_stats.detection.step_2_candidates import Candidate
from clair_stats.laws import per_client_level
from clair_stats.linalg import block_norms
from tests.detection.instances import benign_stack, contaminate_some


def _search(blocks, **fields):
    return decide(make_panel(blocks), rank=fields.pop("rank", None), level=0.01, **fields)


@pytest.mark.parametrize("rank", [0, 1, 2, 5])
def test_rank_and_set_are_found(rank):
    rng = np.random.default_rng(10 + rank)
    blocks, *_ = benign_stack(rng, rank=rank, p=20)
    blocks, benign = contaminate_some(rng, blocks, 12)
    found = _search(blocks)
    assert found.majority
    assert found.fit.basis.shape == (20, rank)
    np.testing.assert_array_equal(found.collaborative_set, benign)
    assert found.evidence[-1].accepted
    assert [e.accepted for e in found.evidence[:-1]] == [False] * (len(found.evidence) - 1)


def _coordinated(rng, count, *, identical=False, n_clients=30, noise=0.1):
    blocks, _, basis, centre = benign_stack(rng, n_clients=n_clients, p=20, noise=noise)
    other = np.linalg.qr(np.concatenate([basis, rng.standard_normal((20, 2))], axis=1))[0][:, 2:]
    rows = rng.standard_normal((1 if identical else count, 2, 8))
    bad = centre + other @ rows + noise * rng.standard_normal((count, 20, 8))
    return np.concatenate([np.broadcast_to(bad, (count, 20, 8)), blocks[count:]]), np.arange(n_clients) >= count


@pytest.mark.parametrize("identical", [False, True])
@pytest.mark.parametrize("count", [4, 9, 13])
def test_a_coordinated_minority_is_not_given_its_own_dimensions(identical, count):
    blocks, benign = _coordinated(np.random.default_rng(20 + count), count, identical=identical)
    found = _search(blocks)
    assert found.fit.basis.shape[1] == 2
    np.testing.assert_array_equal(found.collaborative_set, benign)


def test_two_equal_camps_are_no_majority():
    blocks, _ = _coordinated(np.random.default_rng(30), 6, n_clients=12)
    found = _search(blocks)
    assert not found.majority
    assert not found.flagged.any()
    assert "agree at rank 4" in found.reason
    assert "rank=4" in found.remedy


def test_scattered_clients_are_no_majority():
    rng = np.random.default_rng(31)
    found = _search(rng.standard_normal((12, 20, 8)) * rng.uniform(1, 30, 12)[:, None, None])
    assert not found.majority
    assert not any(e.accepted for e in found.evidence)


def test_the_second_look_finds_clients_below_the_first_threshold():
    """Coordinated clients too weak for the χ² test of their whole residual, but all in one direction."""
    rng = np.random.default_rng(32)
    blocks, _, basis, _ = benign_stack(rng, p=40, q=10, noise=0.5, n_clients=40)
    direction = np.linalg.qr(np.concatenate([basis, rng.standard_normal((40, 1))], axis=1))[0][:, 2:]
    rows = rng.standard_normal((14, 1, 10))
    blocks[:14] += direction @ (5.0 * rows / np.linalg.norm(rows, axis=2, keepdims=True))
    found = _search(blocks)
    benign = np.arange(40) >= 14
    np.testing.assert_array_equal(found.collaborative_set, benign)
    first = found.calibrated.statistics[:14] / found.calibrated.noise**2
    limit = stats.chi2.isf(per_client_level(0.01, 40), 38 * 10)
    assert (first < limit).sum() >= 5  # these the first test would have missed


def test_exact_data_give_the_exact_answer_and_repeat():
    rng = np.random.default_rng(33)
    blocks, _, basis, _ = benign_stack(rng, noise=0.0)
    blocks, benign = contaminate_some(rng, blocks, 12, size=1e-3)
    first, second = _search(blocks), _search(blocks)
    np.testing.assert_array_equal(first.collaborative_set, benign)
    assert np.linalg.norm(basis - first.fit.basis @ (first.fit.basis.T @ basis), 2) < 1e-9
    np.testing.assert_array_equal(first.fit.basis, second.fit.basis)


def test_the_answer_does_not_depend_on_scale_or_order():
    rng = np.random.default_rng(34)
    blocks, *_ = benign_stack(rng)
    blocks, _ = contaminate_some(rng, blocks, 11, size=0.4)
    found = _search(blocks)
    for factor in (1e-9, 1e9):
        np.testing.assert_array_equal(_search(factor * blocks).collaborative_set, found.collaborative_set)
    order = rng.permutation(30)
    np.testing.assert_array_equal(_search(blocks[order]).collaborative_set, found.collaborative_set[order])


def test_family_wise_level_without_contamination():
    """60 runs at level 0.05: more than 9 with a false alarm has probability 0.0008 under the level."""
    rng = np.random.default_rng(35)
    alarms = 0
    for _ in range(60):
        blocks, *_ = benign_stack(rng, n_clients=12, p=8, q=5)
        found = decide(make_panel(blocks), rank=None, level=0.05)
        alarms += not found.collaborative_set.all()
    assert alarms <= 9


def _tall(seed, *, bad=9, noise=0.2, rank=2):
    rng = np.random.default_rng(seed)
    blocks, *_ = benign_stack(rng, n_clients=30, p=20, q=6, rank=rank, noise=noise)
    return contaminate_some(rng, blocks, bad)


def test_order_and_rotations_do_not_matter():
    for seed in range(4):
        blocks, _ = _tall([40, seed])
        rng = np.random.default_rng([41, seed])
        found = decide(make_panel(blocks), rank=None, level=0.05)
        order = rng.permutation(30)
        left, right = (np.linalg.qr(rng.standard_normal((n, n)))[0] for n in (20, 6))
        turned = decide(make_panel(left @ blocks[order] @ right), rank=None, level=0.05)
        np.testing.assert_array_equal(turned.collaborative_set, found.collaborative_set[order])
        np.testing.assert_allclose(turned.calibrated.p_values, found.calibrated.p_values[order], rtol=1e-5)


@pytest.mark.parametrize("told", [0.2 / 1.5, 0.2 / 4])
def test_a_scale_given_too_small_is_learnt_and_said(told):
    blocks, benign = _tall(42)
    found = decide(make_panel(blocks, noise_scales=np.full(30, told)), rank=None, level=0.05)
    np.testing.assert_array_equal(found.collaborative_set, benign)
    assert found.law == "F of white errors"
    assert found.excess == pytest.approx(0.2 / told, rel=0.05)
    assert "given noise" in found.why


def test_a_right_scale_is_used():
    blocks, benign = _tall(43)
    found = decide(make_panel(blocks, noise_scales=np.full(30, 0.2)), rank=None, level=0.05)
    np.testing.assert_array_equal(found.collaborative_set, benign)
    assert found.law == "given"
    assert found.excess == 1.0


def test_candidates_of_another_source_decide_and_are_named():
    blocks, benign = _tall(44)
    asked = []

    def told(panel):
        asked.append(panel)
        yield (Candidate(~benign, 1, "wrong"),)
        yield (Candidate(benign, 2, "oracle"),)

    found = decide(make_panel(blocks), rank=None, level=0.05, propose=told)
    assert asked
    assert found.source == "oracle"
    np.testing.assert_array_equal(found.collaborative_set, benign)
    nothing = decide(make_panel(blocks), rank=None, level=0.05, propose=lambda _: iter(()))
    assert not nothing.accepted


@pytest.mark.parametrize("factor", [1e78, 1e100, 1e150])
def test_one_huge_client_is_flagged_alone(factor):
    blocks, _ = _tall(45, bad=0)
    blocks[3] *= factor
    found = decide(make_panel(blocks), rank=None, level=0.05)
    np.testing.assert_array_equal(found.flagged, np.arange(30) == 3)
    assert 0.3 < found.calibrated.scores[3] / block_norms(blocks)[3] <= 1.0


@pytest.mark.parametrize("factor", [1e-160, 1e-9, 1e160])
def test_uniform_scale_changes_nothing_but_the_scores(factor):
    blocks, benign = _tall(46)
    plain, scaled = (decide(make_panel(f * blocks), rank=None, level=0.05) for f in (1.0, factor))
    np.testing.assert_array_equal(scaled.collaborative_set, benign)
    np.testing.assert_allclose(scaled.calibrated.scores / factor, plain.calibrated.scores, rtol=1e-9)
    np.testing.assert_allclose(scaled.calibrated.thresholds / factor, plain.calibrated.thresholds, rtol=1e-9)


@pytest.mark.parametrize("heterogeneity", [1e-9, 1e-6, 0.1])
def test_a_tolerance_far_above_the_noise_is_answered(heterogeneity):
    rng = np.random.default_rng(47)
    blocks, *_ = benign_stack(rng, n_clients=12, noise=0.0)
    blocks, benign = contaminate_some(rng, blocks, 3)
    model = CLAIR(heterogeneity=heterogeneity).fit(blocks)
    assert not np.isnan(model.p_values_).any()
    np.testing.assert_array_equal(model.collaborative_set_, benign)


def test_no_verdict_flags_nobody_and_says_what_would_decide():
    rng = np.random.default_rng(48)
    blocks = rng.standard_normal((10, 15, 8)) * rng.uniform(1, 50, 10)[:, None, None]
    with pytest.warns(UserWarning, match="To decide it"):
        model = CLAIR().fit(blocks)
    assert not model.flagged_.any()
    assert not model.collaborative_set_.any()
    assert all(reason.startswith("undecided") for reason in model.reasons_)
    assert "what would decide it" in model.summary()


def test_low_rank_errors_of_64_by_64_raise_nothing():
    rng = np.random.default_rng(49)
    basis = np.linalg.qr(rng.standard_normal((64, 2)))[0]
    blocks = basis @ rng.standard_normal((12, 2, 64))
    blocks += 0.1 * rng.standard_normal((12, 64, 8)) @ rng.standard_normal((12, 8, 64))
    blocks[:3] += rng.standard_normal((3, 64, 64))
    found = decide(make_panel(blocks), rank=None, level=0.05)
    np.testing.assert_array_equal(found.collaborative_set, np.arange(12) >= 3)
