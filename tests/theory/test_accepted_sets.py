from itertools import combinations

import numpy as np
import pytest

from clair_stats.linalg import block_norms, orthonormal_basis, project_off
from clair_stats.theory import accepted_sets, chi_square_tolerances
from clair_stats.theory.tilt import largest_tilt


def draw(seed, *, size=5.0, n_clients=8, n_contaminated=2, p=7, q=3, rank=2, sigma=0.01, common_scale=1.0):
    rng = np.random.default_rng(seed)
    basis = orthonormal_basis(rng.normal(size=(p, rank)), rank)
    common = common_scale * rng.normal(size=(p, q))
    values = common + np.einsum("pi,kiq->kpq", basis, rng.normal(size=(n_clients, rank, q)))
    mask = np.arange(n_clients) >= n_contaminated
    values[~mask] += size * project_off(basis, rng.normal(size=(n_contaminated, p, q)))
    scales = sigma * rng.uniform(0.8, 1.2, size=n_clients)
    values += scales[:, None, None] * rng.normal(size=values.shape)
    tolerances = chi_square_tolerances(scales, shape=(p, q), rank=rank)
    return {
        "estimates": values,
        "basis": basis,
        "common": common,
        "collaborative_set": mask,
        "tolerances": tolerances,
        "noise_scales": scales,
    }


def naive(case, common_component):
    """Theorem 6 from its text: one projection per subset, the largest tilt on a grid of s²."""
    values, basis, mask, sigma = (case[name] for name in ("estimates", "basis", "collaborative_set", "noise_scales"))
    rank, q, n_clients = basis.shape[1], values.shape[2], mask.size
    scaled = (values - (case["common"] if common_component else 0)) / sigma[:, None, None]
    inside = [(basis.T @ y).T for y in scaled]
    off = [y - basis @ (basis.T @ y) for y in scaled]
    allowed = case["tolerances"] / sigma
    design = [np.hstack([a, np.eye(q) / s]) if common_component else a for a, s in zip(inside, sigma, strict=True)]
    size = n_clients // 2 + 1 - int((~mask).sum())
    tilt, slack, lower = 0.0, np.full(int((~mask).sum()), np.inf), [True] * rank
    for subset in combinations(np.flatnonzero(mask), size):
        z, f = np.vstack([design[k] for k in subset]), np.hstack([off[k] for k in subset])
        frame = np.linalg.qr(z)[0]
        absorbed = np.linalg.norm(f @ frame)
        free = f - f @ frame @ frame.T
        a = np.vstack([inside[k] for k in subset])
        if common_component:
            ones = np.linalg.qr(np.vstack([np.eye(q) / sigma[k] for k in subset]))[0]
            a = a - ones @ (ones.T @ a)
        margin = np.linalg.svd(a, compute_uv=False)[-1]
        for rank_of_set in range(rank + 1):
            grid = np.linspace(rank - rank_of_set, rank, 20001)
            radius = absorbed + np.sqrt(
                np.maximum(
                    sum(allowed[rank_of_set, k] ** 2 for k in subset)
                    - np.linalg.norm(free) ** 2
                    + (grid - rank + rank_of_set) * np.linalg.norm(free, 2) ** 2,
                    0,
                )
            )
            possible = grid[np.sqrt(grid) * margin <= radius]
            if rank_of_set < rank:
                lower[rank_of_set] &= possible.size == 0
        tilt = max(tilt, possible[-1])
        reach = radius[np.sqrt(grid) * margin <= radius][-1]
        for place, j in enumerate(np.flatnonzero(~mask)):
            leverage = np.linalg.norm(design[j] @ np.linalg.inv(z.T @ z) @ design[j].T, 2)
            left = np.sqrt(1 - min(possible[-1], 1)) * np.linalg.norm(off[j])
            slack[place] = min(slack[place], left - allowed[rank, j] - reach * np.sqrt(leverage))
    return tilt, slack, lower


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_every_subset_is_looked_at_by_the_naive_twin(seed, common):
    case = draw(seed, common_scale=float(common))
    found = accepted_sets(**case, common_component=common)
    tilt, slack, lower = naive(case, common)
    assert found.n_subsets == 20
    assert tilt < 1
    assert found.squared_tilt == pytest.approx(tilt, abs=2e-4)
    np.testing.assert_allclose(found.slack, slack, rtol=1e-3, atol=0.02)
    np.testing.assert_array_equal(found.lower_ranks, lower)


@pytest.mark.parametrize("seed", range(6))
def test_lemma_2_bounds_the_tilt_of_any_fit(seed):
    """Whatever subspace and centre are tried: with their own residuals for tolerances (3.1) must hold."""
    rng = np.random.default_rng(seed)
    case = draw(seed, sigma=0.3)
    values, basis, mask = case["estimates"], case["basis"], case["collaborative_set"]
    p, rank = basis.shape
    benign = np.flatnonzero(mask)[:4]
    for lower_rank in (0, 1, 2):
        tilted = basis[:, :lower_rank] + rng.uniform(0, 1) * rng.normal(size=(p, lower_rank))
        tried = orthonormal_basis(tilted, lower_rank)
        centre = values[benign].mean(axis=0) + 0.1 * rng.normal(size=case["common"].shape)
        residuals = block_norms(project_off(tried, values[benign] - centre))
        shifted = values[benign] - case["common"]
        design = np.vstack([np.hstack([(basis.T @ y).T, np.eye(3)]) for y in shifted])
        noise = np.hstack([y - basis @ (basis.T @ y) for y in shifted])
        frame = np.linalg.qr(design)[0]
        free = noise - noise @ frame @ frame.T
        inside = np.stack([(basis.T @ y).T for y in shifted])
        margin = np.linalg.svd((inside - inside.mean(axis=0)).reshape(-1, rank), compute_uv=False)[-1]
        true = np.linalg.norm(project_off(tried, basis)) ** 2 if lower_rank else float(rank)
        squared, _ = largest_tilt(
            allowed=float(residuals @ residuals),
            free_noise=np.linalg.norm(free) ** 2,
            free_norm=np.linalg.norm(free, 2),
            absorbed=np.linalg.norm(noise @ frame),
            margin=margin,
            rank=rank,
            lower_rank=lower_rank,
        )
        assert true <= float(squared) + 1e-9


def test_large_contamination_is_never_accepted_and_small_is_not_promised():
    strong = accepted_sets(**draw(0, size=5.0))
    assert strong.contained
    assert strong.lower_ranks.all()
    assert np.all(strong.slack > 0)
    weak = accepted_sets(**draw(0, size=0.01))
    assert not weak.contained
    assert np.all(weak.slack < 0)


def test_equal_benign_clients_complete_a_rival_majority():
    """The sharpness example of section 3: n benign clients with equal coefficients and |O| rivals of rank r agree."""
    rng = np.random.default_rng(4)
    p, q, n_clients, n_contaminated = 6, 3, 7, 2
    basis = orthonormal_basis(rng.normal(size=(p, 1)), 1)
    coefficients = rng.normal(size=(n_clients, 1, q))
    coefficients[:4] = coefficients[0]  # two rivals and two benign clients: h = 4
    values = np.einsum("pi,kiq->kpq", basis, coefficients)
    mask = np.arange(n_clients) >= n_contaminated
    rival = orthonormal_basis(project_off(basis, rng.normal(size=(p, 1))), 1)
    values[~mask] += 50 * np.einsum("pi,kiq->kpq", rival, rng.normal(size=(n_contaminated, 1, q)))
    centre = basis @ coefficients[0]
    assert block_norms(project_off(rival, values[:4] - centre)).max() < 1e-12
    found = accepted_sets(
        values,
        basis=basis,
        common=np.zeros((p, q)),
        collaborative_set=mask,
        tolerances=np.full((2, n_clients), 1e-3),
    )
    assert found.complete
    assert not found.contained
    # One benign client more in every subset identifies the subspace: the same clients, one rival fewer.
    kept = np.arange(1, n_clients)
    fewer = accepted_sets(
        values[kept],
        basis=basis,
        common=np.zeros((p, q)),
        collaborative_set=mask[kept],
        tolerances=np.full((2, n_clients - 1), 1e-3),
    )
    assert fewer.decided


def test_bad_arguments_are_refused():
    case = draw(0)
    with pytest.raises(ValueError, match="benign majority"):
        accepted_sets(**{**case, "collaborative_set": np.arange(8) < 4})
    with pytest.raises(ValueError, match="tolerances"):
        accepted_sets(**{**case, "tolerances": case["tolerances"][0]})
    with pytest.raises(ValueError, match="noise_scales"):
        accepted_sets(**{**case, "noise_scales": np.zeros(8)})
    with pytest.raises(ValueError, match="basis"):
        accepted_sets(**{**case, "basis": 2 * case["basis"]})
    many = draw(0, n_clients=40)
    with pytest.raises(ValueError, match="set_guarantee"):
        accepted_sets(**many)
