"""LoRA (Hu et al. 2022): ΔW = (α/s) B A with B starting at zero and a random A that all clients share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clair_stats.estimates import ClientEstimates
from clair_stats.records import FloatArray
from simulations.copying.transformer import Parameters, TransformerConfig, module_shapes

__all__ = ["KINDS", "LoRA", "LoRAUpdates", "Updates", "merged"]

KINDS = ("query", "key", "value", "output", "up", "down", "head")

Updates = Mapping[str, FloatArray]  # module name -> ΔW of every client, (K, out, in)


@dataclass(frozen=True)
class LoRA:
    """Which matrices are adapted, and how.

    Parameters
    ----------
    rank : int
        s, inner dimension of the factors.
    alpha : float
        ΔW is scaled by α/s, as in the LoRA paper.
    kinds : tuple of str
        Kinds of matrices to adapt in every layer: attention ("query", "key", "value", "output"), feed-forward ("up",
        "down") and the "head".
    """

    rank: int = 4
    alpha: float = 4.0
    kinds: tuple[str, ...] = ("value", "output", "up", "down", "head")

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank: {self.rank} must be at least 1")
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            raise ValueError(f"kinds: {unknown or 'none given'}; choose from {', '.join(KINDS)}")

    @property
    def scaling(self) -> float:
        """α/s."""
        return self.alpha / self.rank

    def modules(self, config: TransformerConfig) -> dict[str, tuple[int, int]]:
        """Adapted matrices, name -> (out, in)."""
        return {name: shape for name, shape in module_shapes(config).items() if name.rsplit(".", 1)[-1] in self.kinds}

    def initial_right(self, config: TransformerConfig, generator: np.random.Generator) -> dict[str, FloatArray]:
        """The shared initial A of every module, (s, in), entries N(0, 1/in)."""
        return {
            name: generator.standard_normal((self.rank, columns)) / np.sqrt(columns)
            for name, (_, columns) in self.modules(config).items()
        }


@dataclass(frozen=True, eq=False)
class LoRAUpdates:
    """Trained factors of all clients: B (K, out, s), A (K, s, in), per module, ΔW_k = scaling · B_k A_k."""

    left: dict[str, FloatArray]
    right: dict[str, FloatArray]
    scaling: float

    def dense(self) -> dict[str, FloatArray]:
        """ΔW of every client and module, name -> (K, out, in)."""
        return {name: self.scaling * (self.left[name] @ self.right[name]) for name in self.left}

    def estimates(self, *, shared: str = "columns") -> dict[str, ClientEstimates]:
        """Factor records per module for the decomposition; transposed when the rows are shared."""
        records = {}
        for name, left in self.left.items():
            pairs = [(self.scaling * b, a) for b, a in zip(left, self.right[name], strict=True)]
            if shared == "rows":
                pairs = [(a.T, b.T) for b, a in pairs]
            records[name] = ClientEstimates(factors=tuple(pairs))
        return records


def merged(parameters: Parameters, updates: Updates) -> dict[str, Tensor]:
    """The parameters with every client's own W + ΔW_k, (K, out, in), in place of the updated matrices."""
    own = {
        name: parameters[name] + torch.as_tensor(np.array(blocks)).to(parameters[name])
        for name, blocks in updates.items()
    }
    return {**parameters, **own}
