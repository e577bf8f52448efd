from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm
from scipy.stats import t as student

from simulations.design import Study, crossed
from simulations.engine.executor import run_study
from simulations.engine.sequential import PrecisionRule, repeated_critical_value, run_until
from simulations.measure import Estimate
from simulations.measures.summaries import Mean, Proportion
from tests.engine.toys import Normal, SampleMean, small


@dataclass(frozen=True)
class Never:
    """Never succeeds."""

    name: ClassVar[str] = "never"

    def evaluate(self, instance: Any, generator: np.random.Generator) -> Mapping[str, float]:
        return {"success": 0.0}


def test_critical_values_are_pocock_s() -> None:
    # Pocock (1977), Table 1, two-sided 0.05; Jennison and Turnbull (2000), Table 2.1.
    for n_looks, value in ((1, 1.960), (2, 2.178), (3, 2.289), (5, 2.413), (10, 2.555)):
        assert repeated_critical_value(tuple(range(1, n_looks + 1)), 0.95) == pytest.approx(value, abs=6e-4)
    assert repeated_critical_value((1, 2, 3, 4, 5), 0.99) == pytest.approx(2.986, abs=6e-4)


def test_critical_value_for_unequal_looks_against_the_normal_integral() -> None:
    looks = (100, 130, 400)
    c = repeated_critical_value(looks, 0.95)
    correlation = [[math.sqrt(min(a, b) / max(a, b)) for b in looks] for a in looks]
    inside = multivariate_normal(np.zeros(3), correlation, seed=1).cdf([c] * 3, lower_limit=[-c] * 3)
    assert inside == pytest.approx(0.95, abs=1e-4)


def test_the_rule_stops_at_the_first_look_that_is_precise(tmp_path: Path) -> None:
    study = small()
    rule = PrecisionRule({Mean("estimate"): 0.03}, budget=2_000, first=50, growth=1.5)
    looked: list[int] = []
    result = run_until(study, tmp_path / "a.sqlite", rule, backend="sequential", on_look=lambda n, _: looked.append(n))
    assert result.reached
    assert tuple(looked) == rule.looks[: len(looked)]
    assert result.study.replications == looked[-1]
    # The sample mean of 5 has standard deviation 0.447, the trimmed one about 0.48: 0.03 needs about 222 to 256.
    assert 160 <= result.study.replications <= 400
    assert all(m.precision <= 0.03 for m in result.monitored)
    assert len(result.monitored) == 4


def test_the_stopping_look_does_not_depend_on_what_else_is_in_the_store(tmp_path: Path) -> None:
    study, rule = small(), PrecisionRule({Mean("estimate"): 0.05}, budget=500, first=30)
    alone = run_until(study, tmp_path / "a.sqlite", rule, backend="sequential")
    run_study(study, tmp_path / "b.sqlite", backend="sequential", replications=500)
    full = run_until(study, tmp_path / "b.sqlite", rule, backend="sequential")
    assert full.report.written == 0
    assert full.study == alone.study
    assert full.monitored == alone.monitored


def test_budget_ends_and_an_observed_zero_does_not_stop(tmp_path: Path) -> None:
    study = Study("never", "never", crossed(Normal(), Never()), 1, 1)
    early = PrecisionRule({Proportion("success"): 0.01}, budget=60, first=30)
    result = run_until(study, tmp_path / "a.sqlite", early, backend="sequential")
    assert not result.reached  # the plain standard error of 0 of 30 is 0; the rule is not fooled
    assert result.study.replications == 60
    assert result.monitored[0].summary.estimate.mcse == 0.0
    assert 0.01 < result.monitored[0].precision < 0.05


def test_unknown_monitored_metric_and_bad_rules(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no metric 'estimat'"):
        run_until(small(), tmp_path / "a.sqlite", PrecisionRule({Mean("estimat"): 1.0}, 30, 30), backend="sequential")
    for change, word in (
        ({"targets": {}}, "targets"),
        ({"targets": {Mean("x"): 0.0}}, "target 0.0"),
        ({"first": 10}, "first is 10"),
        ({"first": 200}, "first is 200"),
        ({"growth": 1.0}, "growth is 1.0"),
        ({"level": 1.0}, "level is 1.0"),
    ):
        with pytest.raises(ValueError, match=word):
            PrecisionRule(**({"targets": {Mean("x"): 1.0}, "budget": 100, "first": 50} | change))
    assert "30, 45, 60 replications" in PrecisionRule({Mean("x"): 1.0}, 60, 30).statement()


def test_stopping_costs_coverage_and_the_repeated_interval_pays_for_it() -> None:
    """Skewed metric (exponential): at the stopping look the usual interval falls short, the repeated one does not.

    The rule of run_until, on arrays, over 4,000 sequential studies; preset seed, bands of 3.5 standard errors.
    """
    rule = PrecisionRule({Mean("x"): 0.07}, budget=2_000, first=30, growth=1.3)
    c = repeated_critical_value(rule.looks, 0.95)
    g = np.random.default_rng(20260521)
    usual = repeated = 0
    n_studies = 4_000
    for _ in range(n_studies):
        x = g.exponential(size=rule.budget)
        total, squares = np.cumsum(x), np.cumsum(x**2)
        for n in rule.looks:
            mean = total[n - 1] / n
            mcse = math.sqrt((squares[n - 1] / n - mean**2) / (n - 1))
            if mcse <= 0.07 or n == rule.budget:
                break
        low, high = Estimate(mean, mcse, n, 0).interval(0.95)
        usual += low <= 1.0 <= high
        low, high = Estimate(mean, mcse, n, 0).interval(1.0 - 2.0 * float(norm.sf(c)))
        repeated += low <= 1.0 <= high
    band = 3.5 * math.sqrt(0.95 * 0.05 / n_studies)
    assert usual / n_studies < 0.95 - band  # the sabotage: without the correction the level is lost
    assert repeated / n_studies > 0.95 - band


def test_sequential_sample_mean_is_used(tmp_path: Path) -> None:
    """The interval reported is the repeated one, wider than the usual one by c/1.96."""
    study = Study("s", "s", crossed(Normal(), SampleMean()), 1, 1)
    result = run_until(
        study, tmp_path / "a.sqlite", PrecisionRule({Mean("estimate"): 0.05}, 300, 30), backend="sequential"
    )
    shown = result.monitored[0]
    estimate = shown.summary.estimate
    wide = float(student.isf(norm.sf(result.critical_value), estimate.n - 1))  # the same level on n - 1 degrees
    assert (shown.high - shown.low) / 2 == pytest.approx(wide * estimate.mcse)
    assert result.critical_value > 2.0
