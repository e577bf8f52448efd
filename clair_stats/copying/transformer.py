"""A small decoder-only Transformer (causal attention, pre-norm), for all clients in one forward pass.

Activations carry a client axis in front, (K, n, T, width); weights are shared, and each client may add its own ΔW_k to
any weight matrix, dense (K, out, in) or as LoRA factors.  With grouped matrix products the Python and kernel-launch
overhead of a step is paid once for all clients.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Delta", "Factors", "TransformerConfig", "forward", "initial_parameters", "module_shapes"]

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of the model.

    Parameters
    ----------
    vocabulary : int
        V content tokens; the separator is one more, token V.
    length : int
        L, tokens to copy; the model reads x_1 … x_L SEP y_1 … y_{L−1}, 2L tokens.
    width, layers, heads, feed_forward : int
        Model width, blocks, attention heads (dividing the width) and hidden width of the feed-forward part.
    """

    vocabulary: int = 32
    length: int = 8
    width: int = 64
    layers: int = 2
    heads: int = 4
    feed_forward: int = 256

    def __post_init__(self) -> None:
        for name in ("vocabulary", "length", "width", "layers", "heads", "feed_forward"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} must be at least 1")
        if self.width % self.heads:
            raise ValueError(f"heads: {self.heads} does not divide the width {self.width}; choose a divisor")


@dataclass(frozen=True, eq=False)
class Factors:
    """ΔW_k = scaling · B_k A_k of every client."""

    left: Tensor  # (K, out, s), B
    right: Tensor  # (K, s, in), A
    scaling: float

    def dense(self) -> Tensor:
        """(K, out, in)."""
        return self.scaling * (self.left @ self.right)


@dataclass(frozen=True, eq=False)
class Delta:
    """What clients add to one weight matrix: a fixed dense part, trainable factors, either or both."""

    dense: Tensor | None = None  # (K, out, in)
    factors: Factors | None = None


def module_shapes(config: TransformerConfig) -> dict[str, tuple[int, int]]:
    """Weight matrices that can be adapted, name -> (out, in), in the order in which the network applies them."""
    d, h = config.width, config.feed_forward
    shapes: dict[str, tuple[int, int]] = {}
    for layer in range(config.layers):
        for name in ("query", "key", "value", "output"):
            shapes[f"{layer}.{name}"] = (d, d)
        shapes[f"{layer}.up"] = (h, d)
        shapes[f"{layer}.down"] = (d, h)
    shapes["head"] = (config.vocabulary, d)
    return shapes


def initial_parameters(config: TransformerConfig, seed: int) -> dict[str, Tensor]:
    """Random weights on the CPU: N(0, 1/fan_in), residual branches divided by √(2·layers), norms at one and zero."""
    generator = torch.Generator().manual_seed(seed)
    parameters: dict[str, Tensor] = {}
    for name, (rows, columns) in module_shapes(config).items():
        weight = torch.randn(rows, columns, generator=generator) / math.sqrt(columns)
        if name.endswith((".output", ".down")):
            weight = weight / math.sqrt(2 * config.layers)
        parameters[name] = weight
    parameters["tokens"] = torch.randn(config.vocabulary + 1, config.width, generator=generator)
    parameters["positions"] = torch.randn(2 * config.length, config.width, generator=generator)
    for norm in [f"{layer}.{which}" for layer in range(config.layers) for which in ("norm1", "norm2")] + ["norm"]:
        parameters[f"{norm}.scale"] = torch.ones(config.width)
        parameters[f"{norm}.shift"] = torch.zeros(config.width)
    return parameters


def forward(
    config: TransformerConfig, parameters: Parameters, tokens: Tensor, deltas: Mapping[str, Delta] | None = None
) -> Tensor:
    """Logits of y_1 … y_L.

    Parameters
    ----------
    config : TransformerConfig
    parameters : mapping
        Shared base weights.
    tokens : Tensor of int64, shape (K, n, 2L)
        x_1 … x_L SEP y_1 … y_{L−1}.
    deltas : mapping name -> Delta, optional
        Per-client additions; modules that are missing use the base weight.

    Returns
    -------
    Tensor, shape (K, n, L, V)
    """
    deltas = deltas or {}
    n_clients, n, n_tokens = tokens.shape
    head_width = config.width // config.heads
    mask = torch.ones(n_tokens, n_tokens, dtype=torch.bool, device=tokens.device).tril()

    def linear(name: str, x: Tensor) -> Tensor:
        return _linear(parameters[name], x, deltas.get(name))

    def norm(name: str, x: Tensor) -> Tensor:
        return functional.layer_norm(
            x, (config.width,), parameters[f"{name}.scale"], parameters[f"{name}.shift"], eps=1e-5
        )

    def heads(x: Tensor) -> Tensor:
        return x.reshape(n_clients * n, -1, config.heads, head_width).transpose(1, 2)

    x = parameters["tokens"][tokens] + parameters["positions"]
    for layer in range(config.layers):
        normed = norm(f"{layer}.norm1", x)
        keys, values = heads(linear(f"{layer}.key", normed)), heads(linear(f"{layer}.value", normed))
        if layer == config.layers - 1:
            # Only the last L positions are read off, and nothing after this attention mixes positions.
            x, normed, mask = x[:, :, config.length :], normed[:, :, config.length :], mask[config.length :]
        queries = heads(linear(f"{layer}.query", normed))
        scores = queries @ keys.transpose(-1, -2) / math.sqrt(head_width)
        attention = scores.masked_fill(~mask, -torch.inf).softmax(-1)
        mixed = (attention @ values).transpose(1, 2).reshape(x.shape)
        x = x + linear(f"{layer}.output", mixed)
        x = x + linear(f"{layer}.down", functional.gelu(linear(f"{layer}.up", norm(f"{layer}.norm2", x))))
    return linear("head", norm("norm", x))


def _linear(weight: Tensor, x: Tensor, delta: Delta | None) -> Tensor:
    """Multiply: x W_kᵀ for every client k, W_k = W + dense_k + scaling · B_k A_k; x is (K, n, T, in)."""
    if delta is None or (delta.dense is None and delta.factors is None):
        return x @ weight.T
    flat = x.reshape(x.shape[0], -1, x.shape[-1])
    out = flat @ (weight.T if delta.dense is None else (weight + delta.dense).transpose(1, 2))
    if delta.factors is not None:
        low = (flat @ delta.factors.right.transpose(1, 2)) * delta.factors.scaling
        out = torch.baddbmm(out, low, delta.factors.left.transpose(1, 2))
    return out.reshape(*x.shape[:-1], weight.shape[0])
