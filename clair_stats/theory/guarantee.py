"""With which probability the accepted set is the collaborative set: docs/derivations/guarantee.md, section 4."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from clair_stats.laws import per_client_level, rare_laws
from clair_stats.records import BoolArray, FloatArray
from clair_stats.theory.subsets import SubsetMargin, subset_margin
from clair_stats.theory.tails import lower_quantile, upper_quantile
from clair_stats.theory.tilt import largest_tilt

__all__ = ["SetGuarantee", "chi_square_tolerances", "set_guarantee"]

# What may be spent on the noise of the benign clients; the smallest sum with the chance of a missed client is taken.
_ALLOWANCES = np.geomspace(1e-6, 0.2, 25)
_NOISE_EVENTS = 3  # absorbed, free and operator norm, each with a third of the allowance


@dataclass(frozen=True, eq=False)
class SetGuarantee:
    """P(the smallest accepted rank is r and its largest accepted set is C) ≥ 1 − level − delta."""

    delta: float  # δ, at most 1
    level: float  # α, the chance that C itself is not accepted
    missed: FloatArray  # (|O|,) bound on the chance that contaminated client j is in an accepted set, given the events
    squared_tilt: float  # bound on ‖P_{Û⊥}U*‖_F² on the noise events; r when nothing is known
    radius: float  # T in units of σ
    allowance: float  # part of δ that is spent on the noise of the benign clients
    lower_ranks: BoolArray  # (r,) True: excluded on the noise events
    margin: SubsetMargin

    @property
    def probability(self) -> float:
        """1 − α − δ, or 0 when the bound says nothing."""
        return max(0.0, 1.0 - self.level - self.delta)


def chi_square_tolerances(
    noise_scales: ArrayLike, *, shape: tuple[int, int], rank: int, level: float = 0.05, heterogeneity: float = 0.0
) -> FloatArray:
    """Tolerances τ_k of sets of rank 0, …, r: Šidák quantiles of σ_kχ_{(p−r̂)q} (theory.md section 5, *Calibration*).

    Parameters
    ----------
    noise_scales : array_like, shape (K,)
        σ_k > 0.
    shape : (int, int)
        (p, q).
    rank : int
        r, 0 ≤ r < p.
    level : float
        α: all K benign residuals at the truth are within their tolerances with probability 1 − α.
    heterogeneity : float
        Largest ‖H_k‖_F of a benign client, on the scale of the estimates; the χ² laws are then non-central.

    Returns
    -------
    ndarray, shape (r + 1, K)
        On the scale of the estimates; decreasing in the rank.

    Raises
    ------
    ValueError
        A scale that is not positive, a rank outside 0 … p − 1, a level outside (0, 1).

    Examples
    --------
    >>> chi_square_tolerances([1.0], shape=(2, 1), rank=1, level=0.05).round(3).ravel().tolist()  # χ_2 and χ_1 at 0.95
    [2.448, 1.96]
    """
    sigma = np.atleast_1d(np.asarray(noise_scales, dtype=np.float64))
    p, q = shape
    if sigma.ndim != 1 or not (np.isfinite(sigma) & (sigma > 0)).all():
        raise ValueError("noise_scales: give one positive standard deviation per client")
    if not 0 <= rank < p or q < 1:
        raise ValueError(f"rank, shape: {rank}, {shape}; give 0 ≤ r < p and q ≥ 1")
    if not 0 < level < 1:
        raise ValueError(f"level: {level!r}; give a probability between 0 and 1")
    if not (np.isfinite(heterogeneity) and heterogeneity >= 0):
        raise ValueError(f"heterogeneity: {heterogeneity!r}; give a norm, 0 or more")
    tail = per_client_level(level, sigma.size)
    points = rare_laws().ncx2.isf(tail, (p - np.arange(rank + 1)[:, None]) * q, (heterogeneity / sigma) ** 2)
    return np.asarray(np.sqrt(points) * sigma, dtype=np.float64)


@dataclass(frozen=True)
class _Setting:
    """Numbers that every noise event needs; n clients in a subset, m columns in a design."""

    p: int
    q: int
    rank: int
    size: int
    width: int  # m = r + q, or r without common component
    log_subsets: float
    tail: float  # 1 − (1 − α)^{1/K}
    heterogeneity: float  # largest ‖H_k‖_F/σ_k

    def tilt(self, margin: float, allowance: float) -> tuple[BoolArray, float, float]:
        """Whether each lower rank is excluded, s² and T at rank r, outside an event of probability ``allowance``."""
        log_each = np.log(allowance / _NOISE_EVENTS) - self.log_subsets
        rows, columns = self.p - self.rank, self.size * self.q - self.width
        absorbed = float(np.sqrt(upper_quantile(log_each, rows * self.width)))
        free = lower_quantile(log_each, rows * columns) if columns > 0 else 0.0
        norm = np.sqrt(rows) + np.sqrt(columns) + np.sqrt(-2 * log_each) if columns > 0 else 0.0
        shift = float(np.sqrt(self.size)) * self.heterogeneity  # ‖H_B‖_F in units of σ
        excluded, squared, radius = np.zeros(self.rank, dtype=bool), float(self.rank), np.inf
        for lower_rank in range(self.rank + 1):
            quantile = float(rare_laws().ncx2.isf(self.tail, (self.p - lower_rank) * self.q, self.heterogeneity**2))
            found, reach = largest_tilt(
                allowed=self.size * quantile,
                free_noise=max(0.0, float(np.sqrt(free)) - shift) ** 2,
                free_norm=norm + shift,
                absorbed=absorbed + shift,
                margin=margin,
                rank=self.rank,
                lower_rank=lower_rank,
            )
            if lower_rank < self.rank:
                excluded[lower_rank] = bool(np.isnan(found))
            else:
                squared, radius = float(found), float(reach)
        return excluded, squared, radius


def _checked(
    coefficients: ArrayLike, collaborative_set: ArrayLike, contamination: ArrayLike, n_rows: int
) -> tuple[FloatArray, BoolArray, FloatArray]:
    blocks, mask = np.asarray(coefficients, dtype=np.float64), np.asarray(collaborative_set)
    if blocks.ndim != 3 or 0 in blocks.shape or not np.isfinite(blocks).all():
        raise ValueError(f"coefficients: shape {blocks.shape}; give finite blocks (K, q, r) of all clients")
    if mask.shape != blocks.shape[:1] or mask.dtype != np.bool_:
        raise ValueError(f"collaborative_set: give {blocks.shape[0]} booleans, True for benign clients")
    n_contaminated = int(np.count_nonzero(~mask))
    if n_contaminated * 2 >= mask.size:
        raise ValueError(
            f"collaborative_set: {n_contaminated} of {mask.size} clients are contaminated; the theorem needs a benign "
            "majority"
        )
    distances = np.broadcast_to(np.asarray(contamination, dtype=np.float64), (n_contaminated,))
    if not (np.isfinite(distances) & (distances >= 0)).all():
        raise ValueError("contamination: give d_j ≥ 0 of every contaminated client, in client order")
    if n_rows <= blocks.shape[2]:
        raise ValueError(f"n_rows: {n_rows}; the blocks need more rows than the rank {blocks.shape[2]}")
    return blocks, mask, distances


def set_guarantee(
    coefficients: ArrayLike,
    *,
    collaborative_set: ArrayLike,
    contamination: ArrayLike,
    n_rows: int,
    noise_scales: ArrayLike = 1.0,
    level: float = 0.05,
    common_component: bool = True,
    heterogeneity: float = 0.0,
    allowance: float | None = None,
) -> SetGuarantee:
    """Bound the probability that the smallest accepted rank is not r or its largest accepted set is not C.

    Errors are independent N(0, σ_k²) entries, and the tolerances are those of :func:`chi_square_tolerances`.  The bound
    is conditional on the parts of the blocks inside span(U*).

    Parameters
    ----------
    coefficients : array_like, shape (K, q, r)
        (X_k − M*)ᵀU* of all clients: what their blocks hold inside the subspace, noise included.
    collaborative_set : array_like of bool, shape (K,)
        C, more than half of the clients.
    contamination : array_like, shape (|O|,) or scalar
        d_j = ‖(I − P_U)(Θ*_j − M*)‖_F of the contaminated clients in client order; may depend on the benign data.
    n_rows : int
        p > r.
    noise_scales : array_like, shape (K,) or scalar
        σ_k > 0.
    level : float
        α of the tolerances.
    common_component : bool
        Whether M is free.
    heterogeneity : float
        η, largest ‖H_k‖_F of a benign client, on the scale of the estimates; the tolerances allow for it.
    allowance : float, optional
        Part of δ spent on the noise of the benign clients; the best of a fixed grid when not given.

    Returns
    -------
    SetGuarantee

    Raises
    ------
    ValueError
        Wrong shapes, no benign majority, scales that are not positive.

    Notes
    -----
    docs/derivations/guarantee.md, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> coefficients = np.random.default_rng(0).normal(size=(20, 20, 2))
    >>> benign = np.arange(20) < 16
    >>> found = set_guarantee(
    ...     coefficients, collaborative_set=benign, contamination=5.0, n_rows=40, noise_scales=0.02
    ... )
    >>> found.delta < 0.01
    True
    """
    blocks, mask, distances = _checked(coefficients, collaborative_set, contamination, n_rows)
    n_clients, q, rank = blocks.shape
    sigma = np.broadcast_to(np.asarray(noise_scales, dtype=np.float64), (n_clients,))
    tau = chi_square_tolerances(sigma, shape=(n_rows, q), rank=rank, level=level, heterogeneity=heterogeneity)
    size = n_clients // 2 + 1 - int(np.count_nonzero(~mask))
    margin = subset_margin(
        blocks[mask],
        size,
        others=blocks[~mask],
        weights=sigma[mask] ** -2,
        other_weights=sigma[~mask] ** -2,
        common_component=common_component,
    )
    n_benign = int(mask.sum())
    log_subsets = float(gammaln(n_benign + 1) - gammaln(size + 1) - gammaln(n_benign - size + 1))
    width = rank + q if common_component else rank
    tail, spread = per_client_level(level, n_clients), heterogeneity / float(sigma[mask].min())
    setting = _Setting(n_rows, q, rank, size, width, log_subsets, tail, spread)
    cut = tau[rank, ~mask] / sigma[~mask]
    freedom = (n_rows - rank) * q
    best: SetGuarantee | None = None
    for spent in _ALLOWANCES if allowance is None else (allowance,):
        excluded, squared, radius = setting.tilt(margin.value, float(spent))
        missed: FloatArray = np.ones(distances.size)
        if squared < 1:
            reach = (cut + radius * np.sqrt(margin.leverages)) ** 2 / (1 - squared)
            missed = np.asarray(rare_laws().ncx2.cdf(reach, freedom, (distances / sigma[~mask]) ** 2), dtype=np.float64)
        delta = min(1.0, float(spent) + float(missed.sum())) if squared < 1 and excluded.all() else 1.0
        if best is None or delta < best.delta:
            best = SetGuarantee(delta, level, missed, squared, radius, float(spent), excluded, margin)
    assert best is not None  # the grid is not empty
    return best
