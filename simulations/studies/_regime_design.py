"""One design for every regime with a real fit: the same sweeps and methods, so that their tables can be compared.

Per variant (a family, a link, an estimator): error against n, the set against n and against separation, the gain
against |C|, the level without contamination at every n; and, one setting at a time, what bends the assumptions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

from simulations.design import Cell, Method, Study
from simulations.methods.clients_and_oracles import Clair, ClairWithCovariance, OracleDetection
from simulations.methods.error_laws import LocalLaw, OracleRefinement, OracleWithCovariance
from simulations.presentation import RegimeSweeps
from simulations.streams import effort_seed

__all__ = ["DesignSection", "RegimeDesign", "SectionKind"]

SectionKind: TypeAlias = Literal["n", "separation", "clients", "level", "departure"]

# Replications of a cell at "quick", and how many times those of "standard" are made at "full".  At "standard" a design
# has 40 unless it says otherwise.  The level is then read from four cells together, 160 replications: a true 0.05 has
# an exact upper bound below 0.10 with probability 0.8.
_QUICK = 8
_FULL_FACTOR = 4

# What runs in the sections of each kind, by the part it plays; claims on regimes ask for methods by this name.
_METHODS: Mapping[SectionKind, Mapping[str, Method]] = {
    "n": {
        "local law": LocalLaw(),
        "oracle refinement": OracleRefinement(),
        "CLAIR": Clair(),
        "CLAIR, whitened": Clair(whiten=True),
    },
    "separation": {"local law": LocalLaw(), "CLAIR": Clair(), "CLAIR, whitened": Clair(whiten=True)},
    "clients": {"local law": LocalLaw(), "oracle refinement": OracleRefinement(), "CLAIR": Clair()},
    "level": {
        "CLAIR": Clair(),
        "CLAIR, whitened": Clair(whiten=True),
        "CLAIR, own covariances": ClairWithCovariance(),
        "oracle test": OracleDetection(),
        "oracle test, own covariances": OracleWithCovariance(),
    },
    "departure": {
        "local law": LocalLaw(),
        "oracle refinement": OracleRefinement(),
        "CLAIR": Clair(),
        "CLAIR, whitened": Clair(whiten=True),
    },
}


@dataclass(frozen=True)
class DesignSection:
    """Some cells of a study that answer one question."""

    variant: str
    kind: SectionKind
    label: str
    regimes: tuple[Any, ...]
    is_departure: bool = False

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every regime of the section with the methods of its kind."""
        return tuple(Cell(regime, method) for regime in self.regimes for method in _METHODS[self.kind].values())

    def cells_of(self, part: str) -> tuple[Cell, ...]:
        """Every regime of the section with the method that plays this part.

        Raises
        ------
        ValueError
            No method of the section plays it.
        """
        methods = _METHODS[self.kind]
        if part not in methods:
            raise ValueError(f"section {self.label}: no {part!r} among its methods; it has {', '.join(methods)}")
        return tuple(Cell(regime, methods[part]) for regime in self.regimes)


@dataclass(frozen=True)
class RegimeDesign:
    """The study of one regime.

    Parameters
    ----------
    name, title : str
    variants : mapping label -> regime
        Each with its own ``sample_size``, at which separation, |C| and the departures are looked at.
    sizes : tuple of int
        n.
    separations : tuple of float
        ``contamination_scale``.
    clients : tuple of int
        K.
    departures : mapping label -> (variant label, changed fields)
        With ``share`` 0 the level is looked at, else the fit, the gain and the set.
    controls : mapping claim -> label of a departure
        Departures in which the claim is certain to be false, named before the first run: the check must say so.
    root_seed : int
    notes : str
    replications : int
        Of a cell at "standard" effort.
    residual : float
        Planned standard deviation of the log error of X_k over replications; serves the power computation only.
    """

    name: str
    title: str
    variants: Mapping[str, Any]
    sizes: tuple[int, ...]
    separations: tuple[float, ...]
    clients: tuple[int, ...]
    departures: Mapping[str, tuple[str, Mapping[str, Any]]]
    controls: Mapping[str, str]
    root_seed: int
    notes: str = ""
    replications: int = 40
    residual: float = 0.05

    def replications_at(self, effort: str) -> int:
        """Replications of a cell at "quick", "standard" or "full" effort."""
        return {"quick": _QUICK, "standard": self.replications, "full": _FULL_FACTOR * self.replications}[effort]

    def sections(self) -> Iterator[DesignSection]:
        """Sections in the order of the tables."""
        for label, base in self.variants.items():
            by_size = tuple(replace(base, sample_size=n) for n in self.sizes)
            yield DesignSection(label, "n", f"n = {self.sizes[0]} … {self.sizes[-1]}", by_size)
            scales = tuple(replace(base, contamination_scale=scale) for scale in self.separations)
            yield DesignSection(
                label, "separation", f"scale {self.separations[0]:g} … {self.separations[-1]:g}", scales
            )
            counts = tuple(replace(base, n_clients=count) for count in self.clients)
            yield DesignSection(label, "clients", f"K = {self.clients[0]} … {self.clients[-1]}", counts)
            level = tuple(replace(regime, share=0.0) for regime in by_size)
            yield DesignSection(label, "level", "no contamination", level)
        for label, (variant, changes) in self.departures.items():
            regime = replace(self.variants[variant], **changes)
            yield DesignSection(variant, "departure" if regime.share > 0.0 else "level", label, (regime,), True)

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Of all sections, each once; every claim and setting asks for them, and a hash of each takes a while."""
        return tuple({cell.hash: cell for section in self.sections() for cell in section.cells}.values())

    def study(self, effort: str = "standard", *, root_seed: int | None = None) -> Study:
        """The Monte Carlo study; sections share cells where they overlap, efforts share no row."""
        name = self.name if effort == "standard" else f"{self.name}--{effort}"
        return Study(
            name=name,
            title=self.title,
            cells=self.cells,
            replications=self.replications_at(effort),
            root_seed=effort_seed(self.root_seed if root_seed is None else root_seed, effort, named="standard"),
            aims=(
                "Do Theorems 3 to 5 describe what happens when X_k is a real fit with its own error law: its rate "
                "in n, the collaborative set as n and the separation grow, the gain and its sign, the level?"
            ),
            estimands="Θ*_k of the benign clients, span(U*), the collaborative set.",
            notes=self.notes,
            presentation=RegimeSweeps(),
        )
