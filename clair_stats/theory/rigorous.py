"""The instance certificate as a proof: η < 1 and κ < 1 in ball arithmetic, for an instance of floating-point numbers.

The proof is about the instance whose contaminated blocks, subspace and benign coefficients are the given numbers.  Its
benign blocks are M + B C_k with B the given basis; they differ from the given ones by ``distance``, which is about the
rounding of a product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.linalg import block_norms, project_off
from clair_stats.records import FloatArray
from clair_stats.theory.balls import (
    beside,
    cholesky,
    exact,
    frobenius,
    inverse_root,
    operator_norm,
    precision,
    rounded_down,
    rounded_up,
    widened,
)
from clair_stats.theory.certificate import Certificate, instance_certificate

if TYPE_CHECKING:
    from flint import arb, arb_mat

__all__ = ["ProofState", "RigorousCertificate", "rigorous_certificate"]

ProofState: TypeAlias = Literal["proved", "refuted", "open"]

_BITS = 128  # of the arithmetic; the enclosures end up at about the accuracy of the oracle's gradient, 1e-13
_ENOUGH = 4.0  # radius of the ball around the oracle's point, in gradient over strong convexity; 2 at least


@dataclass(frozen=True, eq=False)
class RigorousCertificate:
    """What is proved about one instance.

    ``state``: "proved", every solution of (E) has column space span(U) and support O; "refuted", none has both; "open",
    an enclosure holds its bound, or is too wide to tell.
    """

    state: ProofState
    eta: tuple[float, float]  # an interval that holds η; (0, inf) where there is none
    kappa: tuple[float, float]
    distance: float  # largest ‖·‖_F between a given benign block and the one that the proof is about
    reason: str  # why it is open, or empty


class _Open(Exception):
    """An enclosure failed; the message says which."""


def _blocks(blocks: FloatArray) -> arb_mat:
    """A stack (n, m, q) as an m × nq matrix of exact numbers."""
    n, m, q = blocks.shape
    return exact(np.asarray(blocks.transpose(1, 0, 2)).reshape(m, n * q))


def _columns(matrix: arb_mat, places: list[int]) -> arb_mat:
    from flint import arb_mat

    rows = matrix.tolist()
    return arb_mat(matrix.nrows(), len(places), [row[j] for row in rows for j in places])


class _Instance:
    """The exact instance and its quantities, in coordinates of an exactly orthonormal basis U of span(B)."""

    def __init__(self, values: FloatArray, span: FloatArray, found: Certificate) -> None:
        self.mask, self.common, self.n, self.q = found.collaborative_set, found.common_component, *values.shape[::2]
        self.penalty = exact(np.array([[found.block_penalty]]))[0, 0]
        coefficients = np.einsum("pi,kpj->kij", span, values)
        off = project_off(span, values)
        centre = off[self.mask].mean(axis=0) if self.common else np.zeros(values.shape[1:])
        told = np.einsum("pi,kij->kpj", span, coefficients[self.mask]) + centre
        self.distance = float(block_norms(values[self.mask] - told).max())
        basis = exact(span)
        factor = cholesky(basis.transpose() * basis)
        if factor is None:
            raise _Open("the basis is not proved to have full rank")
        self.basis = factor.solve(basis.transpose()).transpose()
        self.benign = factor.transpose() * _blocks(coefficients[self.mask])
        outside = _blocks(values[~self.mask]) - beside([exact(centre)] * int((~self.mask).sum()))
        inside = self.basis.transpose() * outside
        self.off = outside - self.basis * inside
        # U'M of the true M is 0 only where M is off the subspace; the benign coefficients hold that part as well.
        self.told = self.basis.transpose() * _blocks(values[~self.mask])
        self.near = _blocks(found.oracle.coefficients[~self.mask])
        self.free = self._minimiser()

    def places(self, k: int) -> list[int]:
        """Columns of block k."""
        return list(range(k * self.q, (k + 1) * self.q))

    def rows(self, free: arb_mat) -> arb_mat:
        """V'ᵀ = (WWᵀ)^{-1/2}W, W the (centred) coefficients of C and then of O."""
        wide = beside([self.benign, free])
        if self.common:
            mean = _columns(wide, self.places(0))
            for k in range(1, self.n):
                mean += _columns(wide, self.places(k))
            wide = wide - beside([mean * (1 / exact(np.array([[float(self.n)]]))[0, 0])] * self.n)
        root = inverse_root(wide * wide.transpose())
        if root is None:
            raise _Open("the polar factor of the coefficients is not enclosed")
        return root * wide

    def radii(self, free: arb_mat) -> tuple[arb_mat, list[arb], list[arb]]:
        """W_O − B_O, d_k and √(d_k² + ‖W_k − B_k‖²) of the contaminated clients."""
        difference = self.told - free
        distances, radii = [], []
        for k in range(int((~self.mask).sum())):
            d = frobenius(_columns(self.off, self.places(k)))
            away = frobenius(_columns(difference, self.places(k)))
            distances.append(d)
            radii.append((d * d + away * away).sqrt())
        return difference, distances, radii

    def _minimiser(self) -> arb_mat:
        """The oracle's minimiser, enclosed by its gradient and strong convexity (Lemma 2)."""
        if self.mask.all():
            return self.near
        difference, distances, radii = self.radii(self.near)
        n_benign = int(self.mask.sum())
        rows = self.rows(self.near)
        gradient = beside(
            [
                _columns(rows, self.places(n_benign + k))
                - _columns(difference, self.places(k)) * (self.penalty / radii[k])
                for k in range(len(radii))
            ]
        )
        size = frobenius(gradient).abs_upper()
        convexity = min((self.penalty * d * d / (r * r * r)).abs_lower() for d, r in zip(distances, radii, strict=True))
        if not convexity > 0:
            raise _Open("a contaminated client is not proved to lie outside the subspace")
        radius = (_ENOUGH * size / convexity).abs_upper()
        for d, r in zip(distances, radii, strict=True):
            away = (r * r - d * d).abs_upper().sqrt() + radius
            wide = (d * d + away * away).sqrt()
            if not self.penalty * d * d * radius / (2 * wide * wide * wide) >= size:
                raise _Open("the oracle problem is not solved accurately enough")
        return widened(self.near, radius)


def _dual_off(instance: _Instance) -> tuple[arb_mat, arb_mat]:
    """V'ᵀ and N = P_{U⊥}Q, both with the columns of C first."""
    rows = instance.rows(instance.free)
    n_benign, q = int(instance.mask.sum()), instance.q
    members, others = list(range(n_benign * q)), list(range(n_benign * q, instance.n * q))
    tall = rows.transpose()
    if instance.common:
        share = 1 / exact(np.array([[float(instance.n)]]))[0, 0].sqrt()
        tall = beside([tall, exact(np.tile(np.eye(q), (instance.n, 1))) * share])
    wide = tall.transpose()
    benign_rows, other_rows = _columns(wide, members).transpose(), _columns(wide, others).transpose()
    gram = benign_rows.transpose() * benign_rows
    if cholesky(gram) is None:
        raise _Open("transversality is not proved")
    if not others:
        return rows, exact(np.zeros((instance.basis.nrows(), instance.n * q)))
    _, _, radii = instance.radii(instance.free)
    parts = [_columns(instance.off, instance.places(k)) * (1 / radii[k]) for k in range(len(radii))]
    directions = beside(parts)
    mixing = gram.solve((directions * other_rows).transpose()).transpose()
    inner = mixing * benign_rows.transpose() * (-instance.penalty)
    return rows, beside([inner, directions * instance.penalty])


def _judged(instance: _Instance) -> RigorousCertificate:
    """The enclosures and what they prove."""
    from flint import arb

    rows, dual_off = _dual_off(instance)
    low, high = operator_norm(dual_off)
    squares, polars, total = [], [], arb(0)
    n_benign = int(instance.mask.sum())
    for k in range(n_benign):
        inside = frobenius(_columns(rows, instance.places(k)))
        outside = frobenius(_columns(dual_off, instance.places(k)))
        square = inside * inside + outside * outside
        total += square
        polars.append(inside / instance.penalty)
        squares.append(square)
    smallest = max(square.abs_lower() for square in squares).sqrt() / instance.penalty
    largest = max(square.abs_upper() for square in squares).sqrt() / instance.penalty
    mean = (total / n_benign).abs_lower().sqrt() / instance.penalty
    state: ProofState = "open"
    if high is not None and high < 1 and largest < 1:
        state = "proved"
    elif low > 1 or mean > 1 or any(polar > 1 for polar in polars):
        state = "refuted"
    return RigorousCertificate(
        state=state,
        eta=(rounded_down(low), np.inf if high is None else rounded_up(high)),
        kappa=(rounded_down(smallest), rounded_up(largest)),
        distance=instance.distance,
        reason="" if state != "open" else "η or κ is not proved to be on one side of 1",
    )


def rigorous_certificate(
    estimates: ClientEstimates | ArrayLike,
    *,
    basis: ArrayLike,
    collaborative_set: ArrayLike,
    block_penalty: float,
    common_component: bool = True,
    bits: int = _BITS,
) -> RigorousCertificate:
    """Prove or refute exact recovery of one instance in ball arithmetic.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
        Noiseless blocks, as for :func:`instance_certificate`.
    basis : array_like, shape (p, r)
        Basis of span(U*), orthonormal to rounding; its span is taken exactly.
    collaborative_set : array_like of bool, shape (K,)
        True for benign clients.
    block_penalty : float
        λ.
    common_component : bool
        Whether M is free.
    bits : int
        Precision of the arithmetic.

    Returns
    -------
    RigorousCertificate

    Raises
    ------
    ImportError
        python-flint is not installed.
    ValueError
        As :func:`instance_certificate`.

    Notes
    -----
    docs/derivations/rigorous.md.

    Examples
    --------
    >>> values = np.stack([[[s], [0.0]] for s in (1.0, -1.0) * 6] + [[[0.0], [5.0]]])
    >>> found = rigorous_certificate(
    ...     values, basis=np.eye(2)[:, :1], collaborative_set=np.arange(13) < 12, block_penalty=0.5
    ... )
    >>> found.state, found.eta[1] - found.eta[0] < 1e-9
    ('proved', True)
    """
    record = as_client_estimates(estimates)
    found = instance_certificate(
        record,
        basis=basis,
        collaborative_set=collaborative_set,
        block_penalty=block_penalty,
        common_component=common_component,
    )
    values, span = record.dense(), np.asarray(basis, dtype=np.float64)
    with precision(bits):
        try:
            return _judged(_Instance(values, span, found))
        except _Open as reason:
            return RigorousCertificate("open", (0.0, np.inf), (0.0, np.inf), np.nan, str(reason))
