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
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["MODULES", "Encoder", "Seen", "first_token", "frozen_part", "read_encoder"]

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


class Seen(NamedTuple):
    """What does not depend on an adapter, of each text: input, keys and values of the last layer."""

    hidden: Tensor  # (…, n, L, d)
    keys: Tensor  # (…, n, L, d)
    values: Tensor  # (…, n, L, d)
    mask: Tensor  # (…, n, L), True = a token

    @classmethod
    def of(cls, encoder: Encoder, hidden: Tensor, mask: Tensor) -> Seen:
        """Keys and values of the encoder as it is.

        Parameters
        ----------
        encoder : Encoder
        hidden : Tensor, shape (…, n, L, d)
            Of :func:`frozen_part`.
        mask : Tensor of bool, shape (…, n, L)
        """
        last = encoder.layers - 1
        return cls(hidden, encoder.linear(last, "key", hidden), encoder.linear(last, "value", hidden), mask)

    def half(self) -> Seen:
        """In half precision."""
        return Seen(self.hidden.half(), self.keys.half(), self.values.half(), self.mask)

    def at(self, numbers: Tensor) -> Seen:
        """Some of the texts, in single precision.

        Parameters
        ----------
        numbers : Tensor of int, any shape
        """
        hidden, keys, values = (part[numbers].float() for part in (self.hidden, self.keys, self.values))
        return Seen(hidden, keys, values, self.mask[numbers])


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


def first_token(encoder: Encoder, seen: Seen, updates: Mapping[str, tuple[Tensor, Tensor | None]]) -> Tensor:
    """The first token after the last layer, with W + BA in the place of the matrices that are adapted.

    Parameters
    ----------
    encoder : Encoder
    seen : Seen
        Of K × n texts.
    updates : mapping of str to pair of Tensor, shapes (K, d, s) and (K, s, d)
        B and A by module, or ΔW (K, d, d) and None; empty: the encoder as it is.

    Returns
    -------
    Tensor, shape (K, n, d)
    """
    last, heads = encoder.layers - 1, encoder.heads

    def adapted(name: str, inputs: Tensor) -> Tensor:
        found = encoder.linear(last, name, inputs)
        return found + _reduced(inputs, updates[name][1]) @ updates[name][0].mT[:, None] if name in updates else found

    def by_head(whole: Tensor) -> Tensor:
        return whole.reshape(*whole.shape[:-1], heads, -1).transpose(-2, -3)

    # Keys and values are changed by few ranks, which are put in where they are used: qᵀ(k + BAx) = qᵀk + (Bᵀq)ᵀAx, and
    # likewise for the weighted sum of values.  Nothing of the size of all tokens is formed but the Ax.
    first = seen.hidden[..., :1, :]
    query = by_head(adapted("query", first)).squeeze(-2)  # (K, n, heads, d/heads)
    scores = torch.einsum("knhw,knhlw->knhl", query, by_head(seen.keys))
    if "key" in updates:
        left, right = updates["key"]
        turned = torch.einsum("knhw,khws->knhs", query, _rows_by_head(left, heads))
        scores = scores + turned @ _reduced(seen.hidden, right).mT
    scores = (scores / math.sqrt(query.shape[-1])).masked_fill(~seen.mask[..., None, :], -math.inf)
    weights = scores.softmax(-1)
    mixed = torch.einsum("knhl,knhlw->knhw", weights, by_head(seen.values))
    if "value" in updates:
        left, right = updates["value"]
        summed = weights @ _reduced(seen.hidden, right)  # (K, n, heads, s)
        mixed = mixed + torch.einsum("knhs,khws->knhw", summed, _rows_by_head(left, heads))
    mixed = mixed.flatten(-2)[..., None, :]
    return encoder.after_attention(last, first, adapted("output", mixed)).squeeze(-2)


def _reduced(inputs: Tensor, right: Tensor | None) -> Tensor:
    """Ax of the inputs (K, n, m, d) and A (K, s, d)."""
    return inputs if right is None else inputs @ right.mT[:, None]


def _rows_by_head(left: Tensor, heads: int) -> Tensor:
    """B (K, d, s) as (K, heads, d/heads, s)."""
    return left.reshape(len(left), heads, -1, left.shape[-1])


def _attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, heads: int) -> Tensor:
    """Several heads; query (…, m, d), key and value (…, L, d), mask (…, L)."""
    width = query.shape[-1] // heads
    parts = [whole.reshape(*whole.shape[:-1], heads, width).transpose(-2, -3) for whole in (query, key, value)]
    scores = parts[0] @ parts[1].mT / math.sqrt(width)
    scores = scores.masked_fill(~mask[..., None, None, :], -math.inf)
    mixed: Tensor = scores.softmax(-1) @ parts[2]
    return mixed.transpose(-2, -3).flatten(-2)
