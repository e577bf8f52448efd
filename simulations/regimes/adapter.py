"""Clients that send low-rank updates: the textbook estimate cut to the rank of an adapter.

A LoRA update B_kA_k has rank s at most, so its error is of rank about s too, and not white inside a client.  The regime
is the Gaussian one whose estimates are replaced by their best approximations of rank s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from simulations.regimes.gaussian import GaussianRegime
from simulations.regimes.instance import Instance
from simulations.streams import Streams

__all__ = ["AdapterRegime"]


@dataclass(frozen=True, kw_only=True)
class AdapterRegime(GaussianRegime):
    """Gaussian estimates of clients, each cut to ``adapter_ranks``.

    Parameters
    ----------
    adapter_ranks : tuple of int
        Ranks s, handed to the clients in turn; one entry gives every client the same.
    """

    name: ClassVar[str] = "adapter"

    adapter_ranks: tuple[int, ...] = (8,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.adapter_ranks or min(self.adapter_ranks) < 1:
            raise ValueError(f"adapter_ranks: {self.adapter_ranks} must hold at least one rank, each at least 1")

    def generate(self, streams: Streams) -> Instance:
        """Draw the Gaussian instance and cut its estimates; the targets stay as they are."""
        instance = super().generate(streams)
        values = instance.estimates.dense()
        ranks = np.resize(np.asarray(self.adapter_ranks), len(values))
        left, sizes, right = np.linalg.svd(values, full_matrices=False)
        kept = np.where(np.arange(sizes.shape[1]) < ranks[:, None], sizes, 0.0)
        return replace(instance, estimates=replace(instance.estimates, values=(left * kept[:, None, :]) @ right))
