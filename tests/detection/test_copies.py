"""Who shares a vote, and that sybils are no majority."""

import numpy as np

from clair_stats import CLAIR
from clair_stats.detection.joint.alignment import cosines
from clair_stats.detection.joint.copies import representatives
from tests.detection.test_alignment import products, sent


def voters(updates):
    return representatives(cosines(products(updates)))


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
