from math import comb

import numpy as np
import pytest
from scipy.stats import chi2, ncx2

from clair_stats.theory import chi_square_tolerances, set_guarantee, subset_margin


def numbers(seed=0, sigma=0.02):
    rng = np.random.default_rng(seed)
    return {
        "coefficients": rng.normal(size=(12, 10, 2)),
        "collaborative_set": np.arange(12) < 10,
        "contamination": 3.0,
        "n_rows": 15,
        "noise_scales": sigma,
    }


def test_tolerances_are_exact_quantiles():
    rng = np.random.default_rng(0)
    tolerances = chi_square_tolerances([0.5, 2.0], shape=(6, 2), rank=3, level=0.1)
    assert tolerances.shape == (4, 2)
    np.testing.assert_allclose(tolerances[:, 1], 4 * tolerances[:, 0])
    errors = np.linalg.norm(rng.normal(size=(20_000, 2, 3, 2)), axis=(2, 3)) * np.array([0.5, 2.0])
    within = np.mean((errors <= tolerances[3]).all(axis=1))
    assert within == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / 20_000))


def test_the_bound_is_formula_4_1():
    """Every quantile written out, the fixed point by scanning s²."""
    given = numbers()
    found = set_guarantee(**given, allowance=0.006)
    mask, p, q, rank, size = given["collaborative_set"], 15, 10, 2, 7 - 2
    a = given["coefficients"] / 0.02
    margin = subset_margin(a[mask], size, others=a[~mask])
    each = 0.002 / comb(10, size)
    width, columns = rank + q, size * q - (rank + q)
    g = np.sqrt(chi2.isf(each, (p - rank) * width))
    f2 = chi2.ppf(each, (p - rank) * columns)
    o = np.sqrt(p - rank) + np.sqrt(columns) + np.sqrt(2 * np.log(1 / each))
    x2 = chi2.ppf(0.95 ** (1 / 12), (p - rank) * q)
    grid = np.linspace(0, 2, 400_001)
    radius = g + np.sqrt(np.maximum(size * x2 - f2 + grid * o**2, 0))
    place = np.flatnonzero(np.sqrt(grid) * margin.value <= radius)[-1]
    assert found.squared_tilt == pytest.approx(grid[place], abs=1e-5)
    assert found.radius == pytest.approx(radius[place], rel=1e-4)
    cuts = (np.sqrt(x2) + radius[place] * np.sqrt(margin.leverages)) ** 2 / (1 - grid[place])
    missed = ncx2.cdf(cuts, (p - rank) * q, (3.0 / 0.02) ** 2)
    np.testing.assert_allclose(found.missed, missed, rtol=1e-2, atol=1e-12)
    assert found.delta == pytest.approx(0.006 + missed.sum(), rel=1e-3)
    assert found.lower_ranks.all()
    assert found.probability == pytest.approx(1 - 0.05 - found.delta)


def test_the_bound_falls_with_separation_and_rises_with_noise():
    given = numbers()
    deltas = [set_guarantee(**{**given, "contamination": d}).delta for d in (0.0, 1.0, 3.0)]
    assert deltas == sorted(deltas, reverse=True)
    assert deltas[0] == 1.0
    assert deltas[-1] < 1e-3
    noisy = [set_guarantee(**{**given, "noise_scales": s}).delta for s in (0.01, 0.1, 1.0)]
    assert noisy == sorted(noisy)
    assert noisy[-1] == 1.0
    assert set_guarantee(**{**given, "noise_scales": 1.0}).probability == 0.0


def test_the_best_allowance_is_no_worse_than_any_other():
    given = {**numbers(), "contamination": 1.2}
    best = set_guarantee(**given).delta
    assert best <= min(set_guarantee(**given, allowance=a).delta for a in (1e-5, 1e-3, 0.02)) * 1.3 + 1e-6


def test_bound_scales_with_the_unit_of_the_estimates():
    given = {**numbers(), "contamination": 1.2}
    moved = {
        **given,
        "coefficients": 1e3 * given["coefficients"],
        "contamination": 1.2e3,
        "noise_scales": 1e3 * given["noise_scales"],
    }
    assert set_guarantee(**moved).delta == pytest.approx(set_guarantee(**given).delta, rel=1e-6)


def test_heterogeneity_raises_tolerances_and_the_bound():
    plain = chi_square_tolerances([1.0, 2.0], shape=(6, 2), rank=1)
    wide = chi_square_tolerances([1.0, 2.0], shape=(6, 2), rank=1, heterogeneity=1.5)
    np.testing.assert_allclose(wide[1, 1], 2 * np.sqrt(ncx2.ppf(0.95**0.5, 10, 0.75**2)))
    assert np.all(wide > plain)
    given = {**numbers(), "contamination": 1.2}
    deltas = [set_guarantee(**given, heterogeneity=h).delta for h in (0.0, 0.02, 0.1)]
    assert deltas == sorted(deltas)
    assert deltas[0] < deltas[-1]
    with pytest.raises(ValueError, match="heterogeneity"):
        set_guarantee(**given, heterogeneity=-1.0)


def test_bad_arguments_are_refused():
    given = numbers()
    with pytest.raises(ValueError, match="benign majority"):
        set_guarantee(**{**given, "collaborative_set": np.arange(12) < 6})
    with pytest.raises(ValueError, match="contamination"):
        set_guarantee(**{**given, "contamination": -1.0})
    with pytest.raises(ValueError, match="n_rows"):
        set_guarantee(**{**given, "n_rows": 2})
    with pytest.raises(ValueError, match="noise_scales"):
        set_guarantee(**{**given, "noise_scales": 0.0})
    with pytest.raises(ValueError, match="level"):
        chi_square_tolerances([1.0], shape=(3, 1), rank=1, level=1.0)
    with pytest.raises(ValueError, match="rank"):
        chi_square_tolerances([1.0], shape=(3, 1), rank=3)
