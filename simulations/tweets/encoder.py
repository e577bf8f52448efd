"""MiniLM (a BERT encoder of six layers) in plain PyTorch: the frozen layers, and the last one under LoRA.

Only the last layer is adapted, and only its first token is read, so that keys and values are all that is computed of
the other tokens: what the frozen layers make of a text is computed once and kept (Devlin and others 2019; Wang and
others 2020; weights: sentence-transformers/all-MiniLM-L6-v2, Apache-2.0).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from torch.nn import functional

__all__ = ["MODULES", "Encoder", "first_token", "frozen_part", "read_encoder"]

# The adapted matrices of the last layer.
MODULES = ("query", "key", "value", "output")
_EPSILON = 1e-12  # of layer normalisation
_NAMES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "output": "attention.output.dense",
    "up": "intermediate.dense",
    "down": "output.dense",
}


@dataclass(frozen=True, eq=False)
class Encoder:
    """Parameters by their names in the file, without a prefix."""

    parameters: Mapping[str, Tensor]
    heads: int
    layers: int

    @property
    def width(self) -> int:
        """d, numbers per token."""
        return int(self.parameters["embeddings.word_embeddings.weight"].shape[1])

    def linear(self, layer: int, name: str, inputs: Tensor) -> Tensor:
        """One of the linear maps of a layer.

        Parameters
        ----------
        layer : int
            From 0.
        name : str
            One of "query", "key", "value", "output", "up", "down".
        inputs : Tensor, shape (…, in)
        """
        place = f"encoder.layer.{layer}.{_NAMES[name]}"
        return functional.linear(inputs, self.parameters[f"{place}.weight"], self.parameters[f"{place}.bias"])

    def normed(self, place: str, inputs: Tensor) -> Tensor:
        """Layer normalisation with the parameters of that place.

        Parameters
        ----------
        place : str
            For example "embeddings".
        inputs : Tensor, shape (…, d)
        """
        weight, bias = (self.parameters[f"{place}.LayerNorm.{kind}"] for kind in ("weight", "bias"))
        return functional.layer_norm(inputs, (self.width,), weight, bias, _EPSILON)

    def after_attention(self, layer: int, before: Tensor, attended: Tensor) -> Tensor:
        """What a layer makes of its input and of what was attended to: residual, norm, feed-forward, residual, norm.

        Parameters
        ----------
        layer : int
            From 0.
        before, attended : Tensor, shape (…, d)
            The layer's input, and the output of its attention.
        """
        place = f"encoder.layer.{layer}"
        mixed = self.normed(f"{place}.attention.output", before + attended)
        inner = functional.gelu(self.linear(layer, "up", mixed))
        return self.normed(f"{place}.output", mixed + self.linear(layer, "down", inner))


def read_encoder(file: Path, heads: int, layers: int) -> Encoder:
    """An encoder from a file of weights.

    Parameters
    ----------
    file : Path
        Safetensors, named as in BERT.
    heads, layers : int
        From the model's configuration.
    """
    from safetensors.torch import load_file

    return Encoder(load_file(file), heads, layers)


def frozen_part(encoder: Encoder, tokens: Tensor, mask: Tensor) -> Tensor:
    """What all layers but the last make of texts.

    Parameters
    ----------
    encoder : Encoder
    tokens : Tensor of int, shape (n, L)
    mask : Tensor of bool, shape (n, L)
        True = a token, False = padding.

    Returns
    -------
    Tensor, shape (n, L, d)
    """
    parameters = encoder.parameters
    embedded = parameters["embeddings.word_embeddings.weight"][tokens]
    embedded = embedded + parameters["embeddings.position_embeddings.weight"][: tokens.shape[1]]
    hidden = encoder.normed("embeddings", embedded + parameters["embeddings.token_type_embeddings.weight"][0])
    for layer in range(encoder.layers - 1):
        query, key, value = (encoder.linear(layer, name, hidden) for name in ("query", "key", "value"))
        mixed = _attention(query, key, value, mask, encoder.heads)
        hidden = encoder.after_attention(layer, hidden, encoder.linear(layer, "output", mixed))
    return hidden


def first_token(encoder: Encoder, hidden: Tensor, mask: Tensor, updates: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
    """The first token after the last layer, with W + BA in the place of the matrices that are adapted.

    Parameters
    ----------
    encoder : Encoder
    hidden : Tensor, shape (K, n, L, d)
        Of :func:`frozen_part`.
    mask : Tensor of bool, shape (K, n, L)
    updates : mapping of str to pair of Tensor, shapes (K, d, s) and (K, s, d)
        B and A by module; empty: the encoder as it is.

    Returns
    -------
    Tensor, shape (K, n, d)
    """
    last = encoder.layers - 1

    def adapted(name: str, inputs: Tensor) -> Tensor:
        found = encoder.linear(last, name, inputs)
        if name not in updates:
            return found
        left, right = updates[name]
        flat = inputs.flatten(1, -2)  # (K, m, d)
        return found + (flat @ right.mT @ left.mT).reshape(found.shape)

    first = hidden[..., :1, :]
    mixed = _attention(adapted("query", first), adapted("key", hidden), adapted("value", hidden), mask, encoder.heads)
    return encoder.after_attention(last, first, adapted("output", mixed)).squeeze(-2)


def _attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, heads: int) -> Tensor:
    """Several heads; query (…, m, d), key and value (…, L, d), mask (…, L)."""
    width = query.shape[-1] // heads
    parts = [whole.reshape(*whole.shape[:-1], heads, width).transpose(-2, -3) for whole in (query, key, value)]
    scores = parts[0] @ parts[1].mT / math.sqrt(width)
    scores = scores.masked_fill(~mask[..., None, None, :], -math.inf)
    mixed: Tensor = scores.softmax(-1) @ parts[2]
    return mixed.transpose(-2, -3).flatten(-2)
