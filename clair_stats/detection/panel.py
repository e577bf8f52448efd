"""Client blocks on a common noise scale: the form in which detection computes.

Dividing client k by its relative noise scale s_k turns weights 1/s_k² into plain sums: Y_k = X_k/s_k has noise of one
common variance φ², and the common component enters it with the design weight c_k = 1/s_k (0 when it is fixed to 0).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from clair_stats.linalg import entrywise_median
from clair_stats.records import ClientEstimates, FloatArray

__all__ = ["Panel", "make_panel"]

# Residuals below this multiple of the typical entry are rounding, not noise: products and projections of well-scaled
# float64 blocks are exact to about 1e-14 of their largest part.
_ROUNDING = 1e-11
_UNEQUAL = 2.0


@dataclass(frozen=True, eq=False)
class Panel:
    """Whitened blocks."""

    blocks: FloatArray  # (K, p, q), Y_k = X_k / s_k
    design: FloatArray  # (K,), c_k = 1/s_k, or 0 without common component
    scales: FloatArray  # (K,), s_k
    noise: float | None  # φ when known, None when it has to be estimated
    floor: float  # smallest noise level told apart from rounding, on the scale of the Y_k
    energies: FloatArray  # (K,), ‖Y_k‖_F²

    @cached_property
    def moments(self) -> tuple[FloatArray, FloatArray, FloatArray] | None:
        """Robust centre M₀ (p, q), shifted blocks Y_k − c_kM₀ (K, pq) and their scatters (K, p²), formed once.

        Fits on many sets of clients are sums over these.  None for tall blocks, where K p² numbers are too many.
        """
        n_clients, p, q = self.blocks.shape
        if p > 4 * q:
            return None
        if self.common_component:
            center = entrywise_median(self.blocks / self.design[:, None, None])
            shifted = self.blocks - self.design[:, None, None] * center
        else:
            center, shifted = np.zeros((p, q)), self.blocks
        scatters = shifted @ shifted.transpose(0, 2, 1)
        return center, shifted.reshape(n_clients, -1), scatters.reshape(n_clients, -1)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(K, p, q)."""
        n_clients, p, q = self.blocks.shape
        return n_clients, p, q

    @property
    def unequal_scales(self) -> bool:
        """Whether some clients are so much more precise than others that a search has to look at them apart."""
        return bool(self.scales.max() > _UNEQUAL * self.scales.min())

    @property
    def common_component(self) -> bool:
        """Whether the common component is free."""
        return bool(self.design.any())


def make_panel(
    blocks: FloatArray,
    *,
    noise_scales: FloatArray | None = None,
    sample_sizes: FloatArray | None = None,
    common_component: bool = True,
) -> Panel:
    """Whiten blocks (K, p, q).

    Known ``noise_scales`` σ_k give s_k = σ_k and φ = 1.  ``sample_sizes`` n_k alone give the relative scale
    s_k ∝ 1/√n_k with φ unknown.  Without either all clients are taken to have the same, unknown noise: unequal unknown
    scales cannot be told from scattered contamination.
    """
    n_clients = blocks.shape[0]
    noise: float | None = None
    if noise_scales is not None:
        scales = np.asarray(noise_scales, dtype=np.float64)
        noise = 1.0
    elif sample_sizes is not None:
        inverse = 1.0 / np.sqrt(np.asarray(sample_sizes, dtype=np.float64))
        scales = inverse / np.exp(np.mean(np.log(inverse)))
    else:
        scales = np.ones(n_clients)
    whitened = np.ascontiguousarray(blocks / scales[:, None, None])
    energies = np.einsum("kij,kij->k", whitened, whitened)
    typical = float(np.sqrt(np.median(energies) / (blocks.shape[1] * blocks.shape[2])))
    design = 1.0 / scales if common_component else np.zeros(n_clients)
    return Panel(whitened, design, scales, noise, max(_ROUNDING * typical, np.finfo(float).tiny ** 0.5), energies)


def panel_of(record: ClientEstimates, blocks: FloatArray | None = None, *, common_component: bool = True) -> Panel:
    """Panel of a checked record, on ``blocks`` when these replace its own (transposed or compressed)."""
    return make_panel(
        record.dense() if blocks is None else blocks,
        noise_scales=record.noise_scales,
        sample_sizes=record.sample_sizes,
        common_component=common_component,
    )
