import numpy as np
import pytest
from scipy.stats import chi2

from clair_stats.theory.tails import lower_quantile, upper_quantile


@pytest.mark.parametrize("freedom", [1, 30, 5000])
def test_quantiles_have_their_tail_and_the_bounds_beyond_are_no_sharper(freedom, monkeypatch):
    for log_tail in (-1.0, -20.0, -300.0):
        high, low = upper_quantile(log_tail, freedom), lower_quantile(log_tail, freedom)
        assert chi2.logsf(high, freedom) == pytest.approx(log_tail, rel=1e-6)
        assert chi2.cdf(low, freedom) == pytest.approx(np.exp(log_tail), rel=1e-6, abs=1e-300)
        monkeypatch.setattr("clair_stats.theory.tails._SMALLEST", 0.0)
        assert upper_quantile(log_tail, freedom) >= high
        assert 0 <= lower_quantile(log_tail, freedom) <= low + 1e-12
        monkeypatch.undo()


def test_tails_far_below_the_smallest_double_are_finite():
    assert upper_quantile(-5000.0, 100) == pytest.approx(100 + 10_000 + 2 * np.sqrt(500_000))
    assert lower_quantile(-5000.0, 100) == 0.0
    assert lower_quantile(-5000.0, 10**6) > 0
