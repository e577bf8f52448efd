"""The stages alone and the methods for comparison, on degenerate clients of every size, with bad bases and options."""

import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clair_stats import Ball, Exact, Noisy, combine, decompose, decompose_modules, detect, refine, verify_solution
from clair_stats.baselines import BASELINES, OWN_RULES, ROBUST_MEANS, STATISTICAL_RIVALS
from clair_stats.theory.certificate import instance_certificate
from tests.fuzz.oracle import SEEDS, draws, not_finite, refusals, told

UNEQUAL = (1.0, 1.0, 1.0, 1e-100, 1e-12, 1e-8, 1e-3, 1e3, 1e12, 1e100)
SIZES = (0.0, 1e-300, 1e-160, 1e-30, 1e-8, 1.0, 1e8, 1e30, 1e155, 1e300)


def clients(rng, most=12):
    """Clean, exact, repeated, zero or enlarged clients (K, p, q) in some unit."""
    n_clients, p, q = int(rng.integers(2, most + 1)), int(rng.integers(1, 7)), int(rng.integers(1, 5))
    rank = int(rng.integers(0, min(p, 2) + 1))
    blocks = rng.standard_normal((p, rank)) @ rng.standard_normal((n_clients, rank, q))
    blocks += rng.choice([0.0, 1e-12, 1e-3, 0.3]) * rng.standard_normal(blocks.shape)
    for _ in range(rng.integers(0, 3)):
        k, other = rng.integers(0, n_clients, 2)
        change = rng.integers(4)
        if change == 0:
            blocks[k] *= rng.choice(SIZES)
        elif change == 1:
            blocks[k] = blocks[other]
        elif change == 2:
            blocks[k] = rng.choice(SIZES)
        else:
            blocks[k] += rng.standard_normal((p, q))
    return np.ldexp(blocks, int(rng.choice([0, 0, 0, -300, 300])))


def basis_of(rng, p):
    """An orthonormal basis as a rule, else something that is none."""
    rank = int(rng.integers(0, p + 1))
    basis = np.linalg.qr(rng.standard_normal((p, max(rank, 1))))[0][:, :rank]
    kind = rng.integers(10)
    if kind == 0:
        return basis.astype(np.float32)
    if kind == 1 and basis.size:
        basis = basis.copy()
        basis.flat[rng.integers(basis.size)] = rng.choice([np.nan, np.inf, 1e200, 3.0])
    if kind == 2:
        return rng.standard_normal((p + 1, rank))
    return basis


def members_of(rng, n_clients):
    if rng.random() < 0.1:
        return [True] * int(rng.integers(0, 4))
    return rng.random(n_clients) < rng.choice([0.0, 0.6, 0.9, 1.0])


def scales_of(rng, n_clients, size):
    if rng.random() < 0.4:
        return None
    scales = np.full(
        n_clients, float(rng.choice([0.1, 1e-12, 1e12, 0.0, np.nan], p=[0.5, 0.2, 0.2, 0.05, 0.05])) * size
    )
    apart = rng.spawn(1)[0]  # the draws behind are those of seeds that were found before this was drawn
    scales[apart.integers(n_clients)] *= apart.choice(UNEQUAL)
    return scales


def entered(seed):
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        blocks = clients(rng)
        size = float(np.median(np.abs(blocks))) or 1.0
    return rng, blocks, scales_of(rng, len(blocks), size)


@pytest.fixture(autouse=True, scope="module")
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@settings(max_examples=draws(100))
@given(seed=SEEDS)
@example(seed=33_015_817)  # a statistic of 1e-315 under a law with non-centrality
@example(seed=10_037)  # noise of 1e-156 of the one client that is not zero
@example(seed=659_817)  # noise of 1e12 beside estimates of 1e-300
def test_detection_with_a_given_basis(seed):
    rng, blocks, scales = entered(seed)
    basis = basis_of(rng, blocks.shape[1])
    level, tolerance = float(rng.choice([0.05, 1e-290, 0.9])), float(rng.choice([0.0, 0.0, 1e-9, 0.1, 1e300]))
    with refusals() as refused:
        found = detect(blocks, basis=basis, noise_scales=scales, level=level, heterogeneity=tolerance)
    told("detect", refused)
    if refused:
        return
    assert not_finite(scores=found.scores, p=found.p_values) == []
    benign = found.collaborative_set
    assert (found.scores[benign] <= found.threshold[benign] * (1 + 1e-9)).all()


@settings(max_examples=draws(100))
@given(seed=SEEDS, method=st.sampled_from(["average", "shrinkage"]))
@example(seed=90_000, method="shrinkage")  # a client 1e100 times less precise than the others
def test_refinement(seed, method):
    rng, blocks, scales = entered(seed)
    members = members_of(rng, len(blocks))
    basis = None if rng.random() < 0.2 else basis_of(rng, blocks.shape[1])
    weights = np.full(len(blocks), float(rng.choice([1.0, 1e308, 5e-324]))) if rng.random() < 0.2 else None
    with refusals() as refused:
        found = refine(
            blocks, basis=basis, collaborative_set=members, weights=weights, method=method, noise_scales=scales
        )
    told("refine", refused)
    if refused:
        return
    assert not_finite(refined=found.estimates, centre=found.centre) == []
    outside = ~np.asarray(members, dtype=bool)
    np.testing.assert_array_equal(found.estimates[outside], blocks[outside])


@settings(max_examples=draws(100))
@given(seed=SEEDS)
def test_combination(seed):
    rng, blocks, scales = entered(seed)
    members = members_of(rng, len(blocks))
    with refusals() as refused:
        found = combine(blocks, basis=basis_of(rng, blocks.shape[1]), collaborative_set=members, noise_scales=scales)
    told("combine", refused)
    assert refused or not_finite(estimates=found.estimates, centre=found.centre) == []


@settings(max_examples=draws(100))
@given(seed=SEEDS, penalty=st.sampled_from([0.3, 1e-9, 1e9, 0.0, float("nan")]), common=st.booleans())
def test_certificates_of_instances(seed, penalty, common):
    rng, blocks, _ = entered(seed)
    with refusals() as refused:
        found = instance_certificate(
            blocks,
            basis=basis_of(rng, blocks.shape[1]),
            collaborative_set=members_of(rng, len(blocks)),
            block_penalty=penalty,
            common_component=common,
        )
    told("instance_certificate", refused)
    assert refused or not np.isnan([found.eta, found.kappa]).any()


@settings(max_examples=draws(50))
@given(seed=SEEDS, program=st.sampled_from(["E", "B", "N"]), common=st.booleans())
@example(seed=2_915_244, program="E", common=True)  # equal clients, unequal by rounding once compressed
def test_programs(seed, program, common):
    _, blocks, _ = entered(seed)
    size = float(np.abs(blocks).max()) or 1.0
    with refusals() as refused:
        chosen = {"E": Exact, "B": lambda: Ball(0.05 * size), "N": lambda: Noisy(0.1 * size)}[program]()
        solution = decompose(
            blocks, program=chosen, common_component=common, allow_degenerate=True, max_iterations=2000
        )
    told(f"decompose ({program})", refused)
    if refused:
        return
    checked = verify_solution(blocks, solution)
    assert checked.valid or solution.status != "optimal", checked.message
    assert not_finite(low_rank=solution.low_rank, common=solution.common, sparse=solution.block_sparse) == []


@settings(max_examples=draws(8))
@given(seed=SEEDS, count=st.integers(1, 3))
def test_programs_over_modules(seed, count):
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        modules = [clients(rng) for _ in range(count)]
    fewest = min(map(len, modules))
    with refusals() as refused:
        solution = decompose_modules([blocks[:fewest] for blocks in modules], max_iterations=2000)
    told("decompose_modules", refused)
    assert refused or (np.isfinite(solution.objective) and np.isfinite(solution.block_norms).all())


OWN = {f"{name}, own rule": method for name, method in OWN_RULES.items()}
COMPARED = BASELINES | STATISTICAL_RIVALS | ROBUST_MEANS | OWN


@settings(max_examples=draws(120))
@given(seed=SEEDS, name=st.sampled_from([*COMPARED]))
@example(seed=758, name="armul_low_rank")  # no distance, and a radius that is not zero
@example(seed=128, name="outlier_pursuit")  # columns of nothing beside one of 1e8
@example(seed=3_673_329, name="ras")  # one client of 1e30 beside nothing
@example(seed=29_597, name="outlier_pursuit")  # the same, and not solved within the limit: a warning tells what to do
@pytest.mark.filterwarnings("ignore:outlier pursuit is solved:RuntimeWarning")
def test_methods_for_comparison(seed, name):
    rng, blocks, _ = entered(seed)
    method = COMPARED[name]
    rank, bad = int(rng.integers(0, blocks.shape[1] + 2)), int(rng.integers(0, len(blocks) + 1))
    with refusals() as refused:
        fit = method(blocks, rank=rank, n_contaminated=bad)
    told("baselines", refused)
    if refused:
        return
    assert not_finite(estimates=fit.estimates, common=fit.common) == [], name
    assert fit.basis is None or np.allclose(fit.basis.T @ fit.basis, np.eye(fit.basis.shape[1]), rtol=0, atol=1e-10)
