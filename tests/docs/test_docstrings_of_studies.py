"""Docstrings of simulations, theory_checks and reports say shapes, rows and errors where a reader would have to guess.

Types stand in the signature.  A docstring has to add the shape of arrays and what a row of a data frame is, which
errors a function raises on purpose, and, from five arguments on, each of them.  What overrides a method of a base class
or protocol of the house is described there.  Commands are left out: their docstrings are the text of ``--help``.
"""

import importlib
import inspect
import pkgutil
import re
from functools import cache

import pytest

import reports
import simulations
import theory_checks
from tests.docs.test_docstrings import defined_in, described, raises

PACKAGES = (simulations, theory_checks, reports)
ARRAYS = re.compile(r"Array|NDArray|ndarray")
TABLES = re.compile(r"DataFrame|Series")
SHAPE = re.compile(r"shapes?\b|\([\w*]+,[\w, |…·+−*]*\)|\w+ × \w+|scalar")
ROWS = re.compile(r"\brows?\b|\bcolumns?\b|\btable\b|one line per|\bsummary\b")
MANY = 5


def modules():
    names = [
        item.name
        for package in PACKAGES
        for item in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not item.name.endswith(("__main__", ".cli")) and ".commands" not in item.name
    ]
    return [importlib.import_module(name) for name in names]


def described_elsewhere(name, function, module):
    """Whether a base class of the house, or the protocol that the docstring names, describes this method."""
    if (inspect.getdoc(function) or "").startswith("See :"):  # a protocol, which is no base class
        return True
    *_, owner, member = name.split(".")
    cls = getattr(module, owner, None)
    bases = cls.__mro__[1:] if inspect.isclass(cls) else ()
    return any(member in vars(base) and inspect.getdoc(vars(base)[member]) for base in bases)


def faults(function):
    """What the docstring lacks."""
    text = inspect.getdoc(function) or ""
    from numpydoc.docscrape import FunctionDoc

    doc = FunctionDoc(function)
    given = described([*doc["Parameters"], *doc["Other Parameters"]])
    signature = inspect.signature(function)
    wanted = [name for name in signature.parameters if name not in ("self", "cls")]
    annotations = [str(signature.parameters[name].annotation) for name in wanted] + [str(signature.return_annotation)]
    found = [] if text else ["no docstring"]
    if any(map(ARRAYS.search, annotations)) and not SHAPE.search(text):
        found.append("an array without a shape")
    if any(map(TABLES.search, annotations)) and not ROWS.search(text):
        found.append("a data frame without a word on its rows")
    if raises(function) and not doc["Raises"]:
        found.append("no section Raises")
    if len(wanted) >= MANY:
        found += [f"parameter {name} is not described" for name in wanted if name not in given]
    found += [f"parameter {name} does not exist" for name in given if name not in wanted]
    return found


def public_functions():
    """Qualified name and function, without what is described elsewhere."""
    for module in modules():
        for name, function in defined_in(module):
            if not described_elsewhere(name, function, module):
                yield name, function


@cache
def functions():
    """Those functions by name; not at the head of the file, where every collection would wait for it."""
    return dict(public_functions())


def test_docstrings_say_what_the_signatures_do_not():
    found = {name: faults(function) for name, function in functions().items()}
    assert {name: lacks for name, lacks in found.items() if lacks} == {}


def test_functions_are_found():
    assert len(functions()) > 400
    assert {
        "simulations.engine.executor.run_study",
        "theory_checks.judge.run.run_claims",
        "reports.document.build",
    } <= set(functions())


def complete(values: "Array", rows: "pd.DataFrame", n: int, level: float, word: str) -> float:  # noqa: F821 - text here
    """Something.

    Parameters
    ----------
    values : array, shape (n,)
    rows : DataFrame
        One row per replication.
    n : int
    level : float
    word : str

    Raises
    ------
    ValueError
        A negative n.
    """
    if n < 0:
        raise ValueError("n")
    return 0.0


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("array, shape (n,)", "array", "an array without a shape"),
        ("rows : DataFrame\n    One row per replication.\n", "", "a data frame without a word on its rows"),
        ("level : float\n", "", "parameter level is not described"),
        ("word : str", "word : str\nother : int", "parameter other does not exist"),
        ("Raises\n------\nValueError\n    A negative n.", "", "no section Raises"),
    ],
)
def test_a_lacking_docstring_is_noticed(old, new, fault, monkeypatch):
    text = inspect.getdoc(complete)
    assert faults(complete) == []
    assert old in text
    changed = text.replace(old, new)
    monkeypatch.setattr(
        complete, "__doc__", changed.replace("rows : DataFrame\n", "") if "data frame" in fault else changed
    )
    assert fault in faults(complete)
