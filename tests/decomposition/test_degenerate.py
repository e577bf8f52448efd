"""Degenerate inputs: the right answer or one clear error."""

import numpy as np
import pytest

from clair_stats.decomposition.decompose import decompose, decompose_factors
from clair_stats.decomposition.penalties import default_block_penalty, guess_rank, penalty_window
from clair_stats.decomposition.verify import verify_solution
from clair_stats.estimates import ClientEstimates
from tests.decomposition.named_problems import instance, penalty

PROGRAMS = [{}, {"noise_penalty": 0.5}, {"noise_radius": 0.5}]
RNG = np.random.default_rng(0)
EDGES = {
    "one client": RNG.standard_normal((1, 5, 4)),
    "two clients": RNG.standard_normal((2, 5, 4)),
    "all zero": np.zeros((4, 5, 3)),
    "one zero client": np.concatenate([RNG.standard_normal((5, 5, 3)), np.zeros((1, 5, 3))]),
    "identical clients": np.repeat(RNG.standard_normal((1, 5, 3)), 6, axis=0),
    "one client differs": np.concatenate([np.repeat(RNG.standard_normal((1, 5, 3)), 5, axis=0), np.ones((1, 5, 3))]),
    "rank deficient": np.einsum("pr,krq->kpq", RNG.standard_normal((6, 1)), RNG.standard_normal((5, 1, 4))),
    "scalars": RNG.standard_normal((6, 1, 1)),
    "one row": RNG.standard_normal((6, 1, 5)),
    "tall": RNG.standard_normal((3, 40, 2)),
    "wide": RNG.standard_normal((3, 2, 40)),
    "integers": RNG.integers(-3, 4, (6, 4, 3)),
    "huge outlier": np.concatenate([RNG.standard_normal((6, 4, 3)), 1e9 * np.ones((1, 4, 3))]),
    "almost constant": 1e6 + 1e-3 * RNG.standard_normal((6, 4, 3)),
}


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("program", PROGRAMS, ids=["E", "N", "B"])
@pytest.mark.parametrize("name", sorted(EDGES))
def test_edges_are_solved_and_verified(name, program, common):
    blocks = EDGES[name]
    scale = 1.0 if not program else max(np.abs(blocks).max(), 1e-3)
    found = decompose(blocks, common_component=common, **{key: value * scale * 0.3 for key, value in program.items()})
    assert found.status == "optimal", found.message
    checked = verify_solution(blocks, found)
    assert checked.valid, checked.message
    assert found.low_rank.shape == blocks.shape


def test_identical_clients_are_all_common():
    found = decompose(EDGES["identical clients"], block_penalty=0.8)
    np.testing.assert_allclose(found.common, EDGES["identical clients"][0], atol=1e-12)
    assert np.abs(found.low_rank).max() <= 1e-12
    assert not found.block_sparse.any()
    assert abs(found.objective) <= 1e-12


def test_one_client_alone_is_all_common():
    found = decompose(EDGES["one client"], allow_degenerate=True)
    np.testing.assert_allclose(found.common, EDGES["one client"][0])


@pytest.mark.parametrize("exponent", [-150, -30, 30, 150])
@pytest.mark.parametrize("program", PROGRAMS, ids=["E", "N", "B"])
@pytest.mark.parametrize("common", [False, True])
def test_extreme_scales_give_the_scaled_answer(exponent, program, common):
    factor = 10.0**exponent
    blocks = instance(6, 4, 8, 1, seed=3, noise=0.1, common=common)
    options = {"block_penalty": penalty(8, 1), "common_component": common, "tol": 1e-9}
    base = decompose(blocks, **options, **program)
    scaled = decompose(factor * blocks, **options, **{key: factor * value for key, value in program.items()})
    power = 2 if "noise_penalty" in program else 1
    assert scaled.objective / factor**power == pytest.approx(base.objective, rel=3e-9)
    np.testing.assert_allclose(scaled.low_rank / factor, base.low_rank, atol=1e-3)
    assert verify_solution(factor * blocks, scaled).valid


def test_layout_and_precision_do_not_matter():
    blocks = instance(6, 4, 8, 1, seed=3, noise=0.1)
    base = decompose(blocks, block_penalty=0.7)
    strided = np.zeros((16, 12, 8))[::2, ::2, ::2]
    strided[...] = blocks
    for other in (strided, np.asfortranarray(blocks), blocks[::-1][::-1], blocks.tolist()):
        assert decompose(other, block_penalty=0.7).objective == base.objective
    single = decompose(blocks.astype(np.float32), block_penalty=0.7)
    assert single.objective == pytest.approx(base.objective, rel=1e-5)
    assert single.low_rank.dtype == np.float64


def test_input_is_not_written_to():
    blocks = instance(6, 4, 8, 1, seed=3)
    copy = blocks.copy()
    found = decompose(blocks, block_penalty=0.7)
    found.low_rank[...] = 0.0
    np.testing.assert_array_equal(blocks, copy)


def test_out_of_iterations_warns_and_still_certifies():
    blocks = instance(12, 6, 10, 2, seed=3, noise=0.5)
    for program in PROGRAMS:
        with pytest.warns(RuntimeWarning, match="Raise max_iterations above 2"):
            found = decompose(blocks, block_penalty=0.8, tol=1e-13, max_iterations=2, **program)
        assert found.status == "iteration_limit"
        assert found.duality_gap > 0
        checked = verify_solution(blocks, found)
        assert checked.valid
        assert checked.duality_gap == pytest.approx(found.duality_gap, rel=1e-6)


def test_window_is_refused_with_an_explanation():
    blocks = instance(6, 4, 9, 1, seed=3)
    low, high = penalty_window(9, (6, 4))
    assert (low, high) == (pytest.approx(1 / 3), 2.0)
    with pytest.raises(ValueError, match="L = 0 is optimal"):
        decompose(blocks, block_penalty=low)
    with pytest.raises(ValueError, match="S = 0 is optimal"):
        decompose(blocks, block_penalty=high)
    assert decompose(blocks, block_penalty=low, allow_degenerate=True).status == "optimal"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"block_penalty": -1.0}, "block_penalty"),
        ({"block_penalty": float("nan")}, "block_penalty"),
        ({"noise_penalty": -0.1}, "noise_penalty"),
        ({"noise_radius": -0.1}, "noise_radius"),
        ({"noise_radius": 1.0, "noise_penalty": 1.0}, "not both"),
        ({"solver": "magic"}, "solver"),
        ({"shared": "diagonals"}, "shared"),
        ({"tol": 0.0}, "tol"),
        ({"max_iterations": 0}, "max_iterations"),
        ({"client_weights": [1.0, 2.0]}, "client_weights"),
        ({"client_weights": [1.0] * 8 + [0.0]}, "client 8: client_weights"),
    ],
)
def test_bad_options_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        decompose(instance(6, 4, 9, 1, seed=3), **options)


def test_bad_data_is_named():
    blocks = instance(6, 4, 9, 1, seed=3)
    blocks[4, 2, 1] = np.nan
    with pytest.raises(ValueError, match="client 4"):
        decompose(blocks)
    with pytest.raises(ValueError, match="warm_start"):
        decompose(instance(6, 4, 9, 1, seed=3), warm_start=decompose(instance(6, 4, 8, 1, seed=3)))
    with pytest.raises(ValueError, match="no factors"):
        decompose_factors(ClientEstimates(values=instance(6, 4, 9, 1, seed=3)))


@pytest.mark.parametrize("rank", [1, 2, 4])
@pytest.mark.parametrize("common", [False, True])
def test_default_penalty_reads_the_rank(rank, common):
    blocks = instance(30, 12, 40, rank, seed=rank, common=common, share=0.2, noise=0.02)
    assert guess_rank(blocks, common_component=common) == rank
    expected = 1.8 * np.sqrt(rank / 40)
    assert default_block_penalty(blocks, common_component=common) == pytest.approx(expected)


def test_client_weights_of_one_change_nothing_and_large_ones_protect():
    blocks = instance(6, 4, 8, 1, seed=3)
    base = decompose(blocks, block_penalty=0.7)
    ones = decompose(blocks, block_penalty=0.7, client_weights=np.ones(8))
    assert ones.objective == base.objective
    assert base.block_sparse[0].any()
    weights = np.ones(8)
    weights[0] = 50.0
    assert not decompose(blocks, block_penalty=0.7, client_weights=weights).block_sparse[0].any()
