"""The textbook model: X_k = Θ*_k + E_k with i.i.d. N(0, σ_k²) entries, and its noiseless limit σ = 0."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from clair_stats.estimates import ClientEstimates
from simulations.regimes.instance import Instance
from simulations.regimes.structure import SharedStructure, log_uniform
from simulations.streams import Streams

__all__ = ["GaussianRegime"]


@dataclass(frozen=True, kw_only=True)
class GaussianRegime(SharedStructure):
    """Local estimators with added Gaussian error (theory.md sections 1 and 5).

    Parameters
    ----------
    noise_scale : float
        σ, geometric centre of the σ_k on the scale of the estimates; 0 for exact estimates.
    noise_spread : float
        Largest over smallest σ_k, log-uniform in between.
    sample_size, sample_size_spread : int or None, float
        n_k, log-uniform around ``sample_size``; then σ_k is multiplied by √(sample_size/n_k) and n_k is handed to the
        methods.  None: no sample sizes.
    noise_known : bool
        Whether the methods are given σ_k.

    Notes
    -----
    ``extras``: ``attacked`` (K,) bool, ``noise_scales`` (K,) the true σ_k, whether or not the methods see them.
    """

    name: ClassVar[str] = "gaussian"

    noise_scale: float = 0.1
    noise_spread: float = 1.0
    sample_size: int | None = None
    sample_size_spread: float = 1.0
    noise_known: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.noise_scale) and self.noise_scale >= 0.0):
            raise ValueError(
                f"noise_scale: {self.noise_scale} must be finite and not negative; 0 gives exact estimates"
            )
        for name in ("noise_spread", "sample_size_spread"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 1.0):
                raise ValueError(f"{name}: {getattr(self, name)} must be at least 1 (largest over smallest)")
        if self.sample_size is not None and self.sample_size < 1:
            raise ValueError(f"sample_size: {self.sample_size} must be at least 1, or None for no sample sizes")

    def generate(self, streams: Streams) -> Instance:
        """Draw truth ("truth", "contamination"), client scales ("data") and errors ("noise")."""
        truth = self.draw_truth(streams)
        scales_generator = streams.generator("data")
        noise_scales = log_uniform(self.noise_scale, self.noise_spread, self.n_clients, scales_generator)
        sample_sizes = None
        if self.sample_size is not None:
            drawn = log_uniform(self.sample_size, self.sample_size_spread, self.n_clients, scales_generator)
            sample_sizes = drawn.round().clip(min=1.0)
            noise_scales = noise_scales * (self.sample_size / sample_sizes) ** 0.5
        errors = streams.generator("noise").standard_normal(truth.targets.shape)
        return truth.seen_as(
            ClientEstimates(
                values=truth.targets + noise_scales[:, None, None] * errors,
                # A record refuses σ_k = 0; exact estimates come without noise scales.
                noise_scales=noise_scales if self.noise_known and self.noise_scale > 0.0 else None,
                sample_sizes=sample_sizes,
            ),
            {"attacked": truth.attacked, "noise_scales": noise_scales},
        )
