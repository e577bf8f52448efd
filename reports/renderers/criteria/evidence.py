"""Non-inferiority per setting: p-values of "shown" and of "refuted", exact for shares and by t for errors.

Everything is computed from a study's summary: for a paired difference d of two indicators, n, the mean of d and its
standard error give back how often only the one or only the other is 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import beta, binom
from scipy.stats import t as student

__all__ = ["Evidence", "of_errors", "of_shares"]

# Part of the level spent on the nuisance parameter (Berger and Boos, JASA 89, 1994); small beside 0.05 over 200 cells.
_NUISANCE = 1e-5


@dataclass(frozen=True, eq=False)
class Evidence:
    """Per setting one p-value against "does not hold" and one against "holds"; NaN where the criterion is not asked."""

    shown: pd.Series
    refuted: pd.Series

    def where(self, asked: pd.Series) -> Evidence:
        """The same where ``asked`` is true, undefined elsewhere."""
        return Evidence(self.shown.where(asked), self.refuted.where(asked))


def of_shares(mean: pd.Series, mcse: pd.Series, n: pd.Series, margin: float) -> Evidence:
    """Whether a probability falls short of another by less than ``margin``, on the same replications.

    Parameters
    ----------
    mean, mcse, n : Series
        Of d = other − own, an indicator's difference in {−1, 0, 1}.
    margin : float
        Largest admissible shortfall E[d].

    Notes
    -----
    With b replications where only the other succeeds, E[d] ≤ P(only the other), so b ~ Bin(n, ≥ margin) where the
    criterion fails: P(Bin(n, margin) ≤ b) is an exact p-value for "shown".  For "refuted" P(only own) is a nuisance
    parameter, bounded by its exact upper limit (Berger and Boos).
    """
    size = n.to_numpy(float)
    spread = np.nan_to_num(mcse.to_numpy(float))
    total, surplus = (size - 1) * size * spread**2 + size * mean.to_numpy(float) ** 2, size * mean.to_numpy(float)
    with np.errstate(invalid="ignore"):
        other, own = np.round((total + surplus) / 2), np.round((total - surplus) / 2)
        shown = binom.cdf(other, size, margin)
        rarest = np.where(own >= size, 1.0, beta.ppf(1 - _NUISANCE, own + 1, np.maximum(size - own, 1e-9)))
        refuted = np.minimum(1.0, binom.sf(other - 1, size, np.minimum(1.0, margin + rarest)) + _NUISANCE)
    known = mean.notna().to_numpy()
    return Evidence(
        pd.Series(np.where(known, shown, np.nan), mean.index), pd.Series(np.where(known, refuted, np.nan), mean.index)
    )


def of_errors(excess: pd.Series, error: pd.Series, n: pd.Series) -> Evidence:
    """Whether a mean excess is below zero, by Student's t on the replications; where nothing varies its sign decides.

    A tie without variation (both errors are exactly the same) is shown: "at most" then holds.
    """
    spread = error.to_numpy(float)
    value = excess.to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(spread > 0, value / spread, np.where(value > 0, np.inf, -np.inf))
    freedom = np.maximum(n.to_numpy(float) - 1, 1)
    known = ~np.isnan(value) & ~np.isnan(spread)
    return Evidence(
        pd.Series(np.where(known, student.cdf(statistic, freedom), np.nan), excess.index),
        pd.Series(np.where(known, student.sf(statistic, freedom), np.nan), excess.index),
    )
