import math

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed; the copying tests need the extra 'llm'")

from clair_stats.linalg import project_off, sin_theta
from clair_stats.theory import instance_certificate
from simulations.copying.collaborate import collaborate
from simulations.copying.diagnostics import gain_rule, leverages, off_subspace_share, plug_in_certificates, spectra
from simulations.copying.evaluate import score
from simulations.copying.federated import aggregate, run_rounds, train_round
from tests.copying.conftest import make_world


def planted(seed=0, n_clients=12, bad=(1, 5, 8), noise=0.05):
    """Two modules with a common component and shared columns; three clients drawn from elsewhere."""
    rng = np.random.default_rng([31, seed])
    updates, truth, bases = {}, {}, {}
    for name, (p, q) in {"a": (12, 9), "b": (8, 14)}.items():
        basis = np.linalg.qr(rng.standard_normal((p, 2)))[0]
        common = rng.standard_normal((p, q))
        blocks = common + 0.5 * basis @ rng.standard_normal((n_clients, 2, q))
        blocks[list(bad)] = rng.standard_normal((len(bad), p, q))
        truth[name], bases[name] = blocks, basis
        updates[name] = blocks + noise * rng.standard_normal(blocks.shape)
    members = np.ones(n_clients, dtype=bool)
    members[list(bad)] = False
    return updates, truth, bases, members


def test_planted_clients_are_found_and_subspaces_recovered():
    updates, truth, bases, members = planted()
    found = collaborate(updates, rank=2)
    np.testing.assert_array_equal(found.collaborative_set, members)
    for name in updates:
        assert sin_theta(found.bases[name], bases[name]) < 0.2
        error = np.linalg.norm((found.refined[name] - truth[name])[members])
        assert error < 0.8 * np.linalg.norm((updates[name] - truth[name])[members])
        np.testing.assert_array_equal(found.refined[name][~members], updates[name][~members])


def test_nobody_is_flagged_among_like_clients():
    updates, *_ = planted(seed=1, bad=())
    found = collaborate(updates, rank=2)
    assert found.collaborative_set.all()
    assert not found.flagged.any()
    assert (found.scores <= found.thresholds).all()


def test_without_a_majority_every_client_keeps_its_own():
    updates, *_ = planted(seed=5, bad=(0, 2, 3, 5, 8, 9))
    found = collaborate(updates, rank=2)
    assert not found.collaborative_set.any()
    assert not found.flagged.any()
    for name, x in updates.items():
        np.testing.assert_array_equal(found.refined[name], x)


def test_shared_rows_are_shared_columns_of_the_transposes():
    updates, _, _, members = planted(seed=2)
    turned = {name: np.swapaxes(x, 1, 2) for name, x in updates.items()}
    columns, rows = collaborate(turned, rank=2), collaborate(updates, rank=2, shared="rows")
    np.testing.assert_array_equal(columns.collaborative_set, members)
    np.testing.assert_array_equal(rows.collaborative_set, members)
    for name in updates:
        np.testing.assert_allclose(rows.refined[name], np.swapaxes(columns.refined[name], 1, 2), atol=1e-10)


def test_averages_are_what_they_are_called(small_world):
    world, totals = small_world, small_world.first.dense()
    benign = world.federation.collaborative_set
    for name, x in totals.items():
        got = {
            m: aggregate(m, totals, world, factors=world.first)[0][name]
            for m in ("average", "oracle_average", "coordinate_median", "factor_average", "local")
        }
        np.testing.assert_allclose(got["average"][3], sum(x) / len(x))
        np.testing.assert_allclose(got["oracle_average"][0], sum(x[benign]) / benign.sum())
        np.testing.assert_allclose(got["coordinate_median"][5], np.sort(x, axis=0)[5:7].mean(axis=0))
        product = world.first.scaling * sum(world.first.left[name]) @ sum(world.first.right[name]) / len(x) ** 2
        np.testing.assert_allclose(got["factor_average"][1], product)
        np.testing.assert_array_equal(got["local"], x)
    with pytest.raises(ValueError, match="oracle_clair"):
        aggregate("magic", totals, world, factors=world.first)


def test_rank_zero_oracle_is_the_weighted_benign_average(small_world):
    totals = small_world.first.dense()
    benign = small_world.federation.collaborative_set
    weights = small_world.data.sample_sizes[benign] / small_world.data.sample_sizes[benign].sum()
    refined, found = aggregate("oracle_clair", totals, small_world, factors=small_world.first, rank=0)
    for name, x in totals.items():
        np.testing.assert_allclose(refined[name][benign][0], np.tensordot(weights, x[benign], axes=1), atol=1e-12)
    assert found is not None
    np.testing.assert_array_equal(found.flagged, ~benign)


def test_rounds_go_on_from_what_was_handed_out(small_world):
    one, two = (run_rounds(small_world, "average", rounds=t) for t in (1, 2))
    losses = [score(small_world.base, o.updates, small_world.data).loss.mean() for o in (one, two)]
    assert losses[1] < losses[0] < score(small_world.base, {}, small_world.data).loss.mean()
    with pytest.raises(ValueError, match="rounds"):
        run_rounds(small_world, "average", rounds=0)


def test_sign_flip_turns_the_contribution_around(tiny):
    from dataclasses import replace

    world = make_world(tiny, contamination="sign_flip")
    federation = world.federation
    honest = replace(federation, config=replace(federation.config, contamination="random_mapping"))
    unflipped = train_round(
        tiny, honest, world.data, world.lora, world.training, world.initial_right, world.round_seed, 0, None
    ).dense()
    signs = np.where(federation.collaborative_set, 1.0, -1.0)[:, None, None]
    assert federation.collaborative_set.sum() == 8
    for name, x in world.first.dense().items():
        np.testing.assert_array_equal(x, signs * unflipped[name])


def test_diagnostics_on_a_planted_truth():
    updates, truth, bases, members = planted(seed=4, n_clients=40, bad=())
    rng = np.random.default_rng(77)
    second = {name: x + 0.05 * rng.standard_normal(x.shape) for name, x in truth.items()}
    refined = {}
    for name, x in updates.items():
        mean = x.mean(axis=0)
        refined[name] = x - project_off(bases[name], x - mean)
    rule = gain_rule(updates, second, refined, truth, bases, members)
    p_minus_r_q = np.array([(12 - 2) * 9, (8 - 2) * 14])
    np.testing.assert_allclose(rule.noise.mean(axis=0), 0.05**2 * p_minus_r_q, rtol=0.1)
    assert np.abs(rule.heterogeneity.mean(axis=0)).max() < 0.1 * rule.noise.mean()
    np.testing.assert_allclose(rule.predicted.mean(axis=0), rule.realised.mean(axis=0), rtol=0.15)
    assert all(0 < share < 0.2 for share in off_subspace_share(updates, bases, members).values())
    assert all(values[1] > 3 * values[2] for values in spectra(updates, members).values())
    assert all(2 / 40 <= value < 1 for value in leverages(updates, bases, members).values())


def test_plug_in_certificate_of_exact_blocks_is_the_instance_certificate():
    """Without noise nothing has to be plugged in; with noise the certificate stays near the true one."""
    exact, truth, bases, members = planted(seed=5, n_clients=40, bad=(3,), noise=0.0)
    noisy, *_ = planted(seed=5, n_clients=40, bad=(3,), noise=0.01)
    of_exact, of_noisy = (plug_in_certificates(x, bases, members) for x in (exact, noisy))
    for name in exact:
        wanted = instance_certificate(
            truth[name],
            basis=bases[name],
            collaborative_set=members,
            block_penalty=1.8 * math.sqrt(2 / 40),
            common_component=True,
        )
        assert wanted.certified
        assert of_exact[name].eta == pytest.approx(wanted.eta, rel=1e-6)
        assert of_exact[name].kappa == pytest.approx(wanted.kappa, rel=1e-6)
        assert of_noisy[name].kappa == pytest.approx(wanted.kappa, rel=0.1)
