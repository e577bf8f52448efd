"""Who shares a vote, and that sybils are no majority."""

import numpy as np
import pytest

from clair_stats import CLAIR
from clair_stats.detection.joint.alignment import cosines
from clair_stats.detection.joint.copies import representatives
from tests.detection.test_alignment import products, sent


def voters(updates):
    return representatives(cosines(products(updates)), updates.shape[1])


def test_copies_share_a_vote_whatever_their_scale_and_others_keep_theirs():
    updates = sent(0, n_clients=12)
    assert (voters(updates) == np.arange(12)).all()
    generator = np.random.default_rng(0)
    updates[[3, 7, 9]] = np.array([[1.0], [2.0], [0.5]]) * updates[3]
    updates[9] += 0.01 * generator.standard_normal(300)
    found = voters(updates)
    assert found[3] == found[7] == found[9]
    rest = np.delete(np.arange(12), [3, 7, 9])
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
        found = representatives(cosines(between), n_modules * n_columns - 1)
        assert (found == np.arange(24)).all(), seed
        if n_modules * n_columns > 2:  # with fewer a distance by chance is as small as rounding
            for blocks in modules:
                blocks[5:9] = 2.0 * blocks[4]
            between = [np.einsum("kij,lij->kl", blocks, blocks) for blocks in modules]
            assert (representatives(cosines(between), n_modules * n_columns - 1)[4:9] < 9).all()
            assert np.unique(representatives(cosines(between), n_modules * n_columns - 1)).size == 20


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
