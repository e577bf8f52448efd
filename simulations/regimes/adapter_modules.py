"""Clients that send low-rank updates of several modules: the same clients are contaminated in all of them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import ClassVar

import numpy as np

from clair_stats.estimates import ClientEstimates
from clair_stats.records import BoolArray, FloatArray
from simulations.regimes.adapter import AdapterRegime
from simulations.streams import Streams

__all__ = ["AdapterModulesRegime", "ModulesInstance"]


@dataclass(frozen=True, eq=False)
class ModulesInstance:
    """One simulated federation: what methods may see, and who is benign."""

    modules: dict[str, ClientEstimates]
    collaborative_set: BoolArray  # (K,), True = benign
    targets: Mapping[str, FloatArray]  # (K, p, q) a module, what benign clients would send without error


@dataclass(frozen=True, kw_only=True)
class AdapterModulesRegime(AdapterRegime):
    """Modules drawn independently of each other, with subspaces of their own; the contaminated clients are the last.

    Parameters
    ----------
    n_modules : int
        M.
    client_scale_spread : float
        Standard deviation of the logarithm of the factor by which a client multiplies all that it sends.
    """

    name: ClassVar[str] = "adapter modules"

    n_modules: int = 4
    client_scale_spread: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_modules < 1:
            raise ValueError(f"n_modules: {self.n_modules}; give at least one module")
        if not (math.isfinite(self.client_scale_spread) and self.client_scale_spread >= 0.0):
            raise ValueError(f"client_scale_spread: {self.client_scale_spread} must be finite and not negative")

    def generate(self, streams: Streams) -> ModulesInstance:  # type: ignore[override]
        """Draw every module from streams of its own, and the clients' factors ("client scales")."""
        spread = self.client_scale_spread * streams.generator("client scales").standard_normal(self.n_clients)
        single = AdapterRegime(**{field.name: getattr(self, field.name) for field in fields(AdapterRegime)})
        modules: dict[str, ClientEstimates] = {}
        targets: dict[str, FloatArray] = {}
        benign: BoolArray = np.ones(self.n_clients, dtype=np.bool_)
        for number in range(self.n_modules):
            own = hashlib.sha256(f"{streams.regime_hash} module {number}".encode()).hexdigest()
            instance = single.generate(replace(streams, regime_hash=own))
            order = np.argsort(~instance.collaborative_set, kind="stable")
            benign = instance.collaborative_set[order]
            values = np.exp(spread)[:, None, None] * instance.estimates.dense()[order]
            modules[f"module {number}"] = ClientEstimates(values=values)
            targets[f"module {number}"] = np.exp(spread)[:, None, None] * instance.targets[order]
        return ModulesInstance(modules, benign, targets)
