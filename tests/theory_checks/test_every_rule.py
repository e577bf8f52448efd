"""What holds for every rule in use: what is undefined never supports, and an instance counts once."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from theory_checks.judge.rows import assess_setting
from theory_checks.registry import families, find_claims
from theory_checks.rules.decision import AlwaysRule, FrequencyRule
from theory_checks.rules.limits import LimitRule
from theory_checks.rules.means import MeanRule
from theory_checks.rules.rates import SlopeRule
from theory_checks.rules.strata import EveryMeanRule

RULES = {
    repr(rule): rule
    for claims in families().values()
    for claim in claims
    for rule in (claim.rule, claim.sabotage.rule)
    if rule is not None
}


def always(rule):
    return "violation", pd.DataFrame({rule.violation: np.zeros(400), **{name: np.ones(400) for name in rule.report}})


def frequency(rule):
    return "event", pd.DataFrame({rule.event: np.full(400, float(rule.direction == "at_least"))})


def limit(rule):
    x = np.repeat([1.0, 2.0, 4.0, 8.0], 100)
    event = np.concatenate([np.arange(100) < 100 * share for share in (0.1, 0.5, 0.9, 1.0)]).astype(float)
    return "event", pd.DataFrame({rule.abscissa: x, rule.event: event})


def mean(rule):
    low, high = rule.low, rule.high
    middle = low + rule.spread if high is None else high - rule.spread if low is None else (low + high) / 2
    values = middle + 1e-6 * np.random.default_rng(0).standard_normal(400)
    columns = {rule.where: np.ones(400)} if rule.where else {}
    return "column", pd.DataFrame({rule.column: values, **columns})


def every_mean(rule):
    parts = [mean(rule.within)[1].assign(**{rule.stratum: float(value)}) for value in range(rule.n_strata)]
    return "within.column", pd.concat(parts, ignore_index=True)


def slope(rule):
    x = np.repeat([1.0, 2.0, 4.0, 8.0], 100)
    scatter = np.exp(1e-3 * np.random.default_rng(0).standard_normal(400))
    frame = pd.DataFrame({rule.abscissa: x, rule.ordinate: scatter * x**rule.target})
    return "ordinate", frame.assign(replication=np.tile(np.arange(100), 4))


SUPPORTING = {
    AlwaysRule: always,
    FrequencyRule: frequency,
    LimitRule: limit,
    MeanRule: mean,
    EveryMeanRule: every_mean,
    SlopeRule: slope,
}


def judged_column(rule, field):
    for part in field.split("."):
        rule = getattr(rule, part)
    return rule


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_rows_that_support_do_not_when_some_are_undefined(rule):
    field, rows = SUPPORTING[type(rule)](rule)
    rows["replication"] = rows.get("replication", pd.Series(range(len(rows))))
    good = rule.assess(rows)
    assert good.within
    assert good.undefined == 0
    assert good.support_p_value <= 0.05
    column = judged_column(rule, field)
    for count in (1, int(0.95 * len(rows)), len(rows)):
        gone = rows.copy()
        gone.loc[gone.index[:count], column] = np.nan
        found = rule.assess(gone)
        assert not found.within
        assert found.undefined == count
        assert found.support_p_value == 1.0
        assert found.n < good.n or type(rule) in (LimitRule, SlopeRule, EveryMeanRule)
    missing = rule.assess(rows.drop(columns=column))
    assert not missing.within
    assert missing.p_value == 1.0


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_the_words_of_a_rule_are_there(rule):
    assert rule.claimed
    assert rule.accepted
    assert rule.describe(100)
    assert rule.smallest_violation(100, 0.01)
    assert rule.by_chance is not isinstance(rule, AlwaysRule)
    assert 0 < rule.pooled(10, 3) <= 30
    for size in rule.examples():
        assert rule.replications_needed(size, 0.01) > 0


def test_a_zero_has_no_logarithm_and_does_not_vanish_from_a_rate():
    rule = SlopeRule("x", "y", target=1.0, margin=0.1, residual=0.1, spread=0.775, points=4)
    rows = slope(rule)[1]
    rows.loc[rows.index[::2], "y"] = 0.0
    found = rule.assess(rows)
    assert (found.within, found.undefined) == (False, 200)


def test_rows_of_one_instance_count_once():
    rows = pd.DataFrame({"violation": np.zeros(120), "event": np.zeros(120), "instance": np.repeat(np.arange(40), 3)})
    always_once = AlwaysRule().assess(rows)
    assert (always_once.n, always_once.within) == (40, False)
    assert AlwaysRule().assess(rows.drop(columns="instance")).within
    rows.loc[[0, 1, 3], "event"] = 1.0
    at_most = FrequencyRule("event", 0.05, "at_most", 0.05).assess(rows)
    assert (at_most.n, at_most.estimate) == (40, 2 / 40)
    at_least = FrequencyRule("event", 0.05, "at_least", 0.01).assess(rows)
    assert (at_least.n, at_least.estimate) == (40, 0.0)  # no instance has the event in all of its rows


def test_methods_on_one_instance_are_one_instance():
    (claim,) = find_claims(["solver-optimality"])
    rows = pd.DataFrame(
        [
            {"cell": cell.hash, "replication": k, "status": "ok", "violation": 0.0}
            | dict.fromkeys(claim.rule.report, 0.0)
            for cell in claim.cells
            for k in range(8)
        ]
    )
    found = assess_setting(claim, claim.judged[0], rows)
    assert found.n == 8 * len({cell.regime_hash for cell in claim.cells}) < len(rows)


def test_a_gap_that_is_no_number_is_not_solved():
    (claim,) = find_claims(["penalty-window"])
    cell = claim.cells[0]
    base = {"cell": cell.hash, "status": "ok", "violation": 0.0, "excess": 0.0}
    gaps = [1e-9] * 98 + [np.nan, 1e-3]
    rows = pd.DataFrame([{**base, "replication": k, "relative_gap": gap} for k, gap in enumerate(gaps)])
    found = assess_setting(claim, claim.judged[0], rows)
    assert (found.n, found.unsolved) == (98, 2)


def test_efforts_share_no_stream():
    for name in ("exact-recovery-plain", "detection-level"):
        (claim,) = find_claims([name])
        studies = [claim.study(effort) for effort in ("quick", "standard", "full")]
        assert len({study.root_seed for study in studies}) == len({study.name for study in studies}) == 3
    (claim,) = find_claims(["level"], "regime_linear")
    studies = [claim.study(effort) for effort in ("quick", "standard", "full")]
    assert len({study.root_seed for study in studies}) == len({study.name for study in studies}) == 3
    assert claim.study("quick", root_seed=5).root_seed != claim.study("standard", root_seed=5).root_seed == 5
    assert dataclasses.replace(claim).study("standard") == claim.study("standard")
