"""Contamination of clients, named as in the field of robust federated learning.

Scale convention, one for all modes.  A regime passes a *reference norm*: the root mean square Frobenius norm of a
benign client's own part U*A_kᵀ.  The contaminating part of a client has root mean square Frobenius norm ``scale`` ×
reference norm, so ``scale=1`` makes contaminated clients as large as benign ones.  ``sign_flip`` and ``scaled`` have no
part of their own: there ``scale`` multiplies the client's whole target.

=============  ==========================================================================  ==========================
mode           contaminated target Θ*_k (s = scale × reference norm, G iid N(0, 1))        D_k
=============  ==========================================================================  ==========================
random         M* + s·G_k/√(pq)                                                            full rank, own per client
gaussian       Θ_k + s·G_k/√(pq)                                                           full rank, own per client
coordinated    M* + s·V B_kᵀ/√(rq), one V ⟂ U* of rank max(r, 1) for all, B_k iid N(0, 1)  rank r, shared subspace
identical      M* + s·w vᵀ, one w ⟂ U* and one v, both of norm 1, for all                  rank 1, the same block
mimic          Θ_k + s·w b_kᵀ/√q, one w ⟂ U* for all, b_k iid N(0, 1)                      rank 1, shared direction
sign_flip      −scale·Θ_k                                                                  −(1 + scale)(I − P_U)M*
scaled         scale·Θ_k                                                                   (scale − 1)(I − P_U)M*
=============  ==========================================================================  ==========================

Two more are built from what the others send, and the same block for all attackers: ``inner_product``, −scale × mean of
the benign Θ_k (Xie, Koyejo and Gupta, "Fall of empires", UAI 2019), and ``little_is_enough``, mean − scale·z ×
entrywise standard deviation of the benign Θ_k, z of that paper (Baruch, Baruch and Goldberg, NeurIPS 2019).

Without a common component ``sign_flip``, ``scaled`` and ``inner_product`` move a client inside span(U*) only; by the
definition of theory.md section 1 such a client is benign, see
:func:`simulations.regimes.instance.benign_by_definition`.
Contamination acts on targets: the client's estimation error is added afterwards, as for every other client.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy.stats import norm

from clair_stats.linalg import orthonormal_basis, project_off
from clair_stats.records import BoolArray, FloatArray

__all__ = [
    "CONTAMINATIONS",
    "Clean",
    "check_contamination",
    "contaminate",
    "coordinated_label_permutation",
    "draw_members",
    "n_contaminated",
]


@dataclass(frozen=True, eq=False)
class Clean:
    """What an attacker may use: everything (the worst case), before estimation error."""

    targets: FloatArray  # (K, p, q), all clients as if benign
    basis: FloatArray  # (p, r), U*
    common: FloatArray  # (p, q), M*
    reference_norm: float  # root mean square of ‖U*A_kᵀ‖_F


Mode = Callable[[Clean, BoolArray, float, np.random.Generator], FloatArray]


def _directions_off(basis: FloatArray, count: int, generator: np.random.Generator) -> FloatArray:
    """Orthonormal directions ⟂ U*, p × min(count, p − r), uniformly distributed."""
    p, rank = basis.shape
    if p == rank:
        raise ValueError(
            f"contamination: the subspace fills all p = {p} dimensions, so nothing can be contaminated; take r < p"
        )
    return orthonormal_basis(project_off(basis, generator.standard_normal((p, min(count, p - rank)))))


def _random(clean: Clean, members: BoolArray, scale: float, generator: np.random.Generator) -> FloatArray:
    _, p, q = clean.targets.shape
    blocks = generator.standard_normal((int(members.sum()), p, q))
    return clean.common + scale * clean.reference_norm / math.sqrt(p * q) * blocks


def _gaussian(clean: Clean, members: BoolArray, scale: float, generator: np.random.Generator) -> FloatArray:
    return clean.targets[members] + _random(clean, members, scale, generator) - clean.common


def _coordinated(clean: Clean, members: BoolArray, scale: float, generator: np.random.Generator) -> FloatArray:
    q = clean.targets.shape[2]
    directions = _directions_off(clean.basis, max(clean.basis.shape[1], 1), generator)
    rank = directions.shape[1]
    coefficients = generator.standard_normal((int(members.sum()), rank, q))
    return clean.common + scale * clean.reference_norm / math.sqrt(rank * q) * (directions @ coefficients)


def _identical(clean: Clean, members: BoolArray, scale: float, generator: np.random.Generator) -> FloatArray:
    direction = _directions_off(clean.basis, 1, generator)
    row = generator.standard_normal((1, clean.targets.shape[2]))
    block = clean.common + scale * clean.reference_norm * direction @ (row / np.linalg.norm(row))
    return np.repeat(block[None], int(members.sum()), axis=0)


def _mimic(clean: Clean, members: BoolArray, scale: float, generator: np.random.Generator) -> FloatArray:
    q = clean.targets.shape[2]
    direction = _directions_off(clean.basis, 1, generator)
    rows = generator.standard_normal((int(members.sum()), 1, q))
    return clean.targets[members] + scale * clean.reference_norm / math.sqrt(q) * (direction @ rows)


def _sign_flip(clean: Clean, members: BoolArray, scale: float, generator: np.random.Generator) -> FloatArray:
    return -scale * clean.targets[members]


def _scaled(clean: Clean, members: BoolArray, scale: float, generator: np.random.Generator) -> FloatArray:
    return scale * clean.targets[members]


def _inner_product(clean: Clean, members: BoolArray, scale: float, generator: np.random.Generator) -> FloatArray:
    block = -scale * clean.targets[~members].mean(axis=0)
    return np.repeat(block[None], int(members.sum()), axis=0)


def _little_is_enough(clean: Clean, members: BoolArray, scale: float, generator: np.random.Generator) -> FloatArray:
    benign, attackers = clean.targets[~members], int(members.sum())
    # The attackers win a majority when they stay nearer to the mean than this many benign clients.
    supporters = members.size // 2 + 1 - attackers
    z = float(norm.ppf((benign.shape[0] - supporters) / benign.shape[0])) if supporters > 0 else 1.0
    # Few attackers get z ≤ 0 from the formula, which would leave the mean alone or turn the attack round.
    block = benign.mean(axis=0) - scale * max(z, 0.1) * benign.std(axis=0)
    return np.repeat(block[None], attackers, axis=0)


CONTAMINATIONS: Mapping[str, Mode] = MappingProxyType(
    {
        "random": _random,
        "gaussian": _gaussian,
        "coordinated": _coordinated,
        "identical": _identical,
        "mimic": _mimic,
        "sign_flip": _sign_flip,
        "scaled": _scaled,
        "inner_product": _inner_product,
        "little_is_enough": _little_is_enough,
    }
)


def check_contamination(mode: str, *, share: float, scale: float) -> None:
    """Refuse an unknown mode, a share outside [0, 1) or a scale that is not positive and finite.

    Raises
    ------
    ValueError
        In these cases; the message names the field.
    """
    if mode not in CONTAMINATIONS:
        raise ValueError(f"contamination: unknown mode {mode!r}; use one of {', '.join(CONTAMINATIONS)}")
    if not 0.0 <= share < 1.0:
        raise ValueError(f"share: {share} is outside [0, 1); give the share of contaminated clients")
    if not (math.isfinite(scale) and scale > 0.0):
        raise ValueError(f"contamination_scale: {scale} must be positive and finite; use share=0 for no contamination")


def n_contaminated(n_clients: int, share: float) -> int:
    """Number of contaminated clients: share × K rounded to the nearest integer, halves up."""
    # The small term keeps 0.45 × 20 = 9.000000000000002 and 0.15 × 10 = 1.5 on the side that arithmetic on paper gives.
    return math.floor(share * n_clients + 0.5 + 1e-9)


def draw_members(n_clients: int, share: float, generator: np.random.Generator) -> BoolArray:
    """A uniformly random set of ``n_contaminated(K, share)`` clients, as a mask of shape (K,)."""
    members = np.zeros(n_clients, dtype=np.bool_)
    members[generator.permutation(n_clients)[: n_contaminated(n_clients, share)]] = True
    return members


def contaminate(
    mode: str, clean: Clean, *, members: BoolArray, scale: float, generator: np.random.Generator
) -> FloatArray:
    """Targets (K, p, q) after contamination of ``members``; the other clients are passed through untouched.

    Parameters
    ----------
    mode : str
        A key of :data:`CONTAMINATIONS`.
    clean : Clean
        The uncontaminated truth and the reference norm.
    members : array, shape (K,) of bool
        Clients to alter.
    scale : float
        See the convention at the head of this file.
    generator : numpy.random.Generator
        Stream of role "contamination".

    Raises
    ------
    ValueError
        Unknown mode, bad scale, or a shared subspace that leaves no room for contamination.
    """
    check_contamination(mode, share=0.0, scale=scale)
    targets = clean.targets.copy()
    if members.any():
        targets[members] = CONTAMINATIONS[mode](clean, members, scale, generator)
    return targets


def coordinated_label_permutation(
    n_classes: int, generator: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """One permutation of the class labels without fixed class, used by every client of a coordinated label attack.

    Entry c is the label that an attacking client writes where the truth is c.  Drawn uniformly among derangements by
    rejection (acceptance about 1/e), so no class is left untouched by chance.

    Returns
    -------
    int ndarray, shape (n_classes,)

    Raises
    ------
    ValueError
        Fewer than two classes.
    """
    if n_classes < 2:
        raise ValueError(
            f"label permutation: {n_classes} classes cannot be permuted without a fixed class; give 2 or more"
        )
    classes = np.arange(n_classes)
    while True:
        permutation = generator.permutation(n_classes)
        if not np.any(permutation == classes):
            return permutation.astype(np.int64)
