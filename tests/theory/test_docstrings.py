"""Every public function of the room says shapes, errors and source, and shows one example that runs."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

from clair_stats import theory

FUNCTIONS = [name for name in theory.__all__ if inspect.isfunction(getattr(theory, name))]
MODULES = [info.name for info in pkgutil.iter_modules(theory.__path__)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_is_documented(name):
    text = inspect.getdoc(getattr(theory, name))
    for section in ("Parameters", "Returns", "Raises", "Examples"):
        assert f"{section}\n{'-' * len(section)}" in text, section
    assert ".md" in text, "the source: a section of docs/theory.md or a derivation"


@pytest.mark.parametrize("name", MODULES)
def test_its_examples_run(name):
    result = doctest.testmod(importlib.import_module(f"clair_stats.theory.{name}"))
    assert result.failed == 0


def test_every_function_has_an_example():
    finder = doctest.DocTestFinder()
    for name in FUNCTIONS:
        assert any(test.examples for test in finder.find(getattr(theory, name)))
