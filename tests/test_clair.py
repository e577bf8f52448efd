"""CLAIR as a user meets it: attributes, orientation, noiseless recovery, factors, no majority, bad input."""

import numpy as np
import pytest

from clair_stats import CLAIR, ClientEstimates
from clair_stats.clair import NoMajorityWarning
from clair_stats.linalg import sin_theta


def _federation(seed, *, noise=0.1, bad=7, n_clients=20, p=15, q=8, rank=2):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((p, rank)))[0]
    common = 0.3 * rng.standard_normal((p, q))
    targets = common + basis @ rng.standard_normal((n_clients, rank, q))
    targets[:bad] = common + rng.standard_normal((bad, p, q))
    return targets + noise * rng.standard_normal(targets.shape), targets, basis, np.arange(n_clients) >= bad


def test_everything_is_found_without_tuning():
    blocks, targets, basis, benign = _federation(1)
    model = CLAIR().fit(blocks)
    assert model.rank_ == 2
    assert model.majority_
    np.testing.assert_array_equal(model.collaborative_set_, benign)
    assert sin_theta(model.basis_, basis) < 0.1
    assert np.median(model.noise_scales_) == pytest.approx(0.1, rel=0.1)
    np.testing.assert_array_equal(model.refined_[~benign], blocks[~benign])
    refined_error = np.sum((model.refined_ - targets)[benign] ** 2)
    assert refined_error < 0.6 * np.sum((blocks - targets)[benign] ** 2)
    np.testing.assert_array_equal(model.scores_ > model.detection_.threshold, ~benign)


def test_the_convex_solution_stays_visible_with_its_certificate():
    blocks, _, _, _ = _federation(6)
    model = CLAIR().fit(blocks)
    solution = model.decomposition_
    assert solution.status == "optimal"
    assert 0 <= solution.duality_gap <= 1e-6 * solution.objective * (1 + 1e-9)
    assert solution.common.shape == (15, 8)
    assert model.consensus_.source == "program"
    assert solution.program == "E"
    # It proposed the set: the accepted clients are those with the smallest S.
    sizes = np.linalg.norm(solution.block_sparse, axis=(1, 2))
    assert sizes[model.collaborative_set_].max() < sizes[~model.collaborative_set_].min()
    default = CLAIR(noise_penalty=1.5).fit(blocks).decomposition_
    assert default.noise_penalty == 1.5


def test_the_convex_solution_is_solved_when_it_is_asked_for():
    """And again after another fit; a chosen penalty that is refused is refused by ``fit``."""
    blocks, *_ = _federation(6)
    model = CLAIR().fit(blocks)
    assert "decomposition_" not in vars(model)
    first = model.decomposition_
    assert model.decomposition_ is first
    other = model.fit(2.0 * blocks).decomposition_
    assert other.objective == pytest.approx(2.0 * first.objective, rel=1e-6)
    assert "decomposition_" in vars(CLAIR(block_penalty=0.6).fit(blocks))
    with pytest.raises(ValueError, match="block_penalty"):
        CLAIR(block_penalty=1e-3).fit(blocks)


def test_program_alone_and_with_the_search_behind_it():
    """The same verdict on ordinary data; the summary says what proposed the set."""
    blocks, _, _, benign = _federation(6)
    for detection in ("program", "consensus"):
        model = CLAIR(detection=detection).fit(blocks)
        np.testing.assert_array_equal(model.collaborative_set_, benign)
        assert "set proposed by program" in model.summary()
    with pytest.raises(ValueError, match="detection: 'search'; give 'consensus' or 'program'"):
        CLAIR(detection="search").fit(blocks)


@pytest.mark.parametrize("common_component", [True, False])
def test_exact_estimates_are_recovered_exactly(common_component):
    blocks, targets, basis, benign = _federation(3, noise=0.0)
    if not common_component:
        rng = np.random.default_rng(4)
        blocks[benign] = basis @ rng.standard_normal((int(benign.sum()), 2, 8))
        targets = blocks
    model = CLAIR(common_component=common_component).fit(blocks)
    np.testing.assert_array_equal(model.collaborative_set_, benign)
    assert sin_theta(model.basis_, basis) < 1e-6
    np.testing.assert_array_equal(model.noise_scales_, 0.0)
    np.testing.assert_allclose(model.refined_, targets, atol=1e-9)
    np.testing.assert_array_equal(CLAIR(common_component=common_component).fit(blocks).refined_, model.refined_)


def test_shared_rows_are_the_transposed_problem():
    blocks, _, _, _ = _federation(5)
    columns = CLAIR().fit(blocks)
    rows = CLAIR(shared="rows").fit(blocks.transpose(0, 2, 1))
    assert rows.basis_.shape == (15, 2)
    np.testing.assert_array_equal(rows.collaborative_set_, columns.collaborative_set_)
    np.testing.assert_allclose(rows.refined_.transpose(0, 2, 1), columns.refined_, atol=1e-12)
    np.testing.assert_allclose(rows.common_.T, columns.common_, atol=1e-12)


@pytest.mark.parametrize("shared", ["columns", "rows"])
def test_factors_give_the_answer_of_their_products(shared):
    rng = np.random.default_rng(6)
    basis = np.linalg.qr(rng.standard_normal((30, 2)))[0]
    factors = [(basis, rng.standard_normal((2, 25))) for _ in range(9)]
    factors += [(rng.standard_normal((30, 3)), rng.standard_normal((3, 25))) for _ in range(5)]
    if shared == "rows":
        factors = [(right.T, left.T) for left, right in factors]
    record = ClientEstimates(factors=tuple(factors))
    factored, dense = CLAIR(shared=shared).fit(record), CLAIR(shared=shared).fit(record.dense())
    np.testing.assert_array_equal(factored.collaborative_set_, np.arange(14) < 9)
    np.testing.assert_array_equal(factored.collaborative_set_, dense.collaborative_set_)
    assert sin_theta(factored.basis_, dense.basis_) < 1e-9
    np.testing.assert_allclose(factored.refined_, dense.refined_, atol=1e-9)
    np.testing.assert_allclose(factored.common_, dense.common_, atol=1e-9)
    assert max(left.shape[1] for left, _ in factored.refined_factors_) <= 4


def test_large_factors_need_no_large_matrix():
    """12 clients of 60,000 × 50,000: one product would take 24 GB."""
    rng = np.random.default_rng(7)
    basis = np.linalg.qr(rng.standard_normal((60_000, 2)))[0]
    factors = [(basis, rng.standard_normal((2, 50_000))) for _ in range(8)]
    factors += [(rng.standard_normal((60_000, 2)), rng.standard_normal((2, 50_000))) for _ in range(4)]
    model = CLAIR().fit(ClientEstimates(factors=tuple(factors)))
    np.testing.assert_array_equal(model.collaborative_set_, np.arange(12) < 8)
    assert sin_theta(model.basis_, basis) < 1e-6
    assert model.refined_factors_[0][0].shape[0] == 60_000


@pytest.mark.parametrize("given", ["noise_scales", "sample_sizes"])
def test_unequal_noise_is_used_in_test_and_refinement(given):
    rng = np.random.default_rng(8)
    sizes = np.round(np.exp(rng.uniform(np.log(50), np.log(1000), 24)))
    sigma = 0.1 * np.sqrt(200 / sizes)
    clean, _, _, benign = _federation(9, noise=0.0, n_clients=24)
    blocks = clean + sigma[:, None, None] * rng.standard_normal(clean.shape)
    model = CLAIR(level=0.01).fit(blocks, **{given: sigma if given == "noise_scales" else sizes})
    np.testing.assert_array_equal(model.collaborative_set_, benign)
    weights = model.refinement_.weights[benign]
    np.testing.assert_allclose(weights, sizes[benign] / sizes[benign].sum(), rtol=1e-9)
    equal = CLAIR(level=0.01).fit(blocks)
    # Taken as equal, the noisy clients look contaminated.
    assert not equal.collaborative_set_[benign].all()


def test_no_majority_is_said_and_nothing_is_changed():
    rng = np.random.default_rng(10)
    blocks = rng.standard_normal((10, 15, 8)) * rng.uniform(1, 50, 10)[:, None, None]
    with pytest.warns(NoMajorityWarning, match="no collaborative majority"):
        model = CLAIR().fit(blocks)
    assert not model.majority_
    assert not model.collaborative_set_.any()
    np.testing.assert_array_equal(model.refined_, blocks)
    assert "no collaborative majority" in model.summary()


def test_a_tie_is_said():
    rng = np.random.default_rng(11)
    first, second = np.split(np.linalg.qr(rng.standard_normal((20, 4)))[0], 2, axis=1)
    blocks = np.concatenate([first @ rng.standard_normal((5, 2, 8)), second @ rng.standard_normal((5, 2, 8))])
    blocks += 0.05 * rng.standard_normal(blocks.shape)
    with pytest.warns(NoMajorityWarning, match="agree at rank 4, but a part of them alone"):
        model = CLAIR().fit(blocks)
    assert not model.collaborative_set_.any()


def test_tolerated_heterogeneity_keeps_slightly_different_clients():
    rng = np.random.default_rng(12)
    blocks, _, basis, benign = _federation(13, noise=0.05)
    off = rng.standard_normal(blocks.shape)
    off -= basis @ (basis.T @ off)
    blocks[benign] += 0.5 * off[benign] / np.linalg.norm(off[benign], axis=(1, 2), keepdims=True)
    learnt = CLAIR(rank=2).fit(blocks, noise_scales=np.full(20, 0.05))
    tolerant = CLAIR(rank=2, heterogeneity=0.6).fit(blocks, noise_scales=np.full(20, 0.05))
    np.testing.assert_array_equal(tolerant.collaborative_set_, benign)
    # Without the tolerance the difference that all have is learnt as noise and said.
    np.testing.assert_array_equal(learnt.collaborative_set_, benign)
    expected = np.sqrt(1 + 0.5**2 / (0.05**2 * 13 * 8))
    assert learnt.consensus_.excess == pytest.approx(expected, rel=0.1)
    assert "given noise" in learnt.summary()


def test_summary_and_pictures(tmp_path):
    blocks, _, _, _ = _federation(14)
    model = CLAIR().fit(blocks)
    text = model.summary()
    for word in ("7 of 20", "rank 2", "level 0.05", "duality gap"):
        assert word in text
    model.plot(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


@pytest.mark.parametrize(
    ("settings", "blocks", "message"),
    [
        ({}, np.ones((2, 3, 4)), "at least 3"),
        ({}, np.full((4, 3, 4), np.nan), "client 0"),
        ({"rank": 9}, np.ones((4, 3, 4)), "rank"),
        ({"rank": 1.5}, np.ones((4, 3, 4)), "rank"),
        ({"level": 0.0}, np.ones((4, 3, 4)), "level"),
        ({"shared": "both"}, np.ones((4, 3, 4)), "shared"),
        ({"heterogeneity": -1.0}, np.ones((4, 3, 4)), "heterogeneity"),
    ],
)
def test_bad_input_names_the_field(settings, blocks, message):
    with pytest.raises(ValueError, match=message):
        CLAIR(**settings).fit(blocks)


@pytest.mark.parametrize("blocks", [np.zeros((5, 4, 3)), np.ones((5, 4, 3)), np.eye(5)[:, :, None]])
def test_degenerate_input_gets_an_answer_or_a_statement(blocks):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoMajorityWarning)
        model = CLAIR().fit(blocks)
    assert np.isfinite(model.refined_).all()
    assert model.collaborative_set_.shape == (5,)
    if not blocks.any() or (blocks == 1).all():
        assert model.rank_ == 0
        assert model.collaborative_set_.all()


@pytest.mark.parametrize("known", [None, 0.5])
def test_a_subspace_that_is_the_whole_space_makes_everybody_benign(known):
    blocks = np.random.default_rng(9).standard_normal((12, 4, 9))
    scales = None if known is None else np.full(12, known)
    model = CLAIR(rank=4, refinement="average").fit(blocks, noise_scales=scales)
    assert model.majority_
    assert model.collaborative_set_.all()
    assert (model.p_values_ == 1.0).all()
    np.testing.assert_allclose(model.refined_, blocks, atol=1e-12)
