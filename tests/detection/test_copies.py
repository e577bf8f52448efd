"""Who shares a vote, and that sybils are no majority."""

import numpy as np
import pytest

from clair_stats import CLAIR, ClientEstimates
from clair_stats.detection.joint.copies import representatives
from tests.detection.test_alignment import products, sent


def voters(updates):
    return representatives(products(updates), updates.shape[1])


def test_copies_share_a_vote_and_others_keep_theirs():
    updates = sent(0, n_clients=12)
    assert (voters(updates) == np.arange(12)).all()
    generator = np.random.default_rng(0)
    updates[[3, 7, 9, 11]] = np.array([[1.0], [1.02], [0.98], [2.0]]) * updates[3]
    updates[9] += 0.01 * generator.standard_normal(300)
    found = voters(updates)
    assert found[3] == found[7] == found[9]
    rest = np.delete(np.arange(12), [3, 7, 9])  # a multiple is no copy
    np.testing.assert_array_equal(found[rest], rest)


def test_honest_clients_that_agree_closely_are_no_copies_and_neither_are_silent_ones():
    for noise in (1.0, 0.1, 1e-3):  # ten times smaller errors in some do not make copies of them
        updates = sent(1, n_clients=16, agreement=1.0, noise=noise)
        assert (voters(updates) == np.arange(16)).all()
    uneven = sent(2, n_clients=16, agreement=1.0, noise=np.where(np.arange(16) < 4, 0.2, 1.0)[:, None])
    assert (voters(uneven) == np.arange(16)).all()
    uneven[:3] = 0.0
    assert (voters(uneven) == np.arange(16)).all()
    same = np.repeat(sent(3, n_clients=1), 8, axis=0)  # everybody the same: nobody is nearer than the half
    assert (voters(same) == np.arange(8)).all()


@pytest.mark.parametrize(
    ("n_modules", "n_columns", "rank", "noise"),
    [
        (1, 1, 1, 0.02),
        (2, 1, 1, 0.02),
        (3, 1, 1, 0.02),
        (1, 2, 1, 0.0),
        (1, 4, 1, 0.02),
        (2, 2, 1, 0.02),
        (1, 3, 2, 0.1),
    ],
)
def test_honest_clients_that_differ_in_few_directions_keep_their_votes(n_modules, n_columns, rank, noise):
    """At a tenth of the usual distance 12 of 24 clients of one column, 8 of two modules, had shared a vote."""
    for seed in range(60):
        generator = np.random.default_rng([68, seed])
        modules = []
        for _ in range(n_modules):
            basis = np.linalg.qr(generator.standard_normal((12, rank)))[0]
            blocks = basis @ generator.standard_normal((24, rank, n_columns))
            blocks += noise * generator.standard_normal(blocks.shape)
            modules.append(blocks)
        between = [np.einsum("kij,lij->kl", blocks, blocks) for blocks in modules]
        found = representatives(between, n_modules * n_columns - 1)
        assert (found == np.arange(24)).all(), seed
        if n_modules * n_columns > 2:  # with fewer a distance by chance is as small as rounding
            for blocks in modules:
                blocks[5:9] = blocks[4]
            between = [np.einsum("kij,lij->kl", blocks, blocks) for blocks in modules]
            assert np.unique(representatives(between, n_modules * n_columns - 1)).size == 20


def federation(seed, n_clients=20):
    generator = np.random.default_rng([67, seed])
    modules = []
    for _ in range(3):
        basis = np.linalg.qr(generator.standard_normal((24, 2)))[0]
        blocks = basis @ generator.standard_normal((n_clients, 2, 16))
        blocks += 0.1 * generator.standard_normal(blocks.shape)
        left, sizes, right = np.linalg.svd(blocks, full_matrices=False)
        modules.append((left[..., :4] * sizes[..., None, :4]) @ right[..., :4, :])
    return modules, generator


def test_nine_of_twenty_sybils_are_one_client_that_stands_out():
    for seed in range(3):
        modules, generator = federation(seed)
        for blocks in modules:
            blocks[11:] = blocks[0] + np.outer(generator.standard_normal(24), generator.standard_normal(16)) / 4.0
        model = CLAIR().fit({f"module {m}": blocks for m, blocks in enumerate(modules)})
        np.testing.assert_array_equal(model.flagged_, np.arange(20) >= 11)
        assert model.scores_[11:].std() == 0.0
        assert "share its vote" in model.summary()


@pytest.mark.parametrize("factor", [3.0, 100.0])
def test_a_multiple_of_an_honest_update_does_not_share_its_verdict(factor):
    """Votes had been shared by direction alone, and with the vote the verdict."""
    modules, _ = federation(0)
    for blocks in modules:
        blocks[5] = factor * blocks[4]
    model = CLAIR().fit({f"module {m}": blocks for m, blocks in enumerate(modules)})
    np.testing.assert_array_equal(np.flatnonzero(model.flagged_), [5])


def test_who_poisons_a_small_module_of_a_copied_update_is_a_client_of_its_own():
    modules, generator = federation(1)
    modules = [modules[0], modules[1], 0.01 * modules[2]]
    for blocks in modules:
        blocks[5] = blocks[4]
    assert CLAIR().fit({f"module {m}": blocks for m, blocks in enumerate(modules)}).modules_.verdict.voters is not None
    modules[2][5] += 0.05 * generator.standard_normal((24, 16))
    model = CLAIR().fit({f"module {m}": blocks for m, blocks in enumerate(modules)})
    assert model.modules_.verdict.voters is None
    assert np.asarray(model.modules_.verdict.module_scores)[2, 5] > 5.0


def test_copies_of_an_honest_client_change_nothing_for_the_others():
    modules, _ = federation(0)
    for blocks in modules:
        blocks[11:] = blocks[0]
    model = CLAIR().fit({f"module {m}": blocks for m, blocks in enumerate(modules)})
    alone = CLAIR().fit({f"module {m}": blocks[:11] for m, blocks in enumerate(modules)})
    assert model.majority_
    np.testing.assert_array_equal(model.flagged_[:11], alone.flagged_)
    np.testing.assert_allclose(model.scores_, np.concatenate([alone.scores_, np.repeat(alone.scores_[0], 9)]))
    np.testing.assert_allclose(model.alignment_.values[:11], alone.alignment_.values)
    # As independent clients copies had drawn everybody towards one client's error: .40 of the squared error for .23.
    for number in range(len(modules)):
        refined, fewer = model.refined_[f"module {number}"], alone.refined_[f"module {number}"]
        np.testing.assert_allclose(refined[:11], fewer, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(refined[11:], np.repeat(refined[:1], 9, axis=0))


def one_module(seed, *, q=20, p=40, copies=0, told=False):
    generator = np.random.default_rng([20_261_127, seed])
    basis = np.linalg.qr(generator.standard_normal((p, 2)))[0]
    blocks = basis @ generator.standard_normal((20, 2, q)) + generator.standard_normal((p, q))
    blocks += 0.3 * generator.standard_normal(blocks.shape)
    blocks[20 - copies :] = blocks[0]
    return ClientEstimates(values=blocks, noise_scales=np.full(20, 0.3) if told else None)


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize(("p", "q"), [(40, 20), (10, 4)])
@pytest.mark.parametrize("copies", [2, 5, 8])
def test_copies_of_one_client_leave_the_verdict_of_one_module_as_it_is_without_them(copies, p, q, told):
    """They had prevented a verdict: in 19 of 20 runs where a fifth of the clients sent them."""
    record = one_module(0, p=p, q=q, copies=copies, told=told)
    model, alone = CLAIR().fit(record), CLAIR().fit(record.of_clients(range(20 - copies)))
    assert model.majority_
    np.testing.assert_array_equal(model.flagged_, np.append(alone.flagged_, np.repeat(alone.flagged_[0], copies)))
    np.testing.assert_allclose(model.p_values_, np.append(alone.p_values_, np.repeat(alone.p_values_[0], copies)))
    np.testing.assert_allclose(model.scores_, np.append(alone.scores_, np.repeat(alone.scores_[0], copies)))
    np.testing.assert_allclose(model.noise_scales_[0], alone.noise_scales_[0])
    np.testing.assert_allclose(model.refined_[: 20 - copies], alone.refined_, rtol=1e-9, atol=1e-11)
    np.testing.assert_array_equal(model.refined_[20 - copies :], np.repeat(model.refined_[:1], copies, axis=0))
    assert f"{copies} clients send nearly what another one sends" in model.summary()


def test_copies_of_one_client_with_covariances_leave_a_verdict():
    record = one_module(1, p=10, q=4, copies=6)
    generator = np.random.default_rng(5)
    spread = generator.uniform(0.5, 2.0, (20, 10))
    spread[14:] = spread[0]
    rows = 0.09 * np.einsum("kp,pr->kpr", spread, np.eye(10))
    blocks = record.dense() + (np.sqrt(spread) - 1.0)[:, :, None] * 0.3 * generator.standard_normal((20, 10, 4))
    blocks[14:] = blocks[0]
    model = CLAIR().fit(ClientEstimates(values=blocks, row_covariances=rows))
    assert model.majority_
    assert model.flagged_.sum() <= 1


def test_nearly_a_copy_is_moved_as_the_client_that_votes_for_it():
    blocks = one_module(2, copies=3).dense().copy()
    blocks[18] += 1e-5
    model = CLAIR().fit(blocks)
    assert model.consensus_.voters is not None
    moved = model.refined_ - blocks
    np.testing.assert_allclose(moved[18], moved[0], atol=1e-12)
    assert np.abs(moved[0]).max() > 1e-3


def test_honest_clients_of_one_module_have_a_vote_each():
    for seed in range(20):
        for p, q in ((40, 20), (10, 4), (12, 2), (8, 1)):
            assert CLAIR().fit(one_module(seed, p=p, q=q)).consensus_.voters is None


def test_a_majority_that_sends_the_same_keeps_its_votes_and_two_clients_are_not_left():
    generator = np.random.default_rng(3)
    blocks = np.repeat(generator.standard_normal((1, 8, 4)), 12, axis=0)
    blocks[9:] = generator.standard_normal((3, 8, 4))
    model = CLAIR().fit(blocks)
    np.testing.assert_array_equal(np.flatnonzero(model.flagged_), [9, 10, 11])
    blocks[6:] = blocks[9]
    assert CLAIR().fit(blocks).consensus_.voters is None


def test_a_client_of_absurd_size_changes_nobodys_vote():
    blocks = one_module(4, copies=4).dense().copy()
    blocks[1] *= 1e200
    model = CLAIR().fit(blocks)
    assert model.flagged_[1]
    np.testing.assert_array_equal(np.flatnonzero(~model.consensus_.votes), [16, 17, 18, 19])
