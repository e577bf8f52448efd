"""Theorem 3: how far a solution of program (B) can leave the subspace (theory.md section 4), and a sharper constant.

Stated:  c = (2/√(1−g))(1 + √K/(1−κ) + λ√K/(1−η)) + 2λ√K/(1−η).

Sharp (docs/derivations/stability.md), with N = Δ_Z + Δ_S, ‖N‖_F ≤ 2ε, budget β = ‖Q‖_F and, for the row basis Ṽ with
Gram matrix G = ṼᵀP_CṼ,  h = ‖P_C Ṽ G⁻¹‖_op,  ℓ_k = ‖Ṽ_k G⁻¹‖_op (k ∈ C),  s = ‖P_O Ṽ G⁻¹‖_op:

    c♯ = 2 · max( h + β max_{k∈C} ℓ_k/(λ − ‖Q_k‖_F),   √((h + sβ/(1−η))² + (β/(1−η))²) ).

At the returned solution the budget shrinks: with the returned dual Q̂, the residual R̂ and the duality gap δ, every
2εβ above may be replaced by  ε(‖Q̂ − Q‖_F − ‖Q̂‖_F) + ⟨Q, R̂⟩ + δ  (:func:`solution_error_bound`), about ε‖Q‖²/(2‖Q̂‖)
at most.  It still needs Q, the certificate of the truth.

Three losses of the stated constant are won back by c♯: a wrong benign block enters the subspace through its own
leverage (ℓ_k ≈ √(r/|C|)) and not with weight 1/√(1−g); one budget is spent once, so the two excesses count by their
maximum and not by their sum; and ‖Q‖_F replaces λ√K.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clair_stats.linalg import block_norms
from clair_stats.records import FloatArray
from clair_stats.theory.certificate import Certificate

__all__ = [
    "StabilityTerms",
    "posterior_error_bound",
    "solution_error_bound",
    "stability_constant",
    "stability_terms",
]


@dataclass(frozen=True)
class StabilityTerms:
    """Where Theorem 3's constant comes from; every field multiplies ε."""

    noise: float  # 2h: what noise alone does inside the rows Ṽ
    benign_blocks: float  # 2β max ℓ_k/(λ − ‖Q_k‖_F): wrongly corrected benign clients
    excess_rank: float  # 2β/(1−η): excess of L outside the tangent space
    sharp: float  # c♯
    stated: float  # c of theory.md


@dataclass(frozen=True)
class _Geometry:
    """The three gains of the row basis and the two slacks of the certificate."""

    h: float  # ‖P_C Ṽ G⁻¹‖_op
    s: float  # ‖P_O Ṽ G⁻¹‖_op
    block: float  # max_{k∈C} ℓ_k/(λ − ‖Q_k‖_F)
    excess: float  # 1/(1 − η)

    def error(self, noise: float, budget: float) -> float:
        """Largest ‖P_{U⊥}Δ_Z‖_F when ‖N‖_F ≤ noise and the subgradient budget is ``budget``."""
        wrong_blocks = self.h * noise + self.block * budget
        excess = self.excess * budget
        return max(wrong_blocks, float(np.hypot(self.h * noise + self.s * excess, excess)))


def _geometry(certificate: Certificate) -> _Geometry:
    if not certificate.certified:
        raise ValueError(
            f"certificate: η = {certificate.eta:.4g}, κ = {certificate.kappa:.4g}; Theorem 3 needs a certified "
            "instance, choose another block_penalty (penalty_range) or less contamination"
        )
    mask = certificate.collaborative_set
    width = certificate.row_basis.shape[2]
    benign = certificate.row_basis[mask]
    flat = benign.reshape(-1, width)
    gram_inverse = np.linalg.inv(flat.T @ flat)
    h = float(np.linalg.norm(flat @ gram_inverse, 2))
    others = certificate.row_basis[~mask].reshape(-1, width)
    s = float(np.linalg.norm(others @ gram_inverse, 2)) if others.size else 0.0
    block_gains = np.linalg.norm(benign @ gram_inverse, ord=2, axis=(1, 2))
    slack = certificate.block_penalty - block_norms(certificate.dual[mask])
    return _Geometry(h=h, s=s, block=float(np.max(block_gains / slack)), excess=1 / (1 - certificate.eta))


def stability_terms(certificate: Certificate) -> StabilityTerms:
    """Both constants of Theorem 3 and the terms of the sharp one.

    Parameters
    ----------
    certificate : Certificate
        Of the noiseless instance; must be certified.

    Returns
    -------
    StabilityTerms
        Without unit.

    Raises
    ------
    ValueError
        If the instance is not certified: the theorem then promises nothing.

    Notes
    -----
    docs/derivations/stability.md, sections 2 and 3.

    Examples
    --------
    >>> import numpy as np
    >>> from clair_stats.theory import instance_certificate
    >>> values = np.stack([[[s], [0.0]] for s in (1.0, -1.0) * 6] + [[[0.0], [5.0]]])
    >>> exact = instance_certificate(
    ...     values, basis=np.eye(2)[:, :1], collaborative_set=np.arange(13) < 12, block_penalty=0.5
    ... )
    >>> terms = stability_terms(exact)
    >>> terms.noise < terms.sharp < terms.stated
    True
    """
    geometry = _geometry(certificate)
    beta = float(np.linalg.norm(certificate.dual))
    root = np.sqrt(certificate.collaborative_set.size)
    tail = certificate.block_penalty * root / (1 - certificate.eta)
    stated = 2 / np.sqrt(1 - certificate.transversality) * (1 + root / (1 - certificate.kappa) + tail) + 2 * tail
    return StabilityTerms(
        noise=2 * geometry.h,
        benign_blocks=2 * beta * geometry.block,
        excess_rank=2 * beta * geometry.excess,
        sharp=geometry.error(2.0, 2 * beta),
        stated=float(stated),
    )


def solution_error_bound(
    certificate: Certificate,
    *,
    dual: FloatArray,
    residual: FloatArray,
    noise_radius: float,
    duality_gap: float,
) -> float:
    """Bound on ‖P_{U⊥} L̂‖_F at a returned solution of (B), given the certificate of the noiseless truth.

    It says how loose the constants of Theorem 3 are; a user, who has no such certificate, computes
    :func:`clair_stats.theory.accepted_set_error` instead (docs/derivations/stability.md, section 4).

    Parameters
    ----------
    certificate : Certificate
        Of the noiseless instance; must be certified.
    dual : ndarray, shape (K, p, q)
        Q̂, the feasible dual point of the solution (``Decomposition.dual``).
    residual : ndarray, shape (K, p, q)
        R̂ = X − 1ᵀ⊗M̂ − L̂ − Ŝ, ‖R̂‖_F ≤ ε.
    noise_radius : float
        ε, at least ‖E + H‖_F.
    duality_gap : float
        δ ≥ 0, absolute.

    Returns
    -------
    float
        On the scale of the estimates; never above the bound of the sharp constant by more than the gap allows.

    Raises
    ------
    ValueError
        If the instance is not certified.

    Examples
    --------
    A solution of (B) that uses its radius, with its dual point on the ray of the residual:

    >>> import numpy as np
    >>> from clair_stats.theory import instance_certificate
    >>> values = np.stack([[[s], [0.0]] for s in (1.0, -1.0) * 6] + [[[0.0], [5.0]]])
    >>> exact = instance_certificate(
    ...     values, basis=np.eye(2)[:, :1], collaborative_set=np.arange(13) < 12, block_penalty=0.5
    ... )
    >>> residual = 0.01 * exact.dual / np.linalg.norm(exact.dual)
    >>> bound = solution_error_bound(
    ...     exact, dual=exact.dual, residual=residual, noise_radius=0.01, duality_gap=0.0
    ... )
    >>> bound < 0.01 * stability_constant(exact)
    True
    """
    geometry = _geometry(certificate)
    distance = float(np.linalg.norm(dual - certificate.dual))
    budget = (
        noise_radius * (distance - float(np.linalg.norm(dual)))
        + float(np.vdot(certificate.dual, residual))
        + max(duality_gap, 0.0)
    )
    # The budget bounds a sum of norms, so a negative value can only be rounding.
    return geometry.error(noise_radius + float(np.linalg.norm(residual)), max(budget, 0.0))


posterior_error_bound = solution_error_bound  # former name, kept for those who call it


def stability_constant(certificate: Certificate, *, form: str = "sharp") -> float:
    """The constant c with ‖P_{U⊥} L̂‖_F ≤ c·ε for every solution of (B) with ‖E + H‖_F ≤ ε (theory.md section 4).

    Parameters
    ----------
    certificate : Certificate
        Of the noiseless instance; must be certified.
    form : {"sharp", "stated"}
        The constant of docs/derivations/stability.md, or the one of theory.md.

    Returns
    -------
    float
        Dimensionless.  Dividing c·ε by σ_r(L̂) bounds ‖sin Θ(Û, U*)‖_op.

    Raises
    ------
    ValueError
        If the instance is not certified, or for an unknown form.

    Examples
    --------
    >>> import numpy as np
    >>> from clair_stats.theory import instance_certificate
    >>> values = np.stack([[[s], [0.0]] for s in (1.0, -1.0) * 6] + [[[0.0], [5.0]]])
    >>> exact = instance_certificate(
    ...     values, basis=np.eye(2)[:, :1], collaborative_set=np.arange(13) < 12, block_penalty=0.5
    ... )
    >>> stability_constant(exact) < stability_constant(exact, form="stated")
    True
    """
    if form not in ("sharp", "stated"):
        raise ValueError(f"form: {form!r}; give 'sharp' or 'stated'")
    terms = stability_terms(certificate)
    return terms.sharp if form == "sharp" else terms.stated
