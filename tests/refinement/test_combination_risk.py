"""The Proposition behind the combination: Stein's bound at single points, the move, risks by simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, poisson

from clair_stats import combine
from clair_stats.detection.directions import flagged_directions
from clair_stats.linalg import project_off
from clair_stats.refinement.combine import _combined
from tests.refinement.cases import reach


def _weighed(blocks, members, sigma, directions):
    """What `combine` returns at r = 0 without its checks of the input, most of the time of a small draw."""
    mean = np.average(blocks[members], axis=0, weights=sigma[members] ** -2.0)
    return _combined(blocks, mean, np.zeros((blocks.shape[1], 0)), members, sigma, directions)


@pytest.mark.parametrize("n_directions", [0, 1])
def test_the_draws_below_are_those_of_the_public_function(n_directions):
    rng = np.random.default_rng(6)
    blocks, members, sigma = rng.standard_normal((9, 8, 2)), np.arange(9) < 5, rng.uniform(0.5, 2.0, 9)
    directions = np.linalg.qr(rng.standard_normal((8, 1)))[0][:, :n_directions]
    told = {"basis": np.zeros((8, 0)), "collaborative_set": members, "noise_scales": sigma}
    public, own = combine(blocks, **told, directions=directions), _weighed(blocks, members, sigma, directions)
    for name in ("estimates", "centre", "weights"):
        np.testing.assert_allclose(getattr(own, name), getattr(public, name), rtol=1e-12)


def _one_part(flagged, mean, *, v, sigma):
    """Centre minus X̄ for one benign client with variance v at ``mean`` and flagged clients, all columns (n, d)."""
    blocks = np.concatenate([mean[None], flagged])[:, :, None]
    found = _weighed(blocks, np.arange(len(blocks)) < 1, np.r_[np.sqrt(v), sigma], np.zeros((mean.size, 0)))
    return found.centre[:, 0] - mean


@settings(max_examples=80)
@given(
    seed=st.integers(0, 10_000),
    d=st.integers(3, 12),
    n=st.integers(1, 30),
    spread=st.sampled_from([0.0, 1.0, 3.0]),
    v=st.sampled_from([0.01, 0.3, 3.0]),
)
def test_steins_estimate_of_the_change_of_risk_is_nowhere_positive(seed, d, n, spread, v):
    """Step 3 of the Proposition at single points: 2v div + ‖·‖² ≤ 0, the divergence by central differences."""
    rng = np.random.default_rng(seed)
    pull = rng.standard_normal(d) * rng.choice([0, 1, 4])
    flagged = rng.choice([-1, 1], (n, 1)) * pull + rng.standard_normal((n, d))
    flagged *= np.exp(spread * rng.standard_normal((n, 1)))
    sigma, mean, step = rng.uniform(0.1, 1, n), 0.3 * rng.standard_normal(d), 1e-6
    move = _one_part(flagged, mean, v=v, sigma=sigma)
    divergence = 0.0
    for i in range(d):
        ahead, behind = mean.copy(), mean.copy()
        ahead[i] += step
        behind[i] -= step
        difference = _one_part(flagged, ahead, v=v, sigma=sigma)[i] - _one_part(flagged, behind, v=v, sigma=sigma)[i]
        divergence += difference / (2 * step)
    assert 2 * v * divergence + np.sum(move**2) <= 1e-6 * (v * d + np.sum(move**2))


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), d=st.integers(3, 12), n=st.integers(1, 9), size=st.floats(0.0, 50.0))
def test_nobody_moves_the_centre_further_than_the_bound(seed, d, n, size):
    rng = np.random.default_rng(seed)
    flagged = size * rng.standard_normal((n, d))
    longest = np.sqrt(reach(d, n) * 0.5)
    assert np.linalg.norm(_one_part(flagged, np.zeros(d), v=0.5, sigma=np.ones(n))) <= longest * (1 + 1e-12)
    worst = np.zeros((n, d))
    worst[:, 0] = longest
    np.testing.assert_allclose(_one_part(worst, np.zeros(d), v=0.5, sigma=np.ones(n))[0], longest, rtol=1e-12)


def _excesses(kind, size, *, n_benign, n_flagged, d, draws, seed, centre=None):
    """(‖δ − M‖² − ‖X̄ − M‖²)/dv in independent draws; flagged parts are ``size`` times as long as their noise."""
    rng = np.random.default_rng(seed)
    members = np.arange(n_benign + n_flagged) < n_benign
    found = np.empty(draws)
    for draw in range(draws):
        truth = np.zeros((members.size, d, 1))
        shift = rng.standard_normal((1 if kind == "identical" else n_flagged, d, 1))
        truth[~members] = size * np.sqrt(d) * shift / np.linalg.norm(shift, axis=1, keepdims=True)
        if kind == "one far":
            truth[n_benign + 1 :] *= 1e-3
        blocks = truth + rng.standard_normal(truth.shape)
        said = np.ones(members.size), np.zeros((d, 0))
        combined = _weighed(blocks, members, *said).centre if centre is None else centre(blocks)
        found[draw] = (np.sum(combined**2) - np.sum(blocks[members].mean(axis=0) ** 2)) / (d / n_benign)
    return found


_QUICK = [(5, 1, 3), (5, 2, 30)]
_KINDS = [
    pytest.param(kind, size, *shape, marks=() if shape in _QUICK else pytest.mark.slow)
    for shape in [*_QUICK, (5, 2, 5), (20, 19, 10), (4, 12, 8)]  # n_benign, n_flagged, d
    for kind, size in [("identical", 0.3), ("identical", 1.0), ("scattered", 1.0), ("one far", 1.0)]
]


def _loses(found):
    """One-sided z test; the level of one per cent is shared by all cases."""
    return found.mean() > norm.isf(0.01 / len(_KINDS)) * found.std(ddof=1) / np.sqrt(found.size)


@pytest.mark.parametrize(("kind", "size", "n_benign", "n_flagged", "d"), _KINDS)
def test_the_risk_does_not_rise(kind, size, n_benign, n_flagged, d):
    found = _excesses(kind, size, n_benign=n_benign, n_flagged=n_flagged, d=d, draws=600, seed=7)
    assert not _loses(found)


def test_the_same_rule_rejects_flagged_clients_taken_at_their_word():
    found = _excesses("identical", 1.0, n_benign=5, n_flagged=2, d=30, draws=600, seed=7, centre=lambda x: x.mean(0))
    assert _loses(found)


@pytest.mark.parametrize("honest", [True, False])
def test_directions_found_in_the_gap_must_be_paid_for(honest):
    """Identical contamination shows in F − X̄ alone: what is left off its direction is small because it was fitted."""
    rng = np.random.default_rng(12)
    members, found = np.arange(39) < 20, np.empty(1500)
    for draw in range(found.size):
        blocks = rng.standard_normal((39, 8, 2))
        blocks[20:] += 2.0 * np.sqrt(2) * np.linalg.qr(rng.standard_normal((8, 2)))[0]
        mean = blocks[:20].mean(axis=0)
        result = _weighed(blocks, members, np.ones(39), flagged_directions(blocks[20:] - mean, 0))
        centre = result.centre
        if not honest and result.directions.shape[1]:  # the weight that the entries off the directions would have
            off = np.array([project_off(result.directions, block - mean) for block in blocks[20:]])
            energies = np.sum(off**2, axis=(1, 2))
            d = (8 - result.directions.shape[1]) * 2
            trust = 1 / np.maximum(energies / d, 1.0)
            gap = np.tensordot(trust / trust.sum(), off, axes=1)
            centre = mean + min(1, reach(d, 19) / 20 / np.sum(gap**2)) * gap
        found[draw] = np.sum(centre**2) - np.sum(mean**2)
    loses = found.mean() > 3 * found.std(ddof=1) / np.sqrt(found.size)
    assert loses != honest


def test_flagged_clients_with_nothing_wrong_give_what_the_limit_says():
    found = _excesses("identical", 0.0, n_benign=5, n_flagged=1, d=60, draws=1500, seed=8)
    # Without the minimum, which hardly acts here, the risk is dv·v_F/(v + v_F) + 2v²/(v + v_F).
    error = found.std(ddof=1) / np.sqrt(found.size)
    assert found.mean() == pytest.approx(-(1 - 2 / 60) / 6, abs=4 * error)


def test_the_exact_risk_of_one_biased_client():
    d, bias = 20, 3.0
    rng = np.random.default_rng(9)
    found = np.empty(4000)
    for draw in range(found.size):
        mean, far = rng.standard_normal(d), np.zeros((1, d))
        far[0, 0] = bias * np.sqrt(d)
        move = _one_part(far, mean, v=1.0, sigma=np.ones(1))
        found[draw] = np.sum((mean + move) ** 2) - np.sum(mean**2)
    n = np.arange(2000)
    expected = -((d - 2) ** 2) * np.sum(poisson.pmf(n, bias**2 * d / 2) / (d - 2 + 2 * n))
    error = found.std(ddof=1) / np.sqrt(found.size)
    assert error < -0.05 * expected
    assert found.mean() == pytest.approx(expected, abs=4 * error)


def test_the_worst_attacker_stays_below_four_times_the_risk():
    d = 50
    rng = np.random.default_rng(10)
    found = np.empty(300)
    for draw in range(found.size):
        mean = rng.standard_normal(d)
        knowing = mean * (1 + np.sqrt(d - 2) / np.linalg.norm(mean))
        found[draw] = np.sum((mean + _one_part(knowing[None], mean, v=1.0, sigma=np.ones(1))) ** 2) / d
    error = found.std(ddof=1) / np.sqrt(found.size)
    norms = np.sqrt(2 * (d - 2)) * np.exp(
        np.sum(np.log(np.arange(d - 1, 1, -2))) - np.sum(np.log(np.arange(d - 2, 1, -2))) + 0.5 * np.log(np.pi / 4)
    )
    expected = (2 * d - 2 + 2 * norms) / d
    assert found.mean() == pytest.approx(expected, abs=4 * error)
    assert 3.5 < expected < 4


@pytest.mark.parametrize("size", [0.3, 1.0, 3.0])
def test_a_flagged_clients_own_estimate_does_not_lose(size):
    rng = np.random.default_rng(11)
    members, found = np.arange(7) < 5, np.empty(600)
    for draw in range(found.size):
        truth = np.zeros((7, 12, 1))
        truth[5:] = size * rng.standard_normal((2, 12, 1))
        blocks = truth + rng.standard_normal(truth.shape)
        result = _weighed(blocks, members, np.ones(7), np.zeros((12, 0)))
        found[draw] = np.sum((result.estimates - truth)[5:] ** 2) - np.sum((blocks - truth)[5:] ** 2)
    assert found.mean() < -2.3 * found.std(ddof=1) / np.sqrt(found.size)
