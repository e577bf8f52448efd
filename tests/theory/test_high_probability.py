import numpy as np
import pytest
from scipy.stats import chi2

from clair_stats.theory import (
    noise_radius,
    stability_constant,
    stable_recovery,
    threshold_interval,
)
from tests.theory.cases import certified


def test_the_radius_is_above_the_exact_quantile_and_below_the_simple_formula():
    for entries, clients, level in ((20, 5, 0.05), (800, 60, 1e-6), (3, 2, 0.5)):
        radius = noise_radius(np.full(clients, 0.3), shape=(entries, 1), level=level)
        exact = 0.3 * np.sqrt(chi2.isf(level, entries * clients))
        simple = 0.3 * (np.sqrt(entries * clients) + np.sqrt(2 * np.log(1 / level)))
        assert exact <= radius <= simple
        assert radius < 1.15 * exact or entries == 3


def test_unequal_scales_are_covered():
    rng = np.random.default_rng(0)
    scales = np.array([0.1, 1.0, 3.0])
    norms = np.sqrt((scales**2) @ rng.chisquare(12, size=(3, 20_000)))
    for level in (0.3, 0.05):
        rate = np.mean(norms > noise_radius(scales, shape=(4, 3), level=level))
        assert rate <= level
        assert rate > level / 20  # the bound is not idle
    assert noise_radius([0.0, 0.0], shape=(4, 3)) == 0.0


@pytest.mark.parametrize("common", [False, True])
def test_bounds_are_theorem_3_at_the_radius(common):
    certificate, values, *_ = certified(1, common)
    scales = np.linspace(0.01, 0.02, 14)
    found = stable_recovery(certificate, noise_scales=scales, level=0.1)
    radius = noise_radius(scales, shape=values.shape[1:], level=0.1)
    assert found.radius == radius
    assert found.off_subspace == pytest.approx(stability_constant(certificate) * radius)
    assert found.common_error == pytest.approx(found.off_subspace / np.sqrt(14))
    assert found.angle(2 * found.off_subspace) == pytest.approx(0.5)
    assert found.angle(0.0) == found.angle(1e-9) == 1.0


def test_the_interval_is_theorem_4_with_its_worst_values():
    certificate, values, basis, mask, mean = certified(2, True)
    scales = np.full(14, 1e-7)
    recovery = stable_recovery(certificate, noise_scales=scales)
    distances = np.linalg.norm(values - mean, axis=(1, 2))
    off = values[~mask] - mean
    separation = np.linalg.norm(off - np.einsum("pi,si,ksq->kpq", basis, basis, off), axis=(1, 2))
    options = {
        "smallest_singular_value": 1.0,
        "distances": distances,
        "contamination": separation,
        "certificate": certificate,
        "noise_scales": scales,
    }
    lower, upper = threshold_interval(recovery, **options)
    error = noise_radius([1e-7], shape=values.shape[1:], level=0.05 / 14)
    slack = error + recovery.common_error + recovery.off_subspace * (distances + error)
    assert lower == pytest.approx(slack[mask].max())
    kept = np.sqrt(1 - recovery.off_subspace**2) * separation - slack[~mask]
    assert upper == pytest.approx(kept.min())
    assert lower < 1e-3 < upper
    with pytest.raises(ValueError, match="contamination"):
        threshold_interval(recovery, **{**options, "contamination": [1.0] * 3})
    with pytest.raises(ValueError, match="distances"):
        threshold_interval(recovery, **{**options, "distances": [1.0]})


def test_bad_arguments_are_refused():
    certificate, *_ = certified(1, True)
    with pytest.raises(ValueError, match="noise_scales"):
        stable_recovery(certificate, noise_scales=[1.0])
    with pytest.raises(ValueError, match="noise_scales"):
        noise_radius([-1.0], shape=(2, 2))
    with pytest.raises(ValueError, match="level"):
        noise_radius([1.0], shape=(2, 2), level=0.0)
