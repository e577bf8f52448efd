"""Groups that stand out together are told by the gap below them, at the stated level."""

import numpy as np
import pytest

from clair_stats.detection.joint.summed_law import accept_outward
from clair_stats.detection.joint.walk_laws import Critical, critical_values, widest_gap

LEVEL = 0.05


def naive_gap(scores):
    """Largest gap over the deviation below it, with the gap's place, among places with a majority below, two above."""
    ordered = sorted(scores)
    return [
        (ordered[n] - ordered[n - 1]) / np.std(ordered[:n], ddof=1)
        for n in range(len(ordered) // 2 + 1, len(ordered) - 1)
    ]


def test_the_least_likely_gap_is_that_of_a_direct_count():
    generator = np.random.default_rng(80)
    reference = np.array([naive_gap(sample) for sample in generator.standard_normal((2000, 12))])
    for seed in range(5):
        scores = np.random.default_rng(seed).standard_normal(12)
        shares = (reference >= naive_gap(scores)).mean(axis=0)
        found = widest_gap(scores)
        place = found.below - 7
        # 2,000 samples here and 20,000 there: four standard errors of a share, and the least of them within that.
        assert shares[place] <= shares.min() + 4 * np.sqrt(0.25 / 2000)
        least = (reference[:, None] <= reference[None]).mean(axis=1).min(axis=1)
        assert found.p_value == pytest.approx((least <= shares.min()).mean(), abs=4 * np.sqrt(0.25 / 2000))


@pytest.mark.parametrize("n_clients", [6, 12, 30])
def test_gap_p_values_are_uniform_on_normal_scores(n_clients):
    generator = np.random.default_rng([81, n_clients])
    values = np.array([widest_gap(scores).p_value for scores in 3.0 * generator.standard_normal((1000, n_clients)) + 7])
    for share in (0.05, 0.2, 0.5):
        assert abs((values <= share).mean() - share) <= 3 * np.sqrt(share * (1 - share) / 1000) + 0.002


@pytest.mark.parametrize("n_clients", [8, 20])
def test_both_statistics_share_the_level(n_clients):
    critical = critical_values(n_clients, LEVEL)
    assert 0 < critical.group < LEVEL
    generator = np.random.default_rng([82, n_clients])
    walks = [accept_outward(scores, scores, LEVEL) for scores in generator.standard_normal((400, n_clients))]
    alarms = np.mean([walk.torn or not walk.accepted.all() for walk in walks])
    assert abs(alarms - LEVEL) <= 3 * np.sqrt(LEVEL * (1 - LEVEL) / 400)
    groups = np.mean([walk.group.any() for walk in walks])
    assert groups == pytest.approx(critical.group, abs=3 * np.sqrt(critical.group / 400))


def found_of(runs, critical=None, monkeypatch=None):
    """How often the six of twenty clients that lie five deviations above the others are told exactly."""
    if critical is not None:
        monkeypatch.setattr("clair_stats.detection.joint.summed_law.critical_values", lambda n_clients, level: critical)
    generator, exact = np.random.default_rng(83), 0
    for _ in range(runs):
        scores = generator.standard_normal(20)
        scores[:6] = 5.0 + 0.4 * scores[:6]
        exact += np.array_equal(accept_outward(scores, scores, 0.01).accepted, np.arange(20) >= 6)
    return exact / runs


def test_a_group_that_hides_itself_from_the_walk_is_found_by_its_gap(monkeypatch):
    both = found_of(100)
    alone = found_of(100, Critical(2 * critical_values(20, 0.01).single, 0.0), monkeypatch)
    assert both >= 0.9
    assert alone <= both - 0.1  # though single clients have the whole level here


def test_a_single_client_and_the_next_to_a_majority_are_no_group():
    scores = np.random.default_rng(84).standard_normal(12)
    one = scores.copy()
    one[3] = 1e3
    assert not accept_outward(one, one, LEVEL).group.any()
    assert not accept_outward(one, one, LEVEL).accepted[3]
    half = np.where(np.arange(12) < 6, scores + 1e3, scores)  # six and six: no majority below the gap
    walk = accept_outward(half, half, LEVEL)
    assert walk.torn
    assert not walk.group.any()


def test_scores_that_agree_exactly_and_many_clients_are_answered():
    equal = np.zeros(12)
    assert widest_gap(equal).p_value == 1.0
    assert accept_outward(equal, equal, LEVEL).accepted.all()
    two = np.where(np.arange(12) < 3, 1.0, 0.0)
    np.testing.assert_array_equal(accept_outward(two, two, LEVEL).accepted, two == 0)
    assert critical_values(100, LEVEL) == Critical(LEVEL, 0.0)
    assert widest_gap(np.arange(100.0)).p_value == 1.0
    assert critical_values(4, LEVEL).group == 0.0
