"""Local fine-tuning of all clients: batched in one forward pass, or client after client with the same numbers.

The clients' losses are added, and a client's factors enter its own loss only, so the gradient of the sum is every
client's own gradient; AdamW works entry by entry.  Batched and sequential training are therefore the same iteration, up
to the order in which floating-point sums are taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from clair_stats.records import FloatArray
from simulations.copying.federation import ClientData
from simulations.copying.lora import LoRA, LoRAUpdates, Updates, merged
from simulations.copying.pretrain import BaseModel
from simulations.copying.transformer import Factors, TransformerConfig, forward

__all__ = ["FineTuning", "finetune", "pick_device", "sequence_tokens"]


@dataclass(frozen=True)
class FineTuning:
    """AdamW on minibatches drawn with replacement from the client's own sequences.

    Parameters
    ----------
    steps, batch : int
        Steps, and sequences of every client per step.
    learning_rate, weight_decay : float
        Constant over the steps.
    """

    steps: int = 150
    batch: int = 8
    learning_rate: float = 5e-3
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} must be at least 1")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate: {self.learning_rate} must be positive and finite")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise ValueError(f"weight_decay: {self.weight_decay} must be finite and not negative")


def pick_device(name: str = "auto") -> torch.device:
    """``"auto"``: the GPU when there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def sequence_tokens(config: TransformerConfig, x: Tensor, y: Tensor) -> Tensor:
    """x_1 … x_L SEP y_1 … y_{L−1}, shape (K, n, 2L), from x and y of shape (K, n, L)."""
    separator = torch.full_like(x[:, :, :1], config.vocabulary)
    return torch.cat([x, separator, y[:, :, :-1]], dim=2)


def finetune(
    base: BaseModel,
    data: ClientData,
    lora: LoRA,
    training: FineTuning,
    *,
    initial_right: Mapping[str, FloatArray],
    generator: np.random.Generator,
    offsets: Updates | None = None,
    start: Mapping[str, tuple[FloatArray, FloatArray]] | None = None,
    trained: Literal["both", "left", "right"] = "both",
    batched: bool = True,
    device: str = "auto",
    dtype: torch.dtype = torch.float32,
) -> LoRAUpdates:
    """LoRA factors of every client after its own training.

    Parameters
    ----------
    base : BaseModel
    data : ClientData
        Sequences of K clients.
    lora, training : LoRA, FineTuning
    initial_right : mapping name -> array (s, in)
        The A from which all clients start; B starts at zero.
    generator : numpy.random.Generator
        Draws the minibatches, for all clients and steps at once; so they do not depend on ``batched`` or ``device``.
    offsets : mapping name -> array (K, out, in), optional
        Fixed ΔW_k already added to the base weights, from earlier rounds.
    start : mapping name -> (array (K, out, s), array (K, s, in)), optional
        The B and A from which every client goes on, in the place of zero and ``initial_right``.
    trained : {"both", "left", "right"}
        Whether both factors move, B alone or A alone.
    batched : bool
        False trains client after client: the slow version.
    device, dtype
        Where and in which precision to compute; "auto" takes a GPU when present.

    Returns
    -------
    LoRAUpdates
        Without the offsets.
    """
    n_clients = data.n_clients
    # (K, steps, batch): which of its own sequences a client sees at each step.
    picks = (generator.random((n_clients, training.steps, training.batch)) * data.sample_sizes[:, None, None]).astype(
        np.int64
    )
    groups = [slice(0, n_clients)] if batched else [slice(k, k + 1) for k in range(n_clients)]
    parts = []
    for group in groups:
        own = None if offsets is None else {name: blocks[group] for name, blocks in offsets.items()}
        where = pick_device(device)
        factors = _beginning(base, lora, initial_right, start, group, trained, where, dtype)
        parts.append(_train(base, data.x[group], data.y[group], picks[group], training, factors, own, where, dtype))
    names = list(initial_right)
    return LoRAUpdates(
        left={name: np.concatenate([part[0][name] for part in parts]) for name in names},
        right={name: np.concatenate([part[1][name] for part in parts]) for name in names},
        scaling=lora.scaling,
    )


def _beginning(
    base: BaseModel,
    lora: LoRA,
    initial_right: Mapping[str, FloatArray],
    start: Mapping[str, tuple[FloatArray, FloatArray]] | None,
    group: slice,
    trained: str,
    where: torch.device,
    dtype: torch.dtype,
) -> dict[str, Factors]:
    """The factors of the clients in ``group`` before training; those that move ask for gradients."""
    n_clients = group.stop - group.start
    factors: dict[str, Factors] = {}
    for name, right in initial_right.items():
        if start is None:
            moved = torch.as_tensor(np.array(right), device=where, dtype=dtype).expand(n_clients, -1, -1).clone()
            zero = torch.zeros(n_clients, right.shape[0], base.parameters[name].shape[0], device=where, dtype=dtype)
        else:
            left, own = start[name]
            zero = torch.tensor(np.swapaxes(left[group], 1, 2).copy(), device=where, dtype=dtype)
            moved = torch.tensor(np.array(own[group]), device=where, dtype=dtype)
        factors[name] = Factors(
            zero.requires_grad_(trained != "right"), moved.requires_grad_(trained != "left"), lora.scaling
        )
    return factors


def _train(
    base: BaseModel,
    x: np.ndarray,
    y: np.ndarray,
    picks: np.ndarray,
    training: FineTuning,
    factors: dict[str, Factors],
    offsets: Updates | None,
    where: torch.device,
    dtype: torch.dtype,
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    parameters = merged(base.to(where, dtype), offsets or {})
    trained = [tensor for pair in factors.values() for tensor in (pair.left, pair.right) if tensor.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=training.learning_rate, weight_decay=training.weight_decay, fused=True)
    sources, targets = (torch.as_tensor(np.array(a), device=where) for a in (x, y))
    chosen = torch.as_tensor(picks, device=where)
    clients = torch.arange(x.shape[0], device=where)[:, None]
    for step in range(training.steps):
        batch_x, batch_y = sources[clients, chosen[:, step]], targets[clients, chosen[:, step]]
        logits = forward(base.config, parameters, sequence_tokens(base.config, batch_x, batch_y), factors)
        # Mean over a client's own tokens, sum over clients: every client sees the gradient of its own mean loss.
        loss = functional.cross_entropy(logits.flatten(0, 2), batch_y.flatten(), reduction="sum") / batch_y[0].numel()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    def found(tensor: Tensor) -> FloatArray:
        return tensor.detach().cpu().numpy().astype(np.float64)

    lefts = {name: np.ascontiguousarray(np.swapaxes(found(pair.left), 1, 2)) for name, pair in factors.items()}
    return lefts, {name: found(pair.right) for name, pair in factors.items()}
