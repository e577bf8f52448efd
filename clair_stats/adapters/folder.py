"""One client's adapter folder: configuration, products and dense tensors, checked before any of them is averaged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clair_stats.adapters.config import AdapterConfig, read_config
from clair_stats.adapters.keys import Part, part_of
from clair_stats.adapters.refusal import AdapterRefused
from clair_stats.adapters.tensors import StoredTensor, is_zero, read_header, read_tensor
from clair_stats.records import FloatArray

__all__ = ["ClientAdapter", "Product", "read_adapter"]

WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True)
class Product:
    """ΔW = c·BA of one module; for an embedding its transpose, dimension × vocabulary."""

    left: StoredTensor  # B, p × s
    right: StoredTensor  # A, s × q
    scale: float  # c
    embedding: bool

    @property
    def rank(self) -> int:
        """s."""
        return self.left.shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        """(p, q)."""
        return self.left.shape[0], self.right.shape[1]

    def factors(self) -> tuple[FloatArray, FloatArray]:
        """(c·B, A) as float64."""
        return self.scale * read_tensor(self.left), read_tensor(self.right)


@dataclass(frozen=True, eq=False)
class ClientAdapter:
    """What one client sent."""

    name: str
    path: Path
    config: AdapterConfig
    products: Mapping[str, Product]  # by module
    dense: Mapping[str, StoredTensor]  # vectors and matrices that were trained whole, by name without prefix
    base: Mapping[str, StoredTensor]  # copies of base weights, by module


def read_adapter(folder: Path, name: str | None = None) -> ClientAdapter:
    """Read one folder; every number is looked at once, none is kept.

    Parameters
    ----------
    folder : path
        As PEFT's ``save_pretrained`` writes it.
    name : str, optional
        The client's name; the folder's when not given.

    Returns
    -------
    ClientAdapter

    Raises
    ------
    AdapterRefused
        Anything missing, damaged, not finite or of another kind; a rank in a tensor that the configuration does not
        have; an adapter whose products are all zero.
    """
    if not folder.is_dir():
        raise AdapterRefused("no such folder; give a folder written by PEFT's save_pretrained")
    if not (folder / WEIGHTS).exists() and any(folder.glob("*.bin")):
        raise AdapterRefused("holds a .bin file, a pickle that can run code; save it with safe_serialization=True")
    config = read_config(folder)
    parts: dict[tuple[str, Part], StoredTensor] = {}
    for tensor_name, stored in read_header(folder / WEIGHTS).items():
        key = part_of(tensor_name)
        if key in parts:
            raise AdapterRefused(
                f"tensor {tensor_name} stands twice, with and without .default; save the adapter again"
            )
        parts[key] = stored
    products = {}
    for module, part in parts:
        if part in ("A", "embedding A"):
            products[module] = _product(module, part == "embedding A", parts, config)
        elif part in ("B", "embedding B") and (module, part.replace("B", "A")) not in parts:
            raise AdapterRefused(f"module {module} has a factor B and no A; save the adapter again")
    if not products:
        raise AdapterRefused("holds no LoRA product; train the adapter before it is sent")
    _check_numbers(parts, products)
    return ClientAdapter(
        name=folder.name if name is None else name,
        path=folder,
        config=config,
        products=dict(sorted(products.items())),
        dense={module: stored for (module, part), stored in sorted(parts.items()) if part == "dense"},
        base={module: stored for (module, part), stored in sorted(parts.items()) if part == "base"},
    )


def _product(
    module: str, embedding: bool, parts: Mapping[tuple[str, Part], StoredTensor], config: AdapterConfig
) -> Product:
    first: Part = "embedding A" if embedding else "A"
    second: Part = "embedding B" if embedding else "B"
    right, left = parts[module, first], parts.get((module, second))
    if left is None:
        raise AdapterRefused(f"module {module} has a factor A and no B; save the adapter again")
    if len(left.shape) != 2 or len(right.shape) != 2:
        raise AdapterRefused(
            f"module {module} has factors of shapes {left.shape} and {right.shape}: a convolution, whose product is no "
            "matrix; target linear modules only"
        )
    rank = right.shape[0]
    if left.shape[1] != rank:
        raise AdapterRefused(f"module {module} has factors of shapes {left.shape} and {right.shape}, which do not fit")
    expected = config.rank_of(module)
    if rank != expected:
        raise AdapterRefused(f"module {module} has rank {rank}, but its configuration says {expected}; PEFT refuses it")
    return Product(left, right, config.scale_of(module, rank), embedding)


def _check_numbers(parts: Mapping[tuple[str, Part], StoredTensor], products: Mapping[str, Product]) -> None:
    """Look at every number once; an adapter that was never trained has B = 0 everywhere."""
    zero = {key for key, stored in parts.items() if is_zero(stored)}
    if all(zero & {(module, part) for part in ("A", "B", "embedding A", "embedding B")} for module in products):
        raise AdapterRefused("all its products are zero; train the adapter before it is sent")
