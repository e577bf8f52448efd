"""The maps: contaminated clients against rank, penalty or incoherence, and the instances on their grids."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.linalg import orthonormal_basis, project_off
from clair_stats.theory import certificate_bounds
from simulations.regimes.instance import Instance
from simulations.streams import Streams
from theory_checks.claim import Effort

__all__ = ["COUNTS", "MAPS", "N_CLIENTS", "STAGES", "MapDesign", "MapRegime", "is_promised", "regimes_of"]

N_CLIENTS = 20


@dataclass(frozen=True, kw_only=True)
class MapRegime:
    """Coordinated contamination of rank r, benign blocks with orthonormal columns but one that carries more leverage.

    Parameters
    ----------
    n_contaminated, rank : int
    incoherence : float
        μ of the benign coefficients, exactly.
    penalty_factor : float
        λ in units of √(r/K).
    """

    name: ClassVar[str] = "map"

    n_contaminated: int = 4
    rank: int = 2
    incoherence: float = 1.0
    penalty_factor: float = 1.5
    n_clients: int = N_CLIENTS
    p: int = 12
    q: int = 4

    def generate(self, streams: Streams) -> Instance:
        """Truth and contamination from the stream "truth"."""
        generator = streams.generator("truth")
        n_benign = self.n_clients - self.n_contaminated
        basis = orthonormal_basis(generator.standard_normal((self.p, self.rank)), self.rank)
        blocks = generator.standard_normal((self.n_clients, self.q, self.rank))
        coefficients = np.stack([orthonormal_basis(block, self.rank) for block in blocks])
        # One client scaled by a has leverage r·a²/(a² + |C| − 1), the largest.
        coefficients[0] *= np.sqrt(self.incoherence * (n_benign - 1) / (n_benign - self.incoherence))
        off = orthonormal_basis(project_off(basis, generator.standard_normal((self.p, self.rank))), self.rank)
        values = np.einsum("pi,kqi->kpq", basis, coefficients)
        mask = np.arange(self.n_clients) < n_benign
        values[~mask] = np.einsum(
            "pi,kiq->kpq", off, generator.standard_normal((self.n_contaminated, self.rank, self.q))
        )
        return Instance.without_heterogeneity(
            values,
            basis=basis,
            coefficients=coefficients,
            collaborative_set=mask,
            extras={"block_penalty": self.block_penalty, "common_component": False},
        )

    @property
    def block_penalty(self) -> float:
        """λ."""
        return float(self.penalty_factor * np.sqrt(self.rank / self.n_clients))


@dataclass(frozen=True)
class MapDesign:
    """One map: contaminated clients against one field of :class:`MapRegime`."""

    axis: str
    values: tuple[float, ...]
    label: str


MAPS: dict[str, MapDesign] = {
    "share-rank": MapDesign("rank", (1, 2, 3, 4), "rank $r$"),
    "share-penalty": MapDesign("penalty_factor", (0.7, 0.9, 1.1, 1.3, 1.5, 1.8, 2.2, 2.7), r"$\lambda\,/\,\sqrt{r/K}$"),
    "share-incoherence": MapDesign("incoherence", (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0), r"incoherence $\mu$"),
}
COUNTS = tuple(range(1, 13))
# Replications of every point, then of the points at the border, stage by stage.
STAGES: dict[Effort, tuple[int, ...]] = {"quick": (4, 10), "standard": (10, 30, 100), "full": (20, 60, 200, 600)}


def _point(axis: str, value: float, count: int) -> MapRegime:
    regime = MapRegime(n_contaminated=count)
    if axis == "rank":
        return dataclasses.replace(regime, rank=int(value))
    if axis == "incoherence":
        return dataclasses.replace(regime, incoherence=value)
    return dataclasses.replace(regime, penalty_factor=value)


def regimes_of(design: MapDesign) -> list[list[MapRegime]]:
    """The grid: a row per value of the axis, a column per number of contaminated clients."""
    return [[_point(design.axis, value, count) for count in COUNTS] for value in design.values]


def is_promised(regime: MapRegime, form: str) -> bool:
    """Whether the theorem, "sharp" or as "stated", promises recovery at this point."""
    n_benign = regime.n_clients - regime.n_contaminated
    return certificate_bounds(
        block_leverage=regime.incoherence * regime.rank / n_benign,
        n_benign=n_benign,
        n_contaminated=regime.n_contaminated,
        block_penalty=regime.block_penalty,
        common_component=False,
        form="stated" if form == "stated" else "sharp",
    ).holds
