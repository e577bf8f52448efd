import numpy as np
import pandas as pd
import pytest

from theory_checks.rules.means import MeanRule


def rows(values, column="coverage"):
    return pd.DataFrame({column: values})


@pytest.mark.parametrize(
    ("low", "high", "centre", "within", "rejected"),
    [
        (0.93, 0.97, 0.95, True, False),
        (0.93, 0.97, 0.80, False, True),
        (0.93, 0.97, 0.97, False, False),  # on the edge neither side can be shown
        (0.0, None, 0.5, True, False),
        (0.0, None, -0.5, False, True),
        (None, 1.25, 1.0, True, False),
        (None, 1.25, 3.0, False, True),
    ],
)
def test_mean_rule_supports_inside_rejects_outside_and_leaves_the_edge_open(low, high, centre, within, rejected):
    noise = np.random.default_rng(0).standard_normal(100)
    noise = 0.02 * (noise - noise.mean())
    evidence = MeanRule("coverage", low, high, spread=0.02).assess(rows(centre + noise))
    assert evidence.within is within
    assert (evidence.p_value < 1e-6) is rejected
    assert evidence.estimate == pytest.approx(centre)
    assert evidence.low < centre < evidence.high


@pytest.mark.parametrize("runs", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mean_rule_keeps_its_level_at_the_edge(runs):
    generator = np.random.default_rng(1)
    rule = MeanRule("coverage", 0.0, 1.0, spread=1.0)
    few = runs // 2
    rejections = np.mean([rule.assess(rows(generator.standard_normal(20))).p_value <= 0.05 for _ in range(few)])
    supports = np.mean([rule.assess(rows(0.2 * generator.standard_normal(20))).within for _ in range(runs)])
    # Three binomial errors; of the two-sided p-value one side is possible.
    assert rejections < 0.025 + 3 * np.sqrt(0.025 * 0.975 / few)
    assert supports == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / runs))


def test_undefined_values_are_counted_and_too_few_decide_nothing():
    rule = MeanRule("gain", 0.0, None, spread=1.0)
    evidence = rule.assess(rows([1.0, np.nan, 1.1, 0.9, np.nan], "gain"))
    assert evidence.undefined == 2
    assert evidence.n == 3
    few = rule.assess(rows([np.nan, -9.0], "gain"))
    assert not few.within
    assert few.p_value == 1.0
    assert rule.assess(rows([1.0], "other")).n == 0


def test_mean_rule_needs_an_end_in_order():
    with pytest.raises(ValueError, match="end"):
        MeanRule("coverage", None, None, spread=1.0)
    with pytest.raises(ValueError, match="below"):
        MeanRule("coverage", 2.0, 1.0, spread=1.0)
