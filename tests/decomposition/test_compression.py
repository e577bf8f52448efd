"""Exact compression: the same answer in fewer numbers, dense and for LoRA factors."""

import numpy as np
import pytest

from clair_stats.decomposition.compression import compress_dense, compress_factors
from clair_stats.decomposition.decompose import decompose, decompose_factors
from clair_stats.decomposition.verify import verify_solution
from clair_stats.estimates import ClientEstimates
from tests.decomposition.named_problems import instance

LAM = 0.9


def _factors(p, q, n_clients, ranks, seed, *, common=False):
    """Benign B_k = U C_k (+ a shared low-rank block), two contaminated clients with their own columns."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((p, 2)))[0]
    shared = (rng.standard_normal((p, 1)), rng.standard_normal((1, q)))
    pairs = []
    for k in range(n_clients):
        rank = ranks[k % len(ranks)]
        left = basis @ rng.standard_normal((2, rank)) if k >= 2 else rng.standard_normal((p, rank))
        right = rng.standard_normal((rank, q))
        if common:
            left, right = np.hstack([left, shared[0]]), np.vstack([right, shared[1]])
        pairs.append((left, right))
    return tuple(pairs)


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("shape", [(40, 3, 4), (3, 40, 4), (60, 5, 5), (4, 60, 3)])
def test_dense_coordinates_lose_nothing(common, shape):
    p, q, n_clients = shape
    tall = np.random.default_rng(0).standard_normal((n_clients, q, p))
    found = compress_dense(tall, common_component=common)
    assert found.core.size < tall.size
    np.testing.assert_allclose(found.expand(found.core), tall, atol=1e-13)
    if common:
        np.testing.assert_allclose(found.expand(found.core.mean(axis=0)), tall.mean(axis=0), atol=1e-13)


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("program", [{}, {"noise_penalty": 0.5}, {"noise_radius": 1.0}])
@pytest.mark.parametrize("shape", [(30, 4, 5), (4, 30, 5)])
def test_compressed_solution_is_the_solution(common, program, shape):
    p, q, n_clients = shape
    blocks = instance(p, q, n_clients, 1, seed=5, common=common, noise=0.1)
    options = {"block_penalty": LAM, "common_component": common, "tol": 1e-9, **program}
    short = decompose(blocks, **options)
    # A warm start is given in full coordinates, so it switches the compression off: the uncompressed twin.
    full = decompose(blocks, warm_start=short, **options)
    assert short.objective == pytest.approx(full.objective, rel=3e-9)
    assert verify_solution(blocks, short).valid
    np.testing.assert_allclose(short.low_rank, full.low_rank, atol=2e-4 * np.abs(blocks).max())


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("shared", ["columns", "rows"])
@pytest.mark.parametrize("ranks", [(3,), (1, 4, 2)])
def test_factors_and_dense_path_agree(common, shared, ranks):
    pairs = _factors(50, 40, 8, ranks, seed=1, common=common)
    if shared == "rows":
        pairs = tuple((right.T, left.T) for left, right in pairs)
    record = ClientEstimates(factors=pairs)
    options = {"block_penalty": LAM, "common_component": common, "shared": shared, "tol": 1e-10}
    factored = decompose_factors(record, **options)
    dense = decompose(record.dense(), **options)
    assert factored.core.objective == pytest.approx(dense.objective, rel=1e-8)
    assert verify_solution(record.dense(), decompose(record, **options)).valid
    scale = np.abs(record.dense()).max()
    for k in range(8):
        for part, whole in (
            (factored.low_rank_factors(k), dense.low_rank[k]),
            (factored.block_sparse_factors(k), dense.block_sparse[k]),
        ):
            assert part[0].shape[0] == record.block_shape[0]
            np.testing.assert_allclose(part[0] @ part[1], whole, atol=1e-6 * scale)
    left, right = factored.common_factors()
    np.testing.assert_allclose(left @ right, dense.common, atol=1e-6 * scale)


def test_factors_are_kept_small():
    pairs = _factors(3000, 2000, 6, (2, 3), seed=2)
    found = compress_factors(pairs, common_component=False)
    assert found.core.shape == (6, 3, 15)
    joint = compress_factors(pairs, common_component=True)
    assert joint.core.shape == (6, 15, 15)


def test_basis_of_factored_answer_spans_the_shared_columns():
    pairs = _factors(60, 50, 9, (3,), seed=3)
    factored = decompose_factors(ClientEstimates(factors=pairs), block_penalty=LAM, common_component=False)
    basis = factored.basis(2)
    truth = np.linalg.qr(pairs[4][0])[0][:, :2]
    assert basis.shape == (60, 2)
    assert np.linalg.norm(basis - truth @ (truth.T @ basis), 2) <= 1e-6


def test_products_too_large_are_refused():
    pairs = tuple((np.ones((1 << 15, 1)), np.ones((1, 1 << 14))) for _ in range(3))
    with pytest.raises(ValueError, match="decompose_factors"):
        decompose(ClientEstimates(factors=pairs), block_penalty=LAM)
