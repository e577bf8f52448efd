from itertools import combinations
from math import comb

import numpy as np
import pytest
from scipy.stats import chi2, ncx2

from clair_stats.linalg import sin_theta
from clair_stats.theory import accepted_error, accepted_set_error


def draw(seed, *, n_clients=9, p=7, q=4, rank=2, sigma=0.02, size=1.0):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(p, rank)))[0]
    values = rng.normal(size=(p, q)) + np.einsum("pi,kiq->kpq", basis, rng.normal(size=(n_clients, rank, q)))
    values[0] += size * rng.normal(size=(p, q))
    scales = sigma * rng.uniform(0.5, 2, size=n_clients)
    return values + scales[:, None, None] * rng.normal(size=values.shape), scales, basis


def naive(values, scales, rank, n_removed, level, common):
    """Theorem 8 from its text, one removal after the other, with design matrices in place of moments."""
    n_clients, p, q = values.shape
    weights = scales**-2
    centre = np.tensordot(weights, values, 1) / weights.sum() if common else np.zeros((p, q))
    scaled = (values - centre) / scales[:, None, None]
    basis = np.linalg.svd(np.hstack(list(scaled)))[0][:, :rank]
    residuals = [y - basis @ (basis.T @ y) for y in scaled]
    inside = [(basis.T @ y).T for y in scaled]
    c = 1 / scales if common else np.zeros(n_clients)
    size = n_clients - n_removed
    each = level / 4 / (n_clients * comb(n_clients, size))
    v = np.sqrt(2 * np.log(1 / each))
    o, along = np.sqrt(p - rank) + np.sqrt(size * q) + v, np.sqrt(p - rank) + np.sqrt(rank) + v
    u = np.sqrt(chi2.isf(each, (p - rank) * q))
    tilt, scores = 0.0, np.zeros(n_clients)
    for kept in combinations(range(n_clients), size):
        total = sum(c[k] ** 2 for k in kept)
        mean = sum(c[k] * inside[k] for k in kept) / total if common else np.zeros((q, rank))
        centred = np.vstack([inside[k] - c[k] * mean for k in kept])
        scatter = centred.T @ centred
        smallest = np.linalg.eigvalsh(scatter)[0]
        leak = np.hstack([residuals[k] for k in kept]) @ centred @ np.linalg.inv(scatter)
        length = np.linalg.norm(leak, 2)
        left = 1 - (o * along + o**2) / smallest
        refined = (along / np.sqrt(smallest) + length) / left if left > 0 else np.inf
        tilt = max(tilt, min(o / np.sqrt(smallest) + length, refined))
        half = np.linalg.inv(np.linalg.cholesky(scatter)).T
        for j in set(range(n_clients)) - set(kept):
            step = inside[j] - c[j] * mean
            drift = c[j] * sum(c[k] * residuals[k] for k in kept) / total if common else 0.0
            constant = c[j] * u / np.sqrt(total) if common else 0.0
            score = (
                np.linalg.norm(residuals[j])
                + constant
                + o * np.linalg.norm(step @ half)
                + np.linalg.norm(drift + leak @ step.T)
            )
            scores[j] = max(scores[j], score)
    limits = []
    for score, sigma in zip(scores, scales, strict=True):
        # Halving, since the probability falls with the contamination.
        low, high = 0.0, score + 40
        for _ in range(40):
            middle = (low + high) / 2
            hidden = ncx2.cdf(score**2, (p - rank) * q, middle**2) >= level / 4 / n_removed
            low, high = (middle, high) if hidden else (low, middle)
        limits.append(sigma * low)
    return min(tilt, 1.0), np.array(limits)


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("n_removed", [1, 2])
def test_bounds_are_those_of_the_naive_twin(n_removed, common):
    values, scales, _ = draw(n_removed)
    found = accepted_set_error(
        values,
        accepted_set=np.ones(9, dtype=bool),
        rank=2,
        noise_scales=scales,
        n_contaminated=n_removed,
        common_component=common,
    )
    tilt, limits = naive(values, scales, 2, n_removed, 0.05, common)
    assert found.exact
    assert found.angle == pytest.approx(tilt, rel=1e-8)
    np.testing.assert_allclose(found.contamination, limits, rtol=1e-8)


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_bounds_without_enumeration_are_larger(seed, common, monkeypatch):
    values, scales, _ = draw(seed, q=8, size=0.02)
    options = {
        "accepted_set": np.arange(9) != 4,
        "rank": 2,
        "noise_scales": scales,
        "n_contaminated": 1,
        "common_component": common,
    }
    exact = accepted_set_error(values, **options)
    monkeypatch.setattr(accepted_error, "_ENUMERATION_LIMIT", 0)
    bound = accepted_set_error(values, **options)
    assert (exact.exact, bound.exact) == (True, False)
    assert bound.angle >= exact.angle
    members = options["accepted_set"]
    assert np.all(bound.contamination[members] >= exact.contamination[members])
    assert np.isnan(bound.contamination[4])


def test_a_clean_set_has_a_small_angle_and_hides_nothing():
    values, scales, basis = draw(3, n_clients=20, q=8, size=0.0)
    found = accepted_set_error(
        values, accepted_set=np.ones(20, dtype=bool), rank=2, noise_scales=scales, n_contaminated=0
    )
    assert sin_theta(found.basis, basis) <= found.angle < 0.1
    assert np.all(found.contamination == 0)


def test_heterogeneity_widens_every_bound():
    values, scales, _ = draw(1)
    options = {"accepted_set": np.ones(9, dtype=bool), "rank": 2, "noise_scales": scales, "n_contaminated": 1}
    plain = accepted_set_error(values, **options)
    wide = accepted_set_error(values, **options, heterogeneity=0.05)
    assert plain.angle < wide.angle
    assert np.all(plain.contamination < wide.contamination)
    with pytest.raises(ValueError, match="heterogeneity"):
        accepted_set_error(values, **options, heterogeneity=np.inf)


def test_bounds_have_the_unit_of_the_estimates():
    values, scales, _ = draw(1)
    options = {"accepted_set": np.ones(9, dtype=bool), "rank": 2, "n_contaminated": 1}
    small = accepted_set_error(values, noise_scales=scales, **options)
    large = accepted_set_error(1e5 * values, noise_scales=1e5 * scales, **options)
    assert large.angle == pytest.approx(small.angle, rel=1e-9)
    np.testing.assert_allclose(large.contamination, 1e5 * small.contamination, rtol=1e-6)


def test_bad_arguments_are_refused():
    values, scales, _ = draw(1)
    options = {"accepted_set": np.ones(9, dtype=bool), "rank": 2, "noise_scales": scales, "n_contaminated": 1}
    for name, value in (
        ("accepted_set", np.ones(8, dtype=bool)),
        ("rank", 7),
        ("noise_scales", -1.0),
        ("n_contaminated", 9),
        ("level", 0.0),
    ):
        with pytest.raises(ValueError, match=name):
            accepted_set_error(values, **{**options, name: value})
