"""What the program proposes: sets and votes."""

import warnings

import numpy as np
import pytest

from clair_stats.decomposition.decompose import decompose
from clair_stats.decomposition.problem import Problem, to_tall
from clair_stats.decomposition.proposals import copy_weights, propose
from clair_stats.decomposition.solvers.grams import Grams
from tests.decomposition.named_problems import instance


def _proposed(blocks, **options):
    found = list(propose(blocks, **options))
    assert len({proposal.members.tobytes() for proposal in found}) == len(found)
    assert all(proposal.members.sum() > len(blocks) // 2 for proposal in found)
    return found


def _with_copies(n_copies, *, seed, size):
    """40 clients; the first ones send one and the same block, of ``size`` times a benign one, up to noise."""
    rng = np.random.default_rng((9, seed))
    blocks = instance(24, 10, 40, 2, seed=seed, share=0.0, noise=0.2)
    sent = rng.standard_normal((24, 1)) @ rng.standard_normal((1, 10))
    sent *= size * np.sqrt(20.0) / np.linalg.norm(sent)
    blocks[:n_copies] = blocks.mean(axis=0) + sent + 0.2 * rng.standard_normal((n_copies, 24, 10))
    return blocks


@pytest.mark.parametrize(
    ("kind", "share"),
    [("scattered", 0.2), ("scattered", 0.4), ("identical", 0.3), ("identical", 0.4), ("flip", 0.3), ("rank_one", 0.2)],
)
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_a_pure_majority_is_proposed(kind, share, noise):
    blocks = instance(24, 10, 40, 2, seed=1, share=share, kind=kind, noise=noise)
    contaminated = np.arange(40) < round(share * 40)
    assert any(not (proposal.members & contaminated).any() for proposal in _proposed(blocks))


def test_identical_clients_need_to_share_a_vote():
    """With equal weights alone their direction enters first, and no pure set is proposed at the true rank."""
    blocks = _with_copies(16, seed=2, size=1.0)
    contaminated = np.arange(40) < 16
    at_rank = [proposal for proposal in _proposed(blocks) if proposal.rank == 2]
    pure = [proposal for proposal in at_rank if not (proposal.members & contaminated).any()]
    assert pure
    assert all(proposal.client_weights.min() < 0.5 for proposal in pure)


def test_copies_share_a_vote_and_others_keep_theirs():
    weights = copy_weights(_grams(_with_copies(10, seed=3, size=2.0)), np.ones(40))
    np.testing.assert_allclose(weights[:10] * 10, 1.0, rtol=0.2)
    assert np.median(weights[10:]) > 0.7
    # Nobody has two copies among blocks of independent entries, all pairs of which are equally far apart.
    independent = np.random.default_rng(0).standard_normal((40, 24, 10))
    independent[0] = 0.5 * independent[1]
    assert copy_weights(_grams(independent), np.ones(40)) is None


def _grams(blocks):
    return Grams(Problem(to_tall(blocks - blocks.mean(axis=0)), np.ones(len(blocks))))


def test_noise_scales_are_weights():
    rng = np.random.default_rng(5)
    scales = np.exp(rng.uniform(-1.0, 1.0, 40))
    blocks = instance(24, 10, 40, 2, seed=5, share=0.3) + 0.2 * scales[:, None, None] * rng.standard_normal(
        (40, 24, 10)
    )
    found = _proposed(blocks, noise_scales=scales)
    np.testing.assert_allclose(found[0].client_weights * scales, found[0].client_weights[0] * scales[0])
    assert any(not proposal.members[:12].any() and proposal.members.sum() >= 26 for proposal in found)


def test_order_of_clients_and_a_rotation_do_not_matter():
    rng = np.random.default_rng(6)
    blocks = instance(16, 6, 20, 1, seed=6, share=0.3, noise=0.2)
    order, turn = rng.permutation(20), np.linalg.qr(rng.standard_normal((16, 16)))[0]
    found, other = list(propose(blocks)), list(propose(turn @ blocks[order]))
    assert [(p.rank, tuple(p.members[order])) for p in found] == [(p.rank, tuple(p.members)) for p in other]


@pytest.mark.parametrize("factor", [0.0, 1e8, 1e78, 1e150])
def test_one_client_of_another_size_gives_neither_error_nor_warning(factor):
    """It is in no set that is proposed once a direction has entered."""
    blocks = instance(16, 6, 20, 2, seed=1, noise=0.2)
    blocks[0] *= factor
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = propose(blocks / np.abs(blocks).max())
        for common in (True, False):
            solved = decompose(blocks, block_penalty=0.6, common_component=common)
            assert solved.status == "optimal"
    assert found
    assert all(not proposal.members[0] for proposal in found if factor > 1.0 and proposal.rank == 2)
