"""Block leverage and incoherence of the benign coefficients (theory.md section 3, *Leverage*).

The leverage of client k is ‖V_k‖_F² where V orthonormalises the stacked benign coefficients; it says how much of the
shared subspace hangs on that one client.  It is r/|C| on average and min(r, q) at most.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.records import FloatArray

__all__ = ["block_leverages", "incoherence", "leverage", "orthonormal_coefficients"]


def _checked(coefficients: ArrayLike) -> FloatArray:
    raw = np.asarray(coefficients)
    if raw.dtype.kind not in "fiub":
        raise TypeError(f"coefficients: dtype {raw.dtype}; give real numbers, one q × r matrix A_k per benign client")
    if raw.ndim != 3 or 0 in raw.shape:
        raise ValueError(
            f"coefficients: shape {raw.shape}; give the benign coefficients A_k as one array (|C|, q, r), none empty"
        )
    blocks = np.asarray(raw, dtype=np.float64)
    finite = np.isfinite(blocks).all(axis=(1, 2))
    if not finite.all():
        raise ValueError(f"coefficients: benign client {int(np.argmin(finite))} has NaN or infinite entries; refit it")
    return blocks


def orthonormal_coefficients(coefficients: ArrayLike, *, common_component: bool = False) -> FloatArray:
    """V_C (or V^c_C): the orthonormalised benign coefficients, in client blocks.

    Parameters
    ----------
    coefficients : array_like, shape (|C|, q, r)
        Benign coefficients A_k.
    common_component : bool
        Subtract the benign mean first, as the free common component does.

    Returns
    -------
    ndarray, shape (|C|, q, r)
        Blocks of V with Σ_k V_kᵀV_k = I_r.

    Raises
    ------
    ValueError
        If the (centred) stack has rank below r: the subspace is then not identified.

    Notes
    -----
    theory.md section 3, *Leverage*.

    Examples
    --------
    >>> abs(orthonormal_coefficients([[[3.0]], [[4.0]]])).ravel().round(2).tolist()
    [0.6, 0.8]
    """
    blocks = _checked(coefficients)
    if common_component:
        blocks = blocks - blocks.mean(axis=0)
    n_benign, q, rank = blocks.shape
    left, singular_values, _ = np.linalg.svd(blocks.reshape(n_benign * q, rank), full_matrices=False)
    found = int(np.count_nonzero(singular_values > 1e-10 * max(singular_values[0], np.finfo(float).tiny)))
    if found < rank:
        word = "centred benign coefficients" if common_component else "benign coefficients"
        raise ValueError(
            f"coefficients: the {word} have rank {found} but the subspace has dimension {rank}; "
            "use a basis of that rank, or add benign clients"
        )
    return left.reshape(n_benign, q, rank)


def block_leverages(coefficients: ArrayLike, *, common_component: bool = False) -> FloatArray:
    """‖V_k‖_F² (or ‖V^c_k‖_F²) of every benign client; they add up to r.

    Parameters
    ----------
    coefficients : array_like, shape (|C|, q, r)
        Benign coefficients A_k.
    common_component : bool
        Subtract the benign mean first.

    Returns
    -------
    ndarray, shape (|C|,)
        Without unit, between 0 and min(r, q).

    Raises
    ------
    TypeError, ValueError
        As :func:`orthonormal_coefficients`.

    Notes
    -----
    theory.md section 3, *Leverage*.

    Examples
    --------
    >>> block_leverages([[[3.0]], [[4.0]]]).round(2).tolist()
    [0.36, 0.64]
    """
    blocks = orthonormal_coefficients(coefficients, common_component=common_component)
    return np.asarray(np.einsum("kij,kij->k", blocks, blocks), dtype=np.float64)


def leverage(coefficients: ArrayLike, *, common_component: bool = False) -> float:
    """Largest block leverage: ν, or ν_c when the common component is free (theory.md section 3).

    Parameters
    ----------
    coefficients : array_like, shape (|C|, q, r)
        Benign coefficients A_k.
    common_component : bool
        False: ν = max ‖V_k‖_F².  True: ν_c = max ‖V^c_k‖_F² + min(r, q)/|C|.

    Returns
    -------
    float
        Dimensionless; at least r/|C|.

    Raises
    ------
    TypeError, ValueError
        Wrong shape, non-finite entries, or rank below r.

    Examples
    --------
    >>> round(leverage([[[3.0]], [[4.0]]]), 2)
    0.64
    """
    blocks = _checked(coefficients)
    largest = float(block_leverages(blocks, common_component=common_component).max())
    if common_component:
        n_benign, q, rank = blocks.shape
        largest += min(rank, q) / n_benign
    return largest


def incoherence(coefficients: ArrayLike, *, common_component: bool = False) -> float:
    """Block incoherence μ = max_k ‖V_k‖_F² |C|/r ≥ 1; equal to 1 when every client carries the same leverage.

    Parameters
    ----------
    coefficients : array_like, shape (|C|, q, r)
        Benign coefficients A_k.
    common_component : bool
        Subtract the benign mean first.

    Returns
    -------
    float
        Without unit.

    Raises
    ------
    TypeError, ValueError
        As :func:`orthonormal_coefficients`.

    Notes
    -----
    theory.md section 3, *Leverage*.

    Examples
    --------
    >>> round(incoherence([[[3.0]], [[4.0]]]), 2)
    1.28
    """
    leverages = block_leverages(coefficients, common_component=common_component)
    return float(leverages.max() / leverages.mean())
