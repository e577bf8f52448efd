"""Program (N) is solved also where τ is tiny against the estimates: near-exact clients, or one that is huge."""

import numpy as np
import pytest

from clair_stats import CLAIR, decompose, verify_solution
from tests.hardening.cases import P, Q, shared


@pytest.mark.parametrize("noise", [1e-6, 1e-8, 1e-10])
@pytest.mark.parametrize("common_component", [True, False])
def test_near_exact_clients_reach_the_tolerance(noise, common_component):
    blocks, _ = shared(noise=noise)
    blocks[:2] += np.random.default_rng(1).standard_normal((2, P, Q))
    solution = decompose(blocks, noise_penalty=3 * noise, common_component=common_component)
    assert solution.status == "optimal"
    found = verify_solution(blocks, solution)
    assert found.valid, found.message
    assert found.relative_gap <= 1e-6


@pytest.mark.parametrize("size", [1e6, 1e9, 1e12])
def test_one_huge_client_leaves_a_certified_decomposition(size):
    blocks, _ = shared()
    blocks[3] *= size
    fitted = CLAIR().fit(blocks)
    assert np.flatnonzero(fitted.flagged_).tolist() == [3]
    found = verify_solution(blocks, fitted.decomposition_)
    assert found.relative_gap <= 1e-6


def test_through_balls_and_the_accelerated_method_agree():
    """The same program where both are in reach."""
    blocks, _ = shared(noise=1e-3)
    blocks[:2] += 1.0
    for tau in (1e-2, 3e-3):
        loose, tight = (decompose(blocks, noise_penalty=tau, tol=tol) for tol in (1e-5, 1e-8))
        assert abs(loose.objective - tight.objective) <= 1.1e-5 * tight.objective
