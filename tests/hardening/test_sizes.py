"""One huge client is flagged and has no part; a unit in which squares overflow is refused."""

import numpy as np
import pytest

from clair_stats import CLAIR

RNG = np.random.default_rng(0)
BASIS = np.linalg.qr(RNG.normal(size=(10, 2)))[0]
BLOCKS = BASIS @ RNG.normal(size=(14, 2, 8)) + 0.05 * RNG.normal(size=(14, 10, 8))


@pytest.mark.parametrize("size", [1e78, 1e100, 1e155])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_one_huge_client_is_flagged_and_has_no_part(size):
    blocks = BLOCKS.copy()
    blocks[3] *= size
    model = CLAIR().fit(blocks)
    np.testing.assert_array_equal(np.flatnonzero(model.flagged_), [3])
    others = np.delete(np.arange(14), 3)
    expected = CLAIR().fit(BLOCKS[others]).refined_
    assert np.abs(model.refined_[others] - expected).max() < 0.05


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_client_of_1e300_is_flagged():
    blocks = BLOCKS.copy()
    blocks[3] *= 1e300
    np.testing.assert_array_equal(np.flatnonzero(CLAIR().fit(blocks).flagged_), [3])


@pytest.mark.parametrize("size", [1e-60, 1e60])
def test_the_unit_does_not_matter(size):
    found, expected = CLAIR().fit(BLOCKS * size).refined_ / size, CLAIR().fit(BLOCKS).refined_
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("size", [1e160, 1e300])
def test_a_unit_in_which_squares_overflow_is_refused(size):
    with pytest.raises(ValueError, match="another unit"):
        CLAIR().fit(BLOCKS * size)
