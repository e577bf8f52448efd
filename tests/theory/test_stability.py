import warnings

import numpy as np
import pytest

from clair_stats import theory
from clair_stats.decomposition.decompose import decompose
from clair_stats.linalg import block_norms, project_off, stack
from clair_stats.theory import instance_certificate, solution_error_bound, stability_constant, stability_terms
from tests.theory.cases import certified, draw


@pytest.mark.parametrize("common", [False, True])
def test_the_three_gains_bound_what_they_say(common):
    """Lemma 1 of docs/derivations/stability.md: Y = P Ṽ(ṼᵀP_CṼ)⁻¹ restricted to clients, against random matrices."""
    certificate, _, _, mask, _ = certified(0, common, below=0.95)
    rows = certificate.row_basis
    flat = rows[mask].reshape(-1, rows.shape[2])
    inverse = np.linalg.inv(flat.T @ flat)
    rng = np.random.default_rng(1)
    for _ in range(50):
        y = rng.normal(size=(4, rows.shape[2]))
        excess = rng.normal(size=(4, rows.shape[0] * rows.shape[1]))
        basis = rows.reshape(-1, rows.shape[2])
        excess -= excess @ basis @ basis.T
        drift = y @ basis.T + excess
        # Y is recovered from the benign rows and the excess on the contaminated ones.
        kept = np.repeat(mask, rows.shape[1])
        again = (drift[:, kept] @ basis[kept] + excess[:, ~kept] @ basis[~kept]) @ inverse
        np.testing.assert_allclose(again, y, atol=1e-9)


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_sharp_constant_is_below_the_stated_one_and_adds_up(seed, common):
    certificate, *_ = certified(seed, common, below=0.95)
    terms = stability_terms(certificate)
    assert terms.sharp < terms.stated
    assert terms.sharp >= terms.noise
    first = terms.noise + terms.benign_blocks
    assert terms.sharp >= first - 1e-9
    assert stability_constant(certificate) == terms.sharp
    assert stability_constant(certificate, form="stated") == terms.stated


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_no_solution_of_the_noise_ball_program_exceeds_a_bound(seed, common):
    certificate, values, basis, *_ = certified(20 + seed, common, below=0.95)
    rng = np.random.default_rng(seed)
    error = rng.normal(size=values.shape)
    error *= 0.02 / np.linalg.norm(error)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        point = decompose(
            values + error,
            block_penalty=0.55,
            noise_radius=0.02,
            common_component=common,
            tol=1e-7,
            max_iterations=20000,
        )
    low_rank = point.low_rank - point.low_rank.mean(axis=0) if common else point.low_rank
    drift = np.linalg.norm(project_off(basis, low_rank))
    after = solution_error_bound(
        certificate,
        dual=point.dual,
        residual=values + error - point.common - point.low_rank - point.block_sparse,
        noise_radius=0.02,
        duality_gap=point.duality_gap,
    )
    assert drift > 0
    assert drift <= after * (1 + 1e-6)
    assert after < 0.02 * stability_constant(certificate)


def test_the_budget_never_exceeds_its_closed_bound():
    """ε(‖Q̂−Q‖ − ‖Q̂‖) + ⟨Q, R̂⟩ ≤ ε‖Q‖²/(2‖Q̂‖) once ‖Q̂‖ ≥ ‖Q‖/2 and R̂ = εQ̂/‖Q̂‖ (docs/derivations/stability.md)."""
    rng = np.random.default_rng(0)
    for _ in range(500):
        q, q_hat = rng.normal(size=(2, 6))
        q_hat *= rng.uniform(0.5, 3) * np.linalg.norm(q) / np.linalg.norm(q_hat)
        a, b = np.linalg.norm(q), np.linalg.norm(q_hat)
        budget = np.linalg.norm(q_hat - q) - b + q @ q_hat / b
        assert budget <= a * a / (2 * b) + 1e-12


def test_an_uncertified_instance_has_no_constant():
    values, basis, _, mask, _ = draw(np.random.default_rng(3), common=False, n_clients=10, n_contaminated=4)
    certificate = instance_certificate(
        values, basis=basis, collaborative_set=mask, block_penalty=0.01, common_component=False
    )
    with pytest.raises(ValueError, match="certified instance"):
        stability_constant(certificate)
    good, *_ = certified(0, False, below=0.95)
    with pytest.raises(ValueError, match="form"):
        stability_constant(good, form="best")
    assert block_norms(good.dual).max() <= 0.55 + 1e-9
    assert np.linalg.norm(stack(good.dual), 2) <= 1 + 1e-9


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_the_common_component_costs_nothing_more(seed):
    """m̂ ≤ c♯ε/√K for the solution of (B), docs/derivations/consistency.md."""
    certificate, values, basis, mask, _ = certified(seed, True, below=0.95)
    rng = np.random.default_rng(seed)
    error = rng.normal(size=values.shape)
    radius = 0.01
    error *= radius / np.linalg.norm(error)
    solution = decompose(
        values + error, block_penalty=certificate.block_penalty, noise_radius=radius, common_component=True, tol=1e-8
    )
    centred = solution.low_rank - solution.low_rank.mean(axis=0)
    estimated = solution.common + solution.low_rank.mean(axis=0)
    np.testing.assert_allclose(estimated + centred, solution.common + solution.low_rank, atol=1e-12)
    true = project_off(basis, values[mask]).mean(axis=0)  # noiseless benign blocks agree off the subspace
    distance = np.linalg.norm(project_off(basis, estimated) - true)
    bound = stability_constant(certificate) * radius / np.sqrt(mask.size)
    assert 0 < distance <= bound


def test_the_former_name_still_works():
    assert theory.posterior_error_bound is theory.solution_error_bound
