"""One weight where only the size of the errors is known: the test of white errors, the weights, a twin, a sabotage."""

import numpy as np
import pytest

from clair_stats import CLAIR, refine
from clair_stats.refinement.error_energy import WhiteEnergy
from clair_stats.refinement.shrink import shrink
from clair_stats.refinement.total_only import _apart, _doubted, _null_sums, refutation, total_only, trust, white_refuted
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


def _one_weight(held, laws, share):
    """Weight where distances beyond error count twice, and what it saves at least; plain numbers."""
    constant = max(min(min(t - 2 * peak, 2 * t - 8 * peak) for t, peak in laws), 0.0)
    beyond = max(held - (1 + share) * constant, 0.0)
    along = min(1.0, constant / (held + beyond))
    if along == 1.0:
        return along, 2 * constant - held
    ratio = held / (held + beyond)
    slope = (8 if beyond > 0 else 4) * ratio
    return along, along * (min(2 * t - slope * peak for t, peak in laws) - ratio * constant)


def _own_weight(held, laws):
    """Weight of white errors up to the limit of the other law, and what it saves at least; plain numbers."""
    white, shaped = (t - 2 * peak for t, peak in laws)
    constant = max(min(white, 2 * shaped), 0.0)
    along = min(1.0, constant / held)
    saved = 2 * min(t for t, _ in laws) - held if along == 1.0 else along * (2 * min(white, shaped) - constant)
    return along, saved


@pytest.mark.parametrize("rows", [6, 20])
@pytest.mark.parametrize("starts", [(0, 1, 2), (2, 4), (4,)])
def test_naive_twin_of_the_weights(rows, starts):
    """The others' 20 columns tell directions of 6 rows and not of 20; parts of one direction and of several."""
    rng = np.random.default_rng(3)
    n, m, q, starts = 6, 4, 5, sorted({0, *starts})
    entries = np.r_[np.full(m, q), (rows - m) * q]
    shares, variances = np.full(n, 0.2), rng.uniform(0.5, 2.0, n)
    size = rows * q
    profile = entries * np.array([3.0, 1.5, 1.0, 0.02, 0.9])
    relative = np.linspace(0.1, 1.3, n)[:, None] * rng.uniform(0.9, 1.1, (n, m + 1)) * profile
    energies = relative * variances[:, None] * 1.2
    assert total_only(energies, variances, shares, (rows, q), starts, lambda: False) is None
    found = total_only(energies, variances, shares, (rows, q), starts, lambda: True)
    assert found is not None
    part = 0.35 if rows == 6 else 0.0
    assert trust(n, (rows, q)) == pytest.approx(part)
    groups = [range(first, stop) for first, stop in zip(starts, [*starts[1:], m + 1], strict=True)]
    kinds = set()
    for k in range(n):
        shape = np.delete(relative, k, axis=0).mean(axis=0)
        shape *= size / shape.sum()

        def told(group, k=k, shape=shape):
            peak = max(shape[i] / entries[i] for i in group)
            laws = (sum(entries[i] for i in group), 1.0), (sum(shape[i] for i in group), peak)
            return sum(energies[k, i] for i in group) / variances[k], laws

        along, risk = np.zeros(m + 1), size
        for group in (range(m), range(m, m + 1)):
            weight, saved = _one_weight(*told(group), 0.2)
            along[list(group)] += (1 - part) * weight
            risk -= (1 - part) * saved
        for group in groups:
            weight, saved = _own_weight(*told(group))
            along[list(group)] += part * weight
            risk -= part * saved
            kinds.add(weight == 1.0)
        np.testing.assert_allclose(found.along[k], along)
        assert found.risk[k] == pytest.approx(risk * variances[k])
    assert kinds == {True, False}
    assert (found.risk < size * variances).all()


@pytest.mark.parametrize("where", ["everywhere", "small errors", "large errors"])
@pytest.mark.parametrize("differences", [0.0, 0.5, 1.0, 3.0])
def test_neither_weight_loses_and_either_saves_what_it_states(differences, where):
    """For the law at either end and between them."""
    rng = np.random.default_rng(8)
    shape = np.geomspace(1.0, 3.0, 12)
    ends = np.stack([np.ones(12), shape * 12 / shape.sum()])
    ones = np.ones((20_000, 1))
    traces, largest = 12.0 * np.stack([ones, ones]), np.stack([ones, ends[1].max() * ones])
    chosen = {"everywhere": slice(None), "small errors": slice(3), "large errors": slice(-3, None)}[where]
    truth = np.zeros(12)
    truth[chosen] = differences
    for mixed in (0.0, 0.5, 1.0):
        law = np.sqrt(mixed * ends[0] + (1 - mixed) * ends[1])
        errors, mean = law * rng.standard_normal((20_000, 12)), np.sqrt(0.2) * law * rng.standard_normal((20_000, 12))
        distance = errors + truth - mean
        held = np.sum(distance**2, axis=1)[:, None]
        for along, saved in (_doubted(held, traces, largest, 0.2 * ones), _apart(held, traces, largest)):
            gain = np.sum(errors**2, axis=1) - np.sum((errors - along * distance) ** 2, axis=1)
            error = np.std(gain) / len(gain) ** 0.5
            assert gain.mean() > 3 * error
            assert saved.mean() <= gain.mean() + 3 * error


def test_differences_count_twice_and_the_error_of_the_others_once():
    """Without differences the weight is that of averaging; with as many as error, 1/3.2 in the place of 1/2.2."""
    traces, largest, share = np.full((2, 1, 1), 1e6), np.ones((2, 1, 1)), np.full((1, 1), 0.2)
    alike, differ = (_doubted(np.full((1, 1), held), traces, largest, share)[0] for held in (1.2e6, 2.2e6))
    assert alike[0, 0] == pytest.approx(1 / 1.2, rel=1e-4)
    assert differ[0, 0] == pytest.approx(1 / 3.2, rel=1e-4)


def test_four_entries_are_too_few_to_count_twice_and_five_allow_two_thirds_of_steins_constant():
    ones = np.ones((2, 1, 1))
    four, five = (_doubted(np.full((1, 1), 3.0), t * ones, ones, np.full((1, 1), 0.5))[0] for t in (4.0, 5.0))
    assert four[0, 0] == 0.0
    assert five[0, 0] == pytest.approx(2 / 3)


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
