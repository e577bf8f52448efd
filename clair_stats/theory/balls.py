"""Matrices in ball arithmetic (Arb, through python-flint): every entry is a number with a proved error.

Comparisons of balls are true only where they hold for every number in them, so that what is decided here is proved
(Johansson 2017, IEEE Transactions on Computers 66; docs/derivations/rigorous.md).
python-flint is an optional dependency (``pip install clair-stats[proofs]``) and is imported when it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from clair_stats.records import FloatArray

if TYPE_CHECKING:
    from flint import arb, arb_mat

__all__ = [
    "beside",
    "centres",
    "cholesky",
    "exact",
    "frobenius",
    "identity",
    "inverse_root",
    "operator_norm",
    "precision",
    "rounded_down",
    "rounded_up",
    "widened",
]

_SLACK = (1e-12, 1e-9, 1e-6, 1e-4, 1e-2)  # relative widths that are tried for the upper end of an operator norm


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Work with this many bits inside the block.

    Parameters
    ----------
    bits : int
        Precision; it is what it was before once the block ends.

    Yields
    ------
    None

    Raises
    ------
    ImportError
        python-flint is not installed; the message says how to install it.
    """
    try:
        from flint import ctx
    except ImportError as error:
        raise ImportError("rigorous certificates need python-flint: pip install 'clair-stats[proofs]'") from error
    before = ctx.prec
    ctx.prec = bits
    try:
        yield
    finally:
        ctx.prec = before


def exact(matrix: FloatArray) -> arb_mat:
    """A matrix of floating-point numbers, each taken as it is.

    Parameters
    ----------
    matrix : ndarray, shape (m, n)

    Returns
    -------
    arb_mat, shape (m, n)
    """
    from flint import arb_mat

    return arb_mat(matrix.shape[0], matrix.shape[1], matrix.ravel().tolist())


def beside(parts: Sequence[arb_mat]) -> arb_mat:
    """[A_1, A_2, …].

    Parameters
    ----------
    parts : sequence of arb_mat, shape (m, n_i)

    Returns
    -------
    arb_mat, shape (m, Σ n_i)
    """
    from flint import arb_mat

    tables = [part.tolist() for part in parts]
    lines = [x for rows in zip(*tables, strict=True) for row in rows for x in row]
    return arb_mat(parts[0].nrows(), sum(part.ncols() for part in parts), lines)


def centres(matrix: arb_mat) -> FloatArray:
    """The midpoints, rounded to floating point.

    Parameters
    ----------
    matrix : arb_mat, shape (m, n)

    Returns
    -------
    ndarray, shape (m, n)
    """
    rows, columns = matrix.nrows(), matrix.ncols()
    return np.array([float(x.mid()) for x in matrix.entries()]).reshape(rows, columns)


def identity(size: int) -> arb_mat:
    """The unit matrix.

    Parameters
    ----------
    size : int

    Returns
    -------
    arb_mat, shape (size, size)
    """
    return exact(np.eye(size))


def frobenius(matrix: arb_mat) -> arb:
    """‖·‖_F, which bounds the operator norm as well.

    Parameters
    ----------
    matrix : arb_mat, shape (m, n)

    Returns
    -------
    arb
    """
    from flint import arb

    total = arb(0)
    for x in matrix.entries():
        total += x * x
    # Where 0 is not excluded the root of the ball would be no number.
    return total.sqrt() if total > 0 else arb(0).union(total.abs_upper().sqrt())


def widened(matrix: arb_mat, radius: arb) -> arb_mat:
    """Every entry with ``radius`` added to its error.

    Parameters
    ----------
    matrix : arb_mat, shape (m, n)
    radius : arb
        Its largest number counts.

    Returns
    -------
    arb_mat, shape (m, n)
    """
    from flint import arb, arb_mat

    error = arb(0, radius.abs_upper())
    return arb_mat(matrix.nrows(), matrix.ncols(), [x + error for x in matrix.entries()])


def cholesky(matrix: arb_mat) -> arb_mat | None:
    """Lower factor of a symmetric matrix of balls.

    Parameters
    ----------
    matrix : arb_mat, shape (n, n)

    Returns
    -------
    arb_mat, shape (n, n), or None
        None where the matrix is not proved positive definite.
    """
    from flint import arb, arb_mat

    size = matrix.nrows()
    factor = [[arb(0)] * size for _ in range(size)]
    for j in range(size):
        pivot = matrix[j, j]
        for m in range(j):
            pivot -= factor[j][m] * factor[j][m]
        if not pivot > 0:
            return None
        factor[j][j] = pivot.sqrt()
        for i in range(j + 1, size):
            rest = matrix[i, j]
            for m in range(j):
                rest -= factor[i][m] * factor[j][m]
            factor[i][j] = rest / factor[j][j]
    return arb_mat(size, size, [x for row in factor for x in row])


def inverse_root(gram: arb_mat) -> arb_mat | None:
    """G^{-1/2} of a symmetric positive definite G, every entry enclosed.

    Parameters
    ----------
    gram : arb_mat, shape (r, r)
        G.

    Returns
    -------
    arb_mat, shape (r, r), or None
        None where an enclosure is not proved.

    Notes
    -----
    docs/derivations/rigorous.md, Lemma 1: with Z near G^{-1/2}, E = ZGZ − I and
    m = 1/(2/‖Z‖ − 2‖E‖‖Z⁻¹‖), 4m²‖E‖_F‖G‖ ≤ 1 puts the root within 2m‖E‖_F of Z.
    """
    values, vectors = np.linalg.eigh(0.5 * (centres(gram) + centres(gram).T))
    if not values[0] > 0:
        return None
    near = (vectors / np.sqrt(values)) @ vectors.T
    root = exact(0.5 * (near + near.T))
    error = frobenius(root * gram * root - identity(gram.nrows())).abs_upper()
    inverse = frobenius(root.inv())
    gain = 2 / frobenius(root) - 2 * error * inverse
    if not gain > 0:
        return None
    radius = 2 * error / gain
    if not (4 * error * frobenius(gram) / (gain * gain) <= 1 and radius * inverse < 1):
        return None
    return widened(root, radius)


def operator_norm(matrix: arb_mat) -> tuple[arb, arb | None]:
    """Proved lower and upper end of ‖·‖_op.

    The lower end is a Rayleigh quotient, the upper one a t for which t²I − AAᵀ has a Cholesky factor.

    Parameters
    ----------
    matrix : arb_mat, shape (m, n)
        A; the Gram matrix of its rows is formed.

    Returns
    -------
    tuple of arb and arb or None
        None where no upper end is proved.
    """
    from flint import arb

    gram = matrix * matrix.transpose()
    values, vectors = np.linalg.eigh(centres(gram))
    vector = exact(vectors[:, -1:])
    quotient = (vector.transpose() * gram * vector)[0, 0] / (vector.transpose() * vector)[0, 0]
    low = quotient.abs_lower().sqrt() if quotient > 0 else arb(0)
    about = float(np.sqrt(max(values[-1], 0.0)))
    for slack in _SLACK:
        high = arb(about * (1 + slack) + 1e-300)
        if cholesky(identity(gram.nrows()) * (high * high) - gram) is not None:
            return low, high
    return low, None


def rounded_up(value: arb) -> float:
    """A floating-point number that is no smaller.

    Parameters
    ----------
    value : arb

    Returns
    -------
    float
    """
    return float(np.nextafter(float(value.upper()), np.inf))


def rounded_down(value: arb) -> float:
    """A floating-point number that is no larger, at least 0.

    Parameters
    ----------
    value : arb
        Not negative.

    Returns
    -------
    float
    """
    return max(float(np.nextafter(float(value.lower()), -np.inf)), 0.0)
