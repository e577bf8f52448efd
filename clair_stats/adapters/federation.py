"""Which clients belong together: one base model, one set of modules, one shape each; the others are quarantined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clair_stats.adapters.client import ClientAdapter
from clair_stats.adapters.folder import read_adapter
from clair_stats.adapters.progress import Progress, silent
from clair_stats.adapters.refusal import AdapterRefused
from clair_stats.estimates import ClientEstimates

__all__ = ["AdapterFederation", "AdapterModules", "agreeing", "read_federation", "trimmed_mean"]

# Modules that a message names before it says how many more there are.
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class AdapterFederation:
    """Clients that can be compared, and those that cannot, with the reason."""

    clients: tuple[ClientAdapter, ...]
    quarantined: Mapping[str, str]  # name → reason

    @property
    def modules(self) -> tuple[str, ...]:
        """The adapted modules, the same for every client."""
        return tuple(self.clients[0].products)


def read_federation(folders: Sequence[Path], progress: Progress = silent) -> AdapterFederation:
    """Read every folder; what is refused or foreign is quarantined by name.

    Parameters
    ----------
    folders : sequence of paths
        One per client; or a single folder whose sub-folders are the clients.
    progress : callable

    Returns
    -------
    AdapterFederation

    Raises
    ------
    ValueError
        No folder, or no majority of readable adapters of one base model with one set of modules.
    """
    paths = _client_folders(folders)
    clients: list[ClientAdapter] = []
    quarantined: dict[str, str] = {}
    for number, (name, path) in enumerate(paths.items()):
        progress("reading adapters", number, len(paths))
        try:
            clients.append(read_adapter(path, name))
        except AdapterRefused as refused:
            quarantined[name] = str(refused)
        except OSError as error:
            quarantined[name] = f"cannot be read ({error.strerror})"
    return agreeing(clients, quarantined)


def agreeing(clients: Sequence[ClientAdapter], quarantined: Mapping[str, str]) -> AdapterFederation:
    """The clients of the base model, modules and shapes that most have; the others join the quarantined ones.

    Parameters
    ----------
    clients : sequence of ClientAdapter
    quarantined : mapping of str to str
        Client to the reason.

    Returns
    -------
    AdapterFederation

    Raises
    ------
    ValueError
        No client, or none of the groups is a majority.
    """
    quarantined = dict(quarantined)
    groups = Counter(_signature(client) for client in clients)
    if not groups:
        name, reason = next(iter(quarantined.items()), ("there is none", "give at least one"))
        raise ValueError(f"no adapter can be read; {name}: {reason}")
    common, count = groups.most_common(1)[0]
    if 2 * count <= len(clients):
        raise ValueError(
            f"the adapters belong to {len(groups)} different models or sets of modules, none with a majority; "
            "give adapters of one base model, trained with the same target_modules"
        )
    reference = next(client for client in clients if _signature(client) == common)
    for client in clients:
        if _signature(client) != common:
            quarantined[client.name] = _difference(client, reference)
    kept = tuple(client for client in clients if _signature(client) == common)
    return AdapterFederation(kept, quarantined)


def _client_folders(folders: Sequence[Path]) -> dict[str, Path]:
    if not folders:
        raise ValueError("no folder given; give one per client, or one that holds them")
    if len(folders) == 1 and not (folders[0] / "adapter_config.json").exists():
        if not folders[0].is_dir():
            raise ValueError(f"{folders[0]}: no such folder; give one per client, or one that holds them")
        folders = sorted(path for path in folders[0].iterdir() if path.is_dir())
        if not folders:
            raise ValueError("the folder holds no sub-folders; give one adapter folder per client")
    names = [folder.name for folder in folders]
    if len(set(names)) < len(names):  # the same name in several parents, or the same folder twice
        if len({folder.resolve() for folder in folders}) < len(folders):
            twice = next(n for n in names if names.count(n) > 1)
            raise ValueError(f"folder {twice!r} is given twice; give each client once")
        names = [str(folder) for folder in folders]
    return dict(zip(names, folders, strict=True))


def _signature(client: ClientAdapter) -> tuple[object, ...]:
    products = tuple((module, product.shape, product.embedding) for module, product in client.products.items())
    dense = tuple((name, stored.shape) for name, stored in client.dense.items())
    return client.config.base_model, products, dense, tuple(client.base)


def _difference(client: ClientAdapter, reference: ClientAdapter) -> str:
    if client.config.base_model != reference.config.base_model:
        return (
            f"belongs to the base model {client.config.base_model!r}, the others to {reference.config.base_model!r}; "
            "train it on theirs"
        )
    for kind, own, others in (
        ("modules", client.products, reference.products),
        ("dense tensors", client.dense, reference.dense),
        ("copies of base weights", client.base, reference.base),
    ):
        missing, extra = [m for m in others if m not in own], [m for m in own if m not in others]
        if missing or extra:
            told = [f"misses {_some(missing)}"] * bool(missing) + [f"has {_some(extra)} besides"] * bool(extra)
            return f"its {kind} are not those of the others: it {' and '.join(told)}; train it with their settings"
    for module, product in client.products.items():
        if product.shape != reference.products[module].shape:
            return f"module {module} is {product.shape}, the others' {reference.products[module].shape}"
    return "its dense tensors have other shapes than the others'"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


class AdapterModules(Mapping[str, ClientEstimates]):
    """The products of all clients, module by module, read when asked for; nothing of them is kept."""

    def __init__(self, clients: Sequence[ClientAdapter]) -> None:
        # Products alone, which can be sent to another process; compiled patterns of configurations cannot.
        self._products = tuple(client.products for client in clients)
        self._names = tuple(client.name for client in clients)

    def __getitem__(self, module: str) -> ClientEstimates:
        factors = tuple(products[module].factors() for products in self._products)
        return ClientEstimates(factors=factors, client_names=self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._products[0])

    def __len__(self) -> int:
        return len(self._products[0])


def trimmed_mean(clients: Sequence[ClientAdapter], name: str, *, trim: float = 0.2) -> np.ndarray:
    """Entry by entry, the mean without the lowest and the highest fifth of the clients (Yin and others 2018).

    Parameters
    ----------
    clients : sequence of ClientAdapter
    name : str
    trim : float
        Share of clients cut at either end.

    Returns
    -------
    ndarray
        Of the shape and scale of the tensors.
    """
    stack = np.sort(np.stack([client.dense[name].read() for client in clients]), axis=0)
    cut = int(trim * len(clients))
    return np.asarray(stack[cut : len(clients) - cut].mean(axis=0))
