"""Comparisons on the same replications: Holm against statsmodels, t tests against scipy, ranks and who is behind."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from reports.paired import RankedPanel
from reports.renderers.ranks import gains, losses
from reports.wording import undefined_notes

RNG = np.random.default_rng(20261129)


def panel(means, n=30, settings=4, noise=1.0):
    """Methods of given means over a common term per replication, which pairing removes."""
    common = 10 * RNG.standard_normal((settings, 1, n))
    values = (
        common + np.array(means)[np.newaxis, :, np.newaxis] + noise * RNG.standard_normal((settings, len(means), n))
    )
    methods = ("CLAIR", "Local", "Oracle CLAIR", "CLAIR (whiten)")[: len(means)]
    return RankedPanel(tuple(f"s{i}" for i in range(settings)), methods, values)


def test_differences_are_paired_and_one_sided():
    made = panel([0.0, 0.8])
    expected = [ttest_rel(*made.values[i], alternative="less").pvalue for i in range(4)]
    assert made.p_better(0, 1) == pytest.approx(expected)
    assert (made.p_better(0, 1) < 0.05).all()  # the common term alone would drown the difference
    equal = RankedPanel(("s",), ("a", "b"), np.zeros((1, 2, 5)))
    assert equal.p_better(0, 1)[0] == 0.5
    assert (
        RankedPanel(("s",), ("a", "b"), np.stack([np.zeros((1, 5)), np.ones((1, 5))], axis=1)).p_better(0, 1)[0] == 0.0
    )
    assert np.isnan(RankedPanel(("s",), ("a", "b"), np.full((1, 2, 5), np.nan)).p_better(0, 1)[0])


def test_mean_ranks_carry_an_error_only_where_the_order_is_open():
    ranks, errors = panel([0.0, 5.0, -5.0]).mean_ranks()
    assert list(ranks) == [2.0, 3.0, 1.0]
    assert list(errors) == [0.0, 0.0, 0.0]
    ranks, errors = panel([0.0, 0.0, -5.0]).mean_ranks()
    assert ranks[2] == 1.0
    assert errors[0] > 0.05


def test_a_loss_is_told_where_a_rival_is_better_and_not_where_only_an_oracle_is():
    assert losses({"accuracy": panel([0.0, -2.0, -4.0])}) == ("On accuracy CLAIR is behind Local in 4 of 4 settings.",)
    assert losses({"accuracy": panel([0.0, 0.0, -4.0])}) == ()
    assert gains({"accuracy": panel([0.0, 2.0, 4.0])}) == ("On accuracy CLAIR is ahead of Local in 4 of 4 settings.",)
    assert gains({"accuracy": panel([0.0, -2.0, 4.0])}) == ()
    assert losses({"accuracy": panel([0.0, 2.0, -4.0, -3.0])}) == ()


def test_undefined_values_are_counted_in_words():
    grid = pd.DataFrame(
        {"measure": ["rank", "rank"], "label": ["a", "b"], "setting": ["s", "s"], "n": [5, 3], "undefined": [0, 2]}
    )
    assert undefined_notes(grid) == ("Undefined and left out of rank: b, s: 2 of 5.",)
