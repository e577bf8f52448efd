"""Which code a row depends on: a digest of the modules that its regime and method import, directly or through others.

Read from the sources, wherever in a module an import stands; comments, docstrings and layout do not count.  So an edit
of a report, of another claim or of a docstring leaves the digest as it is, and an edit of a solver changes it.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path

__all__ = ["module_digest", "modules_behind", "source_digest"]

_ROOT = Path(__file__).resolve().parents[2]
# What makes a row of what regime and method compute.
_ENGINE = ("simulations.engine.replicate", "simulations.streams")
# What shows results and makes none.
_SHOWN = ("simulations.measure", "simulations.presentation", "clair_stats.report")


@cache
def _house_packages() -> frozenset[str]:
    """Packages of this repository."""
    return frozenset(path.parent.name for path in _ROOT.glob("*/__init__.py"))


@cache
def _file(module: str) -> Path | None:
    """Source file of a module of the project."""
    if module.split(".")[0] not in _house_packages():
        return None
    place = _ROOT.joinpath(*module.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """A module and every statement in it; imports and docstrings are found without a walk through all expressions."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting += getattr(node, name, ())


@cache
def _imports(path: Path, module: str) -> frozenset[str]:
    """Modules of the project that a file imports; a package stands for all its modules, which it may load by name."""
    found: set[str] = set()
    parts = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in _statements(_tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            wholes = {alias.name: f"{base}.{alias.name}" for alias in node.names}
            found.update(whole if _file(whole) else base for whole in wholes.values())
    top = {name for name in found if name in _house_packages()}
    whole_packages = {
        ".".join(inside.relative_to(_ROOT).with_suffix("").parts).removesuffix(".__init__")
        for package in top
        for inside in (_ROOT / package).rglob("*.py")
    }
    return frozenset(name for name in found | whole_packages if _file(name) is not None)


def _only_shows(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in _SHOWN)


@cache
def _closure(module: str) -> frozenset[str]:
    """The modules of the project that a module imports, directly or through others, and itself where it is one."""
    place = getattr(sys.modules.get(module), "__file__", None)
    outside = _file(module) is None and place is not None and place.endswith(".py")
    waiting = list(_imports(Path(place), module)) if outside and place is not None else [module]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if name not in seen and path is not None and not _only_shows(name):
            seen.add(name)
            waiting += _imports(path, name)
    return frozenset(seen)


@cache
def _code_digest(path: Path) -> str:
    """Of the syntax tree, without docstrings."""
    tree = _tree(path)
    for node in _statements(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _parts(value: object) -> Iterable[object]:
    """A regime or method and the dataclasses among its fields."""
    if is_dataclass(value) and not isinstance(value, type):
        yield value
        for field in fields(value):
            yield from _parts(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _parts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _parts(item)


def _module_names(values: Iterable[object]) -> frozenset[str]:
    return frozenset(type(part).__module__ for value in values for part in _parts(value))


def modules_behind(*parts: object) -> frozenset[str]:
    """Modules of the project on which regimes and methods depend."""
    return frozenset(module for name in (*_ENGINE, *_module_names(parts)) for module in _closure(name))


@cache
def _digest(names: frozenset[str]) -> str:
    lines = []
    for module in sorted({module for name in (*_ENGINE, *names) for module in _closure(name)}):
        path = _file(module)
        assert path is not None  # only modules with a file are in a closure
        lines.append(f"{module} {_code_digest(path)}")
    for name in sorted(names):
        place = getattr(sys.modules.get(name), "__file__", None)
        if _file(name) is None and place is not None and place.endswith(".py"):
            lines.append(_code_digest(Path(place)))  # a user's own module
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def source_digest(*parts: object) -> str:
    """Digest of the code that regimes and methods depend on, 64 hexadecimal digits.

    Parameters
    ----------
    *parts : object
        A regime and a method; dataclasses among their fields count as well.
    """
    return _digest(_module_names(parts))


def module_digest(*names: str) -> str:
    """Digest of modules of the project and of all that they import, 64 hexadecimal digits."""
    return _digest(frozenset(names))
