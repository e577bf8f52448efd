"""Several modules jointly: against one module, against cvxpy, on both paths."""

import numpy as np
import pytest

from clair_stats.decomposition.decompose import decompose
from clair_stats.decomposition.modules.decompose_modules import decompose_modules
from clair_stats.decomposition.modules.joint_solver import _splitting
from clair_stats.decomposition.problem import Problem, to_tall
from clair_stats.decomposition.solvers.conic import conic_modules_program
from clair_stats.estimates import ClientEstimates
from tests.decomposition.named_problems import instance


def _modules(noise, *, common=True):
    return [
        instance(6, 3, 7, 1, seed=1, noise=noise, common=common),
        instance(4, 5, 7, 1, seed=2, noise=noise, common=common),
    ]


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("extra", [{}, {"noise_penalty": 0.05}, {"noise_radius": 0.3}], ids=["E", "N", "B"])
def test_joint_program_against_cvxpy(common, extra):
    # Small, since the semidefinite program of the oracle grows with the cube of p + qK.
    modules = [instance(p, q, 7, 1, seed=p, noise=0.1, common=common) for p, q in ((4, 2), (3, 3))]
    weights = np.linspace(0.8, 1.2, 7)
    found = decompose_modules(
        modules, block_penalty=1.1, common_component=common, tol=1e-7, client_weights=weights, **extra
    )
    problems = [
        Problem(to_tall(blocks / scale), 1.1 * weights, common_component=common, **extra)
        for blocks, scale in zip(modules, found.module_scales, strict=True)
    ]
    oracle = conic_modules_program(problems)
    oracle.solve(solver="CLARABEL")
    assert found.status == "optimal"
    assert found.objective == pytest.approx(oracle.value, rel=1e-6)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_shared_rows_are_the_transposed_modules(noise):
    modules = _modules(noise)
    columns = decompose_modules(modules, block_penalty=1.1, tol=1e-8)
    rows = decompose_modules([np.swapaxes(m, 1, 2) for m in modules], block_penalty=1.1, tol=1e-8, shared="rows")
    assert rows.objective == pytest.approx(columns.objective, rel=3e-8)
    for k in range(7):
        left, right = rows.module(1).block_sparse_factors(k)
        first, second = columns.module(1).block_sparse_factors(k)
        np.testing.assert_allclose((left @ right).T, first @ second, atol=1e-4)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_one_module_is_the_single_program(noise):
    blocks = instance(8, 5, 10, 1, seed=4, noise=noise)
    joint = decompose_modules([blocks], block_penalty=0.7, tol=1e-8)
    single = decompose(blocks, block_penalty=0.7, tol=1e-8)
    scale = joint.module_scales[0]
    assert joint.objective * scale == pytest.approx(single.objective, rel=3e-8)
    core = joint.module(0).core
    np.testing.assert_allclose(core.common + core.low_rank + core.block_sparse, blocks, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(core.block_sparse, axis=(1, 2)), joint.block_norms * scale, atol=1e-9)


def test_identified_and_splitting_paths_agree():
    modules = _modules(0.0)
    found = decompose_modules(modules, block_penalty=1.1, tol=1e-8)
    assert found.solver == "identified"
    plain = _splitting(found._problems, tolerance=1e-8, max_iterations=2000)
    assert plain.certificate.relative_gap <= 1e-8
    assert found.objective == pytest.approx(plain.certificate.objective, rel=2e-8)
    assert plain.certificate.infeasibility <= 1e-10


def test_a_client_is_corrected_in_all_modules_or_in_none():
    modules = _modules(0.0)
    found = decompose_modules(modules, block_penalty=1.1)
    corrected = found.block_norms > 0
    np.testing.assert_array_equal(np.flatnonzero(corrected), [0, 1])
    for number in range(2):
        norms = np.linalg.norm(found.module(number).core.block_sparse, axis=(1, 2))
        np.testing.assert_array_equal(norms > 0, corrected)


def test_factors_and_dense_modules_agree():
    rng = np.random.default_rng(5)
    basis = rng.standard_normal((30, 1))
    pairs = tuple(
        (basis @ rng.standard_normal((1, 2)) if k > 1 else rng.standard_normal((30, 2)), rng.standard_normal((2, 25)))
        for k in range(8)
    )
    record = ClientEstimates(factors=pairs)
    lazily = decompose_modules([record, record], block_penalty=1.2, common_component=False, tol=1e-9)
    dense = decompose_modules([record.dense()] * 2, block_penalty=1.2, common_component=False, tol=1e-9)
    assert lazily.objective == pytest.approx(dense.objective, rel=1e-8)
    left, right = lazily.module(1).low_rank_factors(5)
    np.testing.assert_allclose(left @ right, record.dense()[5], atol=1e-6)


def test_modules_must_share_their_clients():
    modules = _modules(0.0)
    with pytest.raises(ValueError, match=r"modules\[1\]"):
        decompose_modules([modules[0], modules[1][:-1]])
    with pytest.raises(ValueError, match="outside"):
        decompose_modules(modules, block_penalty=100.0)
    with pytest.raises(ValueError, match="none given"):
        decompose_modules([])


def test_out_of_iterations_warns_and_says_so():
    with pytest.warns(RuntimeWarning, match="max_iterations"):
        found = decompose_modules(_modules(0.3), block_penalty=1.1, tol=1e-12, max_iterations=3)
    assert found.status == "iteration_limit"
    assert found.duality_gap > 0


@pytest.mark.parametrize("size", [1e155, 1e-163])
def test_no_module_is_lost_to_its_scale(size):
    modules = _modules(0.0)
    base = decompose_modules(modules, block_penalty=1.1)
    scaled = decompose_modules([modules[0] * size, *modules[1:]], block_penalty=1.1)
    assert scaled.objective == pytest.approx(base.objective, rel=1e-6)
    assert scaled.module_scales[0] == pytest.approx(base.module_scales[0] * size)
    expected = base.module(0).core.low_rank
    np.testing.assert_allclose(scaled.module(0).core.low_rank / size, expected, atol=1e-5 * np.abs(expected).max())


def test_unscaled_modules_of_extreme_size_are_refused():
    modules = _modules(0.0)
    with pytest.raises(ValueError, match=r"modules\[1\].*scale_modules='median'"):
        decompose_modules([modules[0], modules[1] * 1e200], scale_modules="none")
    with pytest.raises(ValueError, match="scale_modules: 'bogus'"):
        decompose_modules(modules, scale_modules="bogus")
