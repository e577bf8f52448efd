"""Step 1, everyone first: the smallest rank at which all clients agree, tested without any selection.

A search selects: among clean clients it can find a majority that a *smaller* rank explains by luck, and then flags the
others for carrying a direction that everybody shares (95 of 130 false alarms on small clean federations).  A set that
was fixed before looking at the data spends nothing on selection.

See docs/derivations/detection.md, section 4.
"""

from __future__ import annotations

import numpy as np

from clair_stats.detection.calibration import residual_variance
from clair_stats.detection.shared_fit import fit_shared
from clair_stats.detection.step_4_test import Outcome, SetTest, spike_ratio

__all__ = ["everyone_agrees"]


def everyone_agrees(test: SetTest, ranks: range) -> Outcome | None:
    """The fit on all clients at the smallest of the ranks at which it is consistent and homogeneous, or None.

    Parameters
    ----------
    test : SetTest
    ranks : range

    Returns
    -------
    Outcome or None
    """
    panel = test.panel
    everyone = np.ones(panel.shape[0], dtype=np.bool_)
    for rank in ranks:
        fit = fit_shared(panel, everyone, rank)
        if panel.noise is None and residual_variance(panel, fit, np.zeros(everyone.size))[1] <= 0:
            return None  # nothing is left to learn the noise from, here and at every larger rank
        if len(ranks) > 1 and spike_ratio(panel, fit, heterogeneity=test.heterogeneity) > 1.0:
            continue
        tested = test(everyone, rank)
        if tested.passed.all() and tested.homogeneous:
            return tested
    return None
