"""Named studies: designs that the command line runs.

Every module of this folder that defines ``STUDY`` (a Study) or ``study()`` (a function returning one) is found by
name; nothing has to be registered.  A path to a ``.toml`` file is a study as well.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from simulations.confirmation import tries
from simulations.design import Study

if TYPE_CHECKING:
    # A command that runs one study does not wait for the regimes with a real fit, and for statsmodels behind them.
    from simulations.studies._regime_design import RegimeDesign

__all__ = ["find_study", "regime_designs", "studies"]


def _modules() -> Iterator[str]:
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            yield module.name


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until the end: a compiled module that it meets while it is imported may abort the process."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _load(module_name: str) -> Study | None:
    with _uninterrupted():
        module = importlib.import_module(f"{__name__}.{module_name}")
    made = getattr(module, "STUDY", None)
    if made is None and callable(getattr(module, "study", None)):
        made = module.study()
    if made is not None and not isinstance(made, Study):
        raise TypeError(f"simulations/studies/{module_name}.py: STUDY is a {type(made).__name__}; make it a Study")
    return made


def _as_run(study: Study) -> list[Study]:
    """The study, or every registered try of a confirmatory one; each try has its seed from the registry."""
    return (tries(study) if study.confirmatory else []) or [study]


def studies() -> dict[str, Study]:
    """All studies of this folder by name, in alphabetical order.

    Raises
    ------
    ValueError
        Two modules define studies of one name.
    """
    found: dict[str, tuple[str, Study]] = {}
    for module_name in _modules():
        study = _load(module_name)
        if study is None:
            continue
        if study.name in found:
            raise ValueError(f"study {study.name!r} is defined in {found[study.name][0]}.py and {module_name}.py")
        for each in _as_run(study):
            found[each.name] = (module_name, each)
    return {name: found[name][1] for name in sorted(found)}


def find_study(name: str) -> Study:
    """The study of that name, or in that TOML file.

    Raises
    ------
    ValueError
        Unknown; the message gives the nearest name.
    """
    if name.endswith(".toml"):
        from simulations.toml_design import read_toml

        return read_toml(Path(name))
    if name in set(_modules()):  # the usual case: module and study share their name, so only one module is imported
        study = _load(name)
        if study is not None and study.name == name:
            return _as_run(study)[-1]
    known = studies()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
    raise ValueError(f"unknown study {name!r}; {hint}")


def regime_designs() -> dict[str, RegimeDesign]:
    """The designs that sweep one regime, by name: every module of this folder that defines ``DESIGN``."""
    modules = (importlib.import_module(f"{__name__}.{name}") for name in _modules() if name.startswith("regime_"))
    return {module.DESIGN.name: module.DESIGN for module in modules}
