"""Client blocks on a common noise scale: the form in which detection computes.

Dividing client k by its relative noise scale s_k turns weights 1/s_k² into plain sums: Y_k = X_k/s_k has noise of one
common variance φ², and the common component enters it with the design weight c_k = 1/s_k (0 when it is fixed to 0).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from clair_stats.detection.covariance import ErrorCovariances, pool_covariances
from clair_stats.detection.whiteness import covariance_edge, noise_edge
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import entrywise_median
from clair_stats.records import FloatArray

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
    covariances: ErrorCovariances | None = None  # then Y_k = W_R X_k W_S / s_k

    @cached_property
    def robust_center(self) -> FloatArray:
        """Entrywise median of the X_k, shape (p, q); 0 without a common component."""
        if not self.common_component:
            return np.zeros(self.blocks.shape[1:])
        return entrywise_median(self.blocks / self.design[:, None, None])

    @cached_property
    def moments(self) -> tuple[FloatArray, FloatArray, FloatArray] | None:
        """Robust centre M₀ (p, q), shifted blocks Y_k − c_kM₀ (K, pq) and their scatters (K, p²), formed once.

        Fits on many sets of clients are sums over these.  None for tall blocks, where K p² numbers are too many.
        """
        n_clients, p, q = self.blocks.shape
        if p > 4 * q:
            return None
        shifted = self.blocks - self.design[:, None, None] * self.robust_center
        scatters = shifted @ shifted.transpose(0, 2, 1)
        return self.robust_center, shifted.reshape(n_clients, -1), scatters.reshape(n_clients, -1)

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

    @property
    def entry_scales(self) -> FloatArray:
        """σ_k/φ, (K,): σ_k the root mean variance of an entry of X_k; s_k unless covariances turned the scale."""
        law = self.covariances
        if law is None or self.noise is None:
            return self.scales
        rows, columns = (
            np.einsum("ij,kjl,li->k", inverse, matrices, inverse, optimize=True) / inverse.shape[0]
            for inverse, matrices in ((law.left_inverse, law.rows), (law.right_inverse, law.columns))
        )
        return np.asarray(self.scales * np.sqrt(rows * columns) / self.noise)

    @property
    def stretch(self) -> float:
        """Largest factor by which the Frobenius norm of a block can grow on the way from X_k to s_k Y_k."""
        law = self.covariances
        return 1.0 if law is None else float(np.linalg.norm(law.left, 2) * np.linalg.norm(law.right, 2))


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


def panel_of(
    record: ClientEstimates,
    blocks: FloatArray | None = None,
    *,
    common_component: bool = True,
    shared: Literal["columns", "rows"] = "columns",
) -> Panel:
    """Panel of a checked record, on ``blocks`` when these replace its own (transposed or compressed)."""
    if blocks is None:
        blocks = record.dense()
    if record.row_covariances is not None:
        return _panel_with_covariances(record, blocks, common_component=common_component, shared=shared)
    return make_panel(
        blocks,
        noise_scales=record.noise_scales,
        sample_sizes=record.sample_sizes,
        common_component=common_component,
    )


def _panel_with_covariances(
    record: ClientEstimates, blocks: FloatArray, *, common_component: bool, shared: Literal["columns", "rows"]
) -> Panel:
    """Blocks on the scale on which the covariances average to I.

    φ stands for the noise wherever entries are taken for i.i.d.: it makes their edge that of the real errors of half
    the clients.  The tests and the edge that decide use the covariances themselves.
    """
    assert record.row_covariances is not None
    rows, columns = record.row_covariances, record.column_covariances
    if columns is None:
        columns = np.broadcast_to(np.eye(record.block_shape[1]), (record.n_clients, *(2 * record.block_shape[1:])))
    if shared == "rows":
        rows, columns = columns, rows
    law, scales = pool_covariances(
        rows, columns, record.residual_degrees_of_freedom, "columns" if shared == "columns" else "rows"
    )
    panel = make_panel(law.left @ blocks @ law.right, noise_scales=scales, common_component=common_component)
    n_clients, p, q = panel.shape
    width = max((n_clients // 2 + 1 - int(common_component)) * q, 1)
    everyone = np.ones(n_clients, dtype=np.bool_)
    edge = covariance_edge(law, np.zeros((p, 0)), everyone, width)
    return replace(panel, covariances=law, noise=float(np.sqrt(edge / noise_edge(p, width))))
