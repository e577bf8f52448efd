"""Parts of a fitted CLAIR model that are formed when asked for: coefficients, residuals, refined estimates."""

from __future__ import annotations

from typing import Literal

import numpy as np

from clair_stats.decomposition.compression import Compression
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import balanced_factors, project_off
from clair_stats.records import FloatArray, Refinement
from clair_stats.several_modules import SeveralModules, by_module

__all__ = ["FittedParts"]


class FittedParts:
    """Mixed into :class:`clair_stats.CLAIR`; each is a mapping by name where several modules were fitted."""

    refinement_: Refinement
    shared: Literal["columns", "rows"]
    modules_: SeveralModules | None
    _frame: Compression | None
    _estimates: ClientEstimates
    _blocks: FloatArray
    _basis: FloatArray
    _centre: FloatArray

    @property
    @by_module
    def coefficients_(self) -> FloatArray:
        """Estimated A_k = (X_k − M)ᵀU, shape (K, q, r); meaningful for benign clients (compressed q for factors)."""
        inside = self._basis.T @ (self._blocks - self._centre)
        return np.ascontiguousarray(inside.transpose(0, 2, 1))

    @property
    @by_module
    def residuals_(self) -> FloatArray:
        """(I − P_U)(X_k − M) of every client, shape (K, p, q); in compressed coordinates for factors."""
        return project_off(self._basis, self._blocks - self._centre)

    @property
    @by_module
    def common_(self) -> FloatArray:
        """M, shape (p, q): mean of the collaborative set; identified off the subspace only."""
        return self._turn(self._expanded(self._centre))

    @property
    @by_module
    def refined_(self) -> FloatArray:
        """Refined estimates (K, p, q); for factored input formed on demand, prefer ``refined_factors_``."""
        if self._frame is None:
            return self._turn(self.refinement_.estimates)
        return np.stack([left @ right for left, right in self.refined_factors_])

    @property
    @by_module
    def refined_factors_(self) -> tuple[tuple[FloatArray, FloatArray], ...]:
        """Refined estimates as factors (p × t_k, t_k × q), t_k their numerical rank; flagged clients keep theirs."""
        given = self._estimates.factors
        pairs = []
        for k, block in enumerate(self.refinement_.estimates):
            if given is not None and np.array_equal(block, self._blocks[k]):
                pairs.append(given[k])
                continue
            outer, inner = balanced_factors(block)
            if self._frame is not None:
                outer = outer if self._frame.left is None else self._frame.left @ outer
                inner = inner if self._frame.right is None else inner @ self._frame.right.T
            pairs.append((outer, inner) if self.shared == "columns" else (inner.T, outer.T))
        return tuple(pairs)

    def _expanded(self, block: FloatArray) -> FloatArray:
        """A block of the compressed coordinates in the original ones."""
        if self._frame is None:
            return block
        left, right = self._frame.left, self._frame.right
        block = block if left is None else left @ block
        return block if right is None else block @ right.T

    def _turn(self, array: FloatArray) -> FloatArray:
        return array if self.shared == "columns" else np.ascontiguousarray(np.swapaxes(array, -1, -2))
