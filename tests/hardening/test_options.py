"""Options out of range are refused before any work, and the message blames the option that is wrong."""

import numpy as np
import pytest

from clair_stats import CLAIR, ClientEstimates, decompose, decompose_modules
from tests.hardening.cases import K, shared

X = shared()[0]


@pytest.mark.parametrize(
    ("options", "blamed"),
    [
        ({"block_penalty": 0}, "block_penalty"),
        ({"block_penalty": np.nan}, "block_penalty"),
        ({"block_penalty": True}, "block_penalty"),
        ({"noise_penalty": np.inf}, "noise_penalty"),
        ({"noise_penalty": -1.0}, "noise_penalty"),
        ({"noise_penalty": "much"}, "noise_penalty"),
        ({"level": 1e-320}, "level"),
        ({"level": 0.0}, "level"),
        ({"level": np.nan}, "level"),
        ({"level": True}, "level"),
        ({"level": "a"}, "level"),
        ({"heterogeneity": np.nan}, "heterogeneity"),
        ({"heterogeneity": None}, "heterogeneity"),
        ({"rank": True}, "rank"),
        ({"rank": 1.5}, "rank"),
        ({"rank": 99}, "rank"),
        ({"shared": "diagonals"}, "shared"),
        ({"refinement": "more"}, "refinement"),
        ({"common_component": "x"}, "common_component"),
        ({"common_component": 3}, "common_component"),
    ],
)
def test_the_model_blames_the_wrong_option(options, blamed):
    with pytest.raises(ValueError, match=rf"^{blamed}: .*give"):
        CLAIR(**options).fit(X)


@pytest.mark.parametrize(
    ("options", "blamed"),
    [
        ({"block_penalty": 0}, "block_penalty"),
        ({"block_penalty": "x"}, "block_penalty"),
        ({"max_iterations": np.inf}, "max_iterations"),
        ({"max_iterations": True}, "max_iterations"),
        ({"max_iterations": 0}, "max_iterations"),
        ({"tol": np.nan}, "tol"),
        ({"tol": "tight"}, "tol"),
        ({"tol": True}, "tol"),
        ({"warm_start": 5}, "warm_start"),
        ({"client_weights": ["a"] * K}, "client_weights"),
        ({"noise_penalty": "a"}, "noise_penalty"),
        ({"noise_penalty": True}, "noise_penalty"),
        ({"noise_radius": "a"}, "noise_radius"),
        ({"common_component": "x"}, "common_component"),
    ],
)
def test_the_program_blames_the_wrong_option(options, blamed):
    with pytest.raises((TypeError, ValueError), match=rf"^{blamed}: .*(give|choose)"):
        decompose(X, **options)


def test_the_smallest_level_still_flags():
    """The level of one client of many must not underflow, or nobody could ever be flagged."""
    blocks = X.copy()
    blocks[3] += 1e4
    fitted = CLAIR(level=1e-290).fit(blocks, noise_scales=np.full(K, 0.1))
    assert np.flatnonzero(fitted.flagged_).tolist() == [3]


def test_an_unknown_scale_of_modules_is_refused():
    with pytest.raises(ValueError, match=r"scale_modules: 'bogus' is unknown; choose"):
        decompose_modules([X, X], scale_modules="bogus")


def test_a_very_long_name_does_not_fill_the_screen():
    blocks = np.where(np.arange(K)[:, None, None] == 0, np.nan, X)
    names = ["x" * 20_000, *map(str, range(1, K))]
    with pytest.raises(ValueError, match=r"^x+… *: values has 24 entries that are NaN") as caught:
        ClientEstimates(values=blocks, client_names=names)
    assert len(str(caught.value)) < 400
    assert ClientEstimates(values=X, client_names=names).names[0] == names[0]  # the record keeps it whole


def test_modules_in_a_mapping_are_refused_by_name():
    with pytest.raises(TypeError, match=r"modules: a mapping; give a sequence"):
        decompose_modules({"a": X, "b": X})
