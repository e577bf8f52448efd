"""What a user can compute about an accepted set: angle and undetected contamination, docs/derivations/guarantee.md, 5.

Nothing here needs the truth: only the estimates of the set, the noise scales, and how many clients are contaminated at
most.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.laws import rare_laws
from clair_stats.linalg import block_norms, orthonormal_basis, project_off, stack
from clair_stats.records import FloatArray
from clair_stats.theory.subsets import subset_indicators, subset_margin
from clair_stats.theory.tails import upper_quantile

__all__ = ["AcceptedSetError", "accepted_set_error"]

# Removals of b clients are looked at one by one up to this number (a second at 60 × 40 × 20), bounded beyond it.
_ENUMERATION_LIMIT = 4_000
_BISECTIONS = 40  # relative 1e-12
_NOISE_EVENTS = 4  # two operator norms, mean, contaminated clients, each with a quarter of the level


@dataclass(frozen=True, eq=False)
class AcceptedSetError:
    """Bounds that hold together with probability 1 − level, if at most ``n_contaminated`` clients are contaminated."""

    angle: float  # ‖sin Θ(Û, U*)‖_op, at most 1; 1 says nothing
    contamination: FloatArray  # (K,) largest d_k that client k of the set can hide, scale of the estimates; NaN outside
    basis: FloatArray  # (p, r) Û, least squares on the set
    common: FloatArray  # (p, q) M̂
    exact: bool  # True: every removal of n_contaminated clients was looked at


@dataclass(frozen=True, eq=False)
class _Fit:
    """Least squares on the set, everything divided by σ_k."""

    basis: FloatArray
    common: FloatArray
    residuals: FloatArray  # (a, p, q)
    inside: FloatArray  # (a, q, r)
    precision: FloatArray  # (a,) 1/σ_k, 0 without common component


def _fit(values: FloatArray, sigma: FloatArray, rank: int, common_component: bool) -> _Fit:
    weights = sigma**-2
    centre = np.einsum("k,kpq->pq", weights, values) / weights.sum() if common_component else np.zeros(values.shape[1:])
    scaled = (values - centre) / sigma[:, None, None]
    basis = orthonormal_basis(stack(scaled), rank, relative_tolerance=0.0)
    return _Fit(
        basis,
        centre,
        project_off(basis, scaled),
        np.einsum("pi,kpq->kqi", basis, scaled),
        1 / sigma if common_component else np.zeros_like(sigma),
    )


@dataclass(frozen=True)
class _Noise:
    """Quantiles of the three events; units of σ."""

    operator: float  # o, ‖P_{U*⊥}E_B‖_op of every subset
    along: float  # o', the same after projection on the true coefficients of the subset
    mean: float  # √Σc² times the Frobenius norm of the mean error of every subset
    freedom: int  # (p − r)q
    tail: float  # chance that one contaminated client's score is below its quantile


def _noise(
    p: int, q: int, rank: int, size: int, n_clients: int, n_contaminated: int, level: float, heterogeneity: float
) -> _Noise:
    each = level / _NOISE_EVENTS
    # Which clients are in the set depends on the data: all subsets of this size, and all sizes, are paid for.
    log_subsets = gammaln(n_clients + 1) - gammaln(size + 1) - gammaln(n_clients - size + 1) + np.log(n_clients)
    log_tail = np.log(each) - float(log_subsets)
    shift = float(np.sqrt(size)) * heterogeneity  # ‖H_B‖_F in units of σ
    return _Noise(
        operator=float(np.sqrt(p - rank) + np.sqrt(size * q) + np.sqrt(-2 * log_tail)) + shift,
        along=float(np.sqrt(p - rank) + np.sqrt(rank) + np.sqrt(-2 * log_tail)) + shift,
        mean=float(np.sqrt(upper_quantile(float(log_tail), (p - rank) * q))) + shift,
        freedom=(p - rank) * q,
        tail=each / max(n_contaminated, 1),
    )


def _largest_distances(scores: FloatArray, noise: _Noise) -> FloatArray:
    """The d with P(χ²_{(p−r)q}(d²) ≤ score²) = tail, by bisection; 0 where the score excludes every contamination."""
    low = np.zeros_like(scores)
    # d ≤ score + ‖E‖ and ‖E‖ exceeds its mean, at most √((p − r)q), by √(2 log 1/tail) with probability below tail.
    high = scores + np.sqrt(noise.freedom) + np.sqrt(-2 * np.log(noise.tail))
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        hidden = rare_laws().ncx2.cdf(scores**2, noise.freedom, middle**2) > noise.tail
        low, high = np.where(hidden, middle, low), np.where(hidden, high, middle)
    return np.where(rare_laws().ncx2.cdf(scores**2, noise.freedom, 0.0) > noise.tail, high, 0.0)


def _tilt(noise: _Noise, eigenvalue: FloatArray, leak: FloatArray) -> FloatArray:
    """Bound (5.1): the smaller of the direct one and the one that knows the design to be nearly independent of E."""
    root = np.sqrt(eigenvalue)
    left = 1 - (noise.operator * noise.along + noise.operator**2) / eigenvalue
    with np.errstate(divide="ignore"):
        refined = np.where(left > 0, (noise.along / root + leak) / np.where(left > 0, left, 1.0), np.inf)
    return np.asarray(np.minimum(noise.operator / root + leak, refined))


def _by_removal(fit: _Fit, noise: _Noise, n_removed: int) -> tuple[float, FloatArray]:
    """Largest tilt and scores over every removal of ``n_removed`` clients."""
    n_clients, c = fit.residuals.shape[0], fit.precision
    moments = {
        "second": np.einsum("kqi,kqj->kij", fit.inside, fit.inside),
        "first": c[:, None, None] * fit.inside,
        "cross": np.einsum("kpq,kqi->kpi", fit.residuals, fit.inside),
        "mean": c[:, None, None] * fit.residuals,
    }
    flat = {name: value.reshape(n_clients, -1) for name, value in moments.items()}
    tilt, scores = 0.0, np.zeros(n_clients)
    norms = block_norms(fit.residuals)
    for removed in subset_indicators(n_clients, n_removed):
        kept = 1.0 - removed
        sums = {name: (kept @ flat[name]).reshape(-1, *moments[name].shape[1:]) for name in flat}
        total = kept @ c**2
        inverse_total = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)[:, None, None]
        centre = sums["first"] * inverse_total
        scatter = sums["second"] - np.einsum("nqi,nqj->nij", centre, sums["first"])
        values, vectors = np.linalg.eigh(scatter)
        if values[:, 0].min() <= 0:
            return 1.0, np.full(n_clients, np.inf)
        inverse = (vectors / values[:, None, :]) @ vectors.transpose(0, 2, 1)
        leak = (sums["cross"] - sums["mean"] @ centre) @ inverse  # (Σ_B r_kâ_kᶜ) S_B⁻¹
        tilt = max(tilt, float(_tilt(noise, values[:, 0], np.linalg.norm(leak, ord=2, axis=(1, 2))).max()))
        roots = vectors / np.sqrt(values)[:, None, :]
        for j in range(n_clients):
            rows = np.flatnonzero(removed[:, j])
            if not rows.size:
                continue
            distance = fit.inside[j] - c[j] * centre[rows]
            spread = np.linalg.norm(distance @ roots[rows], axis=(1, 2))
            constant = c[j] * np.sqrt(inverse_total[rows, 0, 0])
            known = np.linalg.norm(
                c[j] * sums["mean"][rows] * inverse_total[rows] + leak[rows] @ distance.transpose(0, 2, 1), axis=(1, 2)
            )
            found = norms[j] + noise.mean * constant + noise.operator * spread + known
            scores[j] = max(scores[j], float(found.max()))
    return tilt, scores


def _furthest(block: FloatArray, blocks: FloatArray, order: int | None, common_component: bool) -> float:
    """Distance to the furthest block, or to 0 without common component; ``order`` as in ``numpy.linalg.norm``."""
    return float(np.linalg.norm(block - blocks * common_component, ord=order, axis=(1, 2)).max())


def _by_bounds(fit: _Fit, noise: _Noise, n_removed: int, common_component: bool) -> tuple[float, FloatArray]:
    """The same from norms of single clients: the least-squares residuals of all clients add up to nothing."""
    n_clients = fit.residuals.shape[0]
    c = fit.precision if common_component else np.ones(n_clients)
    own = fit.inside / c[:, None, None]
    margin = subset_margin(
        own, n_clients - n_removed, weights=c**2, common_component=common_component, enumeration_limit=0
    )
    if margin.value <= 0:
        return 1.0, np.full(n_clients, np.inf)
    norms, whole = block_norms(fit.residuals), float(np.linalg.norm(stack(fit.residuals), 2))
    # ‖â_k − c_kĀ_B‖, the mean of a subset being no further than its furthest member; Frobenius and operator norm.
    reach, narrow = (
        c * np.array([_furthest(block, own, order, common_component) for block in own]) for order in (None, 2)
    )
    # ‖Σ_B r_kâ_kᶜ‖ = ‖Σ over the removed‖, three ways; divided by μ it bounds ‖Λ_BŜ_B^{1/2}‖_op.
    one_by_one = float(np.sort(norms * reach)[::-1][:n_removed].sum())
    together = whole * float(np.sqrt(np.sum(np.sort(narrow)[::-1][:n_removed] ** 2)))
    largest = min(one_by_one / margin.value, together / margin.value, whole)
    tilt = float(_tilt(noise, np.array(margin.value**2), np.array(largest / margin.value)))
    total = float(np.sort(c**2)[: n_clients - n_removed].sum())
    constant = c / np.sqrt(total) if common_component else np.zeros(n_clients)
    drift = float(np.sort(c * norms)[::-1][:n_removed].sum()) / np.sqrt(total) if common_component else 0.0
    scores = norms + constant * (noise.mean + drift) + (noise.operator + largest) * reach / margin.value
    return tilt, np.asarray(scores)


def accepted_set_error(
    estimates: ClientEstimates | ArrayLike,
    *,
    accepted_set: ArrayLike,
    rank: int,
    noise_scales: ArrayLike,
    n_contaminated: int,
    level: float = 0.05,
    common_component: bool = True,
    heterogeneity: float = 0.0,
) -> AcceptedSetError:
    """Bound the error of the subspace and the contamination hidden in an accepted set, without knowing the truth.

    Errors are independent N(0, σ_k²) entries.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
        X_k of all clients.
    accepted_set : array_like of bool, shape (K,)
        True for the clients of the set; it may depend on the data in any way.
    rank : int
        r, at least 1.
    noise_scales : array_like, shape (K,) or scalar
        σ_k > 0.
    n_contaminated : int
        b: at most so many of all clients are contaminated; fewer than the set has clients.
    level : float
        Chance that any of the bounds fails.
    common_component : bool
        Whether M is free.
    heterogeneity : float
        η, largest ‖H_k‖_F of a benign client, on the scale of the estimates.

    Returns
    -------
    AcceptedSetError

    Raises
    ------
    ValueError
        Wrong shapes; a set with no more than ``n_contaminated`` clients; scales that are not positive.

    Notes
    -----
    docs/derivations/guarantee.md, section 5.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> basis = np.linalg.qr(rng.normal(size=(12, 1)))[0]
    >>> values = basis @ rng.normal(size=(20, 1, 6)) + 0.01 * rng.normal(size=(20, 12, 6))
    >>> found = accepted_set_error(
    ...     values, accepted_set=np.ones(20, bool), rank=1, noise_scales=0.01, n_contaminated=2
    ... )
    >>> found.angle < 0.05
    True
    """
    record = as_client_estimates(estimates)
    values, mask = record.dense(), np.asarray(accepted_set)
    n_clients, p, q = values.shape
    if mask.shape != (n_clients,) or mask.dtype != np.bool_:
        raise ValueError(f"accepted_set: give {n_clients} booleans, True for the clients of the set")
    n_members = int(mask.sum())
    if not 0 <= n_contaminated < n_members:
        raise ValueError(f"n_contaminated: {n_contaminated}; give 0 … {n_members - 1}, fewer than the set has clients")
    if not 1 <= rank < p:
        raise ValueError(f"rank: {rank}; give 1 ≤ r < p = {p}")
    sigma = np.broadcast_to(np.asarray(noise_scales, dtype=np.float64), (n_clients,))
    if not (np.isfinite(sigma) & (sigma > 0)).all():
        raise ValueError("noise_scales: give one positive standard deviation per client")
    if not 0 < level < 1:
        raise ValueError(f"level: {level!r}; give a probability between 0 and 1")
    if not (np.isfinite(heterogeneity) and heterogeneity >= 0):
        raise ValueError(f"heterogeneity: {heterogeneity!r}; give a norm, 0 or more")
    fit = _fit(values[mask], sigma[mask], rank, common_component)
    spread = heterogeneity / float(sigma[mask].min())
    noise = _noise(p, q, rank, n_members - n_contaminated, n_clients, n_contaminated, level, spread)
    exact = comb(n_members, n_contaminated) <= _ENUMERATION_LIMIT
    tilt, scores = (
        _by_removal(fit, noise, n_contaminated) if exact else _by_bounds(fit, noise, n_contaminated, common_component)
    )
    limits = np.full(n_members, np.inf if n_contaminated else 0.0)
    if n_contaminated:
        finite = np.isfinite(scores)
        limits[finite] = _largest_distances(scores[finite], noise)
    hidden = np.full(n_clients, np.nan)
    hidden[mask] = limits
    return AcceptedSetError(min(1.0, tilt), hidden * sigma, fit.basis, fit.common, exact)
