"""What a tensor's name says: factor of a product, dense update, copy of the base, or something that is refused."""

from __future__ import annotations

from typing import Literal, TypeAlias

from clair_stats.adapters.refusal import AdapterRefused

__all__ = ["PREFIX", "Part", "part_of"]

PREFIX = "base_model.model."
Part: TypeAlias = Literal["A", "B", "embedding A", "embedding B", "base", "dense"]

# Suffixes after the prefix; ".default" stands in files that were saved with the adapter's name.
_FACTORS: dict[str, Part] = {
    ".lora_A.weight": "A",
    ".lora_A.default.weight": "A",
    ".lora_B.weight": "B",
    ".lora_B.default.weight": "B",
    ".lora_embedding_A": "embedding A",
    ".lora_embedding_A.default": "embedding A",
    ".lora_embedding_B": "embedding B",
    ".lora_embedding_B.default": "embedding B",
    ".base_layer.weight": "base",
}
_REFUSED = {
    ".lora_magnitude_vector": "belongs to DoRA, whose norms cannot be averaged; train with use_dora=False",
    ".lora_B.bias": "is a bias inside a product; train with lora_bias=False",
    ".lora_E": "belongs to AdaLoRA; train a plain LoRA",
    ".token_adapter.": "belongs to trainable tokens; train without trainable_token_indices",
    ".lora_": "is of a kind of LoRA that is not known here; train a plain LoRA",
    ".hada_": "belongs to LoHa; train a plain LoRA",
    ".lokr_": "belongs to LoKr; train a plain LoRA",
    ".vera_": "belongs to VeRA; train a plain LoRA",
    ".ia3_": "belongs to IA3; train a plain LoRA",
    ".oft_": "belongs to OFT; train a plain LoRA",
    ".boft_": "belongs to BOFT; train a plain LoRA",
    "prompt_embeddings": "belongs to prompt tuning; train a plain LoRA",
}


def part_of(name: str) -> tuple[str, Part]:
    """Module and part of a tensor.

    Parameters
    ----------
    name : str
        As in the file.

    Returns
    -------
    tuple
        The module's name without PEFT's prefix (a dense tensor's name in full) and the part.

    Raises
    ------
    AdapterRefused
        For a name without the prefix, or of another kind of adapter.
    """
    if not name.startswith(PREFIX) or not name.isprintable() or len(name) > 1000:
        raise AdapterRefused(
            f"tensor {name[:80]!r} has no name of PEFT's ({PREFIX}…), and PEFT would drop it on reload; save the "
            "adapter again"
        )
    inner = name[len(PREFIX) :]
    for suffix, part in _FACTORS.items():
        if inner.endswith(suffix):
            return inner[: -len(suffix)], part
    for mark, why in _REFUSED.items():
        if mark in inner:
            raise AdapterRefused(f"tensor {name} {why}")
    return inner, "dense"
