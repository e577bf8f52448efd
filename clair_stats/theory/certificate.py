"""The instance certificate: a dual matrix that proves exact recovery on one instance (theory.md section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.linalg import block_norms, checked_frame, project_off, stack
from clair_stats.records import BoolArray, FloatArray
from clair_stats.theory.oracle import OracleSolution, solve_oracle

__all__ = ["Certificate", "instance_certificate"]

# How far benign blocks may stick out of M + span(U), relative to the largest block: rounding of p × q products.
_EXACTNESS = 1e-8
# Largest violation of an equality of Q that is rounding (operator norms; Q has norm about 1).
_EQUALITY = 1e-8
# Distance of ‖Ṽ_O‖_op² from 1 below which P_C counts as not injective.
_TRANSVERSALITY = 1e-12
# Entries whose squares, and sums of them, are normal numbers.
_SMALLEST, _LARGEST = 1e-150, 1e150


@dataclass(frozen=True, eq=False)
class Certificate:
    """The dual matrix Q of the instance and the two numbers that decide.

    ``certified`` proves that every solution of (E) has column space span(U*) and support O; ``refuted`` proves that
    none has both; when both are False nothing is proved.
    """

    eta: float  # η = ‖P_{U⊥}Q‖_op, must be below 1
    kappa: float  # κ = max_{k∈C} ‖Q_k‖_F/λ, must be below 1
    certified: bool  # η < 1, κ < 1, transversal, and the equalities hold to rounding
    dual: FloatArray  # (K, p, q), Q
    equality_residual: float  # largest violation of U*ᵀQ = V'ᵀ, Q_O = λH, P_{U⊥}QV' = 0, QΠ = 0 (operator norms)
    transversality: float  # ‖Ṽ_O‖_op², below 1 for P_C to be injective on rows in Ṽ
    row_basis: FloatArray  # (K, q, r) or (K, q, r + q), blocks of Ṽ
    directions: FloatArray  # (|O|, p, q), H_k = S'_k/‖S'_k‖_F in client order
    collaborative_set: BoolArray  # (K,)
    block_penalty: float  # λ
    common_component: bool
    oracle: OracleSolution

    @property
    def polar_ratio(self) -> float:
        """max_{k∈C} ‖V'_k‖_F/λ; above 1 no solution of (E) recovers span and support."""
        return float(block_norms(self.oracle.polar[self.collaborative_set]).max() / self.block_penalty)

    @property
    def mean_ratio(self) -> float:
        """Root mean square of ‖Q_k‖_F/λ over C; above 1 no solution of (E) recovers span and support."""
        norms = block_norms(self.dual[self.collaborative_set])
        return float(np.sqrt(np.mean(norms**2)) / self.block_penalty)

    @property
    def refuted(self) -> bool:
        """Whether recovery of span and support is proved impossible (docs/derivations/recovery.md, section 2)."""
        exact = self.equality_residual < _EQUALITY and self.transversality < 1 - _TRANSVERSALITY
        return bool(exact and max(self.eta, self.polar_ratio, self.mean_ratio) > 1 + _EQUALITY)


def _checked_inputs(
    estimates: ClientEstimates, basis: ArrayLike, collaborative_set: ArrayLike, block_penalty: float
) -> tuple[FloatArray, FloatArray, BoolArray]:
    values = estimates.dense()
    n_clients, p, _ = values.shape
    span = checked_frame(basis, p)
    if span.shape[1] < 1:
        raise ValueError(f"basis: shape {span.shape}; give an orthonormal p × r matrix with p = {p} and 1 ≤ r ≤ p")
    largest = float(np.abs(values).max())
    if not (largest == 0.0 or _SMALLEST < largest < _LARGEST):
        raise ValueError(f"estimates: the largest entry is {largest:.3g}, and its square no number; give another unit")
    mask = np.asarray(collaborative_set)
    if mask.shape != (n_clients,) or mask.dtype != np.bool_:
        raise ValueError(f"collaborative_set: give {n_clients} booleans, True for benign clients")
    if not mask.any():
        raise ValueError("collaborative_set: no client is benign; at least one must be True")
    if not (np.isfinite(block_penalty) and block_penalty > 0):
        raise ValueError(f"block_penalty: {block_penalty!r}; give a positive number")
    return values, span, mask


def instance_certificate(
    estimates: ClientEstimates | ArrayLike,
    *,
    basis: ArrayLike,
    collaborative_set: ArrayLike,
    block_penalty: float,
    common_component: bool = True,
) -> Certificate:
    """Build the dual matrix Q of a noiseless instance and evaluate η and κ (theory.md section 3).

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
        Noiseless blocks Θ*_k: benign ones lie in M* + span(U*) exactly (M* = 0 without common component).
    basis : array_like, shape (p, r)
        Orthonormal basis of span(U*).
    collaborative_set : array_like of bool, shape (K,)
        True for benign clients.
    block_penalty : float
        λ.
    common_component : bool
        Whether M is free.

    Returns
    -------
    Certificate

    Raises
    ------
    ValueError
        Wrong shapes; benign blocks outside M + span(U); a contaminated client inside it (it is benign by definition);
        benign coefficients whose (centred) rank is below r.

    Notes
    -----
    docs/derivations/recovery.md, section 2.

    Examples
    --------
    Twelve benign clients on a line and a contaminated one:

    >>> values = np.stack([[[s], [0.0]] for s in (1.0, -1.0) * 6] + [[[0.0], [5.0]]])
    >>> found = instance_certificate(
    ...     values, basis=np.eye(2)[:, :1], collaborative_set=np.arange(13) < 12, block_penalty=0.5
    ... )
    >>> found.certified, found.refuted, round(found.eta, 3)
    (True, False, 0.52)
    """
    record = as_client_estimates(estimates)
    values, span, mask = _checked_inputs(record, basis, collaborative_set, block_penalty)
    p, q = values.shape[1:]
    rank = span.shape[1]
    off = project_off(span, values)
    offset = off[mask].mean(axis=0) if common_component else np.zeros((p, q))
    residuals = off - offset
    norms = block_norms(residuals)
    scale = float(block_norms(values).max())
    outside = np.flatnonzero(mask & (norms > _EXACTNESS * scale))
    if outside.size:
        k = int(outside[0])
        raise ValueError(
            f"{record.names[k]}: benign but {norms[k]:.3g} away from M + span(U); the certificate is for noiseless "
            "blocks, pass the targets Θ*_k instead of estimates"
        )
    inside = np.flatnonzero(~mask & (norms <= 1e-14 * scale))
    if inside.size:
        k = int(inside[0])
        raise ValueError(
            f"{record.names[k]}: marked contaminated but lies in M + span(U), which is benign by definition; "
            "mark it True in collaborative_set"
        )
    coefficients = np.einsum("pi,kpj->kij", span, values)
    benign = coefficients[mask] - coefficients[mask].mean(axis=0) if common_component else coefficients[mask]
    singular_values = np.linalg.svd(stack(benign), compute_uv=False)
    if singular_values.size < rank or singular_values[-1] <= 1e-10 * singular_values[0]:
        raise ValueError(
            f"basis: the {'centred ' if common_component else ''}benign coefficients do not span its {rank} "
            "dimensions; lower the rank or add benign clients"
        )
    oracle = solve_oracle(
        coefficients,
        norms[~mask],
        collaborative_set=mask,
        block_penalty=block_penalty,
        common_component=common_component,
    )
    difference = coefficients[~mask] - oracle.coefficients[~mask]
    sparse = residuals[~mask] + np.einsum("pi,kij->kpj", span, difference)
    directions = sparse / block_norms(sparse)[:, None, None] if sparse.size else sparse
    return _assemble(span, mask, block_penalty, common_component, oracle, directions)


def _assemble(
    span: FloatArray,
    mask: BoolArray,
    lam: float,
    common_component: bool,
    oracle: OracleSolution,
    directions: FloatArray,
) -> Certificate:
    """Q = U V'ᵀ + λ P_{U⊥}H (I − Ṽ(ṼᵀP_CṼ)⁻¹ṼᵀP_C) and its certificate."""
    n_clients, _, q = oracle.polar.shape
    p = span.shape[0]
    row_basis = oracle.polar.transpose(0, 2, 1)
    if common_component:
        mean_rows = np.broadcast_to(np.eye(q) / np.sqrt(n_clients), (n_clients, q, q))
        row_basis = np.concatenate([row_basis, mean_rows], axis=2)
    benign_rows = row_basis[mask].reshape(-1, row_basis.shape[2])
    other_rows = row_basis[~mask].reshape(-1, row_basis.shape[2])
    transversality = float(np.linalg.norm(other_rows, 2) ** 2) if other_rows.size else 0.0
    gram = benign_rows.T @ benign_rows
    off = project_off(span, directions)
    flat_off = stack(off) if off.shape[0] else np.zeros((p, 0))
    # Least squares for Y·gram = H Ṽ_O: a singular gram means P_C is not injective, and nothing is certified.
    mixing = np.linalg.lstsq(gram, (flat_off @ other_rows).T, rcond=None)[0].T
    dual_off = np.zeros((n_clients, p, q))
    dual_off[~mask] = lam * off
    dual_off[mask] = -lam * np.einsum("pm,kqm->kpq", mixing, row_basis[mask])
    dual = np.einsum("pi,kij->kpj", span, oracle.polar) + dual_off
    flat_dual_off = stack(dual_off)
    eta = float(np.linalg.norm(flat_dual_off, 2))
    kappa = float(block_norms(dual[mask]).max() / lam)
    equalities = [
        float(np.linalg.norm(flat_dual_off @ row_basis.reshape(n_clients * q, -1), 2)),
        float(np.linalg.norm(span.T @ flat_dual_off, 2)),
    ]
    if directions.shape[0]:
        equalities.append(float(np.linalg.norm(stack(dual[~mask] - lam * directions), 2)))
    if common_component:
        equalities.append(float(np.linalg.norm(dual.sum(axis=0), 2) / np.sqrt(n_clients)))
    residual = max(equalities)
    return Certificate(
        eta=eta,
        kappa=kappa,
        certified=bool(eta < 1 and kappa < 1 and transversality < 1 - _TRANSVERSALITY and residual < _EQUALITY),
        dual=dual,
        equality_residual=residual,
        transversality=transversality,
        row_basis=np.ascontiguousarray(row_basis),
        directions=directions,
        collaborative_set=mask,
        block_penalty=float(lam),
        common_component=common_component,
        oracle=oracle,
    )
