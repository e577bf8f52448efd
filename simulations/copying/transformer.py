"""A small decoder-only Transformer (causal attention, pre-norm), for all clients in one forward pass.

Activations carry a client axis in front, (K, n, T, width).  A weight matrix is shared, (out, in), or every client has
its own, (K, out, in); each client may add LoRA factors to any of them.  With grouped matrix products the Python and
kernel-launch overhead of a step is paid once for all clients.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

__all__ = [
    "Factors",
    "Parameters",
    "TransformerConfig",
    "adapted_product",
    "forward",
    "initial_parameters",
    "module_shapes",
]

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
    """ΔW_k = scaling · B_k A_k of every client.

    B is held transposed: products with s columns are several times slower on a CPU than products with s rows.
    """

    left: Tensor  # (K, s, out), Bᵀ
    right: Tensor  # (K, s, in), A
    scaling: float


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
    config: TransformerConfig, parameters: Parameters, tokens: Tensor, factors: Mapping[str, Factors] | None = None
) -> Tensor:
    """Logits of y_1 … y_L.

    Parameters
    ----------
    config : TransformerConfig
    parameters : mapping
        Base weights; weight matrices may carry a client axis.
    tokens : Tensor of int64, shape (K, n, 2L)
        x_1 … x_L SEP y_1 … y_{L−1}.
    factors : mapping name -> Factors, optional
        Per-client additions; modules that are missing have none.

    Returns
    -------
    Tensor, shape (K, n, L, V)
    """
    factors = factors or {}
    n_clients, n, n_tokens = tokens.shape
    head_width = config.width // config.heads
    future = torch.ones(n_tokens, n_tokens, dtype=torch.bool, device=tokens.device).triu(1)
    mask = torch.zeros_like(future, dtype=parameters["tokens"].dtype).masked_fill(future, -torch.inf)

    def linear(name: str, x: Tensor) -> Tensor:
        return _linear(x, parameters[name], factors.get(name))

    def norm(name: str, x: Tensor) -> Tensor:
        return functional.layer_norm(
            x, (config.width,), parameters[f"{name}.scale"], parameters[f"{name}.shift"], eps=1e-5
        )

    def heads(x: Tensor) -> Tensor:
        apart = x.reshape(n_clients * n, -1, config.heads, head_width).transpose(1, 2)
        return apart.reshape(n_clients * n * config.heads, -1, head_width)

    x = parameters["tokens"][tokens] + parameters["positions"]
    for layer in range(config.layers):
        normed = norm(f"{layer}.norm1", x)
        keys, values = heads(linear(f"{layer}.key", normed)), heads(linear(f"{layer}.value", normed))
        if layer == config.layers - 1:
            # Only the last L positions are read off, and nothing after this attention mixes positions.
            x, normed, mask = x[:, :, config.length :], normed[:, :, config.length :], mask[config.length :]
        queries = heads(linear(f"{layer}.query", normed))
        attention = torch.baddbmm(mask, queries, keys.transpose(1, 2), alpha=1 / math.sqrt(head_width)).softmax(-1)
        mixed = (attention @ values).view(n_clients * n, config.heads, -1, head_width).transpose(1, 2).reshape(x.shape)
        x = x + linear(f"{layer}.output", mixed)
        x = x + linear(f"{layer}.down", functional.gelu(linear(f"{layer}.up", norm(f"{layer}.norm2", x))))
    return linear("head", norm("norm", x))


def _linear(x: Tensor, weight: Tensor, factors: Factors | None) -> Tensor:
    """Multiply: x W_kᵀ for every client k, W_k = weight_k + scaling · B_k A_k; x is (K, n, T, in)."""
    flat = x.reshape(x.shape[0], -1, x.shape[-1])
    if factors is None:
        out = _product(flat, weight.mT)
    else:
        out = adapted_product(flat, weight, factors.left, factors.right, factors.scaling)
    return out.view(*x.shape[:-1], weight.shape[-2])


def adapted_product(flat: Tensor, weight: Tensor, left: Tensor, right: Tensor, scaling: float) -> Tensor:
    """x (W + scaling · leftᵀ right)ᵀ for every client.

    Parameters
    ----------
    flat : Tensor, shape (K, N, in)
    weight : Tensor, shape (out, in) or (K, out, in)
        Fixed: no gradient reaches it.
    left, right : Tensor, shapes (K, s, out) and (K, s, in)
    scaling : float

    Returns
    -------
    Tensor, shape (K, N, out)
    """
    out: Tensor = _Adapted.apply(flat, weight, left, right, scaling)  # type: ignore[no-untyped-call]
    return out


def _product(flat: Tensor, matrix: Tensor) -> Tensor:
    """(K, N, a) times (a, b) or (K, a, b); a shared matrix takes one product for all clients."""
    if matrix.ndim == 3:
        return flat @ matrix
    return (flat.reshape(-1, flat.shape[-1]) @ matrix).view(*flat.shape[:-1], matrix.shape[-1])


class _Adapted(torch.autograd.Function):
    """x W_kᵀ with a fixed weight and trainable factors.

    Its gradients are those that automatic differentiation finds.  They are written out so that the thin products have s
    as their number of rows, and add to the large ones in place: half the time of a training step otherwise.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - the context is what PyTorch makes it
        flat: Tensor,
        weight: Tensor,
        left: Tensor,
        right: Tensor,
        scaling: float,
    ) -> Tensor:
        low = flat @ right.mT
        ctx.save_for_backward(flat, weight, left, right, low)
        ctx.scaling = scaling
        return _product(flat, weight.mT).baddbmm_(low, left, alpha=scaling)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,  # noqa: ANN401
        slope: Tensor,
    ) -> tuple[Tensor | None, None, Tensor, Tensor, None]:
        flat, weight, left, right, low = ctx.saved_tensors
        of_low = (slope @ left.mT).mul_(ctx.scaling)
        of_left = (low.mT @ slope).mul_(ctx.scaling)
        of_right = of_low.mT @ flat
        of_flat = _product(slope, weight).baddbmm_(of_low, right) if ctx.needs_input_grad[0] else None
        return of_flat, None, of_left, of_right, None
