"""Theorem 3: how far a solution of program (B) can leave the subspace (theory.md section 4), and a sharper constant.

Stated:  c = (2/√(1−g))(1 + √K/(1−κ) + λ√K/(1−η)) + 2λ√K/(1−η).

Sharp (docs/derivations/stability.md), with N = Δ_Z + Δ_S, ‖N‖_F ≤ 2ε, budget β = ‖Q‖_F and, for the row basis Ṽ with
gram G = ṼᵀP_CṼ,  h = ‖P_C Ṽ G⁻¹‖_op,  ℓ_k = ‖Ṽ_k G⁻¹‖_op (k ∈ C),  s = ‖P_O Ṽ G⁻¹‖_op:

    c♯ = 2 · max( h + β max_{k∈C} ℓ_k/(λ − ‖Q_k‖_F),   √((h + sβ/(1−η))² + (β/(1−η))²) ).

Three losses of the stated constant are won back: a wrong benign block enters the subspace through its own leverage
(ℓ_k ≈ √(r/|C|)) and not with weight 1/√(1−g); one budget is spent once, so the two excesses count by their maximum and
not by their sum; and ‖Q‖_F replaces λ√K.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clair_stats.linalg import block_norms
from clair_stats.theory.certificate import Certificate

__all__ = ["StabilityTerms", "stability_constant", "stability_terms"]


@dataclass(frozen=True)
class StabilityTerms:
    """Where Theorem 3's constant comes from; every field multiplies ε."""

    noise: float  # 2h: what noise alone does inside the rows Ṽ
    benign_blocks: float  # 2β max ℓ_k/(λ − ‖Q_k‖_F): wrongly corrected benign clients
    excess_rank: float  # 2β/(1−η): excess of L outside the tangent space
    sharp: float  # c♯
    stated: float  # c of theory.md


def stability_terms(certificate: Certificate) -> StabilityTerms:
    """Both constants of Theorem 3 and the terms of the sharp one.

    Raises
    ------
    ValueError
        If the instance is not certified: the theorem then promises nothing.
    """
    if not certificate.certified:
        raise ValueError(
            f"certificate: η = {certificate.eta:.4g}, κ = {certificate.kappa:.4g}; Theorem 3 needs a certified "
            "instance, choose another block_penalty (penalty_range) or less contamination"
        )
    mask = certificate.collaborative_set
    lam, eta, kappa, g = certificate.block_penalty, certificate.eta, certificate.kappa, certificate.transversality
    n_clients = mask.size
    width = certificate.row_basis.shape[2]
    benign = certificate.row_basis[mask]
    flat = benign.reshape(-1, width)
    gram_inverse = np.linalg.inv(flat.T @ flat)
    h = float(np.linalg.norm(flat @ gram_inverse, 2))
    others = certificate.row_basis[~mask].reshape(-1, width)
    s = float(np.linalg.norm(others @ gram_inverse, 2)) if others.size else 0.0
    block_gains = np.linalg.norm(benign @ gram_inverse, ord=2, axis=(1, 2))
    slack = lam - block_norms(certificate.dual[mask])
    beta = float(np.linalg.norm(certificate.dual))
    wrong = beta * float(np.max(block_gains / slack))
    excess = beta / (1 - eta)
    sharp = 2 * max(h + wrong, float(np.hypot(h + s * excess, excess)))
    root = np.sqrt(n_clients)
    tail = lam * root / (1 - eta)
    stated = 2 / np.sqrt(1 - g) * (1 + root / (1 - kappa) + tail) + 2 * tail
    return StabilityTerms(
        noise=2 * h, benign_blocks=2 * wrong, excess_rank=2 * excess, sharp=float(sharp), stated=float(stated)
    )


def stability_constant(certificate: Certificate, *, form: str = "sharp") -> float:
    """The constant c with ‖P_{U⊥} L̂‖_F ≤ c·ε for every solution of (B) with ‖E‖_F ≤ ε (theory.md section 4, Theorem 3).

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
    """
    if form not in ("sharp", "stated"):
        raise ValueError(f"form: {form!r}; give 'sharp' or 'stated'")
    terms = stability_terms(certificate)
    return terms.sharp if form == "sharp" else terms.stated
