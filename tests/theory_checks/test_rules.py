import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from theory_checks.judge.verdict import decide
from theory_checks.rules import power
from theory_checks.rules.decision import AlwaysRule, FrequencyRule
from theory_checks.rules.evidence import Evidence
from theory_checks.rules.limits import LimitRule
from theory_checks.rules.rates import SlopeRule


def rows(**columns):
    frame = pd.DataFrame(columns)
    frame["replication"] = range(len(frame))
    return frame


def test_always_is_refuted_by_one_counterexample_and_supported_by_enough_silence():
    rule = AlwaysRule(tolerated=0.05)
    one = rule.assess(rows(violation=[0.0] * 99 + [1.0]))
    assert (one.p_value, one.within) == (0.0, False)
    few = rule.assess(rows(violation=[0.0] * 20))
    assert (few.p_value, few.within) == (1.0, False)
    enough = rule.assess(rows(violation=[0.0] * 59))
    assert enough.within
    assert enough.high == pytest.approx(1 - 0.05 ** (1 / 59), rel=1e-9)
    assert power.always_supported_needed(0.05) == 59


def test_always_power_is_exact():
    for n in (10, 60, 1000):
        assert 1 - (1 - power.always_detectable(n)) ** n == pytest.approx(0.9)
    assert power.always_needed(0.1) == 22
    assert 1 - 0.9**22 >= 0.9 > 1 - 0.9**21


def test_frequency_critical_value_keeps_its_level_and_is_the_smallest():
    for n, target, level in ((100, 0.05, 0.05), (600, 0.05, 0.003), (40, 0.01, 0.01)):
        critical = power.frequency_critical(n, target, level)
        assert binom.sf(critical - 1, n, target) <= level < binom.sf(critical - 2, n, target)


@pytest.mark.parametrize(("n", "target"), [(200, 0.05), (1000, 0.05), (240, 0.01)])
def test_frequency_power_is_what_simulation_finds(n, target):
    rate = power.frequency_detectable(n, target, 0.01)
    critical = power.frequency_critical(n, target, 0.01)
    draws = np.random.default_rng(0).binomial(n, rate, 20_000)
    assert np.mean(draws >= critical) == pytest.approx(0.9, abs=0.01)


def test_replications_needed_reach_the_power_and_one_less_is_not_always_enough():
    needed = power.frequency_needed(0.1, 0.05, 0.01)
    assert power.frequency_detectable(needed, 0.05, 0.01) <= 0.1
    assert power.frequency_detectable(needed // 2, 0.05, 0.01) > 0.1


def test_frequency_rule_on_both_sides():
    rule = FrequencyRule("event", target=0.05, direction="at_most", margin=0.02)
    good = rule.assess(rows(event=[1.0] * 45 + [0.0] * 955))
    assert good.within
    assert good.p_value > 0.5
    bad = rule.assess(rows(event=[1.0] * 90 + [0.0] * 910))
    assert bad.p_value < 1e-6
    least = FrequencyRule("event", target=0.95, direction="at_least", margin=0.02)
    mirrored = least.assess(rows(event=[0.0] * 90 + [1.0] * 910))
    assert mirrored.p_value == pytest.approx(bad.p_value, rel=1e-6)


def slope_rows(slope, noise, seed=0, n=40):
    rng = np.random.default_rng(seed)
    x = np.repeat([1.0, 2.0, 4.0, 8.0], n)
    frame = pd.DataFrame({"x": x, "y": 3 * x**slope * np.exp(noise * rng.normal(size=x.size))})
    frame["replication"] = np.tile(np.arange(n), 4)
    return frame


RATE = SlopeRule("x", "y", target=1.0, margin=0.1, residual=0.2, spread=0.775, points=4)


def test_a_right_slope_is_supported_a_wrong_one_violated_and_a_vague_one_open():
    right = RATE.assess(slope_rows(1.0, 0.2))
    assert right.within
    assert right.p_value == 1.0
    wrong = RATE.assess(slope_rows(0.5, 0.2))
    assert not wrong.within
    assert wrong.p_value < 1e-9
    vague = RATE.assess(slope_rows(1.0, 3.0))
    assert not vague.within
    assert vague.p_value > 0.05


def test_slope_within_replications_removes_what_they_share():
    frame = slope_rows(1.0, 0.01)
    frame["y"] *= np.exp(5 * np.random.default_rng(1).normal(size=40))[frame["replication"]]
    pooled = RATE.assess(frame)
    import dataclasses

    within = dataclasses.replace(RATE, within_replication=True).assess(frame)
    assert not pooled.within
    assert within.within
    assert within.n == 40


def test_slope_power_is_what_simulation_finds():
    level, error, freedom = 0.01, 0.03, 38
    distance = power.slope_detectable(error, freedom, 0.1, level)
    rng = np.random.default_rng(0)
    scale = error * np.sqrt(rng.chisquare(freedom, 40_000) / freedom)
    estimate = distance + error * rng.normal(size=40_000)
    from scipy.stats import t

    rejected = (estimate - 0.1) / scale > t.ppf(1 - level, freedom)
    assert rejected.mean() == pytest.approx(0.9, abs=0.01)


def test_false_alarms_of_the_slope_rule_at_the_edge_of_its_margin_keep_the_level():
    rejected = sum(RATE.assess(slope_rows(1.1, 0.3, seed)).p_value <= 0.05 for seed in range(300))
    assert rejected <= binom.isf(0.001, 300, 0.05)


def limit_rows(rates, n=200, seed=0):
    rng = np.random.default_rng(seed)
    x = np.repeat(2.0 ** np.arange(len(rates)), n)
    return pd.DataFrame({"x": x, "event": (rng.random(x.size) < np.repeat(rates, n)).astype(float)})


def test_limit_rule_wants_a_rise_and_a_high_end():
    rule = LimitRule("event", "x", target=0.95)
    good = rule.assess(limit_rows([0.1, 0.5, 0.9, 1.0]))
    assert good.within
    assert good.extra["slope"] > 1
    low = rule.assess(limit_rows([0.1, 0.2, 0.3, 0.4]))
    assert low.p_value < 1e-6
    flat = rule.assess(limit_rows([1.0, 1.0, 1.0, 1.0]))
    assert not flat.within
    assert flat.p_value == 1.0


def evidence(p_value, within=True, failed=0):
    return Evidence(10, 0.0, 0.0, 0.0, 0.0, p_value, within, "", failed=failed)


def test_holm_over_the_family_decides():
    states = decide([evidence(0.02), evidence(0.03), evidence(1.0)])
    assert [state for state, _ in states] == ["supported"] * 3
    states = decide([evidence(0.001), evidence(0.03), evidence(1.0, within=False), evidence(1.0, failed=1)])
    assert [state for state, _ in states] == ["violated", "supported", "inconclusive", "inconclusive"]
    assert states[0][1] == pytest.approx(0.004)
    assert decide([]) == []


def test_bad_power_questions_are_refused():
    for call in (
        lambda: power.always_needed(0.0),
        lambda: power.always_supported_needed(1.5),
        lambda: power.frequency_needed(0.01, 0.05, 0.05),
        lambda: power.slope_needed(0.05, residual=0.1, spread=1.0, points=4, margin=0.1, level=0.05),
    ):
        with pytest.raises(ValueError, match=r"\w+: .+;|inside the margin"):
            call()
    needed = power.slope_needed(0.2, residual=0.3, spread=0.8, points=4, margin=0.1, level=0.01)
    found = power.slope_detectable(0.3 / (0.8 * math.sqrt(4 * needed)), 4 * needed - 2, 0.1, 0.01)
    assert found <= 0.2


def test_strata_are_judged_one_by_one():
    """A gain in one stratum does not pay for a loss in another, and a stratum that is missing supports nothing."""
    from theory_checks.rules.means import MeanRule
    from theory_checks.rules.strata import EveryMeanRule

    rule = EveryMeanRule(MeanRule("excess", low=None, high=0.01, spread=0.1), "distance", 2)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"distance": np.repeat([0.0, 3.0], 50), "excess": 0.01 * rng.standard_normal(100)})
    frame.loc[:49, "excess"] -= 0.5
    held = rule.assess(frame)
    assert held.within
    assert held.n == 100
    assert held.estimate == pytest.approx(frame.loc[50:, "excess"].mean())
    assert not rule.assess(frame.iloc[:50]).within
    lost = frame.copy()
    lost.loc[50:, "excess"] += 0.03
    assert lost["excess"].mean() < 0
    found = rule.assess(lost)
    alone = rule.within.assess(lost.iloc[50:])
    assert (found.within, found.p_value) == (False, pytest.approx(2 * alone.p_value))
    assert found.p_value < 1e-6
    lost.loc[99, "excess"] = np.nan
    assert rule.assess(lost).undefined == 1
    assert rule.replications_needed(0.05, 0.01) == 2 * rule.within.replications_needed(0.05, 0.005)
