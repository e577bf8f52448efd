"""The predictive criterion, OptSpace and penalised subspaces: identities, slow twins, and what each withstands."""

import math

import numpy as np
import pytest

from clair_stats import ClientEstimates
from clair_stats.baselines import OWN_RULES, STATISTICAL_RIVALS
from clair_stats.baselines.optspace import complete, guessed_rank, trimmed
from clair_stats.baselines.penalised_subspaces import criterion, penalised_subspaces_of
from clair_stats.baselines.robust_reduced_rank_pic import degrees_of_freedom, predictive_criterion, select
from clair_stats.linalg import block_norms, entrywise_median, orthonormal_basis, project_off, sin_theta, stack
from tests.baselines.test_statistical_rivals import BAD, instance
from tests.hardening.cases import K, P
from tests.hardening.test_baselines import EDGES, X


@pytest.mark.parametrize("blocks", EDGES.values(), ids=EDGES)
@pytest.mark.parametrize("name", OWN_RULES)
@pytest.mark.filterwarnings("error")
def test_own_rules_give_degenerate_clients_finite_answers_and_do_not_use_what_they_are_told(name, blocks):
    fit = OWN_RULES[name](blocks, rank=0, n_contaminated=0)
    assert np.isfinite(fit.estimates).all()
    np.testing.assert_allclose(fit.basis.T @ fit.basis, np.eye(fit.basis.shape[1]), rtol=0, atol=1e-12)
    again = OWN_RULES[name](blocks, rank=P, n_contaminated=0 if name == "ras" else K - 1)
    np.testing.assert_array_equal(again.estimates, fit.estimates)


# The predictive criterion


def test_degrees_of_freedom_are_the_rank_of_the_derivative_of_the_fits():
    """By differences at random parameters: subspace, coefficients, centre, and the outliers' own blocks."""
    rng = np.random.default_rng(1)
    n_clients, p, q = 6, 5, 2
    for rank, outlying in ((0, 0), (1, 0), (2, 1), (1, 2), (3, 2)):
        sizes = [p * rank, rank * q * n_clients, p * q, p * q * outlying]

        def fits(parameters, rank=rank, outlying=outlying, sizes=sizes):
            left, right, centre, own = np.split(parameters, np.cumsum(sizes)[:-1])
            blocks = left.reshape(p, rank) @ right.reshape(n_clients, rank, q) + centre.reshape(p, q)
            blocks[:outlying] += own.reshape(outlying, p, q)
            return blocks.ravel()

        at = rng.standard_normal(sum(sizes))
        derivative = [(fits(at + 1e-6 * e) - fits(at - 1e-6 * e)) / 2e-6 for e in np.eye(at.size)]
        found = np.linalg.matrix_rank(np.array(derivative), tol=1e-6)
        assert found == degrees_of_freedom((n_clients, p, q), rank, outlying)


def test_the_criterion_by_hand():
    """K = 4, p = 2, q = 1, r = 1, J = 1: eight numbers, 1 + 3 + 1 + 2 degrees of freedom."""
    expected = 8 * math.log(3.0 / 8.0) + 7 * 7 + 2.1 * math.log(4 * math.e)
    assert predictive_criterion(3.0, (4, 2, 1), 1, 1) == pytest.approx(expected)


def test_the_selection_is_the_smallest_criterion_over_all_sets_and_ranks():
    """Six clients, two of them large: every subset that may be left out, by singular values."""
    from itertools import combinations

    blocks = instance(2, n_clients=6, bad=2, size=30.0, noise=0.01)[0].dense()[:, :5]
    best = (math.inf, 0, 0)
    for outlying in range(3):
        for out in combinations(range(6), outlying):
            own = np.delete(blocks, out, axis=0)
            values = np.linalg.svd(stack(own - own.mean(axis=0)), compute_uv=False)
            for rank in range(3):
                value = predictive_criterion(float(np.sum(values[rank:] ** 2)), blocks.shape, rank, outlying)
                best = min(best, (value, rank, outlying))
    found = select(blocks)
    assert (found.rank, found.n_outlying) == best[1:] == (2, 2)
    assert found.criterion == pytest.approx(best[0], rel=1e-9)


def test_few_outliers_are_found_and_a_third_of_small_ones_is_not():
    """An outlier costs 7pq: it pays where the residual falls by that, so many small ones stay in."""
    record, _, basis = instance(4, bad=2, size=3.0)
    fit = OWN_RULES["robust_reduced_rank"](record, rank=0, n_contaminated=0)
    np.testing.assert_array_equal(fit.collaborative_set, np.arange(20) >= 2)
    assert fit.basis.shape[1] == 2
    assert sin_theta(fit.basis, basis) < 0.05
    assert select(instance(4, bad=6, size=0.1)[0].dense()).n_outlying == 0


# OptSpace


def low_rank(rng, m=30, n=40, rank=2):
    return rng.standard_normal((m, rank)) @ rng.standard_normal((rank, n))


def test_a_complete_matrix_is_cut_to_its_leading_singular_vectors_without_a_step():
    rng = np.random.default_rng(3)
    matrix = low_rank(rng) + 0.3 * rng.standard_normal((30, 40))
    found = complete(matrix, np.ones(matrix.shape, dtype=bool), 2)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    np.testing.assert_allclose(found.matrix, (left[:, :2] * values[:2]) @ right[:2], atol=1e-10)
    assert found.iterations == 0
    assert guessed_rank(matrix, np.ones(matrix.shape, dtype=bool)) == 2
    np.testing.assert_array_equal(trimmed(matrix, np.ones(matrix.shape, dtype=bool)), matrix)


def test_half_of_a_low_rank_matrix_gives_the_other_half_back():
    rng = np.random.default_rng(4)
    matrix = low_rank(rng)
    observed = rng.random(matrix.shape) < 0.5
    found = complete(np.where(observed, matrix, 0.0), observed, 2)
    assert np.linalg.norm(found.matrix - matrix) < 1e-4 * np.linalg.norm(matrix)
    start = np.linalg.svd(trimmed(matrix, observed))[0][:, :2]
    assert sin_theta(start, orthonormal_basis(matrix, 2)) > 0.05  # the descent, not the projection, does it


def test_columns_and_rows_with_more_than_twice_their_share_are_trimmed():
    observed = np.zeros((4, 5), dtype=bool)
    observed[:, 0] = True
    observed[0, 1] = observed[1, 2] = True
    found = trimmed(np.ones((4, 5)), observed)
    assert not found[:, 0].any()  # 4 > 2 · 6/5
    np.testing.assert_array_equal(found[:, 1:], observed[:, 1:])  # the fullest row has 2 ≤ 2 · 6/4


def test_one_large_client_turns_optspace_and_not_the_others():
    record, _, basis = instance(5, bad=1, size=30.0)
    assert sin_theta(STATISTICAL_RIVALS["optspace"](record, rank=2, n_contaminated=1).basis, basis) > 0.9
    for name in ("robust_reduced_rank", "penalised_subspaces"):
        assert sin_theta(STATISTICAL_RIVALS[name](record, rank=2, n_contaminated=1).basis, basis) < 0.1


# Penalised subspaces


def centred_grams(seed=6, **fields):
    blocks = instance(seed, **fields)[0].dense()
    centred = blocks - entrywise_median(blocks)
    return centred, centred @ centred.transpose(0, 2, 1)


def test_without_penalty_clients_keep_their_own_subspace_and_with_an_infinite_one_share_that_of_the_stack():
    centred, grams = centred_grams()
    alone = penalised_subspaces_of(grams, np.zeros(20), 2)
    assert not alone.sharing.any()
    for own, block in zip(alone.own, centred, strict=True):
        assert sin_theta(own, orthonormal_basis(block, 2)) < 1e-7
    for penalty in (np.inf, 1e12):
        together = penalised_subspaces_of(grams, np.full(20, penalty), 2)
        assert together.sharing.all()
        assert sin_theta(together.shared, orthonormal_basis(stack(centred), 2)) < 1e-7


def test_the_criterion_never_rises_and_ends_where_no_small_turn_lowers_it():
    _, grams = centred_grams(7, bad=6)
    penalties = np.full(20, 0.4)
    found = penalised_subspaces_of(grams, penalties, 2, iterations=500)
    assert 0 < found.sharing.sum() < 20
    assert (np.diff(found.values) <= 1e-9 * found.values[0]).all()
    rng = np.random.default_rng(8)
    least = criterion(grams, penalties, found.own, found.shared)
    for size in (1e-2, 1e-3):
        for _ in range(20):
            turned = np.linalg.qr(found.own + size * rng.standard_normal(found.own.shape))[0]
            shared = np.linalg.qr(found.shared + size * rng.standard_normal(found.shared.shape))[0]
            own = np.where(found.sharing[:, None, None], shared, found.own)  # those who share turn together
            assert criterion(grams, penalties, own, shared) >= least - 1e-6 * least
            assert criterion(grams, penalties, turned, found.shared) >= least - 1e-6 * least


def test_one_client_stays_exactly_while_its_slope_is_below_the_penalty():
    """The law of the module's docstring, √2 λ against ‖U_⊥ᵀXXᵀU‖, for small angles."""
    rng = np.random.default_rng(9)
    basis = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    block = basis[:, :1] @ (3.0 * rng.standard_normal((1, 5))) + 0.02 * rng.standard_normal((8, 5))
    others = np.repeat((basis[:, :1] @ basis[:, :1].T)[None] * 1e6, 3, axis=0)  # hold the shared direction in place
    grams = np.concatenate([(block @ block.T)[None], others])
    slope = np.linalg.norm(basis[:, 1:].T @ grams[0] @ basis[:, :1])
    for factor, stays in ((1.1, True), (0.9, False)):
        penalties = np.array([factor * slope / math.sqrt(2.0), np.inf, np.inf, np.inf])
        assert penalised_subspaces_of(grams, penalties, 1, iterations=200).sharing[0] == stays


def test_benign_clients_share_and_scattered_ones_do_not():
    record, targets, basis = instance(10)
    fit = STATISTICAL_RIVALS["penalised_subspaces"](record, rank=2, n_contaminated=BAD)
    own = block_norms(record.dense() - targets)[BAD:]
    assert np.mean(block_norms(fit.estimates - targets)[BAD:] ** 2) < 0.8 * np.mean(own**2)
    np.testing.assert_allclose(block_norms(project_off(basis, fit.basis[None])), 0.0, atol=0.1)
    without = ClientEstimates(values=X)
    fit = STATISTICAL_RIVALS["penalised_subspaces"](without, rank=1, n_contaminated=2)
    assert fit.collaborative_set.sum() == K - 2
