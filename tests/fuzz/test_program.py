"""Random stacks at random scales: a certified answer whose gap an independent program recomputes."""

import warnings

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clair_stats import decompose, verify_solution
from tests.fuzz.oracle import SEEDS, draws, told


@settings(max_examples=draws(15))
@given(
    seed=SEEDS,
    shape=st.tuples(st.integers(3, 12), st.integers(2, 6), st.integers(2, 6)),
    exponent=st.integers(-100, 100),
    noise=st.integers(-8, 0),
    penalty=st.sampled_from([0.0, 0.1, 3.0]),
    common_component=st.booleans(),
)
def test_a_decomposition_is_what_its_certificate_says(seed, shape, exponent, noise, penalty, common_component):
    rng = np.random.default_rng(seed)
    n_clients, p, q = shape
    blocks = rng.standard_normal((p, 1)) @ rng.standard_normal((n_clients, 1, q))
    blocks += 10.0**noise * rng.standard_normal(blocks.shape)
    blocks *= 10.0**exponent
    tau = penalty * 10.0 ** (noise + exponent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        solution = decompose(blocks, noise_penalty=tau, common_component=common_component, allow_degenerate=True)
    found = verify_solution(blocks, solution)
    assert found.valid, found.message
    # (E) beside noise of 1e-6 to 1e-8 of the estimates can need more iterations than the default; then it says so.
    assert found.relative_gap <= (1.1e-6 if solution.status == "optimal" else 1e-4)
    assert solution.status == "optimal" or "Raise max_iterations" in solution.message
    told("decompose, gap recomputed", False)
