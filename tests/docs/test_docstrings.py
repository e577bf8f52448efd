"""Every public function of the library says what goes in, its shape, what comes out, what it refuses, and its source.

The commands of ``clair`` are left out: their docstrings are the text of ``--help``.
"""

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from functools import cache

import pytest

import clair_stats

LEFT_OUT = ("clair_stats.cli",)
# Files that move data and compute nothing have no source to name.
NOTHING_COMPUTED = (
    "clair_stats.readers",
    "clair_stats.containers",
    "clair_stats.conventions",
    "clair_stats.files",
    "clair_stats.parallel",
    "clair_stats.quarantine",
    "clair_stats.report",
    "clair_stats.adapters",
    "clair_stats.federation",
    "clair_stats.decomposition.status",
)
ARRAYS = re.compile(r"FloatArray|BoolArray|NDArray|ArrayLike")
SHAPE = re.compile(r"shapes?\b|\(K|\(p|any shapes?|scalar|mapping|callable|float")
SOURCE = re.compile(
    r"theory\.md|derivations|docs/|notation\.md|arXiv"
    r"|\((?:[^()]*\D)?(?:19|20)\d\d\)"  # (Author, 1936) or (1936)
    r"|[A-Z]\w+ [^()]*\d+\(\d+\), (?:19|20)\d\d"  # Journal 1(3), 1936
)


def imported(name):
    """A module, or nothing where it needs an extra that is not installed."""
    try:
        return [importlib.import_module(name)]
    except ModuleNotFoundError as error:
        if str(error.name).startswith("clair_stats"):
            raise
        return []


def modules():
    names = [item.name for item in pkgutil.walk_packages(clair_stats.__path__, "clair_stats.")]
    return [clair_stats, *(module for name in names if not name.startswith(LEFT_OUT) for module in imported(name))]


def defined_in(module):
    """Functions and methods that a module defines itself, with their qualified names."""
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(thing):
            yield f"{module.__name__}.{name}", thing
        elif inspect.isclass(thing):
            for member, method in vars(thing).items():
                plain = method.__func__ if isinstance(method, classmethod | staticmethod) else method
                if not member.startswith("_") and inspect.isfunction(plain) and "lambda" not in plain.__name__:
                    yield f"{module.__name__}.{name}.{member}", plain


def described(entries):
    """Names of a section with their types; ``first, second`` counts for both, and stars of ``*args`` are dropped.

    Without a type the description has to say where it is told: "As for :func:`decompose`" counts as a shape.
    """
    found = {}
    for entry in entries:
        told = entry.type or ("shape" if " ".join(entry.desc).startswith("As ") else "")
        found |= {part.strip().lstrip("*"): told for part in entry.name.split(",")}
    return found


def raises(function):
    """Whether the function itself raises something new; a bare ``raise`` passes on what others raised."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    inner = {
        node for top in tree.body[0].body for node in ast.walk(top) if isinstance(node, ast.FunctionDef | ast.Lambda)
    }
    nested = {part for node in inner for part in ast.walk(node)}
    return any(isinstance(n, ast.Raise) and n.exc is not None and n not in nested for n in ast.walk(tree))


def faults(function, *, module_text=""):
    """What the docstring of a function lacks."""
    text = inspect.getdoc(function) or ""
    if not text:
        return ["no docstring"]
    from numpydoc.docscrape import FunctionDoc

    doc = FunctionDoc(function)
    found = []
    given = described([*doc["Parameters"], *doc["Other Parameters"]])
    signature = inspect.signature(function)
    wanted = {name: p for name, p in signature.parameters.items() if name not in ("self", "cls")}
    found += [f"parameter {name} is not described" for name in wanted if name not in given]
    found += [f"parameter {name} does not exist" for name in given if name not in wanted]
    for name, parameter in wanted.items():
        if ARRAYS.search(str(parameter.annotation)) and name in given and not SHAPE.search(given[name]):
            found.append(f"parameter {name} has no shape")
    if str(signature.return_annotation) != "None" and not (doc["Returns"] or doc["Yields"]):
        found.append("no section Returns")
    if raises(function) and not doc["Raises"]:
        found.append("no section Raises")
    if (
        not SOURCE.search(text)
        and not SOURCE.search(module_text)
        and not function.__module__.startswith(NOTHING_COMPUTED)
    ):
        found.append("no source, neither here nor at the head of the file")
    return found


@cache
def functions():
    """All functions of the library by name; not at the head of the file, where every collection would wait for it."""
    return {name: function for module in modules() for name, function in defined_in(module)}


def test_docstrings_are_complete():
    found = {
        name: faults(function, module_text=inspect.getmodule(function).__doc__ or "")
        for name, function in functions().items()
    }
    assert {name: lacks for name, lacks in found.items() if lacks} == {}


def test_functions_are_found():
    assert len(functions()) > 150
    assert {"clair_stats.clair.CLAIR.fit", "clair_stats.linalg.stack", "clair_stats.theory.gain.oracle_gain"} <= set(
        functions()
    )


def complete(blocks: "FloatArray", rank: int) -> float:  # noqa: F821 - annotations are text here
    """Something (theory.md section 1).

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)
    rank : int

    Returns
    -------
    float

    Raises
    ------
    ValueError
        Rank below 0.
    """
    if rank < 0:
        raise ValueError("rank")
    return float(blocks.sum())


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("rank : int\n", "", "parameter rank is not described"),
        ("rank : int\n", "rank : int\nlevel : float\n", "parameter level does not exist"),
        ("ndarray, shape (K, p, q)", "ndarray", "parameter blocks has no shape"),
        ("Returns\n-------\nfloat\n\n", "", "no section Returns"),
        ("Raises\n------\nValueError\n    Rank below 0.", "", "no section Raises"),
        (" (theory.md section 1)", "", "no source, neither here nor at the head of the file"),
        (None, "", "no docstring"),
    ],
)
def test_a_lacking_docstring_is_noticed(old, new, fault, monkeypatch):
    text = inspect.getdoc(complete)
    assert faults(complete) == []
    assert old is None or old in text
    monkeypatch.setattr(complete, "__doc__", "" if old is None else text.replace(old, new))
    assert fault in faults(complete)
