"""One weight where only the size of the errors is known: the test of white errors, the weights, a twin, a sabotage."""

import numpy as np
import pytest

from clair_stats import CLAIR, refine
from clair_stats.refinement.error_energy import WhiteEnergy
from clair_stats.refinement.shrink import shrink
from clair_stats.refinement.total_only import _null_sums, refutation, total_only, white_refuted
from simulations.design import content_hash
from simulations.regimes.digits import DigitsRegime
from simulations.streams import Streams

_SHAPE = (12, 10, 6)  # clients, rows, columns


def _uneven(seed, *, small=0.02, differences=0.0):
    """Errors of mean variance 1 that are small in half of the rows; σ_k = 1 is all that is told."""
    rng = np.random.default_rng(seed)
    sizes = np.r_[np.full(5, small), np.full(5, 2.0 - small)]
    truth = differences * rng.standard_normal(_SHAPE)
    return truth + np.sqrt(sizes)[:, None] * rng.standard_normal(_SHAPE), truth


def _shrunk(blocks, *, size_only):
    n, p, q = blocks.shape
    energy = WhiteEnergy(np.ones(n), (p, q), size_only=size_only)
    return shrink(blocks, np.ones(n, dtype=bool), np.ones(n), energy)


@pytest.mark.parametrize("shape", [_SHAPE, (6, 30, 4), (4, 3, 1)])
def test_white_errors_are_refuted_at_most_at_the_level(shape, monkeypatch):
    """No margin, unequal scales, with and without differences; 399 draws leave the level an error of .011."""
    monkeypatch.setattr("clair_stats.refinement.total_only._SCALE_MARGIN", 1.0)
    rng = np.random.default_rng(1)
    n, p, q = shape
    scales = rng.uniform(0.5, 2.0, n)
    common = 3.0 * rng.standard_normal((p, q))
    for differences, least in ((0.0, 0.02), (1.0, 0.0)):
        basis = np.linalg.qr(rng.standard_normal((p, 2)))[0]
        truth = common + differences * basis @ rng.standard_normal((n, 2, q))
        blocks = truth + scales[:, None, None] * rng.standard_normal((400, *shape))
        found = np.mean([white_refuted(draw, scales) for draw in blocks])
        assert least <= found <= 0.05 + 3 * np.sqrt(0.05 * 0.95 * (1 / 400 + 1 / 399))


def test_uneven_errors_are_refuted_and_scales_a_tenth_too_large_are_not():
    assert white_refuted(_uneven(2)[0], np.ones(12))
    rng = np.random.default_rng(3)
    blocks = rng.standard_normal((40, 30, 40, 20))
    assert not any(white_refuted(draw, np.full(30, 1.09)) for draw in blocks)
    assert all(white_refuted(draw, np.full(30, 1.3)) for draw in blocks[:5])


def test_the_null_law_is_that_of_white_matrices():
    groups, sums = _null_sums(6, 15)
    rng = np.random.default_rng(4)
    roots = np.linalg.eigvalsh([x @ x.T for x in rng.standard_normal((2000, 6, 15))])
    drawn = np.cumsum(roots, axis=1)[:, groups - 1]
    assert list(groups) == [1, 2, 4]
    error = drawn.std(axis=0) * np.sqrt(1 / len(sums) + 1 / len(drawn))
    np.testing.assert_allclose((sums.mean(axis=0) - drawn.mean(axis=0)) / error, 0.0, atol=4.0)
    np.testing.assert_allclose(sums.std(axis=0) / drawn.std(axis=0), 1.0, atol=0.3)


def test_the_verdict_on_white_errors_turns_with_the_data():
    rng = np.random.default_rng(5)
    for draw in range(20):
        blocks = _uneven(draw, small=0.5)[0]
        left, right = (np.linalg.qr(rng.standard_normal((side, side)))[0] for side in _SHAPE[1:])
        order = rng.permutation(12)
        assert refutation(blocks, np.ones(12)) == refutation((left @ blocks @ right)[order], np.ones(12))


@pytest.mark.parametrize("differences", [0.0, 0.5, 0.9])
def test_with_uneven_errors_one_weight_is_never_worse_and_beats_weights_by_direction(differences):
    own, one, many = [], [], []
    for seed in range(12):
        blocks, truth = _uneven(seed, differences=differences)
        own.append(np.sum((blocks - truth) ** 2))
        one.append(np.sum((_shrunk(blocks, size_only=True).estimates - truth) ** 2))
        many.append(np.sum((_shrunk(blocks, size_only=False).estimates - truth) ** 2))
    assert np.sum(one) < np.sum(own)
    if differences == 0.0:
        assert np.sum(one) < np.sum(many)


def test_naive_twin_of_the_weights():
    rng = np.random.default_rng(3)
    n, m, q = 6, 4, 5.0
    entries = np.r_[np.full(m, q), 2 * q]
    shares, variances = np.full(n, 0.2), rng.uniform(0.5, 2.0, n)
    size = entries.sum()
    relative = rng.uniform(0.9, 1.1, (n, m + 1)) * entries * np.array([3.0, 1.5, 1.0, 0.02, 0.9])
    energies = relative * variances[:, None] * 1.2
    assert total_only(energies, variances, shares, entries, lambda: False) is None
    found = total_only(energies, variances, shares, entries, lambda: True)
    assert found is not None
    for k in range(n):
        shape = np.delete(relative, k, axis=0).mean(axis=0)
        shape *= size / shape.sum()
        for part, group in enumerate((range(m), [m])):
            peak = max(shape[i] / entries[i] for i in group)
            white, held = sum(entries[i] for i in group), sum(energies[k, i] for i in group)
            constant = variances[k] * max(min(white - 2, sum(shape[i] for i in group) - 2 * peak), 0.0)
            assert found.along[k, part] == pytest.approx(min(1.0, constant / held))
    assert (found.risk < size * variances).all()


def test_nothing_changes_where_errors_are_white_or_differences_are_large():
    rng = np.random.default_rng(4)
    for spread in np.repeat([0.0, 0.5, 1.0, 1.5], 15):
        basis = np.linalg.qr(rng.standard_normal((10, 2)))[0]
        white = spread * basis @ rng.standard_normal((12, 2, 6)) + rng.standard_normal(_SHAPE)
        found, asked = (_shrunk(white, size_only=size_only).estimates for size_only in (False, True))
        np.testing.assert_array_equal(found, asked)
    large, _ = _uneven(5, differences=3.0)
    np.testing.assert_array_equal(_shrunk(large, size_only=True).estimates, _shrunk(large, size_only=False).estimates)


def test_who_gives_a_scale_for_uneven_errors_is_told_what_to_give_instead():
    blocks, _ = _uneven(6)
    told, white = (
        CLAIR().fit(values, noise_scales=np.ones(12))
        for values in (blocks, np.random.default_rng(7).normal(size=_SHAPE))
    )
    assert told.refinement_.one_weight
    assert "clients refute errors of one variance" in told.summary()
    assert "give row_covariances or halves" in told.summary()
    assert not white.refinement_.one_weight
    assert "refute" not in white.summary()
    everyone = np.ones(12, dtype=bool)
    refined = refine(blocks, basis=None, collaborative_set=everyone, method="shrinkage", noise_scales=np.ones(12))
    assert refined.one_weight


def test_scales_are_a_size_whatever_law_the_verdict_rests_on():
    """Clients of digits whose errors exceed their scales are judged by log scores; the scales are told all the same."""
    pytest.importorskip("sklearn")
    regime = DigitsRegime(n_clients=8, rank=8, share=0.25)
    told = regime.generate(Streams(103, content_hash(regime), 0)).estimates
    model = CLAIR().fit(told)
    assert "log scores" in model.summary()
    assert model.refinement_.one_weight
    members = model.refinement_.members
    found = refine(told, basis=None, collaborative_set=members, method="shrinkage")
    np.testing.assert_allclose(model.refined_, found.estimates, atol=1e-9)


def test_sabotage_beyond_steins_limit_costs_more_than_the_own_error():
    """c = 2(t − 2ℓ) is Stein's limit: 2.6 times the constant in the place of once costs more than the own error."""
    own, far = 0.0, 0.0
    for seed in range(12):
        blocks, truth = _uneven(seed, differences=2.0)
        distance = blocks - (blocks.sum(axis=0) - blocks) / 11
        held = np.sum(distance**2, axis=(1, 2))
        weight = np.minimum(1.0, 2.6 * 60.0 / held)[:, None, None]
        own += np.sum((blocks - truth) ** 2)
        far += np.sum((blocks - weight * distance - truth) ** 2)
    assert far > own
