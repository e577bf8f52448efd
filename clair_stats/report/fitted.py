"""What summaries and pictures read of a fitted model; they never import it, since it imports them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from clair_stats.detection.step_5_verdict import Consensus
from clair_stats.records import BoolArray, Combination, Decomposition, Detection, FloatArray, Refinement

__all__ = ["FittedModel"]


class FittedModel(Protocol):
    """A fitted :class:`clair_stats.CLAIR`: its settings, its results and the names of its clients."""

    @property
    def common_component(self) -> bool:
        """Whether a common component was allowed."""
        ...

    @property
    def level(self) -> float:
        """Family-wise level of detection."""
        ...

    @property
    def client_names_(self) -> tuple[str, ...]:
        """Names of the K clients."""
        ...

    @property
    def coefficients_(self) -> FloatArray:
        """A_k, shape (K, q, r)."""
        ...

    @property
    def collaborative_set_(self) -> BoolArray:
        """True: benign, shape (K,)."""
        ...

    @property
    def combination_(self) -> Combination | None:
        """What flagged clients added, where they were asked to."""
        ...

    @property
    def consensus_(self) -> Consensus:
        """How the set was found."""
        ...

    @property
    def decomposition_(self) -> Decomposition:
        """Solution of the convex program."""
        ...

    @property
    def detection_(self) -> Detection:
        """Scores and thresholds."""
        ...

    @property
    def error_is_known_(self) -> bool:
        """Whether error and true differences between clients can be told apart."""
        ...

    @property
    def flagged_(self) -> BoolArray:
        """True: contaminated, shape (K,); False for everyone without a verdict."""
        ...

    @property
    def majority_(self) -> bool:
        """Whether a collaborative set was found."""
        ...

    @property
    def module_scores_(self) -> Mapping[str, FloatArray] | None:
        """Scores by module name, (K,) each, where several modules were fitted."""
        ...

    @property
    def noise_scales_(self) -> FloatArray:
        """σ_k, shape (K,)."""
        ...

    @property
    def p_values_(self) -> FloatArray:
        """Shape (K,)."""
        ...

    @property
    def rank_(self) -> int:
        """r."""
        ...

    @property
    def refinement_(self) -> Refinement:
        """Refined estimates and their centre."""
        ...

    @property
    def residuals_(self) -> FloatArray:
        """Off-subspace residuals, shape (K, p, q)."""
        ...

    @property
    def sample_sizes_(self) -> FloatArray | None:
        """n_k, shape (K,), where only they say how the scales of the errors compare."""
        ...

    @property
    def scores_(self) -> FloatArray:
        """ρ_k, shape (K,)."""
        ...
