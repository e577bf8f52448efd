"""Designs as data: regimes × methods -> cells -> a study, each with a stable content hash.

A *regime* is a frozen dataclass with JSON-serialisable fields, a class attribute ``name`` and a method
``generate(streams) -> instance``.  A *method* is a frozen dataclass with the same kind of fields, a class attribute
``name`` and ``evaluate(instance, generator) -> {metric: float}``.  Either may carry a class attribute ``version``:
raise it when the code changes its results, and the engine will no longer take old rows for new ones.

The instance is shared by the methods of a regime, so the engine makes its arrays read-only: a method that wants to work
in place copies first. ::

    study = Study(
        name="shares",
        title="Recovery against the contaminated share",
        cells=crossed(grid(Gaussian, share=levels(0.1, 0.2), rank=2), [Clair(), Local()]),
        replications=500,
        root_seed=20260521,
    )
"""

# ruff: noqa: ANN401 - fields, factors and instances may hold anything; that is what this module checks

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cached_property
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np

from simulations.criterion import RegisteredCriterion
from simulations.measure import Measure
from simulations.presentation import PLAIN, Presentation
from simulations.streams import Streams

__all__ = [
    "Cell",
    "Levels",
    "Method",
    "Regime",
    "Study",
    "content_hash",
    "crossed",
    "describe",
    "factor_columns",
    "factors",
    "grid",
    "levels",
]

T = TypeVar("T")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@runtime_checkable
class Regime(Protocol):
    """A data-generating mechanism; see the module docstring."""

    name: ClassVar[str]

    def generate(self, streams: Streams) -> Any:
        """Draw one instance; every random number comes from ``streams.generator(role)``."""
        ...


@runtime_checkable
class Method(Protocol):
    """An estimator together with its evaluation on an instance; see the module docstring."""

    name: ClassVar[str]

    def evaluate(self, instance: Any, generator: np.random.Generator) -> Mapping[str, float]:
        """Metric name -> value; NaN means undefined on this instance."""
        ...


def _plain(value: Any, where: str) -> Any:
    """The JSON value of a field; numbers that are equal become equal text (1, 1.0 and np.float64(1))."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, Enum):
        return _plain(value.value, where)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        number = float(value)
        if not math.isfinite(number):
            raise ValueError(f"{where} is {number}; a design holds finite numbers, use None for 'not set'")
        return int(number) if number.is_integer() else number
    if is_dataclass(value) and not isinstance(value, type):
        return describe(value, where)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"{where} has keys that are not str; a design must be JSON-serialisable")
        return {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise TypeError(
        f"{where} is a {type(value).__name__}; a design must be JSON-serialisable "
        "(None, bool, int, float, str, tuples, mappings, nested dataclasses)"
    )


def describe(part: Any, where: str | None = None) -> dict[str, Any]:
    """Name, version and fields of a regime or method as plain JSON values.

    Raises
    ------
    TypeError, ValueError
        When it is not a dataclass instance with JSON-serialisable fields; the message names class and field.
    """
    kind = type(part).__name__
    if not is_dataclass(part) or isinstance(part, type):
        raise TypeError(f"{where or kind}: give an instance of a frozen dataclass, not {part!r}")
    where = where or kind
    description: dict[str, Any] = {"name": getattr(type(part), "name", kind)}
    version = getattr(type(part), "version", None)
    if version is not None:
        description["version"] = _plain(version, f"{where}.version")
    for field in fields(part):
        if field.name in description:
            raise TypeError(f"{where}.{field.name}: 'name' and 'version' are class attributes, rename this field")
        description[field.name] = _plain(getattr(part, field.name), f"{where}.{field.name}")
    return description


def canonical_json(value: Any) -> str:
    """One text per value: sorted keys, no spaces, shortest float representation."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_hash(value: Any) -> str:
    """SHA-256 of the canonical JSON of a description, a regime or a method, 64 hexadecimal digits."""
    plain = describe(value) if is_dataclass(value) and not isinstance(value, type) else value
    return hashlib.sha256(canonical_json(plain).encode()).hexdigest()


def _checked_part(part: Any, attribute: str, word: str) -> None:
    if isinstance(part, type) or not callable(getattr(part, attribute, None)):
        raise TypeError(f"{word}: {part!r} has no method {attribute}(); see simulations.design for the contract")
    if not isinstance(getattr(type(part), "name", None), str):
        raise TypeError(f"{word}: {type(part).__name__} needs a class attribute name: ClassVar[str]")
    params = getattr(type(part), "__dataclass_params__", None)
    if params is None or not params.frozen:
        raise TypeError(f"{word}: {type(part).__name__} must be a frozen dataclass, so that its hash cannot change")


@dataclass(frozen=True)
class Cell:
    """One regime with one method; ``hash`` is its configuration hash, the key of its rows."""

    regime: Regime
    method: Method

    def __post_init__(self) -> None:
        _checked_part(self.regime, "generate", "regime")
        _checked_part(self.method, "evaluate", "method")
        _ = self.hash

    @cached_property
    def regime_hash(self) -> str:
        """Content hash of the regime, the first part of every stream's key."""
        return content_hash(self.regime)

    @cached_property
    def hash(self) -> str:
        """Content hash of regime and method together."""
        return content_hash({"regime": describe(self.regime), "method": describe(self.method)})


def _flat(description: dict[str, Any], prefix: str) -> dict[str, Any]:
    """``{"regime": name, "regime.field": value, ...}``; nested parts get dotted names, lists become JSON text."""
    flat: dict[str, Any] = {prefix: description["name"]} if "name" in description else {}
    for key, value in description.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}.{key}"))
        elif key != "name":
            flat[f"{prefix}.{key}"] = canonical_json(value) if isinstance(value, list) else value
    return flat


def factors(cell: Cell) -> dict[str, Any]:
    """Columns that describe a cell: ``regime``, ``regime.<field>``, ``method``, ``method.<field>``."""
    return {**_flat(describe(cell.regime), "regime"), **_flat(describe(cell.method), "method")}


def factor_columns(cells: Sequence[Cell]) -> list[str]:
    """Names of :func:`factors` over all cells; those of regimes before those of methods."""
    columns = dict.fromkeys(name for cell in cells for name in factors(cell))
    return sorted(columns, key=lambda name: name.split(".")[0] != "regime")


@dataclass(frozen=True)
class Levels:
    """Values of one factor, or of several factors that move together; made by :func:`levels`."""

    values: tuple[Any, ...]


def levels(*values: Any) -> Levels:
    """Mark a field of :func:`grid` as a factor: every value is crossed with the levels of the other factors.

    Nested factors (levels that belong together) are given to :func:`grid` as ``nested=[{...}, {...}]``.

    Raises
    ------
    ValueError
        No value.
    """
    if not values:
        raise ValueError("levels(): give at least one value")
    return Levels(values)


def grid(part: type[T], *, nested: Sequence[Mapping[str, Any]] = ({},), **factors: Any) -> tuple[T, ...]:
    """All regimes (or methods) of one class over a crossed and nested grid of fields.

    Parameters
    ----------
    part : type
        The dataclass to build.
    nested : sequence of mappings
        Field settings that go together; each mapping may itself contain ``levels(...)``, crossed inside it only.
    **factors
        Fixed fields, or ``levels(...)`` to cross.

    Returns
    -------
    tuple of part
        In the order nested × first factor × second factor …, the last one running fastest.

    Raises
    ------
    ValueError
        A field that is set both in ``nested`` and as a factor.
    """
    made: list[T] = []
    for setting in nested:
        twice = sorted(set(setting) & set(factors))
        if twice:
            raise ValueError(f"grid of {part.__name__}: {twice[0]!r} is set both in nested and as a factor")
        merged = {**setting, **factors}
        axes = [value.values if isinstance(value, Levels) else (value,) for value in merged.values()]
        made += [part(**dict(zip(merged, point, strict=True))) for point in itertools.product(*axes)]
    return tuple(made)


def crossed(regimes: Regime | Iterable[Regime], methods: Method | Iterable[Method]) -> tuple[Cell, ...]:
    """Every regime with every method, regimes outermost.  Add tuples of cells for a nested design."""
    rows = regimes if isinstance(regimes, Iterable) else (regimes,)
    columns = tuple(methods if isinstance(methods, Iterable) else (methods,))
    return tuple(Cell(regime, method) for regime in rows for method in columns)


@dataclass(frozen=True)
class Study:
    """A simulation study: its design and, in words, its aims (ADEMP: Morris, White and Crowther 2019).

    Parameters
    ----------
    name : str
        Letters, digits, ``_``, ``-`` and ``.``; the store is ``results/<name>.sqlite``.
    title : str
        One line.
    cells : sequence of Cell
        From :func:`crossed`; no two with the same content.
    replications : int
        Replications of every cell.
    root_seed : int
        Root of all random streams.  With the name it identifies the store: another seed needs another store.
    aims, estimands, notes : str
        For the ADEMP page.
    measures : sequence of Measure
        Performance measures (:mod:`simulations.measures.summaries`); empty: the mean of every metric.
    presentation : Presentation
        How the report shows the study (:mod:`simulations.presentation`); outside the configuration hash.
    confirmatory : str
        Name in the registry (:mod:`simulations.registration`) of a study that decides something; empty: exploratory.
    criteria : sequence of RegisteredCriterion
        What a confirmatory study has to show (:mod:`simulations.measures.criteria`), at the level of its try.

    Raises
    ------
    TypeError, ValueError
        Naming the field and the remedy.
    """

    name: str
    title: str
    cells: tuple[Cell, ...]
    replications: int
    root_seed: int
    aims: str = ""
    estimands: str = ""
    measures: tuple[Measure, ...] = ()
    notes: str = ""
    presentation: Presentation = PLAIN
    confirmatory: str = ""
    criteria: tuple[RegisteredCriterion, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"study name {self.name!r}: use letters, digits, '_', '-' and '.', starting with a letter")
        object.__setattr__(self, "cells", tuple(self.cells))
        object.__setattr__(self, "measures", tuple(self.measures))
        object.__setattr__(self, "criteria", tuple(self.criteria))
        if bool(self.confirmatory) != bool(self.criteria):
            raise ValueError(
                f"study {self.name}: a confirmatory study has criteria, and criteria belong to a confirmatory study; "
                "give both or neither"
            )
        if not isinstance(self.presentation, Presentation):
            raise TypeError(
                f"study {self.name}: presentation is a {type(self.presentation).__name__}; give one of "
                "simulations.presentation"
            )
        if not self.cells:
            raise ValueError(f"study {self.name}: no cells; give at least one regime and one method")
        for field, least in (("replications", 1), ("root_seed", 0)):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise ValueError(f"study {self.name}: {field} is {value!r}; give an integer of at least {least}")
            object.__setattr__(self, field, int(value))
        seen: set[str] = set()
        for cell in self.cells:
            if not isinstance(cell, Cell):
                raise TypeError(f"study {self.name}: cells holds a {type(cell).__name__}; build cells with crossed()")
            if cell.hash in seen:
                raise ValueError(
                    f"study {self.name}: the cell {describe(cell.regime)} × {describe(cell.method)} is there twice; "
                    "drop one"
                )
            seen.add(cell.hash)

    @cached_property
    def config_hash(self) -> str:
        """Content hash of the whole design: name, root seed, cells and replications."""
        return content_hash(
            {
                "name": self.name,
                "root_seed": self.root_seed,
                "replications": self.replications,
                "cells": [cell.hash for cell in self.cells],
            }
        )
