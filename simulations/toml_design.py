"""Studies as TOML files.

    name = "shares"
    title = "Recovery against the contaminated share"
    replications = 500
    root_seed = 20260521
    aims = "..."
    estimands = "..."

    [[grid]]                                   # one crossed design; several add up to a nested one
    [[grid.regimes]]
    type = "simulations.regimes.gaussian:GaussianRegime"
    fixed = { rank = 2 }                       # one value
    crossed = { share = [0.1, 0.2] }           # a factor: every value with every level of the others
    nested = [ { n_rows = 10, n_columns = 5 }, { n_rows = 20, n_columns = 10 } ]   # settings that go together

    [[grid.methods]]
    type = "simulations.methods.clients_and_oracles:Clair"

    [[measures]]
    type = "Mean"                              # a name of simulations.measures.summaries
    metric = "sin_theta"

Fields that are themselves dataclasses are tables with their own ``type``.

A ``type`` must be a frozen dataclass that its module defines.  This is read from the module's source before it is
imported; nothing else is imported or called.  The module itself then runs as any imported module does, so a design
from a stranger is as trustworthy as the modules that it names.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.machinery
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simulations import presentation
from simulations.design import Cell, Study, crossed, grid, levels
from simulations.measures import summaries

__all__ = ["read_toml"]

_TOP = ("name", "title", "replications", "root_seed", "aims", "estimands", "notes", "grid", "measures", "presentation")
_PART = ("type", "fixed", "crossed", "nested")


def _only(table: object, allowed: tuple[str, ...], where: str) -> Mapping[str, Any]:
    if not isinstance(table, Mapping):
        raise TypeError(f"{where}: expected a table, got {type(table).__name__}")
    for key in table:
        if key not in allowed:
            near = difflib.get_close_matches(key, allowed, n=1)
            raise ValueError(
                f"{where}: unknown key {key!r}; {f'did you mean {near[0]!r}?' if near else f'use {allowed}'}"
            )
    return table


def _source(module_name: str, where: str) -> str:
    """Source text of a module, found without importing it or its packages."""
    places: Sequence[str] | None = None
    parts = module_name.split(".")
    for depth in range(len(parts)):
        spec = importlib.machinery.PathFinder.find_spec(".".join(parts[: depth + 1]), places)
        if spec is None:
            raise ValueError(f"{where}: there is no module {'.'.join(parts[: depth + 1])!r}")
        places = spec.submodule_search_locations
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise ValueError(f"{where}: {module_name!r} is no Python source; give the module that defines the class")
    return Path(spec.origin).read_text(encoding="utf-8")


def _is_frozen_dataclass(node: ast.ClassDef) -> bool:
    """Whether a class statement is decorated with ``@dataclass(frozen=True, …)``."""
    return any(
        isinstance(decorator, ast.Call)
        and ast.unparse(decorator.func).split(".")[-1] == "dataclass"
        and any(keyword.arg == "frozen" and ast.unparse(keyword.value) == "True" for keyword in decorator.keywords)
        for decorator in node.decorator_list
    )


def _class(path: object, where: str, method: str | None = None) -> type[Any]:
    """The class that a ``type`` names: a frozen dataclass that its module defines, with ``method`` where one is asked.

    That much is read from the source before anything is imported, so that a design cannot make other code run.
    """
    if not isinstance(path, str) or path.count(":") != 1:
        raise ValueError(f"{where}: type is {path!r}; give 'package.module:Class'")
    module_name, class_name = path.split(":")
    classes = [node for node in ast.parse(_source(module_name, where)).body if isinstance(node, ast.ClassDef)]
    node = next((node for node in classes if node.name == class_name), None)
    if node is None:
        near = difflib.get_close_matches(class_name, [node.name for node in classes], n=1)
        raise ValueError(
            f"{where}: {module_name} defines no class {class_name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
        )
    if not _is_frozen_dataclass(node):
        raise ValueError(f"{where}: {path} is no frozen dataclass; a design holds nothing else")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except ImportError as error:
        raise ValueError(f"{where}: cannot import {module_name!r} ({error})") from error
    if method is not None and not callable(getattr(found, method, None)):
        raise ValueError(f"{where}: {path} has no method {method}(); see simulations.design for the contract")
    made: type[Any] = found
    return made


def _value(value: object, where: str) -> Any:  # noqa: ANN401 - a field of a design
    """Lists become tuples and tables with a ``type`` become dataclasses."""
    if isinstance(value, list):
        return tuple(_value(item, where) for item in value)
    if isinstance(value, Mapping):
        fields = {key: _value(item, f"{where}.{key}") for key, item in value.items() if key != "type"}
        return _class(value["type"], where)(**fields) if "type" in value else fields
    return value


def _table(table: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    found = table.get(key, {})
    if not isinstance(found, Mapping):
        raise TypeError(f"{where}.{key}: expected a table, got {type(found).__name__}; give {key} = {{ name = value }}")
    return found


def _parts(tables: object, where: str, method: str) -> tuple[Any, ...]:
    made: list[Any] = []
    if not isinstance(tables, list) or not tables:
        raise ValueError(f"{where}: give at least one [[{where}]]")
    for number, raw in enumerate(tables):
        here = f"{where}[{number}]"
        table = _only(raw, _PART, here)
        part = _class(table.get("type"), here, method)
        factors = {key: _value(value, f"{here}.{key}") for key, value in _table(table, "fixed", here).items()}
        for key, values in _table(table, "crossed", here).items():
            if not isinstance(values, list) or not values:
                raise ValueError(f"{here}.crossed.{key}: give a list of levels")
            factors[key] = levels(*(_value(value, f"{here}.{key}") for value in values))
        nested = [_value(setting, f"{here}.nested") for setting in table.get("nested", [{}])]
        try:
            made += grid(part, nested=nested, **factors)
        except TypeError as error:
            raise ValueError(f"{here}: {error}") from error
    return tuple(made)


def _measure(raw: object, where: str) -> summaries.Measure:
    table = _only(raw, tuple(raw) if isinstance(raw, Mapping) else (), where)
    name = table.get("type")
    known = [name for name in summaries.__all__ if name not in ("Accumulator", "Estimate", "Measure")]
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=1)
        raise ValueError(
            f"{where}: unknown measure {name!r}; " + (f"did you mean {near[0]!r}?" if near else f"known: {known}")
        )
    fields = {key: _value(value, f"{where}.{key}") for key, value in table.items() if key != "type"}
    try:
        made: summaries.Measure = getattr(summaries, str(name))(**fields)
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from error
    return made


def _presentation(raw: object, where: str) -> presentation.Presentation:
    table = _only(raw, tuple(raw) if isinstance(raw, Mapping) else (), where)
    name = str(table.get("type"))
    known = [name for name in presentation.__all__ if isinstance(getattr(presentation, name), type)]
    if name not in known or name == "Presentation":
        near = difflib.get_close_matches(name, known, n=1)
        raise ValueError(
            f"{where}: unknown presentation {name!r}; " + (f"did you mean {near[0]!r}?" if near else f"known: {known}")
        )
    fields = {key: _value(value, f"{where}.{key}") for key, value in table.items() if key != "type"}
    try:
        made: presentation.Presentation = getattr(presentation, name)(**fields)
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from error
    return made


def read_toml(path: Path) -> Study:
    """Read a study from a TOML file.

    Raises
    ------
    ValueError, TypeError
        The file is not there, is not TOML, or says something a design cannot hold; the message gives file and key.
    """
    try:
        with path.open("rb") as file:
            raw = tomllib.load(file)
    except OSError as error:
        raise ValueError(f"{path}: cannot read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not TOML: {error}") from error
    try:
        table = _only(raw, _TOP, "study")
        for key in ("name", "title", "replications", "root_seed", "grid"):
            if key not in table:
                raise ValueError(f"the key {key!r} is missing")
        cells: tuple[Cell, ...] = ()
        for number, block in enumerate(table["grid"]):
            design = _only(block, ("regimes", "methods"), f"grid[{number}]")
            cells += crossed(
                _parts(design.get("regimes"), "grid.regimes", "generate"),
                _parts(design.get("methods"), "grid.methods", "evaluate"),
            )
        measures = tuple(_measure(m, f"measures[{i}]") for i, m in enumerate(table.get("measures", ())))
        return Study(
            name=str(table["name"]),
            title=str(table["title"]),
            cells=cells,
            replications=table["replications"],
            root_seed=table["root_seed"],
            aims=str(table.get("aims", "")),
            estimands=str(table.get("estimands", "")),
            measures=measures,
            notes=str(table.get("notes", "")),
            presentation=_presentation(table.get("presentation", {"type": "Plain"}), "presentation"),
        )
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error
