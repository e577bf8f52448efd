"""Step 3, the law that decides: given, white, or learnt from the clients' own scores.

With noise scales or covariances given, χ² and Hotelling–Lawley tests use them, unless the majority's own residuals say
that they are too small.  Otherwise F tests use the residual variance of the others, as long as errors are white inside
a client.

An adapter of rank s carries an error of rank about s: the entries of one client's residual are then far from
independent, no χ² or F law holds for its norm, and the noise edge of a Wishart matrix says nothing about the rank.
John's statistic U_k measures this client by client (Biometrika 58(1), 1971).  For a white p × q residual
1 + U_k = p tr(W²)/tr(W)², W = RRᵀ, is independent of tr W, hence E U_k = p(p + q + 1)/(pq + 2) − 1 exactly, and q U_k
has variance 4 to first order (Ledoit and Wolf, Ann. Statist. 30(4), 2002, Proposition 3).
"""

from __future__ import annotations

import numpy as np
from scipy import special

from clair_stats.detection.calibration import calibrate, residual_variance
from clair_stats.detection.panel import Panel
from clair_stats.detection.shared_fit import Residuals, SharedFit, centred_blocks, standardised_residuals
from clair_stats.linalg import project_off
from clair_stats.records import BoolArray, FloatArray

__all__ = ["errors_are_white", "noise_in_excess", "sphericity", "white_about", "white_off_common_directions"]

# A white majority exceeds two standard deviations at the *median* with a probability below 1e-3 from 7 clients on
# (binomial: four of seven beyond .023); a client cut to rank s lies near min(p, q)/s times the white value.
_DEVIATIONS = 2.0
# More directions than a shared subspace and a coordinated contamination of ordinary rank take together.
_COMMON = 24
# A majority whose residuals exceed the given noise with this probability at most is taken to be noisier than stated.
_EXCESS_LEVEL = 1e-3


def sphericity(residuals: FloatArray, rank: int) -> FloatArray:
    """John's statistic in standard units, q(U_k − E U_k)/2 on p' = p − r rows, near N(0, 1) for white errors.

    Parameters
    ----------
    residuals : array, shape (K, p, q)
        Blocks off the shared subspace.
    rank : int
        Dimension r of that subspace.

    Returns
    -------
    array, shape (K,)
        NaN where a residual is zero, or fewer than two rows or columns are left.
    """
    rows, columns = residuals.shape[1] - rank, residuals.shape[2]
    if rows < 2 or columns < 2:
        return np.full(len(residuals), np.nan)
    # Either Gram matrix has the same traces; the smaller one is formed.
    turned = residuals.transpose(0, 2, 1)
    gram = turned @ residuals if columns < residuals.shape[1] else residuals @ turned
    total = np.trace(gram, axis1=1, axis2=2)
    squares = np.einsum("kij,kij->k", gram, gram)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = rows * squares / total**2
    return np.asarray(columns * (ratio - rows * (rows + columns + 1) / (rows * columns + 2)) / 2.0)


def errors_are_white(residuals: FloatArray, rank: int, floor: float) -> bool:
    """Whether at least half of the clients' residuals (K, p, q) look white; True where it cannot be told.

    Residuals whose entries are at most ``floor`` are rounding, whose law says nothing about errors.

    Parameters
    ----------
    residuals : ndarray, shape (n, p, q)
        Scale of the Y_k.
    rank : int
        r.
    floor : float
        Entries up to this size are rounding.

    Returns
    -------
    bool
    """
    return _look_white(_deviations(residuals, rank, floor))


def _deviations(residuals: FloatArray, rank: int, floor: float) -> FloatArray:
    """John's statistic of those clients of whom it can be told."""
    deviations = sphericity(residuals, rank)
    above = np.einsum("kij,kij->k", residuals, residuals) > floor**2 * residuals[0].size
    return np.asarray(deviations[np.isfinite(deviations) & above])


def _look_white(deviations: FloatArray) -> bool:
    return deviations.size == 0 or float(np.median(deviations)) <= _DEVIATIONS


def white_off_common_directions(panel: Panel) -> bool:
    """The cheap look: off the leading directions of all clients, benign or not, are their errors white?

    Parameters
    ----------
    panel : Panel

    Returns
    -------
    bool
    """
    count = min(_COMMON, panel.shape[1] // 2)
    directions = np.ascontiguousarray(panel.sign_spectrum[1][:, :count])
    parts = (project_off(directions, blocks) for _, blocks in panel.centred_parts())
    return _look_white(np.concatenate([_deviations(part, count, panel.floor) for part in parts]))


def white_about(panel: Panel, fit: SharedFit, members: BoolArray) -> bool:
    """The exact look: are the members' residuals about the fit white?

    Parameters
    ----------
    panel : Panel
    fit : SharedFit
    members : bool ndarray, shape (K,)
        True = in the set.

    Returns
    -------
    bool
    """
    residuals = project_off(fit.basis, centred_blocks(panel, fit)[members])
    return errors_are_white(residuals, fit.basis.shape[1], panel.floor)


def noise_in_excess(panel: Panel, fit: SharedFit) -> float:
    """Learnt over given noise scale of a majority, where its residuals say that the given one is too small; else 1.

    RSS/σ² of a benign set is χ² with its residual degrees of freedom.  With covariances the members' p-values, uniform
    under the law, are summed up as normal scores (Stouffer, 1949).

    Parameters
    ----------
    panel : Panel
    fit : SharedFit

    Returns
    -------
    float
    """
    if panel.noise is None:
        return 1.0
    residuals = standardised_residuals(panel, fit)
    if panel.covariances is not None:
        return _covariances_in_excess(panel, fit, residuals)
    total, freedom = residual_variance(panel, fit, residuals.raw)
    if freedom <= 0 or special.chdtrc(freedom, total) >= _EXCESS_LEVEL:
        return 1.0
    return float(np.sqrt(total / freedom))


def _covariances_in_excess(panel: Panel, fit: SharedFit, residuals: Residuals) -> float:
    law, members = panel.covariances, fit.members & (residuals.degrees > 0)
    assert law is not None
    if not members.any():
        return 1.0
    p_values = calibrate(panel, fit, level=0.5, residuals=residuals).p_values[members]
    scores = -special.ndtri(np.clip(p_values, np.finfo(float).tiny, 1.0 - np.finfo(float).eps))
    if float(scores.sum()) <= -special.ndtri(_EXCESS_LEVEL) * np.sqrt(scores.size):
        return 1.0
    expected = residuals.degrees[members]
    if law.degrees is not None:  # a Hotelling–Lawley trace is larger by ν/(ν − e − 1)
        rows = panel.shape[1] - fit.basis.shape[1]
        estimated = rows if law.estimated == "rows" else expected / rows
        expected = expected * law.degrees[members] / (law.degrees[members] - estimated - 1.0)
    return max(float(np.sqrt(residuals.standardised[members].sum() / expected.sum())), 1.0)
