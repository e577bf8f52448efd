"""scikit-learn's own checks of an estimator, as far as they fit a method whose samples are matrices.

The checks pass tables (n, d).  CLAIR reads blocks (K, p, q), says so in its tags, and is then left alone; here the rows
of a table are taken as clients with d × 1 blocks, so that everything else that the checks look at is looked at.
"""

import inspect

import numpy as np
import pytest

from clair_stats import CLAIR

checks = pytest.importorskip("sklearn.utils.estimator_checks")
utils = pytest.importorskip("sklearn.utils")
validation = pytest.importorskip("sklearn.utils.validation")

# What does not fit, and why.  A check that passes although it stands here fails the test.
NOT_FITTING = {
    "check_n_features_in": "a client is a matrix: there is no number of features",
    "check_n_features_in_after_fitting": "a client is a matrix: there is no number of features",
    "check_complex_data": "refused with a TypeError that names the field; scikit-learn wants its own sentence",
    "check_dtype_object": "refused with a TypeError that names the client; scikit-learn takes objects that are numbers",
    "check_estimators_empty_data_messages": "refused, the message speaks of K, p and q and not of features",
    "check_fit2d_1sample": "refused, the message speaks of clients and not of samples",
    "check_array_api_input": "arrays of other libraries are read as numpy arrays; skipped by scikit-learn itself",
}


class RowsAsClients(CLAIR):
    """Every row of a table is a client with one column."""

    def fit(self, estimates, y=None):
        is_table = isinstance(estimates, np.ndarray | list) and np.ndim(estimates) == 2
        return super().fit(np.asarray(estimates)[:, :, None] if is_table else estimates)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


def named_checks(estimator):
    """Name and check; a check that is made twice, with another setting, is one parameter of its own."""
    found = [check for _, check in checks.estimator_checks_generator(estimator)]
    return [(getattr(check, "func", check).__name__, check) for check in found]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "check"), named_checks(RowsAsClients()), ids=lambda value: str(value)[:40])
def test_check(name, check):
    if name not in NOT_FITTING:
        check(RowsAsClients())
        return
    with pytest.raises((AssertionError, TypeError, ValueError, pytest.skip.Exception, utils.estimator_checks.SkipTest)):
        check(RowsAsClients())


def test_most_checks_fit_and_those_that_do_not_are_real():
    names = {name for name, _ in named_checks(RowsAsClients())}
    assert set(NOT_FITTING) <= names
    assert len(names) > 3 * len(NOT_FITTING)


def test_tags_say_that_samples_are_matrices_and_that_no_target_is_needed():
    tags = utils.get_tags(CLAIR())
    assert (tags.input_tags.three_d_array, tags.input_tags.two_d_array) == (True, False)
    assert not tags.target_tags.required
    blocks = np.random.default_rng(0).normal(size=(9, 4, 3))
    with pytest.raises(Exception, match="not fitted"):
        validation.check_is_fitted(CLAIR())
    validation.check_is_fitted(CLAIR().fit(blocks))
    assert list(inspect.signature(CLAIR.fit).parameters)[:3] == ["self", "estimates", "y"]
