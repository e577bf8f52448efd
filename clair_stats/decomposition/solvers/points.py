"""The point that a solver returns for certification, and the point from which it may start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from clair_stats.records import FloatArray

__all__ = ["Accept", "SolverPoint", "WarmStart"]


@dataclass(frozen=True, eq=False)
class SolverPoint:
    """A primal point, a dual candidate and how they were reached; all arrays in the tall layout."""

    common: FloatArray  # (q, p)
    low_rank: FloatArray  # (K, q, p)
    block_sparse: FloatArray  # (K, q, p)
    dual_candidate: FloatArray  # (K, q, p)
    n_iterations: int
    method: str


@dataclass(frozen=True, eq=False)
class WarmStart:
    """Block-sparse part and dual point of a related problem, both (K, q, p); the dual for operator bound 1."""

    block_sparse: FloatArray
    dual: FloatArray


# The certificate: called with a candidate point, returns its relative duality gap.
Accept: TypeAlias = Callable[[SolverPoint], float]
