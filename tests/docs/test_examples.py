"""The examples in the docstrings of the public names run, and every public name has one."""

import doctest
import inspect

import pytest

import clair_stats
from clair_stats import theory

NAMES = {f"clair_stats.{name}": getattr(clair_stats, name) for name in clair_stats.__all__}
NAMES |= {f"clair_stats.theory.{name}": getattr(theory, name) for name in theory.__all__}
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def examples(name, thing):
    """The doctest of one object, methods of a class included."""
    found = doctest.DocTestFinder(exclude_empty=True).find(thing, name, globs=dict(vars(inspect.getmodule(thing))))
    return [test for test in found if test.examples]


def failures(test):
    """Number of failed examples, and what doctest says about them."""
    said = []
    result = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False).run(test, out=said.append)
    return result.failed, "".join(said)


@pytest.mark.parametrize("name", [name for name in NAMES if examples(name, NAMES[name])])
def test_examples_give_what_they_say(name):
    for test in examples(name, NAMES[name]):
        failed, said = failures(test)
        assert failed == 0, said


def test_every_name_of_the_library_has_an_example():
    assert [name for name in clair_stats.__all__ if not examples(name, getattr(clair_stats, name))] == []


def test_a_wrong_example_is_noticed():
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    failed, said = failures(test)
    assert failed == 1
    assert "Got:\n    2" in said
