"""What is written: the benign clients' exact mean, and every client's refined adapter."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np

from clair_stats.adapters.client import ClientAdapter
from clair_stats.adapters.federation import AdapterModules, trimmed_mean
from clair_stats.adapters.output import write_adapter
from clair_stats.clair import CLAIR
from clair_stats.products import capped, mean_product
from clair_stats.records import FloatArray

__all__ = ["write_aggregate", "write_refined"]

Pair = tuple[FloatArray, FloatArray]


class _Capped:
    """Products cut to a rank, and the share of squared norm that all of them lose together."""

    def __init__(self, rank: int | None) -> None:
        self._rank, self._lost, self._all = rank, 0.0, 0.0

    def __call__(self, pair: Pair) -> Pair:
        left, right = pair
        if left.shape[1] == 0:  # PEFT knows no rank 0
            return np.zeros((left.shape[0], 1)), np.zeros((1, right.shape[1]))
        energy = float(np.sum((left.T @ left) * (right @ right.T)))
        kept, lost = capped(pair, self._rank)
        self._lost += lost * energy
        self._all += energy
        return kept

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return self._lost / self._all if self._all > 0.0 else 0.0


def write_aggregate(folder: Path, members: Sequence[ClientAdapter], rank: int | None) -> float:
    """``aggregate``: the mean of the members' products; the share of squared norm lost by the cap on the rank.

    Parameters
    ----------
    folder : path
    members : sequence of ClientAdapter
        The benign clients.
    rank : int, optional

    Returns
    -------
    float
    """
    cap, modules = _Capped(rank), AdapterModules(members)
    products = {}
    for module in modules:
        factors = modules[module].factors
        assert factors is not None
        products[module] = cap(mean_product(factors))
    dense = {name: trimmed_mean(members, name) for name in members[0].dense}
    write_adapter(folder / "aggregate", members[0], products, dense)
    return cap.share


def write_refined(
    folder: Path,
    clients: Sequence[ClientAdapter],
    model: CLAIR,
    rank: int | None,
    progress: Callable[[str], None],
) -> dict[str, float]:
    """``refined/NAME`` for every client; dense tensors and flagged clients stay as they were sent.

    Modules are refined one after the other for all clients, and their parts lie on disk until a client is complete, so
    that memory holds one module, or one client.

    Parameters
    ----------
    folder : path
    clients : sequence of ClientAdapter
    model : CLAIR
        Fitted to :class:`AdapterModules` of these clients.
    rank : int, optional
    progress : callable

    Returns
    -------
    dict
        Share of squared norm lost by the cap on the rank, by client.
    """
    caps = [_Capped(rank) for _ in clients]
    by_module = cast(Mapping[str, tuple[Pair, ...]], model.refined_factors_)
    modules = tuple(clients[0].products)
    parts = folder / ".parts"
    parts.mkdir()
    for number, module in enumerate(modules):
        progress(f"refining module {number + 1} of {len(modules)}")
        for k, pair in enumerate(by_module[module]):
            for side, factor in zip("BA", caps[k](pair), strict=True):
                np.save(parts / f"{number}-{k}-{side}.npy", factor.astype(np.float32))
    (folder / "refined").mkdir()
    for k, client in enumerate(clients):
        products = {module: _loaded(parts, number, k) for number, module in enumerate(modules)}
        dense = {name: stored.read() for name, stored in client.dense.items()}
        write_adapter(folder / "refined" / _folder_name(client.name), client, products, dense)
    shutil.rmtree(parts)
    return {client.name: cap.share for client, cap in zip(clients, caps, strict=True)}


def _loaded(parts: Path, module: int, client: int) -> Pair:
    left, right = (np.load(parts / f"{module}-{client}-{side}.npy") for side in "BA")
    return left, right


def _folder_name(name: str) -> str:
    """The client's name, without separators where folders of several parents were given."""
    return name.strip("/\\").replace("/", "-").replace("\\", "-").lstrip(".") or "client"
