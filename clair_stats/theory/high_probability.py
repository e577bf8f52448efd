"""Theorem 3 with high probability: radius, angle and threshold from the noise law, docs/derivations/stability.md, 6."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.records import FloatArray
from clair_stats.theory.certificate import Certificate
from clair_stats.theory.stability import stability_constant

__all__ = ["StableRecovery", "noise_radius", "stable_recovery", "threshold_interval"]


def noise_radius(noise_scales: ArrayLike, *, shape: tuple[int, int], level: float = 0.05) -> float:
    """ε with P(‖E‖_F > ε) ≤ level for sub-Gaussian errors; at most σ(√(pqK) + √(2 log 1/δ)) when all σ_k are σ.

    Parameters
    ----------
    noise_scales : array_like, shape (K,)
        σ_k ≥ 0, variance proxies of the entries of E_k: E exp⟨E, B⟩ ≤ exp(½Σσ_k²‖B_k‖_F²) for every B.  Independent
        Gaussian entries have their standard deviation.
    shape : (int, int)
        (p, q).
    level : float
        δ in (0, 1).

    Returns
    -------
    float
        On the scale of the estimates; ε² = pqΣσ_k² + 2√(pqΣσ_k⁴ log 1/δ) + 2 max σ_k² log 1/δ.

    Raises
    ------
    ValueError
        Negative scales, or a level outside (0, 1).

    Notes
    -----
    Hsu, Kakade and Zhang, "A tail inequality for quadratic forms of subgaussian random vectors", Electron. Commun.
    Probab. 17(52), 2012; docs/derivations/stability.md, section 6.

    Examples
    --------
    >>> round(noise_radius([1.0] * 4, shape=(5, 5), level=0.05), 2)  # √100 = 10, and the tail
    11.86
    """
    sigma = np.atleast_1d(np.asarray(noise_scales, dtype=np.float64))
    if sigma.ndim != 1 or not (np.isfinite(sigma) & (sigma >= 0)).all():
        raise ValueError("noise_scales: give one number σ_k ≥ 0 per client")
    if not 0 < level < 1:
        raise ValueError(f"level: {level!r}; give a probability between 0 and 1")
    entries, log_inverse = shape[0] * shape[1], -np.log(level)
    spread = 2 * np.sqrt(entries * float(np.sum(sigma**4)) * log_inverse)
    return float(np.sqrt(entries * float(np.sum(sigma**2)) + spread + 2 * float(sigma.max()) ** 2 * log_inverse))


@dataclass(frozen=True)
class StableRecovery:
    """What holds with probability 1 − level for every solution of (B) at radius ``radius``."""

    radius: float  # ε
    off_subspace: float  # c♯ε, bounds ‖P_{U⊥}L̂‖_F
    common_error: float  # c♯ε/√K, bounds m̂ when L̂ has no mean block
    level: float  # δ

    def angle(self, smallest_singular_value: float) -> float:
        """Bound on ŝ = ‖sin Θ(Û, U*)‖_op from σ_r(L̂) of the returned L̂; at most 1.

        Parameters
        ----------
        smallest_singular_value : float
            σ_r(L̂), scale of the estimates.

        Returns
        -------
        float
            Between 0 and 1.
        """
        return min(1.0, self.off_subspace / smallest_singular_value) if smallest_singular_value > 0 else 1.0


def stable_recovery(certificate: Certificate, *, noise_scales: ArrayLike, level: float = 0.05) -> StableRecovery:
    """Theorem 3 at the radius of the noise law.

    Parameters
    ----------
    certificate : Certificate
        Of the noiseless instance; must be certified.
    noise_scales : array_like, shape (K,)
        σ_k as in :func:`noise_radius`.
    level : float
        δ.

    Returns
    -------
    StableRecovery

    Raises
    ------
    ValueError
        If the instance is not certified, or as :func:`noise_radius`.

    Notes
    -----
    docs/derivations/stability.md, section 6.  The program is to be solved at ``noise_radius=radius``.

    Examples
    --------
    >>> import numpy as np
    >>> from clair_stats.theory import instance_certificate
    >>> values = np.stack([[[s], [0.0]] for s in (1.0, -1.0) * 6] + [[[0.0], [5.0]]])
    >>> exact = instance_certificate(
    ...     values, basis=np.eye(2)[:, :1], collaborative_set=np.arange(13) < 12, block_penalty=0.5
    ... )
    >>> found = stable_recovery(exact, noise_scales=[1e-3] * 13)
    >>> found.radius < 0.01 < found.off_subspace
    True
    """
    sigma = np.asarray(noise_scales, dtype=np.float64)
    n_clients, p, q = certificate.dual.shape
    if sigma.shape != (n_clients,):
        raise ValueError(f"noise_scales: shape {sigma.shape}; give one σ_k per client, {n_clients} numbers")
    radius = noise_radius(sigma, shape=(p, q), level=level)
    off = stability_constant(certificate) * radius
    return StableRecovery(radius, off, off / float(np.sqrt(n_clients)), level)


def threshold_interval(
    recovery: StableRecovery,
    *,
    smallest_singular_value: float,
    distances: ArrayLike,
    contamination: ArrayLike,
    certificate: Certificate,
    noise_scales: ArrayLike,
    level: float = 0.05,
) -> tuple[float, float]:
    """Thresholds that return Ĉ = C with probability at least 1 − level − recovery.level, unless the interval is empty.

    Parameters
    ----------
    recovery : StableRecovery
        Of :func:`stable_recovery`.
    smallest_singular_value : float
        σ_r(L̂).
    distances : array_like, shape (K,)
        ‖X_k − M̂‖_F, computed from the estimates.
    contamination : array_like, shape (|O|,)
        d_j of the contaminated clients in client order.
    certificate : Certificate
        Of the noiseless instance.
    noise_scales : array_like, shape (K,)
        σ_k as in :func:`noise_radius`.
    level : float
        α, spent on the errors of the single clients.

    Returns
    -------
    lower, upper : float
        Ends for a threshold on ‖(I − P_Û)(X_k − M̂)‖_F; empty when lower ≥ upper.  ``upper`` is inf when O is empty.

    Raises
    ------
    ValueError
        Wrong shapes.

    Notes
    -----
    Theorem 4 with e_k ≤ σ_k(√(pq) + √(2 log K/α)), m̂ and ŝ of Theorem 3 and b_k ≤ ‖X_k − M̂‖_F + e_k
    (docs/derivations/stability.md, section 6).

    Examples
    --------
    >>> import numpy as np
    >>> from clair_stats.theory import instance_certificate
    >>> values = np.stack([[[s], [0.0]] for s in (1.0, -1.0) * 6] + [[[0.0], [5.0]]])
    >>> exact = instance_certificate(
    ...     values, basis=np.eye(2)[:, :1], collaborative_set=np.arange(13) < 12, block_penalty=0.5
    ... )
    >>> scales = [1e-3] * 13
    >>> lower, upper = threshold_interval(
    ...     stable_recovery(exact, noise_scales=scales), smallest_singular_value=3.4,
    ...     distances=[1.0] * 12 + [5.0], contamination=[5.0], certificate=exact, noise_scales=scales,
    ... )
    >>> lower < 0.2 < 4 < upper
    True
    """
    sigma, reach = np.asarray(noise_scales, dtype=np.float64), np.asarray(distances, dtype=np.float64)
    mask = certificate.collaborative_set
    separation = np.asarray(contamination, dtype=np.float64)
    if sigma.shape != mask.shape or reach.shape != mask.shape:
        raise ValueError(f"noise_scales, distances: give one number per client, {mask.size} numbers")
    if separation.shape != (int(np.count_nonzero(~mask)),):
        raise ValueError(f"contamination: give one d_j per contaminated client, {np.count_nonzero(~mask)} numbers")
    shape = (certificate.dual.shape[1], certificate.dual.shape[2])
    errors: FloatArray = np.array([noise_radius([s], shape=shape, level=level / mask.size) for s in sigma])
    angle = recovery.angle(smallest_singular_value)
    slack = errors + recovery.common_error + angle * (reach + errors)
    kept = np.sqrt(max(0.0, 1 - angle**2)) * separation - slack[~mask]
    return float(slack[mask].max()), float(kept.min()) if separation.size else float("inf")
