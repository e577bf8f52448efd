"""Classification with missing features: every client fits logistic regressions to what it has, in one of five ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.special

from clair_stats.records import FloatArray
from simulations.regimes.incomplete import IncompleteRegime
from simulations.regimes.sparse_codes import Loss

__all__ = ["IncompleteLabelsRegime"]


@dataclass(frozen=True, kw_only=True)
class IncompleteLabelsRegime(IncompleteRegime):
    """P(y_ij = 1 | z_i) = 1/(1 + exp(−z_iᵀΘ*_j)), q binary labels, and a share of the entries of Z_k is missing.

    Features, masks and handlings are those of :class:`~simulations.regimes.incomplete.IncompleteRegime`; a client whose
    labels are separated has no estimate and the federation fails.

    Notes
    -----
    ``response_scale`` is not used.  The scorer ``excess`` compares scores zᵀX with zᵀΘ*, not probabilities.
    """

    name: ClassVar[str] = "Incomplete features, labels"
    _loss: ClassVar[Loss] = "logistic"

    def _responses(self, scores: FloatArray, noise: np.random.Generator) -> FloatArray:
        """(n, q), 0 and 1."""
        return np.asarray(noise.random(scores.shape) < scipy.special.expit(scores), dtype=np.float64)
