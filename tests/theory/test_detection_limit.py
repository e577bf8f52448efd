import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import gammaln
from scipy.stats import chi2

from clair_stats.theory import detection_limit, detection_reach


@pytest.mark.parametrize("m", [2, 3, 10, 200])
def test_the_exponential_moment_of_a_random_direction(m):
    """E exp(t u_1) ≤ exp(t²/2m) for u uniform on the sphere: the inequality of Theorem 9, by quadrature."""
    constant = np.exp(gammaln(m / 2) - gammaln((m - 1) / 2)) / np.sqrt(np.pi)
    for t in (0.5, 3.0, 10.0):
        # u_1 = cos φ has density proportional to sin^{m−2} φ dφ.
        moment = constant * quad(lambda phi, t=t: np.exp(t * np.cos(phi)) * np.sin(phi) ** (m - 2), 0, np.pi)[0]
        assert 1 < moment <= np.exp(t**2 / (2 * m)) * (1 + 1e-9)


def test_the_limit_solves_the_bound_on_the_power():
    for clients, shape, rank in ((5, (3, 1), 0), (40, (20, 10), 3)):
        d = detection_limit(clients, shape=shape, rank=rank, noise_scale=2.0, level=0.1, power=0.8)
        m = (shape[0] - rank) * shape[1]
        divergence = np.expm1((d / 2) ** 4 / (2 * m)) / clients
        assert 0.1 + 0.5 * np.sqrt(divergence) == pytest.approx(0.8)


def test_the_reach_has_the_power_it_says_by_simulation():
    rng = np.random.default_rng(0)
    d = detection_reach(25, shape=(9, 4), rank=2, noise_scale=0.5, power=0.7)
    cut = chi2.isf(1 - 0.95 ** (1 / 25), 28)
    errors = 0.5 * rng.normal(size=(20_000, 28))
    errors[:, 3] += d
    flagged = np.mean((errors**2).sum(axis=1) / 0.25 > cut)
    assert flagged == pytest.approx(0.7, abs=4 * np.sqrt(0.21 / 20_000))


def test_limit_and_reach_are_of_one_order():
    for clients in (5, 50, 5000):
        for shape in ((11, 10), (41, 20)):
            options = {"shape": shape, "rank": 1, "level": 0.05, "power": 0.5}
            low, high = detection_limit(clients, **options), detection_reach(clients, **options)
            assert low < high < 2 * low


def test_bad_arguments_are_refused():
    for function in (detection_limit, detection_reach):
        with pytest.raises(ValueError, match="rank"):
            function(5, shape=(3, 1), rank=3)
        with pytest.raises(ValueError, match="noise_scale"):
            function(5, shape=(3, 1), rank=1, noise_scale=0.0)
        with pytest.raises(ValueError, match="power"):
            function(5, shape=(3, 1), rank=1, level=0.5, power=0.5)
