"""The proved duality gap: agrees with the certificate, holds for any point, and does not believe a dual outside."""

from dataclasses import replace

import numpy as np
import pytest

from clair_stats import decompose
from clair_stats.theory import rigorous_gap

pytest.importorskip("flint")

from clair_stats.theory.balls import exact, precision
from clair_stats.theory.rigorous_gap import _nuclear_norm


def contaminated(seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((7, 2)) @ rng.standard_normal((12, 2, 4)) + 0.05 * rng.standard_normal((12, 7, 4))
    values[:3] += rng.standard_normal((3, 7, 4))
    return scale * values


PROGRAMS = [
    {},
    {"common_component": False},
    {"noise_penalty": 0.3},
    {"noise_radius": 1.0},
    {"client_weights": np.linspace(0.5, 2.0, 12)},
    {"shared": "rows"},
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: next(iter(p), "exact"))
def test_the_proved_gap_is_that_of_the_certificate(program):
    values = contaminated()
    solution = decompose(values, **program)
    proof = rigorous_gap(values, solution)
    assert proof.dual_feasible == "proved"
    # Both sums have about 300 terms of rounding 1e-16.
    assert proof.objective == pytest.approx(solution.objective, rel=1e-13)
    assert proof.duality_gap == pytest.approx(solution.duality_gap, rel=1e-6, abs=1e-12 * solution.objective)
    assert proof.dual_objective < proof.objective
    assert proof.moved < 1e-13


def test_where_the_smallest_value_is_known_it_lies_between():
    """λ = 1/√K without common component: L = 0 is optimal, with value λ Σ ‖X_k‖."""
    values = np.zeros((4, 3, 1))
    values[:, 0, 0] = (3.0, 5.0, 0.0, 1.0)
    solution = decompose(values, block_penalty=0.25, common_component=False, allow_degenerate=True)
    proof = rigorous_gap(values, solution)
    assert proof.dual_objective <= 2.25 <= proof.objective
    assert proof.relative_gap < 1.1e-6  # the solver stops at 1e-6


@pytest.mark.parametrize("beyond", [1e-9, -1e-9])
@pytest.mark.parametrize("bound", ["operator", "block"])
def test_a_dual_point_a_billionth_outside_is_refused_and_the_gap_holds_all_the_same(beyond, bound):
    values = contaminated(1)
    # A small λ makes the block bounds active, a large one the operator bound.
    solution = decompose(values, block_penalty=0.45 if bound == "block" else 0.6, common_component=False)
    honest = rigorous_gap(values, solution)
    norm = np.linalg.norm(np.concatenate(list(solution.dual), axis=1), 2)
    blocks = np.linalg.norm(solution.dual, axis=(1, 2)).max() / solution.block_penalty
    factor = (1 + beyond) / (norm if bound == "operator" else max(norm, blocks))
    moved = replace(solution, dual=solution.dual * factor)
    proof = rigorous_gap(values, moved)
    assert proof.dual_feasible == ("refuted" if beyond > 0 else "proved")
    # The multiple that is used is feasible: never above the smallest value, which honest.objective bounds.
    assert proof.dual_objective <= honest.objective
    assert proof.duality_gap >= 0


def test_a_worse_point_has_a_larger_gap_and_a_wrong_dual_costs_only_the_gap():
    values = contaminated(2)
    solution = decompose(values)
    honest = rigorous_gap(values, solution)
    rng = np.random.default_rng(3)
    worse = rigorous_gap(values, replace(solution, low_rank=solution.low_rank + 0.01 * rng.standard_normal((12, 7, 4))))
    # The point is repaired, so it is feasible and its value is not below the smallest one.
    assert worse.objective > honest.dual_objective
    assert worse.duality_gap > 100 * honest.duality_gap
    assert worse.moved > 1e-3
    nonsense = rigorous_gap(values, replace(solution, dual=rng.standard_normal((12, 7, 4))))
    assert nonsense.dual_feasible == "refuted"
    assert nonsense.dual_objective <= honest.objective
    assert nonsense.duality_gap >= honest.duality_gap


@pytest.mark.parametrize("scale", [1e-140, 1e140])
def test_any_unit(scale):
    values = contaminated(4, scale)
    assert rigorous_gap(values, decompose(values)).relative_gap == pytest.approx(
        rigorous_gap(contaminated(4), decompose(contaminated(4))).relative_gap, abs=1e-6
    )


@pytest.mark.parametrize("shape", [(7, 12), (12, 7), (5, 5)])
def test_the_nuclear_norm_is_bounded_tightly_also_at_low_rank(shape):
    rng = np.random.default_rng(5)
    matrix = rng.standard_normal((shape[0], 2)) @ rng.standard_normal((2, shape[1]))
    truth = np.linalg.svd(matrix, compute_uv=False).sum()
    with precision(128):
        bound = float(_nuclear_norm(matrix[None], [exact(matrix)]).upper())
    assert truth * (1 - 1e-14) <= bound <= truth * (1 + 1e-12)


def test_data_that_are_zero_have_no_gap():
    values = np.zeros((6, 3, 2))
    proof = rigorous_gap(values, decompose(values))
    assert proof.duality_gap < 1e-300
    assert proof.relative_gap == 0.0 or proof.objective < 1e-300


def test_what_does_not_belong_together_is_refused():
    values = contaminated()
    solution = decompose(values)
    with pytest.raises(ValueError, match="low_rank: shape"):
        rigorous_gap(values[:5], solution)
    with pytest.raises(ValueError, match="dual: holds a number that is not finite"):
        rigorous_gap(values, replace(solution, dual=np.full_like(solution.dual, np.nan)))
