"""Measures against formulas written out plainly, and Monte Carlo standard errors against simulation."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.stats.mstats import mjci

from simulations.design import Study, crossed, grid, levels
from simulations.measure import Estimate, Measure
from simulations.measures.quantiles import maritz_jarrett
from simulations.measures.summaries import (
    RMSE,
    Bias,
    Coverage,
    EmpiricalSE,
    Mean,
    ModelSE,
    PairedDifference,
    Precision,
    Proportion,
    Quantile,
    Recall,
)
from simulations.measures.summarise import summarise
from simulations.storage.rows import Row
from simulations.storage.store import Store
from tests.engine.toys import Normal, SampleMean, TrimmedMean

N = 997


def columns(seed: int = 0, n: int = N) -> dict[str, np.ndarray]:
    g = np.random.default_rng(seed)
    estimate = 1e6 + g.gamma(2.0, size=n)  # far from 0 and skewed, so that careless variances cancel
    return {
        "estimate": estimate,
        "truth": np.full(n, 1e6 + 2.0),
        "se": g.uniform(1.0, 2.0, size=n),
        "low": estimate - 2.5,
        "high": estimate + 2.5,
        "hit": (g.random(n) < 0.3).astype(float),
        "tp": g.integers(0, 4, size=n).astype(float),
        "fp": g.integers(0, 3, size=n).astype(float),
        "fn": g.integers(0, 2, size=n).astype(float),
    }


def streamed(measure: Measure, data: dict[str, np.ndarray], chunk: int) -> Estimate:
    accumulator = measure.accumulator()
    n = len(next(iter(data.values())))
    for first in range(0, n, chunk):
        accumulator.update({name: values[first : first + chunk] for name, values in data.items()})
    return accumulator.result()


def bootstrap_se(ordered: np.ndarray, probability: float) -> float:
    """Standard error of the m-th order statistic over all n**n bootstrap samples; P(X*_(m) ≤ x_(i)) is binomial."""
    n = ordered.size
    m = int(probability * n + 0.5)
    tail = stats.binom.sf(m - 1, n, np.arange(n + 1) / n)
    weights = np.diff(tail)
    return math.sqrt(weights @ ordered**2 - (weights @ ordered) ** 2)


def plain() -> list[tuple[Measure, Callable[[dict[str, np.ndarray]], tuple[float, float]]]]:
    """Measure and its value and MCSE as Morris, White and Crowther write them (or Cochran, for ratios)."""

    def error(d: dict[str, np.ndarray]) -> np.ndarray:
        return d["estimate"] - d["truth"]

    def mean_of(x: np.ndarray) -> tuple[float, float]:
        return x.mean(), math.sqrt(((x - x.mean()) ** 2).sum() / (x.size * (x.size - 1)))

    def rmse(d: dict[str, np.ndarray]) -> tuple[float, float]:
        mse = (error(d) ** 2).mean()
        se = math.sqrt(((error(d) ** 2 - mse) ** 2).sum() / (N * (N - 1)))
        return math.sqrt(mse), se / (2 * math.sqrt(mse))

    def empirical(d: dict[str, np.ndarray]) -> tuple[float, float]:
        s, m4 = d["estimate"].std(ddof=1), ((d["estimate"] - d["estimate"].mean()) ** 4).mean()
        s2 = d["estimate"].var()
        return s, math.sqrt((m4 - s2**2) / (N - 1)) / (2 * math.sqrt(s2))

    def model(d: dict[str, np.ndarray]) -> tuple[float, float]:
        v = d["se"] ** 2
        return math.sqrt(v.mean()), math.sqrt(v.var(ddof=1) / (4 * N * v.mean()))

    def share(x: np.ndarray) -> tuple[float, float]:
        return x.mean(), math.sqrt(x.mean() * (1 - x.mean()) / N)

    def ratio(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
        r = a.sum() / b.sum()
        return r, math.sqrt(((a - r * b) ** 2).sum() / (N * (N - 1))) / b.mean()

    return [
        (Mean("estimate"), lambda d: mean_of(d["estimate"])),
        (Bias("estimate", "truth"), lambda d: mean_of(error(d))),
        (Bias("estimate", 1e6 + 2.0), lambda d: mean_of(error(d))),
        (RMSE("estimate", "truth"), rmse),
        (EmpiricalSE("estimate"), empirical),
        (ModelSE("se"), model),
        (Proportion("hit"), lambda d: share(d["hit"])),
        (Coverage("low", "high", "truth"), lambda d: share((abs(error(d)) <= 2.5).astype(float))),
        (Precision("tp", "fp"), lambda d: ratio(d["tp"], d["tp"] + d["fp"])),
        (Recall("tp", "fn"), lambda d: ratio(d["tp"], d["tp"] + d["fn"])),
        (
            Quantile("estimate", 0.8),
            lambda d: (np.quantile(d["estimate"], 0.8), bootstrap_se(np.sort(d["estimate"]) - 1e6, 0.8)),
        ),
    ]


@pytest.mark.parametrize("chunk", [1, 100, N])
@pytest.mark.parametrize("case", plain(), ids=lambda case: case[0].label)
def test_streamed_measures_equal_the_formulas(case, chunk: int) -> None:
    measure, formula = case
    value, mcse = formula(columns())
    estimate = streamed(measure, columns(), chunk)
    assert estimate.value == pytest.approx(value, rel=1e-9)
    assert estimate.mcse == pytest.approx(mcse, rel=1e-6)
    assert (estimate.n, estimate.undefined) == (N, 0)


def test_empirical_se_of_normal_estimates_agrees_with_morris_white_crowther() -> None:
    data = {"estimate": np.random.default_rng(1).standard_normal(200_000)}
    estimate = streamed(EmpiricalSE("estimate"), data, 5_000)
    assert estimate.mcse == pytest.approx(estimate.value / math.sqrt(2 * (200_000 - 1)), rel=0.02)


def test_undefined_replications_are_counted_and_left_out() -> None:
    data = columns()
    data["estimate"][::10] = np.nan
    kept = {name: values[~np.isnan(data["estimate"])] for name, values in data.items()}
    for measure in (Bias("estimate", "truth"), RMSE("estimate", "truth"), Quantile("estimate", 0.5)):
        full, clean = streamed(measure, data, 64), streamed(measure, kept, 10_000)
        assert full.value == pytest.approx(clean.value, rel=1e-12)
        assert (full.n, full.undefined) == (clean.n, 100)
    empty = streamed(Mean("x"), {"x": np.full(3, np.nan)}, 2)
    assert (empty.n, empty.undefined) == (0, 3)
    assert math.isnan(empty.value)


def test_degenerate_cases() -> None:
    one = streamed(Mean("x"), {"x": np.array([2.0])}, 1)
    assert one.value == 2.0
    assert math.isnan(one.mcse)
    same = streamed(EmpiricalSE("x"), {"x": np.full(10, 3.0)}, 4)
    assert (same.value, same.mcse) == (0.0, 0.0)
    exact = streamed(RMSE("x"), {"x": np.zeros(10)}, 4)
    assert (exact.value, exact.mcse) == (0.0, 0.0)
    never = streamed(Precision("tp", "fp"), {"tp": np.zeros(5), "fp": np.zeros(5)}, 5)
    assert math.isnan(never.value)
    with pytest.raises(ValueError, match="use Mean instead"):
        streamed(Proportion("x"), {"x": np.array([0.5])}, 1)
    with pytest.raises(ValueError, match="probability is 1"):
        Quantile("x", 1.0)
    all_ones = streamed(Proportion("x"), {"x": np.ones(100)}, 100).interval()
    assert all_ones[0] == pytest.approx(100 / (100 + 1.959964**2), rel=1e-6)  # Wilson: not an empty interval


def test_maritz_jarrett_is_the_exact_bootstrap() -> None:
    for n in (5, 60, 5_000):
        x = np.sort(np.random.default_rng(n).exponential(size=n))
        for probability in (0.1, 0.5, 0.95):
            assert maritz_jarrett(x, probability)[1] == pytest.approx(bootstrap_se(x, probability), rel=1e-6)
    # SciPy takes Beta(m − 1, n − m) where the order statistic has Beta(m, n − m + 1): close in large samples only.
    assert maritz_jarrett(x, 0.5)[1] == pytest.approx(mjci(x, [0.5])[0], rel=0.01)


def test_maritz_jarrett_measures_the_spread_of_quantiles() -> None:
    g = np.random.default_rng(20260521)
    results = [maritz_jarrett(np.sort(g.exponential(size=500)), 0.9) for _ in range(800)]
    spread = np.std([value for value, _ in results], ddof=1)
    # The spread itself is known to 1/√1600 = 2.5 %; 3.5 of that.
    assert np.mean([mcse for _, mcse in results]) == pytest.approx(spread, rel=0.0875)


# What every measure converges to for one replication ~ (gamma estimate, uniform se, ...): scale 1, shape 2.
_GAMMA = stats.gamma(2.0)
_TRUTH: list[tuple[Measure, float]] = [
    (Mean("estimate"), 2.0),
    (Bias("estimate", 1.5), 0.5),
    (RMSE("estimate", 1.5), math.sqrt(2.25)),
    (EmpiricalSE("estimate"), math.sqrt(2.0)),
    (ModelSE("se"), math.sqrt(7.0 / 3.0)),
    (Proportion("hit"), 0.9),
    (Coverage("low", "high", 2.0), float(_GAMMA.cdf(4.5) - _GAMMA.cdf(0.0))),
    (Precision("tp", "fp"), 1.5 / 2.5),
    (Recall("tp", "fn"), 1.5 / 2.0),
    (Quantile("estimate", 0.9), float(_GAMMA.ppf(0.9))),
    (PairedDifference("difference", "reference"), 0.25),
]


_DRAW: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "se": lambda g, n: g.uniform(1.0, 2.0, size=n),
    "hit": lambda g, n: (g.random(n) < 0.9).astype(float),
    "tp": lambda g, n: g.integers(0, 4, size=n).astype(float),
    "fp": lambda g, n: g.integers(0, 3, size=n).astype(float),
    "fn": lambda g, n: g.integers(0, 2, size=n).astype(float),
    "difference": lambda g, n: 0.25 + 0.1 * g.standard_gamma(2.0, size=n) - 0.2,
}


@pytest.mark.parametrize("n_studies", [500, pytest.param(10_000, marks=pytest.mark.slow)], ids=["500", "10000 studies"])
@pytest.mark.parametrize(("measure", "truth"), _TRUTH, ids=lambda value: getattr(value, "label", ""))
def test_nominal_intervals_cover(
    measure: Measure, truth: float, n_studies: int, record_property: Callable[..., None]
) -> None:
    """The 95 % interval of simulation studies with 4,000 replications covers within its own band of ±3.5 SE.

    Family-wise error over the 11 measures: 0.5 %.  The estimates are skewed (gamma, shape 2).  4,000 replications,
    because the intervals are asymptotic: with 1,000 the one of the RMSE of these estimates covers 94.3 % only.
    """
    n = 4_000
    g = np.random.default_rng([20260521, [m.label for m, _ in _TRUTH].index(measure.label)])
    covered = 0
    for _ in range(n_studies):
        if "low" in measure.columns:
            estimate = g.standard_gamma(2.0, size=n)
            data = {"low": estimate - 2.5, "high": estimate + 2.5}
        else:
            data = {name: _DRAW.get(name, lambda g, n: g.standard_gamma(2.0, size=n))(g, n) for name in measure.columns}
        low, high = streamed(measure, data, n).interval()
        covered += low <= truth <= high
    record_property("coverage", covered / n_studies)
    band = 3.5 * math.sqrt(0.95 * 0.05 / n_studies)
    assert abs(covered / n_studies - 0.95) < band, covered / n_studies


def test_summarise_pairs_counts_and_orders(tmp_path: Path) -> None:
    study = Study(
        "s",
        "s",
        crossed(grid(Normal, mean=levels(0.0, 1.0)), [TrimmedMean(1), SampleMean(), TrimmedMean(2)]),
        6,
        1,
        measures=(Mean("estimate"), PairedDifference("estimate", "sample_mean"), Mean("coin")),
    )
    table = np.random.default_rng(5).standard_normal((6, 6)).round(3)
    with Store(tmp_path / "s.sqlite", study, mode="append") as store:
        for cell, values in zip(study.cells, table, strict=True):
            extra = {"coin": 0.5} if cell.method.name == "trimmed_mean" else {}
            rows = [Row(cell.hash, i, {**extra, "estimate": v}, None, 0.1) for i, v in enumerate(values.tolist())]
            if cell is study.cells[0]:
                rows[2] = Row(cell.hash, 2, None, "boom", 0.1)
            if cell is study.cells[1]:
                rows[4] = Row(cell.hash, 4, {"estimate": math.nan}, None, 0.1)
            store.append(reversed(rows))
    summary = summarise(tmp_path / "s.sqlite", study)
    assert summary["measure"].tolist() == 2 * [
        "mean estimate", "estimate − sample_mean", "mean coin", "mean estimate",
        "mean estimate", "estimate − sample_mean", "mean coin",
    ]  # fmt: skip
    first = summary.iloc[0]
    assert first["value"] == pytest.approx(np.delete(table[0], 2).mean())
    assert (first["n"], first["undefined"], first["failed"]) == (5, 0, 1)
    pair = summary.iloc[1]
    differences = np.delete(table[0] - table[1], [2, 4])
    assert pair["value"] == pytest.approx(differences.mean())
    assert pair["mcse"] == pytest.approx(differences.std(ddof=1) / 2.0)
    assert (pair["n"], pair["undefined"]) == (4, 2)
    assert summary.iloc[3][["n", "undefined"]].tolist() == [5, 1]
    with pytest.raises(ValueError, match="no metric 'estimat'; did you mean 'estimate'"):
        summarise(tmp_path / "s.sqlite", study, [Mean("estimat")])
    with pytest.raises(ValueError, match="no method 'sample_man'; did you mean 'sample_mean'"):
        summarise(tmp_path / "s.sqlite", study, [PairedDifference("estimate", "sample_man")])
    default = summarise(tmp_path / "s.sqlite", study, [])
    assert set(default["measure"]) == {"mean estimate", "mean coin"}
