"""One client's adapter: products and dense tensors, checked before any of them is averaged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clair_stats.adapters.config import AdapterConfig
from clair_stats.adapters.keys import Part, part_of
from clair_stats.adapters.refusal import AdapterRefused
from clair_stats.adapters.tensors import Tensor
from clair_stats.records import FloatArray

__all__ = ["ClientAdapter", "Product", "checked_adapter"]

_FACTORS: tuple[Part, ...] = ("A", "B", "embedding A", "embedding B")
# Of float32, with room for a sum over thousands of clients and for the roots of singular values.
_LARGEST = 1e30


@dataclass(frozen=True)
class Product:
    """ΔW = c·BA of one module; for an embedding its transpose, dimension × vocabulary."""

    left: Tensor  # B, p × s
    right: Tensor  # A, s × q
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
        """(c·B, A) as float64.

        Returns
        -------
        tuple of ndarray, shapes (p, s) and (s, q)
        """
        return self.scale * self.left.read(), self.right.read()


@dataclass(frozen=True, eq=False)
class ClientAdapter:
    """What one client sent."""

    name: str
    config: AdapterConfig
    products: Mapping[str, Product]  # by module
    dense: Mapping[str, Tensor]  # vectors and matrices that were trained whole, by name without prefix
    base: Mapping[str, Tensor]  # copies of base weights, by module


def checked_adapter(
    name: str, tensors: Mapping[str, Tensor], config: AdapterConfig, *, may_be_zero: bool = False
) -> ClientAdapter:
    """An adapter from its tensors; every number is looked at once, none is kept.

    Parameters
    ----------
    name : str
        The client's name.
    tensors : mapping tensor name → Tensor
    config : AdapterConfig
    may_be_zero : bool
        Whether all products may be zero, as those of an adapter before its first round.

    Returns
    -------
    ClientAdapter

    Raises
    ------
    AdapterRefused
        A tensor that is missing, not finite or of another kind; a rank that the configuration does not have; an adapter
        whose products are all zero.
    """
    parts: dict[tuple[str, Part], Tensor] = {}
    for tensor_name, tensor in tensors.items():
        key = part_of(tensor_name)
        if key in parts:
            raise AdapterRefused(
                f"tensor {tensor_name} stands twice, with and without .default; save the adapter again"
            )
        parts[key] = tensor
    products = {}
    for module, part in parts:
        if part in ("A", "embedding A"):
            products[module] = _product(module, part == "embedding A", parts, config)
        elif part in ("B", "embedding B") and (module, part.replace("B", "A")) not in parts:
            raise AdapterRefused(f"module {module} has a factor B and no A; save the adapter again")
    if not products:
        raise AdapterRefused("holds no LoRA product; train the adapter before it is sent")
    _check_numbers(parts, products, may_be_zero)
    return ClientAdapter(
        name=name,
        config=config,
        products=dict(sorted(products.items())),
        dense={module: tensor for (module, part), tensor in sorted(parts.items()) if part == "dense"},
        base={module: tensor for (module, part), tensor in sorted(parts.items()) if part == "base"},
    )


def _product(module: str, embedding: bool, parts: Mapping[tuple[str, Part], Tensor], config: AdapterConfig) -> Product:
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
        raise AdapterRefused(
            f"module {module} has factors of shapes {left.shape} and {right.shape}, which do not fit; save the adapter "
            "again"
        )
    expected = config.rank_of(module)
    if rank != expected:
        raise AdapterRefused(
            f"module {module} has rank {rank}, but its configuration says {expected}, which PEFT refuses; mend r or "
            "rank_pattern, or save the adapter again"
        )
    return Product(left, right, config.scale_of(module, rank), embedding)


def _check_numbers(
    parts: Mapping[tuple[str, Part], Tensor], products: Mapping[str, Product], may_be_zero: bool
) -> None:
    """Look at every number once; an adapter that was never trained has B = 0 everywhere.

    Beyond the largest number of float32 nothing can be added to a model, and what is written in its place neither.
    """
    largest = {key: stored.largest() for key, stored in parts.items()}
    sizes = {}
    for module, product in products.items():
        sides = [largest[module, part] for part in _FACTORS if (module, part) in largest]
        sizes[module] = abs(product.scale) * product.rank * sides[0] * sides[1]
    for (name, _), size in [*largest.items(), *(((module, ""), size) for module, size in sizes.items())]:
        if not size <= _LARGEST:
            raise AdapterRefused(
                f"{name} holds or makes numbers of up to {size:.2g}, beyond those of float32; train this client again"
            )
    if not may_be_zero and not any(sizes.values()):
        raise AdapterRefused("all its products are zero; train the adapter before it is sent")
