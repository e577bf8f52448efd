"""Warm-started paths over the penalties, and the critical values at their ends.

The critical values are proved in docs/derivations/programs.md, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.decomposition.certificate import operator_norm
from clair_stats.decomposition.decompose import decompose
from clair_stats.decomposition.problem import tall_norms, to_tall
from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.records import Decomposition, FloatArray

__all__ = ["critical_block_penalty", "critical_noise_penalty", "penalty_path", "vanishing_noise_penalty"]


def penalty_path(
    estimates: ClientEstimates | ArrayLike,
    *,
    block_penalties: Sequence[float] | None = None,
    noise_penalties: Sequence[float] | None = None,
    **options: Any,  # noqa: ANN401
) -> tuple[Decomposition, ...]:
    """Solve along one penalty, each solution started from its neighbour.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
    block_penalties, noise_penalties : sequence of float
        Exactly one of them: the path over λ (program (E), (B) or (N) by the other options) or over τ (program (N)).
        Solved in the given order; neighbouring values profit from each other.
    **options
        Passed on to :func:`~clair_stats.decomposition.decompose.decompose`.

    Returns
    -------
    tuple of Decomposition
        One per value, each with its own certificate.

    Raises
    ------
    ValueError
        When both or neither of the sequences are given.

    Examples
    --------
    >>> import numpy as np
    >>> from clair_stats import penalty_path
    >>> rng = np.random.default_rng(0)
    >>> estimates = rng.standard_normal((12, 1)) @ rng.standard_normal((20, 1, 6))
    >>> estimates += 0.1 * rng.standard_normal((20, 12, 6))
    >>> path = penalty_path(estimates, noise_penalties=[8.0, 4.0, 2.0])
    >>> [int(np.linalg.matrix_rank(np.hstack(list(solution.low_rank)), tol=1e-6)) for solution in path]
    [1, 1, 1]
    """
    if (block_penalties is None) == (noise_penalties is None):
        raise ValueError("penalty_path: give exactly one of block_penalties (over λ) and noise_penalties (over τ)")
    record = as_client_estimates(estimates)
    name = "block_penalty" if block_penalties is not None else "noise_penalty"
    solutions: list[Decomposition] = []
    values = block_penalties if block_penalties is not None else noise_penalties
    assert values is not None
    for value in values:
        start = solutions[-1] if solutions else None
        solutions.append(decompose(record, **{**options, name: value, "warm_start": start}))
    return tuple(solutions)


def _centred(estimates: ClientEstimates | ArrayLike, common_component: bool) -> FloatArray:
    tall = to_tall(as_client_estimates(estimates).dense())
    return tall - tall.mean(axis=0) if common_component else tall


def critical_block_penalty(estimates: ClientEstimates | ArrayLike, *, common_component: bool = True) -> float:
    """Smallest λ at which S = 0 solves (E): max_k ‖polar(X(I − Π))_k‖_F.

    S = 0 is optimal when a dual point with ⟨Q, X⟩ = ‖X(I − Π)‖_* keeps ‖Q_k‖_F ≤ λ.  The polar factor is the only one
    when X(I − Π) has rank p (or rank q(K − 1), qK with M = 0); below that rank the value is an upper bound.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
    common_component : bool
        Whether M is free.

    Returns
    -------
    float
        λ; it does not depend on the scale of the estimates.

    Raises
    ------
    TypeError, ValueError
        Refused estimates, as :class:`~clair_stats.ClientEstimates`.
    """
    tall = _centred(estimates, common_component)
    matrix = tall.reshape(-1, tall.shape[2])
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    kept = values > 1e-12 * values[0]
    return float(tall_norms((left[:, kept] @ right[kept]).reshape(tall.shape)).max())


def vanishing_noise_penalty(
    estimates: ClientEstimates | ArrayLike, *, block_penalty: float, common_component: bool = True
) -> float:
    """Smallest τ at which (N) fits the common component alone (L = 0 and S = 0): the dual norm of X(I − Π).

    It is max(‖X(I − Π)‖_op, max_k ‖(X(I − Π))_k‖_F/λ).

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
    block_penalty : float
        λ.
    common_component : bool
        Whether M is free.

    Returns
    -------
    float
        τ, scale of the estimates.

    Raises
    ------
    TypeError, ValueError
        Refused estimates, as :class:`~clair_stats.ClientEstimates`.
    """
    tall = _centred(estimates, common_component)
    return max(operator_norm(tall), float(tall_norms(tall).max()) / block_penalty)


def critical_noise_penalty(estimates: ClientEstimates | ArrayLike, *, block_penalty: float) -> float:
    """Smallest τ at which L = 0 solves (N) with M = 0.

    With L = 0 the residual is X with its blocks cut to norm τλ, so L = 0 is optimal when the operator norm of that
    stack is at most τ.  Divided by τ it decreases in τ, and the equation is solved by bisection.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
    block_penalty : float
        λ.

    Returns
    -------
    float
        τ, scale of the estimates.

    Raises
    ------
    TypeError, ValueError
        Refused estimates, as :class:`~clair_stats.ClientEstimates`.
    """
    tall = to_tall(as_client_estimates(estimates).dense())
    norms = tall_norms(tall)

    def excess(tau: float) -> float:
        factors = np.minimum(1.0, tau * block_penalty / np.maximum(norms, np.finfo(np.float64).tiny))
        return operator_norm(tall * factors[:, None, None]) - tau

    low, high = 0.0, max(operator_norm(tall), float(norms.max()) / block_penalty)
    # Between 0 and the first block norm the cut stack scales with τ: nothing changes there, and the root lies above.
    for _ in range(100):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        low, high = (middle, high) if excess(middle) > 0.0 else (low, middle)
    return high
