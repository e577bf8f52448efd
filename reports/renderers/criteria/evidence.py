"""Non-inferiority per setting: p-values of "shown" and of "refuted", exact for shares and by t for errors.

Everything is computed from a study's summary: for a paired difference d of two indicators, n, the mean of d and its
standard error give back how often only the one or only the other is 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binom
from scipy.stats import t as student

Array = NDArray[np.float64]

__all__ = ["SettingEvidence", "of_errors", "of_shares"]

# Pieces of the nuisance parameter's range.  20 times as many lower no p-value of n = 20 to 1000 by more than a tenth.
_PIECES = 1000


@dataclass(frozen=True, eq=False)
class SettingEvidence:
    """Per setting one p-value against "does not hold" and one against "holds"; NaN where the criterion is not asked."""

    shown: pd.Series
    refuted: pd.Series

    def where(self, asked: pd.Series) -> SettingEvidence:
        """The same where ``asked``, one row per setting, is true, undefined elsewhere."""
        return SettingEvidence(self.shown.where(asked), self.refuted.where(asked))


def _refuted(other: Array, own: Array, n: Array, margin: float) -> Array:
    """Exact p-value of "P(only other) exceeds P(only own) by at most the margin".

    The hypothesis is a union over P(only own), cut into pieces [e, e').  On a piece P(only other) ≤ margin + e', and
    among the replications where only one succeeds the other's share is at most (margin + e)/(margin + 2e): two exact
    binomial tests, Bonferroni; the largest p-value over the pieces is one for their union (intersection-union test).
    """
    ends = np.linspace(0.0, (1.0 - margin) / 2.0, _PIECES + 1)
    low, high = ends[:-1], ends[1:]
    marginal = binom.sf(other[:, np.newaxis] - 1, n[:, np.newaxis], margin + high)
    conditional = binom.sf(other[:, np.newaxis] - 1, (other + own)[:, np.newaxis], (margin + low) / (margin + 2 * low))
    return np.asarray(np.minimum(1.0, 2.0 * np.minimum(marginal, conditional).max(axis=1)))


def of_shares(mean: pd.Series, mcse: pd.Series, n: pd.Series, margin: float) -> SettingEvidence:
    """Whether a probability falls short of another by less than ``margin``, on the same replications.

    Parameters
    ----------
    mean, mcse, n : Series
        One row per setting, of d = other − own, an indicator's difference in {−1, 0, 1}.
    margin : float
        Largest admissible shortfall E[d].

    Notes
    -----
    With b replications where only the other succeeds, E[d] ≤ P(only the other), so b ~ Bin(n, ≥ margin) where the
    criterion fails: P(Bin(n, margin) ≤ b) is an exact p-value for "shown".  See :func:`_refuted` for the other one.
    """
    size = n.to_numpy(float)
    spread = np.nan_to_num(mcse.to_numpy(float))
    total, surplus = (size - 1) * size * spread**2 + size * mean.to_numpy(float) ** 2, size * mean.to_numpy(float)
    with np.errstate(invalid="ignore"):
        other, own = np.round((total + surplus) / 2), np.round((total - surplus) / 2)
        shown = binom.cdf(other, size, margin)
        refuted = _refuted(other, own, size, margin)
    known = mean.notna().to_numpy()
    return SettingEvidence(
        pd.Series(np.where(known, shown, np.nan), mean.index), pd.Series(np.where(known, refuted, np.nan), mean.index)
    )


def of_errors(excess: pd.Series, error: pd.Series, n: pd.Series) -> SettingEvidence:
    """Whether a mean excess is below zero, by Student's t on the replications; where nothing varies its sign decides.

    A tie without variation (both errors are exactly the same) is shown: "at most" then holds.

    Parameters
    ----------
    excess, error, n : Series
        One row per setting: mean difference, its standard error, replications.
    """
    spread = error.to_numpy(float)
    value = excess.to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(spread > 0, value / spread, np.where(value > 0, np.inf, -np.inf))
    freedom = np.maximum(n.to_numpy(float) - 1, 1)
    known = ~np.isnan(value) & ~np.isnan(spread)
    return SettingEvidence(
        pd.Series(np.where(known, student.cdf(statistic, freedom), np.nan), excess.index),
        pd.Series(np.where(known, student.sf(statistic, freedom), np.nan), excess.index),
    )
