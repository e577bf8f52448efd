"""Alignments against plain vectors, their law on clean federations with a sabotage, and who is named."""

import numpy as np
import pytest

from clair_stats.detection.joint import summed_law
from clair_stats.detection.joint.alignment import alignment_of, alignments, cosines
from clair_stats.detection.joint.walk_laws import Critical

LEVEL = 0.05


def sent(seed, *, n_clients=16, size=300, agreement=0.3, others=0, noise=1.0):
    """Whole updates (K, D) in two modules; the first ``others`` have the opposite sign."""
    generator = np.random.default_rng([61, seed])
    common = generator.standard_normal(size)
    updates = agreement * common + noise * generator.standard_normal((n_clients, size))
    updates[:others] *= -1.0
    return updates


def products(updates):
    return [part @ part.T for part in np.array_split(updates, 2, axis=1)]


def found(updates, members=None, level=LEVEL):
    return alignment_of(products(updates), np.ones(len(updates), bool) if members is None else members, level)


def test_alignments_are_cosines_with_the_weighted_sum_of_the_others():
    updates, members = sent(0, n_clients=9), np.arange(9) != 4
    units = updates / np.linalg.norm(updates, axis=1, keepdims=True)
    values = alignments(cosines(products(updates)), members)
    for k in range(9):
        rest = [j for j in np.flatnonzero(members) if j != k]
        weights = [sum(units[i] @ units[j] for j in rest if j != i) for i in rest]
        reference = np.array(weights) @ units[rest]
        assert values[k] == pytest.approx(units[k] @ reference / np.linalg.norm(reference), abs=1e-12)


def test_sizes_and_order_of_the_clients_do_not_matter_and_nothing_sent_points_nowhere():
    updates = sent(1, others=3)
    first = found(updates)
    sizes = np.exp(np.random.default_rng(0).standard_normal(16))
    np.testing.assert_allclose(found(sizes[:, None] * updates).values, first.values, atol=1e-12)
    order = np.random.default_rng(1).permutation(16)
    again = found(updates[order])
    np.testing.assert_allclose(again.values, first.values[order], atol=1e-12)
    np.testing.assert_array_equal(again.against, first.against[order])
    updates[5] = 0.0
    silent = found(updates)
    assert silent.values[5] == 0.0
    assert not silent.against[5]
    assert np.isfinite(silent.values).all()


def rate(draws, **options):
    return sum(bool(found(sent(seed, **options)).against.any()) for seed in range(draws)) / draws


@pytest.mark.parametrize("n_clients", [8, 16])
def test_clean_clients_that_agree_on_nothing_keep_the_level(n_clients):
    """Without agreement the sign of an alignment protects nobody: the law alone does."""
    draws = 500
    named = rate(draws, n_clients=n_clients, agreement=0.0)
    assert named <= LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / draws)
    assert named > 0.01  # the level is used: the comparison is not empty


def test_the_level_itself_as_critical_value_would_name_too_many(monkeypatch):
    """Sabotage of the walk: the accepted ones were chosen for lying high, and the next is no fresh one."""
    monkeypatch.setattr(summed_law, "critical_values", lambda n_clients, level: Critical(level, 0.0))
    draws = 500
    assert rate(draws, n_clients=8, agreement=0.0) > LEVEL + 2 * np.sqrt(LEVEL * (1 - LEVEL) / draws)


def test_updates_in_few_directions_pass_the_level():
    """A limit, not a promise: alignments are sums of too few terms to be normal (docs/derivations/alignment.md)."""
    draws = 400
    named = rate(draws, n_clients=24, size=10, agreement=0.0)
    assert LEVEL + 2 * np.sqrt(LEVEL * (1 - LEVEL) / draws) < named < 3 * LEVEL


def test_unequal_errors_break_the_law_and_the_sign_keeps_honest_clients_unnamed():
    """Sabotage of the assumption: alignments are not exchangeable where some clients have much larger errors."""
    draws, stand_out, named = 100, 0, 0
    for seed in range(draws):
        sizes = np.where(np.arange(16) < 2, 4.0, 1.0)
        honest = found(sent(seed, agreement=0.8, noise=sizes[:, None]))
        scores = -np.arctanh(honest.values)
        walk = summed_law.accept_outward(scores, scores, LEVEL)
        stand_out += not walk.accepted.all()
        named += honest.against.any()
    bound = LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / draws)
    assert named / draws <= LEVEL < bound < stand_out / draws


@pytest.mark.parametrize("others", [2, 5])
def test_flipped_clients_are_named_and_nobody_else(others):
    for seed in range(10):
        named = found(sent(seed, others=others))
        np.testing.assert_array_equal(named.against, np.arange(16) < others)
        np.testing.assert_array_equal(named.values < named.threshold, named.against)
        assert named.threshold <= 0.0
        assert named.p_values[:others].max() < named.p_values[others:].min()


def test_a_noisy_client_stands_out_and_is_not_named():
    """An honest client with little data is nearer to zero than the others; only below zero it would be named."""
    updates = sent(2, agreement=1.0)
    updates[0] += 5.0 * np.random.default_rng(3).standard_normal(300)
    named = found(updates)
    assert named.p_values[0] < 1e-6
    assert 0.0 < named.values[0] < 0.5
    assert not named.against.any()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_attackers_who_agree_perfectly_get_no_honest_client_named(sign):
    for seed in range(20):
        updates = sent(seed, n_clients=20)
        updates[:9] = sign * updates[9:].mean(axis=0)
        assert not found(updates).against[9:].any()


def test_flagged_clients_have_no_part_and_few_clients_no_law():
    updates = sent(4, others=3)
    updates[15] = 100.0 * np.random.default_rng(5).standard_normal(300)
    members = np.arange(16) != 15
    named = found(updates, members)
    np.testing.assert_array_equal(named.against, np.arange(16) < 3)
    np.testing.assert_allclose(named.values[:15], found(updates[:15]).values, atol=1e-12)
    few = found(updates[:5])
    assert not few.against.any()
    assert np.isnan(few.threshold)
    assert np.isnan(few.p_values).all()
    nobody = found(updates[:12], np.zeros(12, dtype=bool))  # without a majority everybody is compared
    np.testing.assert_allclose(nobody.values, found(updates[:12]).values)
