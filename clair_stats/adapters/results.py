"""What is written: the benign clients' exact mean, and every client's refined adapter."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clair_stats.adapters.client import ClientAdapter
from clair_stats.adapters.federation import AdapterModules, trimmed_mean
from clair_stats.adapters.output import write_adapter
from clair_stats.adapters.progress import Progress, silent
from clair_stats.clair import CLAIR
from clair_stats.parallel import each
from clair_stats.products import CutProduct, cut_product, mean_product
from clair_stats.records import FloatArray

__all__ = ["write_aggregate", "write_refined"]

Pair = tuple[FloatArray, FloatArray]
# Of refinement, per client and cubed side of its eigenvalue problems: .12 s at a side of 816, on one core.
_SECONDS_PER_CUBE = 2e-10
# Processes take two seconds to start and read; threads take turns in scipy's eigenvalues (clair_stats/parallel.py).
_SECONDS_FOR_PROCESSES = 20.0
# The place of the mean beside the clients' numbers.
_MEAN = "mean"
# Squared norm that the cap on the rank cost, and squared norm before.
_Loss = tuple[float, float]


def _loss(cut: CutProduct) -> _Loss:
    return cut.lost * cut.energy, cut.energy


def _share(losses: Iterable[_Loss]) -> float:
    """Between 0 and 1."""
    lost, energy = np.sum([(0.0, 0.0), *losses], axis=0)
    return float(lost / energy) if energy > 0.0 else 0.0


class _Parts:
    """Products in single precision on disk, so that memory holds one module at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, name: str, pair: Pair) -> None:
        for side, factor in zip("BA", pair, strict=True):
            np.save(self._folder / f"{name}-{side}.npy", factor.astype(np.float32))

    def load(self, name: str) -> Pair:
        """Mapped: bytes are read when they are written elsewhere."""
        left, right = (np.load(self._folder / f"{name}-{side}.npy", mmap_mode="r") for side in "BA")
        return left, right


@contextmanager
def _parts(folder: Path) -> Iterator[_Parts]:
    where = folder / ".parts"
    where.mkdir()
    yield _Parts(where)
    shutil.rmtree(where)


def write_aggregate(
    folder: Path,
    members: Sequence[ClientAdapter],
    rank: int | None,
    *,
    n_jobs: int | None = 1,
    progress: Progress = silent,
) -> float:
    """``aggregate``: the mean of the members' products; the share of squared norm lost by the cap on the rank.

    Parameters
    ----------
    folder : path
    members : sequence of ClientAdapter
        The benign clients.
    rank : int, optional
    n_jobs : int, optional
        Modules at a time.
    progress : callable

    Returns
    -------
    float
    """
    modules = AdapterModules(members)
    with _parts(folder) as parts:

        def average(numbered: tuple[int, str]) -> _Loss:
            number, module = numbered
            factors = modules[module].factors
            assert factors is not None
            cut = cut_product(mean_product(factors), rank)
            parts.keep(str(number), cut.pair)
            progress("averaging modules", number + 1, len(modules))
            return _loss(cut)

        losses = each(average, list(enumerate(modules)), n_jobs=n_jobs, shared_memory=True)
        products = {module: parts.load(str(number)) for number, module in enumerate(modules)}
        _write_aggregate(folder, members, products, progress)
    return _share(losses)


def _write_aggregate(
    folder: Path, members: Sequence[ClientAdapter], products: Mapping[str, Pair], progress: Progress
) -> None:
    dense = {name: trimmed_mean(members, name) for name in members[0].dense}
    progress("writing the aggregate", 0, 0)
    write_adapter(folder / "aggregate", members[0], products, dense)


def write_refined(
    folder: Path,
    clients: Sequence[ClientAdapter],
    model: CLAIR,
    rank: int | None,
    *,
    n_jobs: int | None = 1,
    progress: Progress = silent,
) -> tuple[float, dict[str, float]]:
    """``aggregate`` and ``refined/NAME`` for every client; dense tensors and flagged clients stay as they were sent.

    Both in one pass over the modules: the joint coordinates that the mean is cut in are those of refinement.

    Parameters
    ----------
    folder : path
    clients : sequence of ClientAdapter
    model : CLAIR
        Fitted to :class:`AdapterModules` of these clients.
    rank : int, optional
    n_jobs : int, optional
        Modules at a time.
    progress : callable

    Returns
    -------
    float
        Share of the aggregate's squared norm lost by the cap on the rank.
    dict
        The same by client.
    """
    modules = tuple(clients[0].products)
    members = [clients[int(k)] for k in np.flatnonzero(model.collaborative_set_)]
    with _parts(folder) as parts:
        losses = each(
            _Refine(model, parts, rank),
            list(enumerate(modules)),
            n_jobs=n_jobs,
            shared_memory=True,
            processes=_seconds(clients) > _SECONDS_FOR_PROCESSES,
            done=lambda number: progress("refining modules", number, len(modules)),
        )
        mean = {module: parts.load(f"{number}-{_MEAN}") for number, module in enumerate(modules)}
        _write_aggregate(folder, members, mean, progress)
        (folder / "refined").mkdir()

        def write(numbered: tuple[int, ClientAdapter]) -> None:
            k, client = numbered
            products: Mapping[str, Pair] = {m: parts.load(f"{number}-{k}") for number, m in enumerate(modules)}
            dense = {name: stored.read() for name, stored in client.dense.items()}
            write_adapter(folder / "refined" / _folder_name(client.name), client, products, dense)

        each(
            write,
            list(enumerate(clients)),
            n_jobs=n_jobs,
            shared_memory=True,
            done=lambda number: progress("writing refined adapters", number, len(clients)),
        )
    by_client = {client.name: _share(own[k] for own in losses) for k, client in enumerate(clients)}
    return _share(own[-1] for own in losses), by_client


@dataclass(frozen=True)
class _Refine:
    """Refined products of one module, kept on disk; can be sent to another process."""

    model: CLAIR
    parts: _Parts
    rank: int | None

    def __call__(self, numbered: tuple[int, str]) -> list[_Loss]:
        number, module = numbered
        several = self.model.modules_
        assert several is not None
        cuts = several.cut_products(module, self.rank, with_mean=True, single=True)
        for k, cut in zip([*range(len(cuts) - 1), _MEAN], cuts, strict=True):
            self.parts.keep(f"{number}-{k}", cut.pair)
        return [_loss(cut) for cut in cuts]


def _seconds(clients: Sequence[ClientAdapter]) -> float:
    """About what refinement takes: per client and module two eigenvalue problems of all clients' ranks together."""
    sides = [
        min(sum(client.products[module].rank for client in clients), min(product.shape))
        for module, product in clients[0].products.items()
    ]
    return float(len(clients) * np.sum(np.array(sides, dtype=float) ** 3) * _SECONDS_PER_CUBE)


def _folder_name(name: str) -> str:
    """The client's name, without separators where folders of several parents were given."""
    return name.strip("/\\").replace("/", "-").replace("\\", "-").lstrip(".") or "client"
