"""Frozen records of results: ``Decomposition`` (theory.md section 2), ``Detection``, ``Refinement``.

Symbols, names and shapes are listed in ``docs/notation.md``; what enters is :mod:`clair_stats.estimates`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]
Status: TypeAlias = Literal["optimal", "inaccurate", "iteration_limit"]
Program: TypeAlias = Literal["E", "B", "N"]

__all__ = [
    "BoolArray",
    "Combination",
    "Decomposition",
    "Detection",
    "FactoredDecomposition",
    "FloatArray",
    "Program",
    "Refinement",
    "Status",
]


@dataclass(frozen=True, eq=False)
class Decomposition:
    """A certified solution of program (E), (B) or (N) (theory.md section 2).

    ``duality_gap`` is absolute and belongs to exactly the point stored here; ``dual`` is exactly feasible.

    Examples
    --------
    >>> import numpy as np
    >>> from clair_stats import decompose
    >>> rng = np.random.default_rng(0)
    >>> estimates = rng.standard_normal((12, 1)) @ rng.standard_normal((20, 1, 6))
    >>> estimates[:2] += rng.standard_normal((2, 12, 6))
    >>> solution = decompose(estimates)
    >>> parts = solution.common + solution.low_rank + solution.block_sparse
    >>> bool(np.allclose(parts, estimates))
    True
    >>> np.flatnonzero(np.abs(solution.block_sparse).sum(axis=(1, 2)))
    array([0, 1])
    """

    common: FloatArray  # (p, q), M; zeros without common component
    low_rank: FloatArray  # (K, p, q), L; its mean block is 0 when the common component is free
    block_sparse: FloatArray  # (K, p, q), S; exact zero blocks for clients that need no correction
    dual: FloatArray  # (K, p, q), Q; ‖Q‖_op ≤ 1 and ‖Q_k‖_F ≤ λ for (E), (B); both times τ for (N)
    objective: float  # primal objective of the program at the stored point
    duality_gap: float  # objective minus dual objective, ≥ 0 up to rounding
    n_iterations: int
    status: Status
    message: str  # what happened, its cause and the remedy, in prose
    program: Program
    block_penalty: float  # λ
    noise_penalty: float  # τ, 0 unless program (N)
    noise_radius: float | None  # ε, None unless program (B)
    common_component: bool
    solver: str  # the method that produced the point: "splitting", "accelerated", "conic", …
    shared: Literal["columns", "rows"] = "columns"  # which space the clients share
    client_weights: FloatArray | None = None  # (K,), ω_k of the block norm Σ ω_k‖S_k‖_F; None means all 1


@dataclass(frozen=True, eq=False)
class FactoredDecomposition:
    """A decomposition of LoRA factors, in orthonormal coordinates; no p × q matrix is ever formed.

    Block k of any part is ``left @ core_part[k] @ right.T``; without common component the frame on the side that is not
    shared is each client's own, an array with K frames.

    Examples
    --------
    >>> import numpy as np
    >>> from clair_stats import ClientEstimates, decompose_factors
    >>> rng = np.random.default_rng(0)
    >>> shared = rng.standard_normal((40, 2))
    >>> factors = tuple((shared, rng.standard_normal((2, 30))) for _ in range(10))
    >>> solution = decompose_factors(ClientEstimates(factors=factors))
    >>> solution.basis(2).shape
    (40, 2)
    >>> left, right = solution.low_rank_factors(0)
    >>> (left @ right).shape
    (40, 30)
    """

    core: Decomposition  # the same record, its arrays in coordinates: (p', q') and (K, p', q')
    left: FloatArray | None  # (p, p') shared, or (K, p, p') one per client, orthonormal columns; None: the identity
    right: FloatArray | None  # (q, q') shared, or (K, q, q') one per client; None: the identity
    block_shape: tuple[int, int]  # (p, q)

    def basis(self, rank: int) -> FloatArray:
        """Leading left singular vectors of the low-rank part, p × rank (right ones, q × rank, for shared rows).

        Parameters
        ----------
        rank : int
            r, at most the number of compressed coordinates.

        Returns
        -------
        ndarray, shape (p, r) or (q, r)
            Orthonormal columns.
        """
        low_rank = self.core.low_rank
        if self.core.shared == "rows":
            low_rank = np.swapaxes(low_rank, 1, 2)
        gram = np.einsum("kpq,krq->pr", low_rank, low_rank, optimize=True)
        leading = np.ascontiguousarray(np.linalg.eigh(gram)[1][:, ::-1][:, :rank])
        frame = self.left if self.core.shared == "columns" else self.right
        return leading if frame is None else frame @ leading

    def common_factors(self) -> tuple[FloatArray, FloatArray]:
        """M as a pair (p × m, m × q).

        Returns
        -------
        tuple of ndarray, shapes (p, m) and (m, q)
            Scale of the estimates; m = 0 without common component.
        """
        if any(frame is not None and frame.ndim == 3 for frame in (self.left, self.right)):
            p, q = self.block_shape  # frames of its own for each client: only with M = 0
            return np.zeros((p, 0)), np.zeros((0, q))
        return self._pair(self.core.common, self.left, self.right)

    def low_rank_factors(self, client: int) -> tuple[FloatArray, FloatArray]:
        """L_k as a pair (p × m, m × q).

        Parameters
        ----------
        client : int
            k, from 0.

        Returns
        -------
        tuple of ndarray, shapes (p, m) and (m, q)
            Scale of the estimates.
        """
        return self._client_pair(self.core.low_rank, client)

    def block_sparse_factors(self, client: int) -> tuple[FloatArray, FloatArray]:
        """S_k as a pair (p × m, m × q).

        Parameters
        ----------
        client : int
            k, from 0.

        Returns
        -------
        tuple of ndarray, shapes (p, m) and (m, q)
            Scale of the estimates.
        """
        return self._client_pair(self.core.block_sparse, client)

    def dual_factors(self, client: int) -> tuple[FloatArray, FloatArray]:
        """Q_k as a pair (p × m, m × q).

        Parameters
        ----------
        client : int
            k, from 0.

        Returns
        -------
        tuple of ndarray, shapes (p, m) and (m, q)
            Scale of the dual point, see :class:`Decomposition`.
        """
        return self._client_pair(self.core.dual, client)

    def _client_pair(self, part: FloatArray, client: int) -> tuple[FloatArray, FloatArray]:
        def own(frame: FloatArray | None) -> FloatArray | None:
            return frame[client] if frame is not None and frame.ndim == 3 else frame

        return self._pair(part[client], own(self.left), own(self.right))

    @staticmethod
    def _pair(core: FloatArray, left: FloatArray | None, right: FloatArray | None) -> tuple[FloatArray, FloatArray]:
        first = np.asarray(core) if left is None else left @ core
        second = np.eye(core.shape[1]) if right is None else np.ascontiguousarray(right.T)
        return first, second


@dataclass(frozen=True, eq=False)
class Detection:
    """The estimated collaborative set (theory.md section 5).

    Examples
    --------
    >>> import numpy as np
    >>> from clair_stats import detect
    >>> rng = np.random.default_rng(0)
    >>> basis = np.eye(12)[:, :1]
    >>> estimates = basis @ rng.standard_normal((20, 1, 6)) + 0.1 * rng.standard_normal((20, 12, 6))
    >>> estimates[:2] += 1.0
    >>> found = detect(estimates, basis=basis, common=np.zeros((12, 6)), noise_scales=np.full(20, 0.1))
    >>> np.flatnonzero(found.scores > found.threshold)
    array([0, 1])
    """

    collaborative_set: BoolArray  # (K,), True = benign
    scores: FloatArray  # (K,), ρ_k, Frobenius norm of the off-subspace residual, scale of the estimates
    p_values: FloatArray  # (K,), NaN when no noise scale is known or can be estimated
    threshold: FloatArray  # (K,), client k is flagged when scores[k] > threshold[k]
    level: float  # family-wise error rate over the K clients


@dataclass(frozen=True, eq=False)
class Refinement:
    """Refined estimates: averaged off the subspace (Theorem 5), or drawn to the others (docs/derivations/shrinkage.md).

    Examples
    --------
    >>> import numpy as np
    >>> from clair_stats import refine
    >>> estimates = np.random.default_rng(0).standard_normal((4, 5, 3))
    >>> refined = refine(estimates, basis=np.eye(5)[:, :2], collaborative_set=[False, True, True, True])
    >>> float(refined.weights.sum().round(12))
    1.0
    >>> bool(np.array_equal(refined.estimates[0], estimates[0]))  # not in the set: its own estimate
    True
    """

    estimates: FloatArray  # (K, p, q), Θ̃_k; who is not among the members keeps X_k
    basis: FloatArray  # (p, r); under shrinkage the directions that have a weight of their own
    centre: FloatArray  # (p, q), X̄, weighted mean over the members
    weights: FloatArray  # (K,), 0 outside the members, sums to 1
    members: BoolArray  # (K,), whose estimates were refined
    kept: FloatArray | None = None  # (K,), share of the own part off the subspace that shrinkage kept; None: averaged
    risk: FloatArray | None = None  # (K,), estimated E‖Θ̃_k − Θ*_k‖² under shrinkage, squared scale of the estimates
    own_risk: FloatArray | None = None  # (K,), E‖X_k − Θ*_k‖² as the error's law has it
    one_weight: bool = False  # whether the members refuted white errors, so that one weight stands for many directions

    @property
    def center(self) -> FloatArray:
        """The centre under its former spelling."""
        return self.centre


@dataclass(frozen=True, eq=False)
class Combination:
    """Refined estimates that flagged clients inform as far as that cannot hurt (docs/derivations/refinement.md).

    Examples
    --------
    >>> import numpy as np
    >>> from clair_stats import combine
    >>> estimates = 0.1 * np.random.default_rng(0).standard_normal((10, 12, 6))
    >>> estimates[0] += 1.0
    >>> benign = np.arange(10) > 0
    >>> combined = combine(
    ...     estimates, basis=np.eye(12)[:, :2], collaborative_set=benign, noise_scales=np.full(10, 0.1)
    ... )
    >>> combined.weights.shape
    (2, 10)
    """

    estimates: FloatArray  # (K, p, q); flagged clients' own estimates drawn towards the centre
    basis: FloatArray  # (p, r)
    centre: FloatArray  # (p, q), combined common component; identified off the subspace only
    directions: FloatArray  # (p, s), what flagged clients have in common off the subspace
    weights: FloatArray  # (2, K), each client's weight in the centre along and off the directions; rows sum to 1

    @property
    def center(self) -> FloatArray:
        """The centre under its former spelling."""
        return self.centre
