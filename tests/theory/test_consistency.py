import numpy as np
import pytest
from scipy.linalg import subspace_angles

from clair_stats.linalg import orthonormal_basis, sin_theta
from clair_stats.theory import detection_scores, threshold_window


def instance(rng, tilt, shift, noise):
    basis = orthonormal_basis(rng.normal(size=(7, 2)), 2)
    common = rng.normal(size=(7, 3))
    targets = common + np.einsum("pi,kiq->kpq", basis, rng.normal(size=(8, 2, 3)))
    mask = np.arange(8) < 6
    targets[~mask] += rng.normal(size=(2, 7, 3))
    estimates = targets + noise * rng.normal(size=targets.shape)
    estimated = orthonormal_basis(basis + tilt * rng.normal(size=(7, 2)), 2)
    return {
        "targets": targets,
        "estimates": estimates,
        "basis": basis,
        "common": common,
        "estimated_basis": estimated,
        "estimated_common": common + shift * rng.normal(size=(7, 3)),
        "collaborative_set": mask,
    }


@pytest.mark.parametrize("tilt", [0.0, 1e-9, 1e-3, 1.0, 1e3])
@pytest.mark.parametrize("rank", [1, 2, 6])
def test_both_projections_have_the_sine_of_the_largest_angle(rank, tilt):
    """Lemma 1 of docs/derivations/consistency.md."""
    rng = np.random.default_rng(rank)
    basis = orthonormal_basis(rng.normal(size=(7, rank)), rank)
    estimated = orthonormal_basis(basis + tilt * rng.normal(size=(7, rank)), rank)
    first = np.linalg.norm(basis - estimated @ (estimated.T @ basis), 2)
    other = np.eye(7) - basis @ basis.T
    second = np.linalg.norm(estimated @ estimated.T @ other, 2)
    angle = subspace_angles(basis, estimated).max()
    np.testing.assert_allclose([first, second], np.sin(angle), rtol=1e-7, atol=1e-14)
    assert sin_theta(estimated, basis) == pytest.approx(first, rel=1e-7, abs=1e-14)


@pytest.mark.parametrize("seed", range(20))
def test_scores_stay_inside_their_bounds(seed):
    rng = np.random.default_rng(seed)
    case = instance(rng, *10.0 ** rng.uniform(-3, 0, size=3))
    window = threshold_window(
        case.pop("targets"), case["estimates"], **{k: v for k, v in case.items() if k != "estimates"}
    )
    scores = detection_scores(case["estimates"], basis=case["estimated_basis"], common=case["estimated_common"])
    mask = case["collaborative_set"]
    assert np.all(scores[mask] <= window.score_bounds[mask] + 1e-12)
    assert np.all(scores[~mask] >= window.score_bounds[~mask] - 1e-12)
    assert window.lower == window.score_bounds[mask].max()
    assert window.upper == window.score_bounds[~mask].min()


def test_the_exact_truth_leaves_the_whole_separation_open():
    case = instance(np.random.default_rng(0), 0.0, 0.0, 0.0)
    window = threshold_window(case["targets"], **{k: v for k, v in case.items() if k != "targets"})
    assert window.lower < 1e-9
    assert window.is_open
    assert window.upper > 1
    everybody = threshold_window(
        **{**case, "collaborative_set": np.ones(8, dtype=bool)},
    )
    assert everybody.upper == np.inf


def test_bad_shapes_are_refused():
    case = instance(np.random.default_rng(0), 0.1, 0.1, 0.1)
    with pytest.raises(ValueError, match="shapes"):
        threshold_window(**{**case, "targets": case["targets"][:3]})
    with pytest.raises(ValueError, match="collaborative_set"):
        threshold_window(**{**case, "collaborative_set": np.zeros(8, dtype=bool)})
