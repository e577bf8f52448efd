import numpy as np
import pytest
from scipy.linalg import subspace_angles
from scipy.stats import norm

from clair_stats.theory import subspace_limit


def graph(t):
    """Orthonormal basis of the span of [I; T]."""
    return np.linalg.qr(np.vstack([np.eye(t.shape[1]), t]))[0]


@pytest.mark.parametrize("scale", [0.01, 0.3, 2.0])
def test_the_distance_of_two_graphs_is_bounded_below_by_that_of_their_slopes(scale):
    """The geometric step of Theorem 10: ‖sin Θ‖_F ≥ ‖T − T'‖_F/√((1 + ‖T‖²)(1 + ‖T'‖²))."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        first, second = scale * rng.normal(size=(2, 4, 2))
        angles = subspace_angles(graph(first), graph(second))
        bound = np.linalg.norm(first - second) / np.sqrt(
            (1 + np.linalg.norm(first, 2) ** 2) * (1 + np.linalg.norm(second, 2) ** 2)
        )
        assert np.linalg.norm(np.sin(angles)) >= bound * (1 - 1e-9)


def test_the_limit_is_the_best_of_assouads_bounds():
    p, rank, s, sigma = 9, 2, 7.0, 0.8
    entries = rank * (p - rank)
    steps = np.linspace(1e-3, 4, 200_001)  # ε in units of σ/s
    eps = steps * sigma / s
    bounds = eps**2 / (4 * (1 + entries * eps**2) ** 2) * entries / 2 * 2 * norm.cdf(-steps / 2)
    assert subspace_limit(s, shape=(p, 3), rank=rank, noise_scale=sigma) == pytest.approx(bounds.max(), rel=1e-6)


def test_the_limit_scales_and_stays_below_the_dimension():
    small = subspace_limit(1e4, shape=(30, 5), rank=3)
    assert small == pytest.approx(0.1655 * 3 * 27 / 1e8, rel=2e-3)
    assert subspace_limit(1e3, shape=(30, 5), rank=3, noise_scale=0.1) == pytest.approx(small)
    assert subspace_limit(0.01, shape=(30, 5), rank=3) < 3


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="rank"):
        subspace_limit(1.0, shape=(3, 2), rank=3)
    with pytest.raises(ValueError, match="smallest_singular_value"):
        subspace_limit(0.0, shape=(3, 2), rank=1)
    with pytest.raises(ValueError, match="noise_scale"):
        subspace_limit(1.0, shape=(3, 2), rank=1, noise_scale=-1.0)
